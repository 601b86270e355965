"""What we change or use of others beyond their documentation is on one list, and is still there in the pinned versions.

A new version that lacks one of these names is found here, and not by a bag without checksums or a node without parameters.
"""

import argparse
import collections
import importlib.machinery
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "architecture.md").read_text().partition("## What reaches into others")[2].partition("\n## ")[0]


def rosbags_has_the_chunk_and_its_file():
    from rosbags.rosbag2.storage_mcap import McapWriter

    text = inspect.getsource(McapWriter)
    assert "def close_chunk(self)" in text and "self.chunk.bio.getvalue()" in text and "self.bio.tell()" in text
    assert "write_uint32(rec, 0)" in text  # no checksum of its own: then ours is not needed any more


def parsers_have_the_pattern():
    assert argparse.ArgumentParser()._negative_number_matcher.match("-1")


def named_tuples_have_the_method():
    assert callable(collections.namedtuple("Pair", "a b")._replace)


def loaders_have_the_method():
    assert callable(importlib.machinery.SourceFileLoader("name", "path").exec_module)


def numba_has_the_folder_and_chooses_by_it_when_a_function_is_decorated():
    from numba import config
    from numba.core import caching, dispatcher

    assert isinstance(config.CACHE_DIR, str) and isinstance(config.CACHE_LOCATOR_CLASSES, str)
    assert "self._cache_path" in inspect.getsource(caching.UserProvidedCacheLocator.get_cache_path)
    assert "_hash_source_file" in inspect.getsource(caching.UserProvidedCacheLocator.get_source_stamp)  # not its time
    assert "FunctionCache(self.py_func)" in inspect.getsource(dispatcher.Dispatcher.enable_caching)


def numba_has_the_event():
    from numba.core import dispatcher, event

    assert callable(event.register) and {"on_start", "on_end"} <= set(dir(event.Listener))
    assert "numba:compile" in inspect.getsource(dispatcher)


def rclpy_has_the_given_parameters():
    node = pytest.importorskip("rclpy.node")
    assert "self._parameter_overrides" in inspect.getsource(node.Node.__init__)


def viser_has_the_method():
    assert callable(pytest.importorskip("viser").ViserServer.request_share_url)


THERE = {
    "recordings/segment.py": rosbags_has_the_chunk_and_its_file,
    "cli/main.py": parsers_have_the_pattern,
    "_files/named_tuples.py": named_tuples_have_the_method,
    "_files/after_import.py": loaders_have_the_method,
    "_files/kernel_cache.py": numba_has_the_folder_and_chooses_by_it_when_a_function_is_decorated,
    "_files/compile_notice.py": numba_has_the_event,
    "spike_ctrl_ros/spike_ctrl_ros/declared_parameters.py": rclpy_has_the_given_parameters,
    "spike_ctrl_view/viewer_node.py": viser_has_the_method,
}


@pytest.mark.parametrize("file", THERE)
def test_what_a_file_changes_or_uses_of_others_is_there(file):
    THERE[file]()


def test_the_architecture_page_lists_them():
    assert re.findall(r"^\| `([\w/]+\.py)`", TABLE, re.MULTILINE) == list(THERE)
