"""The fixtures that these tests share with others, and the firmware where a variable names it."""

import os
from pathlib import Path

import pytest
from graph_fixtures import *  # noqa: F403
from shared_fixtures import *  # noqa: F403

from spike_ctrl_betaflight import firmware


@pytest.fixture(scope="session")
def sitl() -> Path:
    """The executable of Betaflight's SITL."""
    if firmware.VARIABLE not in os.environ:
        pytest.skip(f"{firmware.VARIABLE} names no executable of Betaflight's SITL")
    return firmware.executable(None, os.environ)
