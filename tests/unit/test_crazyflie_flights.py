"""Real flights of a Crazyflie 2.1 (NanoBench) as bags; skipped where the environment names no folder with them."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spike_ctrl.cli import main
from spike_ctrl.recordings.reader import read
from spike_ctrl.sim.episode_flags import FIRST

FOLDER = os.environ.get("SPIKE_CTRL_FLIGHTS", "")
NAME = "B9_trefoil_fast_rep4"
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="SPIKE_CTRL_FLIGHTS names no folder with NanoBench's flights (.csv.gz), so real logs are not read"
)


@pytest.fixture(scope="module")
def flown(tmp_path_factory):
    """12 s of a real flight, from the take-off on."""
    folder = tmp_path_factory.mktemp("cut")
    lines = gzip.decompress((Path(FOLDER) / f"{NAME}.csv.gz").read_bytes()).splitlines(keepends=True)
    (folder / "cut.csv").write_bytes(b"".join([lines[0], *lines[300:1500]]))
    assert main.main(["import", str(folder / "cut.csv"), "-o", str(folder / "bags")]) == 0
    return read(folder / "bags" / "cut")


def test_the_estimate_is_near_to_what_motion_capture_saw(flown):
    """Of the paper's vehicle: 13 to 17 mm and a bias of the attitude of a degree or two; a wrong sign would be far more."""
    air = (flown.states.flags[:, 0] & FIRST) == 0
    assert np.linalg.norm(flown.poses.position - flown.reference.position, axis=1)[air].mean() < 0.06
    turn = Rotation.from_quat(flown.poses.quaternion[air]).inv() * Rotation.from_quat(flown.reference.quaternion[air])
    assert np.degrees(turn.magnitude()).mean() < 5


def test_the_gyro_turns_as_motion_capture_did_and_its_delay_wanders(flown):
    """The radio holds packets back: within this flight the delay goes from below 0 to above 40 ms."""
    told = flown.origin["gyro_delay"]
    assert told["correlation"] > 0.7
    stretches = [late for _, late, _ in told["course"]]
    assert min(stretches) < 0.02 and max(stretches) > 0.03


def test_more_thrust_on_the_left_rolls_to_the_right_and_at_the_back_the_nose_down(flown):
    """The order of the motors and the signs of the gyro together: angular acceleration follows the difference of thrust."""
    air = (flown.states.flags[:, 0] & FIRST) == 0
    u, rates = flown.commands.action[air], flown.poses.rates[air]
    turning = np.gradient(rates, 0.01, axis=0)
    wanted = {0: u @ [-1, -1, 1, 1], 1: u @ [-1, 1, 1, -1], 2: u @ [-1, 1, -1, 1]}
    for axis, torque in wanted.items():
        later = np.corrcoef(torque[:-3] - torque.mean(), turning[3:, axis])[0, 1]  # the motors take some 30 ms
        assert later > 0.15, axis


def test_the_accelerometer_shows_gravity_upward_and_the_battery_volts(flown):
    assert np.median(flown.sensed.force[:, 2]) == pytest.approx(9.8, abs=1.0)
    assert 3.0 < np.nanmedian(flown.sensed.voltage) < 4.3
