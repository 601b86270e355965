"""The distribution of the starts, and that a start depends on seed, vehicle and episode alone."""

import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import POSITION, QUATERNION, RATES, VELOCITY
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates, Randomisation

CRAZYFLIE = airframe.load("crazyflie")
MANY = 20_000
EVERY_WIDTH = Randomisation(mass=0.1, inertia=0.2, thrust=0.05, torque=0.3, lag=0.4, force=0.02, moment=1e-5)


def started(vehicles=MANY, seed=0, **task):
    environment = Environment(CRAZYFLIE, vehicles, Task(**task))
    environment.reset(seed=seed)
    return environment


def parts(environment):
    """Position, quaternion, velocity and rates of each vehicle, (N, 3 or 4)."""
    state = environment.read(dynamics.STATE_ROWS)
    return [state[:, row : row + size] for row, size in ((POSITION, 3), (QUATERNION, 4), (VELOCITY, 3), (RATES, 3))]


def at_target(environment):
    return np.all(np.concatenate(parts(environment), axis=1) == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], axis=1)


def test_one_start_in_ten_is_level_and_at_rest_on_the_set_point():
    assert at_target(started()).mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / MANY))


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_share_at_the_target_is_the_tasks(share, wanted):
    assert at_target(started(2000, start=InitialStates(at_target=share))).mean() == wanted


def test_all_else_is_uniform_within_the_bounds_of_the_paper():
    environment = started(start=InitialStates(at_target=0.0))
    position, _, velocity, rates = parts(environment)
    for numbers, low, high in ((position, -0.5, 0.5), (velocity, -1, 1), (rates, -1, 1), (environment.rotor_speed, 0, 1)):
        assert_uniform(numbers, low, high)


def assert_uniform(numbers, low, high):
    """Within the bounds, and each column's deciles within 4 standard errors of a uniform distribution's."""
    assert low <= numbers.min() and numbers.max() <= high
    shares = np.arange(0.1, 1.0, 0.1)
    scaled = (np.quantile(numbers, shares, axis=0) - low) / (high - low)
    np.testing.assert_allclose(scaled, np.tile(shares[:, None], numbers.shape[1]), atol=4 * 0.5 / math.sqrt(len(numbers)))


def test_the_numbers_of_a_start_are_not_correlated():
    environment = started(start=InitialStates(at_target=0.0))
    position, quaternion, velocity, rates = parts(environment)
    numbers = np.concatenate([position, quaternion[:, :2], velocity, rates, environment.rotor_speed], axis=1)
    np.testing.assert_allclose(np.corrcoef(numbers.T), np.eye(15), atol=5 / math.sqrt(MANY))


@pytest.mark.parametrize("limit", [math.pi / 2, math.pi, 0.2])
def test_the_bodys_up_axis_is_uniform_over_the_cap_of_directions_within_the_tilt(limit):
    _, q, _, _ = parts(started(start=InitialStates(at_target=0.0, tilt=limit)))
    up_x = 2 * (q[:, 0] * q[:, 2] + q[:, 3] * q[:, 1])
    up_y = 2 * (q[:, 1] * q[:, 2] - q[:, 3] * q[:, 0])
    up_z = 1 - 2 * (q[:, 0] ** 2 + q[:, 1] ** 2)
    assert_uniform(up_z[:, None], math.cos(limit) - 1e-6, 1 + 1e-6)  # Archimedes: equal heights, equal areas
    assert_uniform(np.arctan2(up_y, up_x)[:, None], -math.pi - 1e-6, math.pi + 1e-6)
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), 1, atol=1e-6)


def test_a_share_of_those_that_do_not_start_on_the_set_point_is_thrown_with_any_attitude_and_the_others_stay_as_they_are():
    plain = started(start=InitialStates())
    thrown = started(start=InitialStates(thrown=0.3))
    now, before = (np.concatenate(parts(one), axis=1) for one in (thrown, plain))
    moved = (now[:, 3:] != before[:, 3:]).any(1)
    assert moved.mean() == pytest.approx(0.27, abs=0.015) and not (moved & at_target(thrown)).any()
    np.testing.assert_array_equal(now[:, :3], before[:, :3])
    assert_uniform(now[moved, 7:10], -3, 3)
    assert_uniform(now[moved, 10:13], -15, 15)
    # Of uniform rotations the angle a has the density (1 - cos a) / pi: the mean of its cosine is -1/2
    assert (2 * now[moved, 6] ** 2 - 1).mean() == pytest.approx(-0.5, abs=0.04)


def test_the_first_vehicles_start_the_same_whatever_the_number_of_vehicles():
    few, many = started(5, seed=9), started(100, seed=9)
    np.testing.assert_array_equal(few.read(dynamics.STATE_ROWS), many.read(dynamics.STATE_ROWS)[:5])


def test_the_same_seed_gives_the_same_starts_and_another_seed_others():
    one, same, other = (started(50, seed=seed).read(dynamics.STATE_ROWS) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.any(np.all(one[:, :3] == other[:, :3], axis=1) & ~at_target(started(50, seed=3)))


def test_the_next_episode_starts_elsewhere_and_a_seed_begins_the_sequence_anew():
    environment = started(50, seed=3, start=InitialStates(at_target=0.0))
    first = environment.read(dynamics.STATE_ROWS)
    environment.reset()
    assert not np.any(environment.read(dynamics.STATE_ROWS)[:, :3] == first[:, :3])
    environment.reset(seed=3)
    np.testing.assert_array_equal(environment.read(dynamics.STATE_ROWS), first)


def test_without_randomisation_every_plant_is_nominal_and_undisturbed():
    environment = started(100)
    np.testing.assert_array_equal(environment.plant, np.tile(dynamics.nominal_plant(CRAZYFLIE), (100, 1)))
    np.testing.assert_array_equal(environment.disturbance, np.zeros((100, 6)))
    assert Randomisation().exact and not EVERY_WIDTH.exact


def test_randomised_parameters_are_uniform_around_the_nominal_ones():
    environment = started(randomisation=EVERY_WIDTH)
    given = dynamics.nominal_plant(CRAZYFLIE) != 0  # there is no drag to scale
    factors = environment.plant[:, given] / dynamics.nominal_plant(CRAZYFLIE)[given]
    for column, width in enumerate((0.1, 0.2, 0.2, 0.2, 0.05, 0.05, 0.05, 0.3, 0.4, 0.4)):
        assert_uniform(factors[:, [column]], 1 - width - 1e-6, 1 + width + 1e-6)
    np.testing.assert_allclose(np.ptp(factors[:, 4:7], axis=1), 0, atol=1e-6)  # the thrust curve is scaled as a whole
    np.testing.assert_allclose(np.ptp(factors[:, 8:10], axis=1), 0, atol=1e-6)  # and so are the two lags
    assert_uniform(environment.disturbance[:, :3], -0.02, 0.02)
    assert_uniform(environment.disturbance[:, 3:], -1e-5, 1e-5)


def test_randomisation_does_not_move_the_starts():
    np.testing.assert_array_equal(
        started(100).read(dynamics.STATE_ROWS), started(100, randomisation=EVERY_WIDTH).read(dynamics.STATE_ROWS)
    )


def test_a_start_may_have_any_yaw_and_the_tilt_keeps_its_bound():
    environment = Environment(
        airframe.load("crazyflie"), 4096, Task(start=InitialStates(at_target=0, tilt=0.4, yaw=math.pi))
    )
    observation, _ = environment.reset(seed=1)
    matrix = observation[:, 3:12].reshape(-1, 3, 3)
    tilt = np.arccos(matrix[:, 2, 2].clip(-1, 1))
    assert 0.35 < tilt.max() < 0.4001
    heading = np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])
    np.testing.assert_allclose(np.histogram(heading, 8, (-math.pi, math.pi))[0] / 4096, 1 / 8, atol=0.03)
    np.testing.assert_allclose(np.linalg.norm(environment.read(slice(QUATERNION, QUATERNION + 4)), axis=1), 1, atol=1e-5)
