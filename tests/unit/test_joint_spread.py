"""What flights leave open of an airframe is drawn as they leave it open: correlated, and only where a recipe asks for it."""

import dataclasses

import numpy as np
import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import JOINT, MAX_DEAD_TIME
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import SensorErrors, SensorSettings

CRAFT = dataclasses.replace(
    airframes.load("crazyflie"), body_drag=(0.01, 0.01, 0.01), velocity_moment=(1e-4, 1e-4), dead_time=0.015
)
ROWS = [
    dynamics.THRUST + 2, dynamics.LAG_UP, dynamics.DEAD_TIME, dynamics.INERTIA, dynamics.INERTIA + 1, dynamics.TORQUE,
    *range(dynamics.BODY_DRAG, dynamics.BODY_DRAG + 5), dynamics.ANGULAR_DRAG,
]  # fmt: skip


def spread(deviation, correlation):
    """A joint_spread of equal deviations, in which lag and dead time, inertia x and y go together."""
    whole = np.eye(len(JOINT))
    whole[1, 2] = whole[2, 1] = -correlation
    whole[3, 4] = whole[4, 3] = correlation
    factor = np.linalg.cholesky(deviation**2 * whole)
    return tuple(float(factor[i, j]) for i in range(len(JOINT)) for j in range(i + 1))


def drawn(craft, randomisation, vehicles=4000):
    environment = Environment(craft, vehicles, Task(randomisation=randomisation))
    environment.reset(seed=3)
    return environment


def test_factors_have_the_deviations_and_correlations_of_the_airframe():
    craft = dataclasses.replace(CRAFT, joint_spread=spread(0.1, 0.8), angular_drag=1e-5)
    nominal = dynamics.rows(dynamics.allocate(1, craft))[0, ROWS, 0]
    found = np.log(drawn(craft, Randomisation(joint=1.0)).read(slice(0, dynamics.ROWS))[:, ROWS] / nominal)
    np.testing.assert_allclose(found.std(0), 0.1, rtol=0.05)
    seen = np.corrcoef(found.T)
    assert seen[1, 2] == pytest.approx(-0.8, abs=0.05) and seen[3, 4] == pytest.approx(0.8, abs=0.05)
    assert abs(seen[0, 1]) < 0.06


def test_nothing_changes_for_a_recipe_or_an_airframe_without_it():
    plain = Randomisation(inertia=0.1, thrust=0.1, dead_time=0.005)
    before = drawn(CRAFT, plain, 50).buffer
    told = dataclasses.replace(CRAFT, joint_spread=spread(0.1, 0.8))
    np.testing.assert_array_equal(drawn(told, plain, 50).buffer, before)
    np.testing.assert_array_equal(drawn(CRAFT, dataclasses.replace(plain, joint=1.0), 50).buffer, before)


def test_no_dead_time_is_longer_than_the_commands_that_are_kept():
    craft = dataclasses.replace(CRAFT, dead_time=0.03, joint_spread=spread(0.4, 0.0))
    late = drawn(craft, Randomisation(joint=1.0, delay=1)).read(dynamics.DEAD_TIME)
    delay = drawn(craft, Randomisation(joint=1.0, delay=1)).read(dynamics.DELAY)
    assert (late + 0.01 * delay).max() <= MAX_DEAD_TIME + 1e-6 < craft.dead_time * 1.4


def test_angular_drag_is_drawn_from_none_to_the_fitted_one():
    craft = dataclasses.replace(CRAFT, angular_drag=1e-4)
    found = drawn(craft, Randomisation(angular_drag=1.0)).read(dynamics.ANGULAR_DRAG)
    assert found.min() < 2e-6 and 9.8e-5 < found.max() <= 1e-4 and found.mean() == pytest.approx(5e-5, rel=0.05)


def test_an_airframe_with_a_joint_spread_is_read_back_and_one_without_is_written_as_before():
    craft = dataclasses.replace(CRAFT, joint_spread=spread(0.1, 0.5))
    assert airframes.from_dict(airframes.to_dict(craft)) == craft
    assert "joint_spread" not in airframes.to_dict(CRAFT)


@pytest.mark.parametrize(
    ("text", "message"), [("0.1 0.2 1", "wanted 78 numbers"), (" ".join(["3"] * 78) + " 1", "wanted -1 to 1")]
)
def test_a_joint_spread_that_cannot_be_is_refused_by_key(text, message):
    with pytest.raises(UsageError, match=f"joint_spread: found .*{message}"):
        airframes.from_dict(airframes.to_dict(CRAFT) | {"joint_spread": text})


def test_sensors_of_some_flights_err_more_than_those_of_others():
    sensors, random = SensorSettings(position=0.01, velocity=0.05, by_flight=0.5), np.random.default_rng(0)
    model = SensorErrors(sensors, 1000, 100.0)
    model.begin(np.ones(1000, bool), random)
    errors = model.advance(3000, random)[0][:, 0]
    each = errors.std(0) / 0.01
    assert each.min() < 0.65 and each.max() > 1.35 and each.mean() == pytest.approx(1.0, abs=0.06)
    assert "scale" in model.ARRAYS and "scale" not in SensorErrors(SensorSettings(position=0.01), 4, 100.0).ARRAYS


def test_old_recipes_are_written_as_before_and_real_draws_what_flights_have():
    old = recipes.to_dict(recipes.find("robust"))["task"]["randomisation"]
    assert not {"joint", "angular_drag"} & set(old)
    real = recipes.find("real").task.randomisation
    assert real.moment * real.moment_z > 4.5e-5 and real.angular_drag == 1 and real.joint and real.sensors.by_flight
