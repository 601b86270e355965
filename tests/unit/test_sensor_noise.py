"""Errors of the state estimate: their statistics, their age, and what the environment makes of them."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import BatteryModel
from spike_ctrl.cli.main import main
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.gymnasium_environments import make_env
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import ERRORS, LateSight, SensorErrors, SensorSettings, disturbed
from spike_ctrl.simulated_px4 import udp_server
from spike_ctrl.simulated_px4.battery_monitor import Battery
from spike_ctrl.simulated_px4.estimator import Estimator
from spike_ctrl.simulated_px4.plant import TICK, Plant
from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters

CRAFT = airframe.load("crazyflie")
REAL = SensorSettings(
    position=0.015, position_time=0.3, velocity=0.049, velocity_time=0.4, vertical=0.5, attitude=0.018, attitude_time=0.8,
    gyro=0.045, gyro_yaw=0.007, attitude_bias=0.012,
)  # fmt: skip


def errors(sensors, vehicles=2000, steps=300, rate_hz=100.0):
    random = np.random.default_rng(0)
    model = SensorErrors(sensors, vehicles, rate_hz)
    model.begin(np.ones(vehicles, bool), random)
    return model.advance(steps, random)


def test_each_error_has_its_deviation_from_the_first_sample_to_the_last():
    found, _ = errors(dataclasses.replace(REAL, attitude_bias=0.0))
    wanted = [0.015, 0.015, 0.0075, 0.049, 0.049, 0.0245, 0.018, 0.018, 0.018, 0.045, 0.045, 0.007]
    for step in (0, 150, 299):
        np.testing.assert_allclose(found[step].std(axis=1), wanted, rtol=0.06)


@pytest.mark.parametrize("rate_hz", [100.0, 250.0])
def test_errors_are_correlated_over_their_time_whatever_the_rate(rate_hz):
    found, _ = errors(dataclasses.replace(REAL, attitude_bias=0.0), steps=int(0.4 * rate_hz) + 1, rate_hz=rate_hz)
    correlation = [np.corrcoef(found[0, i], found[-1, i])[0, 1] for i in range(ERRORS)]
    wanted = np.repeat(np.exp([-0.4 / 0.3, -0.4 / 0.4, -0.4 / 0.8, -np.inf]), 3)
    np.testing.assert_allclose(correlation, wanted, atol=0.06)


def test_a_bias_stays_for_an_episode_and_is_drawn_anew_for_the_next():
    random, model = np.random.default_rng(0), SensorErrors(SensorSettings(attitude_bias=0.01, gyro_bias=0.1), 3000, 100.0)
    model.begin(np.ones(3000, bool), random)
    first, _ = model.advance(50, random)
    np.testing.assert_array_equal(first[0], first[-1])
    np.testing.assert_allclose(first[0].std(axis=1), np.repeat([0, 0, 0.01, 0.1], 3), rtol=0.05)
    who = np.arange(3000) < 1000
    model.begin(who, random)
    second, _ = model.advance(1, random)
    np.testing.assert_array_equal(first[0][:, ~who], second[0][:, ~who])
    assert np.abs(first[0][6:, who] - second[0][6:, who]).min() > 0


def test_halves_of_a_segment_are_the_whole():
    whole = errors(REAL, vehicles=4, steps=20)[0]
    random, model = np.random.default_rng(0), SensorErrors(REAL, 4, 100.0)
    model.begin(np.ones(4, bool), random)
    np.testing.assert_array_equal(np.concatenate([model.advance(10, random)[0] for _ in range(2)]), whole)


def test_an_error_of_the_attitude_turns_about_the_body_axes():
    turn, angle = Rotation.from_euler("zyx", [0.7, 0.3, -0.2]), np.array([0.01, -0.02, 0.03])
    seen = np.zeros((1, 18), np.float32)
    seen[0, 3:12] = turn.as_matrix().ravel()
    wrong = np.zeros((1, ERRORS), np.float32)
    wrong[0, 6:9] = angle
    found = disturbed(seen, wrong)[0, 3:12].reshape(3, 3)
    np.testing.assert_allclose(found, (turn * Rotation.from_rotvec(angle)).as_matrix(), atol=1e-3)


@pytest.mark.parametrize("age", [0.0, 1.0, 2.5, 4.0])
def test_a_late_sample_is_that_of_so_many_steps_ago(age):
    sight, path = LateSight(2), np.linspace(0, 1, 30)
    heading = np.tile([1.0, 0.0], (2, 1))
    for step, position in enumerate(path):
        truth = np.full((2, 18), position, np.float32)
        if not step:
            sight.begin(np.ones(2, bool), truth, np.zeros((2, 3)))
        found = sight.look(truth, np.zeros((2, 3)), heading, np.full(2, age, np.float32))
        np.testing.assert_allclose(found, max(0, np.interp(step - age, np.arange(30), path)), atol=1e-6)


def test_what_is_late_is_the_vehicle_and_not_the_set_point():
    sight, heading = LateSight(1), np.array([[0.0, 1.0]])  # the set-point's frame is turned by 90 degrees
    truth = np.zeros((1, 18), np.float32)
    sight.begin(np.ones(1, bool), truth, np.zeros((1, 3)))
    sight.look(truth, np.zeros((1, 3)), heading, np.float32([2]))
    truth[0, :3] = 0, 1, 0  # the set-point jumps by 1 m to the east, (0, -1) in its frame
    found = sight.look(truth, np.array([[1.0, 0.0, 0.0]]), heading, np.float32([2]))
    np.testing.assert_allclose(found[0, :3], [0, 1, 0], atol=1e-6)


# --- the environment --------------------------------------------------------------------------------------------------


def flown(sensors, steps=40, vehicles=512, **task):
    environment = Environment(CRAFT, vehicles, Task(box=100.0, randomisation=Randomisation(sensors=sensors), **task))
    seen, true = [environment.reset(seed=3)[0]], [environment.true_observation]
    for _ in range(steps):
        seen.append(environment.step(np.zeros((vehicles, 4), np.float32))[0])
        true.append(environment.true_observation)
    return environment, np.array(seen), np.array(true)


def test_the_environment_shows_the_errors_and_keeps_the_truth():
    _, seen, true = flown(REAL)
    error = seen - true
    np.testing.assert_allclose(error[:, :, :3].std((0, 1)), [0.015, 0.015, 0.0075], rtol=0.08)
    np.testing.assert_allclose(error[:, :, 12:15].std((0, 1)), [0.049, 0.049, 0.0245], rtol=0.08)
    np.testing.assert_allclose(error[:, :, 15:].std((0, 1)), [0.045, 0.045, 0.007], rtol=0.08)
    plain = Environment(CRAFT, 512, Task(box=100.0))
    plain.reset(seed=3)
    for _ in range(40):
        plain.step(np.zeros((512, 4), np.float32))
    np.testing.assert_array_equal(plain.true_observation, true[-1])


def test_delays_of_the_state_lie_between_none_and_the_largest_and_stay_for_the_episode():
    _, seen, true = flown(SensorSettings(delay=0.04), vehicles=64)
    for vehicle in range(64):
        gaps = [np.abs(seen[10:, vehicle] - true[10 - k : len(true) - k, vehicle]).max() for k in range(6)]
        assert min(gaps[:5]) < gaps[5]
    late = np.array([age_of(vehicle, seen, true) for vehicle in range(64)])
    assert late.min() < 0.5 and late.max() > 3.0


def age_of(vehicle, seen, true):
    """The age (steps) that explains best what one vehicle saw of a position that moves."""
    ages = np.linspace(0, 4, 41)
    steps = np.arange(10, len(true))

    def off(age):
        old = np.array([np.interp(steps - age, np.arange(len(true)), true[:, vehicle, i]) for i in range(3)]).T
        return np.abs(seen[10:, vehicle, :3] - old).max()

    return ages[np.argmin([off(age) for age in ages])]


def test_jitter_makes_samples_of_one_episode_differently_late():
    _, age = errors(SensorSettings(delay=0.01, jitter=0.02), vehicles=50, steps=500)
    assert np.all(age.min(0) < 1.05) and np.all(age.max(0) - age.min(0) > 1.9) and age.max() <= 3.0


def test_equal_seeds_give_equal_sights():
    sensors = dataclasses.replace(REAL, delay=0.02, jitter=0.01)
    first, second = (flown(sensors, vehicles=20, episode_steps=15)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_samples_that_are_too_late_are_refused():
    with pytest.raises(ValueError, match="found 60 ms in total, wanted at most 40 ms"):
        SensorErrors(SensorSettings(delay=0.03, jitter=0.03), 1, 100.0)


def test_recipes_and_make_env_take_sensors_by_name_and_refuse_unknown_ones(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("name: a\ntask: {randomisation: {charge_low: 0.2, sensors: {position: 0.01, delay: 0.03}}}")
    found = recipes.load(file).task.randomisation
    assert (found.charge_low, found.sensors.delay) == (0.2, 0.03)
    assert "charge_high" not in recipes.to_dict(recipes.load(file))["task"]["randomisation"]
    file.write_text("name: a\ntask: {randomisation: {sensors: {positon: 0.01}}}")
    with pytest.raises(UsageError, match=r"unknown key 'task.randomisation.sensors.positon'; did you mean 'position'"):
        recipes.load(file)
    environment = make_env("crazyflie", 2, randomisation={"sensors": {"gyro": 0.1}})
    assert environment.task.randomisation.sensors.gyro == 0.1
    with pytest.raises(ValueError, match=r"randomisation.sensors: unknown name 'giro'; did you mean 'gyro'"):
        make_env("crazyflie", 2, randomisation={"sensors": {"giro": 0.1}})


def test_moved_set_points_are_seen_where_they_are():
    environment = Environment(CRAFT, 1, Task(box=100.0, randomisation=Randomisation(sensors=SensorSettings(jitter=1e-8))))
    environment.reset(seed=0)
    dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), [[0.2, 0.0, 0.0]])
    seen, *_ = environment.step(np.zeros((1, 4), np.float32))
    np.testing.assert_allclose(seen, environment.true_observation, atol=1e-4)


# --- the embedded vehicle ---------------------------------------------------------------------------------------------


def test_the_embedded_vehicles_estimate_has_the_errors_and_the_age_that_are_asked_for():
    still, parameters = Plant(airframe.load("sih_quadx")).state, AutopilotParameters({})
    found = []
    for seed in range(30):
        estimator = Estimator(0.0, np.random.default_rng(seed), dataclasses.replace(REAL, attitude_bias=0.0))
        found += [estimator.advance(still, True, parameters) for _ in range(60)][::30]
    np.testing.assert_allclose(np.std([e.position for e in found], axis=0), [0.015, 0.015, 0.0075], rtol=0.3)
    np.testing.assert_allclose(np.std([e.velocity for e in found], axis=0), [0.049, 0.049, 0.0245], rtol=0.3)
    estimator = Estimator(0.0, np.random.default_rng(0), SensorSettings(delay=0.04))
    late = []
    for tick in range(50):
        moving = still._replace(position=(tick * TICK, 0.0, 0.0))
        late.append(tick * TICK - estimator.advance(moving, True, parameters).position[0])
    assert len(set(np.round(late[12:], 6))) == 1 and 0 < late[-1] <= 0.04


def test_the_verb_vehicle_gives_the_estimate_and_the_battery_the_errors_of_a_recipe(monkeypatch):
    served = []
    monkeypatch.setattr(udp_server, "serve", lambda vehicle, *rest: served.append(vehicle))
    given = "--connection 127.0.0.1:9 --local 127.0.0.1:0 --station none --airframe crazyflie_real --noise 0".split()
    assert main(["vehicle", *given, "--sensors", "real_voltage"]) == main(["vehicle", *given]) == 0
    off, volts = [], []
    for vehicle in served:
        for _ in range(200):
            vehicle.tick()
            off.append(np.subtract(vehicle.estimate.rates, vehicle.truth.gyro))
            volts.append(vehicle.battery.voltage - vehicle.plant.battery[1])
    found, exact = np.split(np.array(off), 2)
    by_flight = served[0].estimator._errors.scale[9, 0]  # this flight's gyro errs more or less than that of the mean flight
    assert 0.6 <= by_flight <= 1.4
    np.testing.assert_allclose(found.std(0), by_flight * np.array([0.045, 0.045, 0.007]), rtol=0.2)
    assert np.std(volts[:200]) == pytest.approx(0.02, rel=0.2)
    assert not exact.any() and not any(volts[200:])


def test_an_airframe_with_a_battery_flies_embedded_and_its_battery_is_told():
    battery = BatteryModel(full=16.8, empty=14.0, nominal=16.0, sag=1.5, sag_time=0.3, endurance=20.0, exponent=0.9)
    plant = Plant(dataclasses.replace(airframe.load("sih_quadx"), battery=battery))
    for _ in range(500):
        plant.advance(0.9, (0.0, 0.0, 0.0), True)
    charge, volts = plant.battery
    assert 0.85 < charge < 0.97 and volts < 16.8 - 0.5
    told = Battery()
    told.measure(charge, volts)
    assert (told.charge, told.voltage) == (charge, volts)
    told.working = False
    assert told.charge is told.voltage is None
