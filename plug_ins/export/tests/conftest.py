"""The Crazyflie: its policy, and its app, compiled."""

import ctypes
import shutil

import pytest
from shared_fixtures import *  # noqa: F403

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint


@pytest.fixture(scope="session")
def loaded():
    """The checkpoint `crazyflie`."""
    return checkpoint.load(resources.folder("models") / "crazyflie.safetensors")


@pytest.fixture(scope="session")
def crazyflie():
    """The airframe."""
    return airframe.load("crazyflie")


@pytest.fixture(scope="session")
def _library(tmp_path_factory, loaded, crazyflie):
    from compiled_crazyflie_app import compiled

    from spike_ctrl_export import crazyflie_app
    from spike_ctrl_export.c_source import Form

    return compiled(tmp_path_factory.mktemp("app"), crazyflie_app.app(loaded, "crazyflie", Form(), crazyflie))


@pytest.fixture
def app(tmp_path, _library):
    """The app for its firmware, compiled; a copy of its own for each test, because the C has static variables."""
    return ctypes.CDLL(shutil.copy(_library, tmp_path / "app.so"))
