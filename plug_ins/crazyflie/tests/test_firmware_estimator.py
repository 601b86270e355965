"""The Kalman filter of the Crazyflie's firmware on the sensors of a simulated vehicle.

- a stand-in of the bindings is told units, rates and ages that are known beforehand
- the real filter, where SPIKE_CTRL_FIRMWARE names a checkout whose bindings are built, finds where a vehicle is
- in words: no firmware, bindings without the filter
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli.main import main
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import SensorSettings
from spike_ctrl_crazyflie import fine_flight, firmware_bindings
from spike_ctrl_crazyflie.fine_flight import FineVehicle, PolicyOnBoard
from spike_ctrl_crazyflie.firmware_estimator import FirmwareKalman

CHECKOUT = os.environ.get("SPIKE_CTRL_FIRMWARE", "")
CRAFT = airframe.load("crazyflie_real")


def vehicle(velocity=(0.0, 0.0, 0.0), rates=(0.0, 0.0, 0.0)):
    """One that hovers 1 m above the ground."""
    (rows,) = fine_flight.plants(CRAFT, Randomisation(), 1)
    rows[dynamics.VELOCITY : dynamics.RATES], rows[dynamics.RATES : dynamics.ROTORS] = velocity, rates
    return FineVehicle(CRAFT, rows, np.array([1.0, 2.0, 1.0]))


def test_a_hover_is_told_as_one_g_upward_a_hundred_times_a_second(firmware):
    module, hovering = firmware_bindings.load(firmware), vehicle()
    estimator = FirmwareKalman(module, "pose", SensorSettings(), seed=0)
    for _ in range(100):
        estimator.look(hovering)
        hovering.tick += 1  # no dynamics: it stays where it is
    assert [now for now, *_ in module.predicted] == list(range(10, 101, 10))
    for _, force, rates, flying in module.predicted[1:]:
        assert force == pytest.approx((0, 0, 9.81), abs=0.05) and rates == (0, 0, 0) and flying


def test_the_filter_is_told_degrees_a_second_and_predicts_with_radians(firmware):
    module, spinning = firmware_bindings.load(firmware), vehicle(rates=(0.0, 0.0, math.pi))
    estimator = FirmwareKalman(module, "flow", SensorSettings(), seed=0)
    for _ in range(10):
        estimator.look(spinning)
        spinning.tick += 1
    assert estimator.gyro.z == pytest.approx(180, rel=1e-5)
    assert module.predicted[0][2][2] == pytest.approx(math.pi, rel=1e-5)


def test_a_pose_is_late_and_reaches_the_controller_a_tick_later(firmware):
    module, sliding = firmware_bindings.load(firmware), vehicle(velocity=(1.0, 0.0, 0.0))
    estimator = FirmwareKalman(module, "pose", SensorSettings(delay=0.04), seed=1)
    seen, been = [], []
    for _ in range(200):
        seen.append(estimator.look(sliding)[0])
        been.append(sliding.ago(0))
        sliding.fly([CRAFT.hover] * 4)
    assert 0 < estimator.late <= 40
    for tick in (101, 151, 191):  # poses come at 100, 150 and 190
        then = been[tick - 1 - estimator.late]
        np.testing.assert_allclose(seen[tick].position, then.position, atol=0.05)
        np.testing.assert_allclose(seen[tick].quaternion, then.quaternion, atol=0.02)
    assert (seen[100].position != seen[101].position).all() and (seen[101].position == seen[109].position).all()


@pytest.mark.parametrize(
    ("velocity", "rates", "wanted"),
    [((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (4.88, 0.0)), ((0.0, -2.0, 0.0), (0.0, 0.0, 0.0), (0.0, -9.77)),
     ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-4.88, 0.0)), ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 4.88))],
)  # fmt: skip
def test_the_flow_deck_counts_the_ground_that_passes(firmware, velocity, rates, wanted):
    """35 pixels see .71674 m of ground at 1 m: in 10 ms at 1 m/s .488 of them pass, of ten counts each."""
    module, moving = firmware_bindings.load(firmware), vehicle(velocity, rates)
    estimator = FirmwareKalman(module, "flow", SensorSettings(), seed=0)
    for _ in range(2000):
        estimator.look(moving)
        moving.tick += 1
    counts = np.array([(flow.dpixelx, flow.dpixely) for flow, _ in module.flows])
    assert len(counts) == 200 and (counts == np.rint(counts)).all()
    np.testing.assert_allclose(counts.mean(0), wanted, atol=0.5)
    assert len(module.ranges) == 80 and np.mean([found.distance for found in module.ranges]) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.skipif(not CHECKOUT, reason="SPIKE_CTRL_FIRMWARE names no checkout of the Crazyflie's firmware with bindings")
@pytest.mark.parametrize("positioning", ["pose", "position", "flow"])
def test_the_real_filter_knows_where_a_vehicle_flies(positioning):
    firmware = firmware_bindings.load(Path(CHECKOUT))
    policy = PolicyOnBoard(checkpoint.load(resources.folder("models") / "crazyflie_real.safetensors").compiled(), CRAFT)
    estimator = FirmwareKalman(firmware, positioning, SensorSettings(gyro=0.045, gyro_yaw=0.007), seed=0)
    found = fine_flight.fly_ticks(
        policy, vehicle(), estimator, np.tile([1.0, 2.0, 1.0], (3000, 1)), np.zeros((3000, 3)), 1.0
    )
    position, velocity, attitude = np.sqrt((found.error[100:] ** 2).mean(0))
    assert position < (0.15 if positioning == "flow" else 0.03) and velocity < 0.15 and attitude < math.radians(3)


def test_a_filter_that_is_not_there_is_refused_in_words(firmware, capsys):
    bindings = firmware / "build" / "cffirmware.py"
    bindings.write_text(bindings.read_text().replace("kalmanCoreUpdateWithTof", "other"))
    asked = ["refly", str(firmware), "--model", "x.safetensors", "--estimator", "flow"]
    assert main([*asked, "--firmware", str(firmware)]) == 2
    assert "found bindings without kalmanCoreUpdateWithTof, wanted them" in capsys.readouterr().err
    assert main(asked) == 2
    assert "--estimator flow: found no --firmware, wanted it" in capsys.readouterr().err


def test_an_estimator_of_another_name_is_refused(firmware, capsys):
    assert main(["refly", str(firmware), "--model", "x.safetensors", "--estimator", "lighthouse"]) == 2
    wanted = "--estimator: found 'lighthouse', wanted one of measured, pose, position, flow"
    assert wanted in capsys.readouterr().err
