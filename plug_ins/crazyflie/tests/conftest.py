"""A checkout of the Crazyflie firmware whose bindings are a stand-in."""

import shutil
import sys

import fake_cffirmware
import pytest
from shared_fixtures import *  # noqa: F403


@pytest.fixture
def firmware(tmp_path, monkeypatch):
    """A checkout of the Crazyflie's firmware whose bindings are built."""
    (tmp_path / "build").mkdir()
    shutil.copy(fake_cffirmware.__file__, tmp_path / "build" / "cffirmware.py")
    monkeypatch.delitem(sys.modules, "cffirmware", raising=False)
    yield tmp_path
    sys.modules.pop("cffirmware", None)
