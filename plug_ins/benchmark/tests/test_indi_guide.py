"""The guide that measures what disturbs it, by flights in the simulator: the force that it finds is the one that acts."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates
from spike_ctrl_benchmark.indi_guide import IndiGuide

CRAFTS = {name: airframe.load(name) for name in ("crazyflie", "sih_quadx")}
TASK = Task(box=5.0, episode_steps=10_000, start=InitialStates(at_target=1.0, rotors_low=0.6, rotors_high=0.6))


def flown(craft, guide, seconds=4.0, mass=1.0, wrench=(0, 0, 0, 0, 0, 0)):
    """Distance (m) from the set-point of a hover with `mass` times the mass and a disturbance, and the guide's last state.

    wrench: force in weights, moment in rad/s^2.
    """
    environment = Environment(craft, 1, TASK)
    observation, _ = environment.reset(seed=0)
    dynamics.write(environment.buffer, dynamics.MASS, [mass * craft.mass])
    dynamics.write(environment.buffer, dynamics.DISTURBANCE_ROWS, [acting(craft, wrench)])
    state = guide.initial_state(1)
    for _ in range(round(100 * seconds)):
        action, state = guide.act(observation, state)
        observation, *_ = environment.step(action)
    return float(np.linalg.norm(observation[0, :3])), state


def acting(craft, wrench):
    """The same in N and N m."""
    return np.multiply(wrench, [*[craft.mass * GRAVITY] * 3, *craft.inertia])


@pytest.mark.parametrize("craft", CRAFTS.values(), ids=CRAFTS)
@pytest.mark.parametrize("force", [(0.3, 0, 0), (0, -0.3, 0), (0, 0, -0.3), (0.2, 0.2, 0.1)], ids=str)
def test_it_finds_the_force_that_acts_and_holds_the_place(craft, force):
    guide = IndiGuide(craft)
    error, state = flown(craft, guide, wrench=(*force, 0, 0, 0))
    assert error < 0.002
    found = guide.disturbance(state)[0, :3]
    np.testing.assert_allclose(found, acting(craft, (*force, 0, 0, 0))[:3], atol=0.01 * craft.mass * GRAVITY)


def test_it_finds_the_moment_that_acts_where_it_commands_the_motors():
    craft = CRAFTS["crazyflie"]
    guide = IndiGuide(craft)
    error, state = flown(craft, guide, wrench=(0, 0, 0, 15, -10, 1))
    assert error < 0.002
    np.testing.assert_allclose(guide.disturbance(state)[0, 3:] / craft.inertia, (15, -10, 1), atol=0.3)


@pytest.mark.parametrize("craft", CRAFTS.values(), ids=CRAFTS)
def test_a_load_is_lifted_within_the_second_that_the_integral_needs_to_begin(craft):
    error, _ = flown(craft, IndiGuide(craft), seconds=2.0, mass=1.3)
    slow, _ = flown(craft, GeometricGuide(craft), seconds=2.0, mass=1.3)
    assert error < 0.01 < 0.05 < slow


@pytest.mark.parametrize("craft", CRAFTS.values(), ids=CRAFTS)
def test_where_nothing_acts_it_finds_nothing_however_the_flight_begins(craft):
    start = InitialStates(at_target=0.0, tilt=1.5, velocity=1.0, rates=1.0, rotors_low=craft.hover, rotors_high=craft.hover)
    still = replace(craft, linear_drag=0.0, angular_drag=0.0, body_drag=(0.0,) * 3, velocity_moment=(0.0,) * 2)
    environment, guide = Environment(still, 64, Task(box=50.0, episode_steps=10_000, start=start)), IndiGuide(still)
    observation, _ = environment.reset(seed=3)
    state, most = guide.initial_state(64), 0.0
    for _ in range(10):
        action, state = guide.act(observation, state)
        observation, *_ = environment.step(action)
        most = max(most, np.abs(guide.disturbance(state)[:, :3]).max() / (craft.mass * GRAVITY))
    assert most < 0.1  # 0.7, where its filters began with the force of a tilted start


def test_vehicles_do_not_influence_each_other_and_one_that_begins_anew_has_measured_nothing():
    guide = IndiGuide("crazyflie")
    assert isinstance(guide, Guide)
    environment = Environment(CRAFTS["crazyflie"], 3, Task(box=5.0, episode_steps=10_000))
    observation, _ = environment.reset(seed=1)
    states, state, seen = [], guide.initial_state(3), []
    for _ in range(20):
        seen.append(observation)
        states.append(state)
        action, state = guide.act(observation, state)
        observation, *_ = environment.step(action)
    alone = guide.initial_state(1)
    for row in seen:
        by_itself, alone = guide.act(row[1:2], alone)
    np.testing.assert_allclose(by_itself[0], action[1], atol=1e-6)
    anew = guide.reset_rows(state, np.array([False, True, False]))
    np.testing.assert_array_equal(anew.rotors[1], guide.initial_state(1).rotors[0])
    assert np.isnan(anew.velocity[1]).all() and not np.isnan(anew.velocity[[0, 2]]).any()
    again, _ = guide.act(seen[-1], states[-1])
    np.testing.assert_array_equal(again, action)  # the state that was passed in is left alone


@pytest.mark.skipif(not importlib.util.find_spec("mini_quadlib"), reason="pip install -r requirements/simulators.txt")
def test_the_l1_adaptation_of_mini_quadlib_lifts_a_load_and_bears_a_moment_but_not_a_force_across():
    from examples.l1_guide import L1Guide

    craft = CRAFTS["crazyflie"]
    still, _ = flown(craft, L1Guide(craft))
    lifted, _ = flown(craft, L1Guide(craft), seconds=6.0, mass=1.3)
    level, _ = flown(craft, L1Guide(craft), seconds=10.0, wrench=(0, 0, 0, 15, 0, 0))
    pushed, _ = flown(craft, L1Guide(craft), seconds=6.0, wrench=(0.2, 0, 0, 0, 0, 0))
    assert still < 0.005 and lifted < 0.05 and level < 0.05 < 0.2 < pushed
    with pytest.raises(UsageError, match="action_layout: found 'rates', wanted 'motors'"):
        L1Guide(CRAFTS["sih_quadx"])
