"""Races by an estimate that errs and with commands that are late: what is seen, what takes effect."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from spike_ctrl.sim import dynamics
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import SensorSettings
from spike_ctrl_racing.race_senses import RaceSenses, like_px4, seen_from
from spike_ctrl_racing.racing_environment import make_race

ACTION = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 4)).astype(np.float32)


def _flown(steps=12, **differ):
    """The environment after some steps, and its last observation."""
    environment = make_race(vehicles=64, anywhere=1.0, speed=5.0, randomisation=differ)
    seen, _ = environment.reset(seed=3)
    for _ in range(steps):
        seen, *_ = environment.step(ACTION)
    return environment, seen


def test_an_estimate_changes_what_is_seen_and_not_what_is_flown():
    exact, true = _flown()
    errs, seen = _flown(noise=0.3, sensors={"position": 0.1, "velocity": 0.1, "gyro": 0.05})
    np.testing.assert_array_equal(errs.read(dynamics.STATE_ROWS), exact.read(dynamics.STATE_ROWS))
    assert 0.07 < (seen - true)[:, :3].std() < 0.13 and 0.07 < (seen - true)[:, 12:15].std() < 0.13


def test_the_gates_are_seen_from_the_estimate():
    _, seen = _flown(sensors={"position": 0.5})
    _, true = _flown()
    body = seen[:, 3:12].reshape(-1, 3, 3)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", body, seen[:, 18:21]), -seen[:, :3], atol=1e-4)
    apart = [numbers[:, 24:27] - numbers[:, 18:21] for numbers in (seen, true)]  # the gates from each other
    np.testing.assert_allclose(*apart, atol=1e-4)
    np.testing.assert_allclose(seen[:, 21:24], true[:, 21:24], atol=1e-5)


def test_gates_turn_with_an_attitude_that_errs():
    true = _flown()[1]
    estimate = true[:, :18].copy()
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)  # it takes itself to be turned to the left
    estimate[:, 3:12] = (true[:, 3:12].reshape(-1, 3, 3) @ quarter).reshape(-1, 9)
    found = seen_from(true, estimate)
    np.testing.assert_allclose(found[:, 18:].reshape(-1, 4, 3), true[:, 18:].reshape(-1, 4, 3) @ quarter, atol=1e-4)


def test_an_error_stays_where_it_is_in_the_world_when_the_next_gate_turns_the_frame():
    senses = RaceSenses(Randomisation(sensors=SensorSettings(position_bias=0.3, velocity_bias=0.2)), 64)
    true, none = _flown()[1], np.zeros(64, bool)
    east, north = np.tile([1.0, 0.0], (64, 1)), np.tile([0.0, 1.0], (64, 1))
    first = senses.sensed(true, east, ~none) - true
    after = senses.sensed(true, north, none) - true
    for at in (0, 12):
        np.testing.assert_allclose(after[:, at : at + 2], np.stack([first[:, at + 1], -first[:, at]], 1), atol=1e-5)


def test_equal_seeds_give_equal_errors():
    environment, seen = _flown(noise=1.0, sensors={"velocity": 0.2})
    again, _ = environment.reset(seed=3)
    for _ in range(12):
        again, *_ = environment.step(ACTION)
    np.testing.assert_array_equal(again, seen)


def test_late_commands_take_effect_whole_steps_later():
    late, _ = _flown(steps=8, delay=2)
    other = make_race(vehicles=64, anywhere=1.0, speed=5.0)
    other.reset(seed=3)
    for step in range(8):
        other.step(ACTION if step >= 2 else np.zeros_like(ACTION))  # a vehicle hovers until its first command
    steps = late.read(dynamics.DELAY)
    assert set(steps) == {0.0, 1.0, 2.0}
    states = [environment.read(dynamics.STATE_ROWS)[steps == 2] for environment in (late, other)]
    np.testing.assert_array_equal(*states)


def test_px4s_kind_of_noise_is_that_of_its_own_simulation():
    found = like_px4()
    assert np.linalg.norm(found.sensors.deviation[:3]) == pytest.approx(0.11, abs=0.005)  # m, docs/notebook/px4.md
    assert like_px4(0.0) == Randomisation(sensors=SensorSettings(position_time=2.5, velocity_time=0.8, vertical=0.75))
    assert like_px4(0.0).sensors.exact and like_px4(2.0).noise == 2 * found.noise


def test_gymnasium_accepts_the_task_with_noise():
    differ = {"noise": 1.0, "delay": 1, "sensors": {"attitude": 0.05}}
    made = gymnasium.make("spike_ctrl/Racing-v0", tracks=["split_s"], randomisation=differ)
    check_env(made.unwrapped, skip_render_check=True)
