"""Code by name: found from the current folder, and whatever is wrong with a name is said in one line."""

import os
import subprocess
import sys

import pytest

from spike_ctrl._files import named_object
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a module `mine_1` of its own; what was imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    (tmp_path / "mine_1.py").write_text("NUMBER = 3\nclass Thing:\n    def __init__(self, a, b=1): self.sum = a + b\n")
    (tmp_path / "needs_1.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "broken_1.py").write_text("1 / 0\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(name):
    with pytest.raises(UsageError) as error:
        named_object.find(name, "network")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_class_in_the_current_folder_is_found_and_the_path_is_left_as_it_was(folder):
    before = list(sys.path)
    assert named_object.find("mine_1:Thing", "network")(1).sum == 2
    assert sys.path == before


SHADOWED = """
from spike_ctrl._files import named_object
print(named_object.find("mine_1:draw", "network")())
"""


@pytest.mark.parametrize("module", ["random", "colorsys"])
def test_a_file_there_does_not_take_the_place_of_a_module_of_the_standard_library(tmp_path, module):
    (folder := tmp_path / "folder").mkdir()
    (folder / f"{module}.py").write_text("raise SystemExit('not the standard library')\n")
    (folder / "mine_1.py").write_text(f"import {module}\ndef draw(): return {module}.__file__\n")
    (tmp_path / "program.py").write_text(SHADOWED)
    command = [sys.executable, tmp_path / "program.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ)
    assert run.returncode == 0, run.stderr
    assert not run.stdout.startswith(str(folder))


def test_a_function_of_an_installed_package_is_found(folder):
    assert named_object.find("json.decoder:JSONDecoder", "network").__name__ == "JSONDecoder"


@pytest.mark.parametrize(
    "name, message",
    [
        ("mine_1", "network: found 'mine_1', wanted module:Name"),
        ("mine_1:", "network: found 'mine_1:', wanted module:Name"),
        ("mine 1:Thing", "wanted module:Name"),
        ("../mine_1:Thing", "wanted module:Name"),
        ("a:b:c", "wanted module:Name"),
        ("mine_2:Thing", "network: found no module mine_2 for 'mine_2:Thing', wanted one in"),
        ("mine_1.deeper:Thing", "network: found no module mine_1.deeper"),
        ("needs_1:Thing", "network: needs_1 imports nowhere_to_be_found, which is not installed"),
        ("broken_1:Thing", "network: broken_1 cannot be imported: ZeroDivisionError"),
        ("mine_1:Other", "network: found no Other in mine_1, wanted one of its classes and functions: Thing"),
        ("mine_1:NUMBER", "network: found mine_1:NUMBER of type int, wanted a class or a function"),
    ],
)
def test_what_is_wrong_with_a_name_is_told_with_key_found_and_wanted(folder, name, message):
    assert message in refused(name)


def test_an_argument_that_the_class_does_not_take_is_named(folder):
    assert NamedObject("mine_1:Thing", {"b": 5}).make("guide", 2).sum == 7
    with pytest.raises(UsageError, match=r"guide: mine_1:Thing: .*unexpected keyword argument 'c'"):
        NamedObject("mine_1:Thing", {"c": 5}).make("guide", 2)
    with pytest.raises(UsageError, match="insert: math:hypot: no signature found"):
        NamedObject("math:hypot", {"c": 5}).function("insert")
