"""A pilot enters and leaves the mode SNN of PX4's own firmware by `px4_mode_flights.py command`.

PX4_DIR is the folder in which PX4 is built; MicroXRCEAgent is on the PATH, px4_msgs sourced.
"""

import os
import shutil

import pytest

pytestmark = pytest.mark.flight


def test_a_pilot_enters_and_leaves_the_mode_by_mavlinks_command(tmp_path):
    px4 = os.environ.get("PX4_DIR")
    if not px4 or not shutil.which("MicroXRCEAgent"):
        pytest.skip("PX4_DIR or MicroXRCEAgent is missing")
    pytest.importorskip("px4_msgs")
    flights = pytest.importorskip("px4_mode_flights")  # it needs the plug-in
    assert flights.main(["command", "--px4", px4, "-o", str(tmp_path)]) == 0
