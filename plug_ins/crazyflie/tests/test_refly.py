"""References of recorded flights, flown again in ticks of 1 ms.

- thrust to duty: the firmware's battery compensation and cap against its cubic, solved by numpy
- the plant in ticks of 1 ms is that of the environment in steps of 10 ms, dead time included; the estimate errs as told
- a policy hovers as the app would fly it; a controller of the firmware is told its units and its legacy pitch
- the reference of a bag: gaps of the log are bridged; what is late by .3 s is found to be late by .3 s
- in words: bindings that are not built, a bag without set-points, nothing to fly
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli.main import main
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.policy import checkpoint
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.recording import Poses, Recording, Sensed, States
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import SensorSettings
from spike_ctrl_crazyflie import fine_flight, firmware_bindings, flown_again
from spike_ctrl_crazyflie.erring_estimate import ErringEstimate
from spike_ctrl_crazyflie.fine_flight import FineVehicle, PolicyOnBoard
from spike_ctrl_crazyflie.firmware_bindings import CURVE, FULL, THRUST_MAX, Compensation, Estimate, StockController

LEVEL = Estimate(np.zeros(3), np.array([0, 0, 0, 1.0]), np.zeros(3), np.zeros(3))


@pytest.fixture(scope="module")
def craft():
    return airframe.load("crazyflie_real")


def test_a_motors_voltage_is_the_root_of_the_firmwares_cubic():
    for force in (0.013, 0.06, 0.12, 0.2):
        roots = np.roots([CURVE[3], CURVE[2], CURVE[1], CURVE[0] - force])
        real = [root.real for root in roots if abs(root.imag) < 1e-9 and root.real > 0]
        assert firmware_bindings.motor_volts(force) == pytest.approx(min(real), rel=1e-6)
        assert firmware_bindings.motor_force(min(real)) == pytest.approx(force, rel=1e-6)


def test_the_compensation_gives_the_same_motor_voltage_from_any_battery():
    for volts in (3.2, 4.1):
        compensation = Compensation()
        for _ in range(2000):
            compensation.tick(volts)
        duty = compensation.count(FULL * 0.06 / THRUST_MAX) / FULL
        assert duty * volts == pytest.approx(firmware_bindings.motor_volts(0.06), abs=1e-3)
    assert compensation.count(FULL * 0.01 / THRUST_MAX) == 0  # below the least thrust the cubic has no unique root


def test_all_motors_are_lowered_by_what_one_has_too_much():
    assert firmware_bindings.capped([FULL + 1000, FULL, 500, 2000]) == [1.0, (FULL - 1000) / FULL, 0.0, 1000 / FULL]


def test_ticks_of_a_millisecond_move_the_vehicle_as_steps_of_ten_do(craft):
    craft = replace(craft, dead_time=0.015)
    environment, _ = hovering(craft, 1, 100, Randomisation())
    (rows,) = fine_flight.plants(craft, Randomisation(), 1)
    vehicle = FineVehicle(craft, rows, np.zeros(3))
    command = np.array([[0.80, 0.81, 0.82, 0.81]], np.float32)
    for _ in range(40):
        environment.step(action_mapping.action(command))
        for _ in range(10):
            vehicle.fly(command[0].tolist())
    np.testing.assert_allclose(vehicle.position, environment.true_observation[0, :3], atol=2e-3)
    assert np.linalg.norm(vehicle.position) > 0.05


def test_an_estimate_is_late_in_position_and_errs_by_what_it_is_told(craft):
    (rows,) = fine_flight.plants(craft, Randomisation(), 1)
    vehicle, estimate = FineVehicle(craft, rows, np.array([1.0, 2.0, 3.0])), ErringEstimate(SensorSettings(delay=0.04), 1)
    late, seen, been = estimate.late, [], []
    assert 0 < late <= 40
    for _ in range(300):
        sight, _ = estimate.look(vehicle)
        seen.append(sight.position)
        been.append(vehicle.position)
        vehicle.fly([0.4] * 4)
    np.testing.assert_allclose(np.array(seen)[late:], np.array(been)[:-late], atol=1e-6)
    noisy, rates = ErringEstimate(SensorSettings(gyro=0.5, gyro_yaw=0.1), 2), []
    still = FineVehicle(craft, rows, np.zeros(3))
    for _ in range(4000):
        rates.append(noisy.look(still)[0].rates)
        still.tick += 1
    straight = np.sqrt(2 / 3)  # of the deviation is left on straight lines between white samples
    assert np.std(rates, axis=0) == pytest.approx([0.5 * straight, 0.5 * straight, 0.1 * straight], rel=0.15)


def test_a_policy_hovers_as_the_app_would_fly_it(craft):
    policy = checkpoint.load(resources.folder("models") / "crazyflie_real.safetensors").compiled()
    (rows,) = fine_flight.plants(craft, Randomisation(), 1)
    point = np.tile([0.0, 0.0, 1.0], (3000, 1))
    vehicle, exact = FineVehicle(craft, rows, point[0]), ErringEstimate(SensorSettings(), 0)
    flown = fine_flight.fly_ticks(PolicyOnBoard(policy, craft), vehicle, exact, point, np.zeros_like(point), lost=1.0)
    assert np.linalg.norm(flown.position[-50:] - point[0], axis=1).max() < 0.03
    assert np.nanmax(flown.error) < 1e-3
    fallen = fine_flight.fly_ticks(Falling(), vehicle, exact, point, np.zeros_like(point), lost=0.5)
    assert np.isfinite(fallen.position[0]).all() and np.isnan(fallen.position[-1]).all()


class Falling:
    def begin(self):
        pass

    def duty(self, sight, position, velocity, volts):
        return [0.0] * 4


def test_a_controller_of_the_firmware_is_told_degrees_and_the_legacy_pitch(firmware):
    module = firmware_bindings.load(firmware)
    half, controller = np.radians(30) / 2, StockController(module, "pid")
    controller.begin()
    module.told.clear()
    nose_down = LEVEL._replace(
        quaternion=np.array([0, np.sin(half), 0, np.cos(half)]), rates=np.array([np.pi / 2, 0, -np.pi])
    )
    controller.duty(nose_down, np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]), 3.7)
    setpoint, sensors, state, tick = module.told[0]
    assert state.attitude.pitch == pytest.approx(-30) and state.attitude.roll == pytest.approx(0) and tick == 0
    assert (sensors.gyro.x, sensors.gyro.z) == pytest.approx((90, -180))
    assert (setpoint.position.x, setpoint.position.y, setpoint.position.z) == (1, 2, 3) and setpoint.velocity.y == 0.2
    assert (setpoint.mode.x, setpoint.mode.y, setpoint.mode.z, setpoint.mode.yaw) == (1, 1, 1, 1)


@pytest.mark.parametrize("kind", firmware_bindings.KINDS)
def test_a_controller_of_the_firmware_carries_the_weight_of_its_own_model(firmware, kind):
    controller = StockController(firmware_bindings.load(firmware), kind)
    controller.begin()
    for _ in range(1000):  # until the supply voltage has settled
        duties = controller.duty(LEVEL, np.zeros(3), np.zeros(3), 3.7)
    assert [firmware_bindings.motor_force(3.7 * duty) for duty in duties] == pytest.approx([0.027 * 9.81 / 4] * 4, rel=1e-3)


def recording(told, seen):
    """A flight with set-points and positions (S, 3), every 10 ms."""
    count, ones = len(told), np.ones((len(told), 1), int)
    states = States(np.arange(count), np.zeros(count), np.arange(count), ones, np.zeros((count, 1, 18)))
    poses = Poses(np.arange(count) / 100, seen, np.zeros((count, 4)), np.zeros((count, 3)), np.zeros((count, 3)))
    return Recording(Path("bag"), states, poses=poses, sensed=Sensed(told, np.full(count, 3.7), np.zeros((count, 3))))


def test_the_reference_of_a_bag_bridges_what_its_log_lost(monkeypatch):
    line = np.stack([np.arange(600) / 200, np.zeros(600), np.ones(600)], axis=1)  # .5 m/s
    told = line.copy()
    told[300:390] = told[300]  # held for .9 s, then a jump
    told[:50, 2] = 0.0  # on the ground
    late = np.concatenate([np.tile(line[0], (30, 1)), line[:-30]])
    monkeypatch.setattr(flown_again, "read", lambda bag, topics: recording(told, late))
    found = flown_again.reference(Path("bag"))
    steady = found.position[int(1e3 * flown_again.LEAD) + 60 : -60]
    np.testing.assert_allclose(found.position[: int(1e3 * flown_again.LEAD)], found.position[:1] + np.zeros((4000, 3)))
    np.testing.assert_allclose(np.gradient(steady[:, 0], 1e-3), 0.5, atol=0.01)
    np.testing.assert_allclose(found.velocity[4060:-60, 0], 0.5, atol=0.01)
    judged = flown_again.judged(found.flown[None, :-6], found)
    assert judged.lag == pytest.approx(0.3, abs=0.02) and judged.rmse == pytest.approx(0.15, abs=0.01)
    assert judged.rmse_lagged < 0.01


def test_a_bag_without_set_points_is_refused_in_words(monkeypatch):
    still = np.zeros((600, 3))
    monkeypatch.setattr(flown_again, "read", lambda bag, topics: recording(np.full((600, 3), np.nan), still))
    with pytest.raises(BagError, match="found 0 s in the air with a set-point, wanted at least 1 s"):
        flown_again.reference(Path("bag"))


def test_the_verb_flies_policy_and_firmware_beside_the_vehicle_of_the_flight(firmware, monkeypatch, tmp_path, capsys):
    told = np.tile([0.0, 0.0, 1.0], (150, 1))
    monkeypatch.setattr(flown_again, "read", lambda bag, topics: recording(told, told + 0.1))
    monkeypatch.setattr(flown_again, "LEAD", 0.5)
    model = resources.folder("models") / "crazyflie_real.safetensors"
    asked = ["refly", str(tmp_path / "bag"), "--model", str(model), "--firmware", str(firmware), "--plants", "1"]
    assert main([*asked, "--json", str(tmp_path / "refly.json")]) == 0
    table = capsys.readouterr().out
    for name in (
        "the flight itself",
        "crazyflie_real",
        "firmware's PID",
        "firmware's Mellinger",
        "17.3 / 17.3",
        "estimate off by, RMS",
    ):
        assert name in table
    assert '"rmse_m"' in (tmp_path / "refly.json").read_text()


def test_models_of_one_name_all_fly_by_their_paths(monkeypatch, tmp_path, capsys):
    told = np.tile([0.0, 0.0, 1.0], (150, 1))
    monkeypatch.setattr(flown_again, "read", lambda bag, topics: recording(told, told + 0.1))
    monkeypatch.setattr(flown_again, "LEAD", 0.5)
    models = [tmp_path / run / "policy.safetensors" for run in "ab"]
    for model, name in zip(models, ("crazyflie", "crazyflie_real"), strict=True):
        model.parent.mkdir()
        model.write_bytes((resources.folder("models") / f"{name}.safetensors").read_bytes())
    assert main(["refly", str(tmp_path / "bag"), "--plants", "1", "--model", *map(str, models)]) == 0
    table = capsys.readouterr().out
    assert all(str(model) in table for model in models)


@pytest.mark.installed
def test_bindings_that_are_not_built_are_refused_in_words(tmp_path, capsys):
    assert main(["refly", str(tmp_path), "--firmware", str(tmp_path)]) == 2
    assert "found no build/cffirmware.py, wanted a checkout of bitcraze/crazyflie-firmware" in capsys.readouterr().err
    assert main(["refly", str(tmp_path)]) == 2
    assert "nothing to fly" in capsys.readouterr().err


def test_a_bag_that_is_not_there_is_refused_before_a_model_is_compiled(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint.Checkpoint, "compiled", lambda self: pytest.fail("compiled"))
    model = resources.folder("models") / "crazyflie_real.safetensors"
    assert main(["refly", str(tmp_path / "no"), "--model", str(model)]) == 2
    assert f"{tmp_path / 'no'}: no such bag" in capsys.readouterr().err
