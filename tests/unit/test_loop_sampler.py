"""Rate loops that are drawn: known ones are among them, all are stable, and the carrier's kernels fly them as their own."""

import dataclasses

import numpy as np
import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.sim import airframe_sampler, dynamics, loop_sampler
from spike_ctrl.sim.airframe_sampler import carried, draw_vehicle
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates

CARRIER = airframes.load("any_rates")
RATES = recipes.find("any_rates").task.airframes
CALM = dataclasses.replace(RATES, force=0.0, trim=0.0)
DRAWN = [draw_vehicle(RATES, CARRIER, 5, number, 1) for number in range(300)]
HOVERING = InitialStates(at_target=1.0, rotors_low=CARRIER.hover, rotors_high=CARRIER.hover)


def test_motor_commands_draw_the_airframes_of_before():
    drawn = draw_vehicle(airframe_sampler.AirframeRanges(), airframes.load("any_quad"), 51024461, 3, 1)
    found = (drawn.airframe.mass, drawn.airframe.lag_up, drawn.charge)
    assert found == pytest.approx((0.2550121611225662, 0.016791279639143647, 0.747098683770731), rel=1e-12)


def flown(environment, late):
    """States of 16 vehicles after a second of the same random actions, which differ every 100 ms."""
    actions = np.random.default_rng(3).uniform(-0.3, 0.3, (10, 16, 4))
    dynamics.write(environment.buffer, dynamics.DELAY, np.full(16, late))
    for step in range(100):
        environment.step(actions[step // 10])
    return environment.read(dynamics.STATE_ROWS)


def test_a_square_quadrotor_flies_through_the_carriers_rate_loop_as_through_its_own():
    for drawn in DRAWN[:4]:
        itself = Environment(drawn.airframe, 16, Task(box=1e3, start=HOVERING))
        itself.reset(seed=1)
        dynamics.write(itself.buffer, slice(dynamics.FORCE, dynamics.MOMENT), np.tile(drawn.force, (16, 1)))
        dynamics.write(itself.buffer, dynamics.HOVER, np.full(16, drawn.hover))
        other = Environment(CARRIER, 16, Task(box=1e3, start=HOVERING, airframes=RATES))
        other.reset(seed=1)
        for vehicle in range(16):
            airframe_sampler.put(other.buffer, vehicle, drawn, CARRIER)
        np.testing.assert_allclose(flown(other, 0), flown(itself, 0), rtol=3e-3, atol=3e-3)


def test_every_drawn_rate_loop_settles_after_a_step():
    vehicles, step = 256, 0.1
    environment = Environment(CARRIER, vehicles, Task(box=1e6, episode_steps=10**6, start=HOVERING, airframes=CALM))
    environment.reset(seed=5)
    action = np.zeros((vehicles, 4))
    for _ in range(100):
        environment.step(action)
    action[:, 1], rates = step, []
    for _ in range(150):
        environment.step(action)
        rates.append(environment.read(dynamics.RATES) / (step * CARRIER.max_rates[0]))
    rates = np.array(rates)
    assert rates.max() < 1.7 and np.abs(rates[140:] - 1).max() < 0.2
    assert np.median(rates.max(0)) < 1.1 and np.median((rates > 0.63).argmax(0)) < 15  # steps


def test_an_autopilot_that_expects_the_hover_at_another_throttle_climbs_or_sinks():
    environment = Environment(CARRIER, 2, Task(box=1e6, episode_steps=10**6, start=HOVERING))
    environment.reset(seed=1)
    dynamics.write(environment.buffer, dynamics.HOVER, [loop_sampler.told_hover(CARRIER, told) for told in (1.2, 0.8)])
    before = environment.read(dynamics.VELOCITY + 2)
    for step in range(60):
        if step == 50:
            before = environment.read(dynamics.VELOCITY + 2)
        environment.step(np.zeros((2, 4)))
    climbing = (environment.read(dynamics.VELOCITY + 2) - before) / 0.1 + CARRIER.linear_drag / CARRIER.mass * before
    np.testing.assert_allclose(climbing, [0.2 * GRAVITY, -0.2 * GRAVITY], rtol=0.05)


def test_a_late_vehicle_acts_later():
    environment = Environment(CARRIER, 2, Task(box=1e3, start=HOVERING, airframes=CALM))
    environment.reset(seed=1)
    for vehicle in range(2):
        airframe_sampler.put(environment.buffer, vehicle, DRAWN[0]._replace(late=3 * vehicle), CARRIER)
    seen = []
    for _ in range(8):
        environment.step(np.full((2, 4), 0.5))
        seen.append(environment.read(dynamics.RATE_SETPOINT))
    np.testing.assert_array_equal(np.array(seen).T, [[0.5] * 8, [0.0] * 3 + [0.5] * 5])


def loop(**change):
    return dict(rate_loop=dataclasses.replace(CARRIER.rate_loop, **change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(max_rates=(20.0, 20.0, 10.0)), "max_rates: found (20.0, 20.0, 10.0), wanted (3.84, 3.84, 3.49), as airframe"),
        (loop(airmode="roll_pitch"), "rate_loop.airmode: found roll_pitch, wanted disabled, as airframe any_rates has"),
        (loop(delay=0.005), "rate_loop.delay: found 0.005, wanted 0.01"),
        (loop(proportional=(0.1, 0.1, 0.3)), "rate_loop.proportional: found (0.1, 0.1, 0.3), wanted (0.1, 0.1, 0.13"),
        (loop(derivative_cutoff=80.0), "rate_loop.derivative_cutoff: found 80.0, wanted"),
        (dict(action_layout="motors"), "action_layout: found 'motors', wanted 'rates'"),
    ],
)
def test_a_rate_loop_that_cannot_be_carried_is_refused_in_words(change, words):
    with pytest.raises(UsageError) as caught:
        carried(dataclasses.replace(CARRIER, name="odd", **change), CARRIER)
    assert str(caught.value).startswith("airframe odd: ") and words in str(caught.value)


def test_a_carrier_with_drag_along_its_body_is_refused_in_words():
    craft = dataclasses.replace(CARRIER, body_drag=(0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="found airframe any_rates with a battery, body_drag or velocity_moment"):
        Environment(craft, 1, Task(airframes=RATES))
