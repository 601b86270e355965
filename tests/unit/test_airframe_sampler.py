"""Airframes drawn by scaling laws: a number gives one, and the carrier's arms change no flight."""

import dataclasses
import math

import numpy as np
import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.sim import airframe_sampler, battery, dynamics
from spike_ctrl.sim.airframe_sampler import AirframeRanges, carried, draw_vehicle
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import Randomisation

CARRIER = airframes.load("any_quad")
DRAWN = [draw_vehicle(AirframeRanges(), CARRIER, 5, number, 1) for number in range(300)]


def test_an_airframe_depends_on_seed_vehicle_and_episode_alone():
    again = draw_vehicle(AirframeRanges(), CARRIER, 5, 7, 1)
    assert again.airframe == DRAWN[7].airframe and (again.force == DRAWN[7].force).all()
    others = [draw_vehicle(AirframeRanges(), CARRIER, *key).airframe for key in ((6, 7, 1), (5, 8, 1), (5, 7, 2))]
    assert all(other != again.airframe for other in others)


def test_a_share_of_weak_vehicles_is_drawn_in_addition_to_the_usual_ones():
    """Of the usual ones 1 in 6 is as weak and slow; the share .5 adds half of all to that."""
    ranges = AirframeRanges()
    low, high = ranges.thrust_to_weight
    slow, slowest = ranges.lag

    def share(weak):
        drawn = [draw_vehicle(dataclasses.replace(ranges, weak=weak), CARRIER, 9, n, 1).airframe for n in range(1200)]
        assert all(low <= a.thrust_to_weight <= high + 1e-6 and slow <= a.lag_up <= slowest for a in drawn)
        weakest, slower = low * (high / low) ** (1 / 3), math.sqrt(slow * slowest)
        return np.mean([a.thrust_to_weight < weakest and a.lag_up > slower for a in drawn])

    assert share(0.0) == pytest.approx(1 / 6, abs=0.035) and share(0.5) == pytest.approx(0.5 + 0.5 / 6, abs=0.045)


def flown(buffer, arms):
    """States of 16 vehicles after a second of the same random commands."""
    commands = np.random.default_rng(3).uniform(0.4, 0.7, (100, 16, 4))
    constants = battery.BatteryConstants(*map(np.float32, battery.BatteryConstants()))
    for command in commands:
        dynamics.write(buffer, dynamics.COMMAND_ROWS, command)
        dynamics.step(buffer, np.float32(0.01), arms, constants)
    return dynamics.read(buffer, dynamics.STATE_ROWS, 16)


def test_a_square_quadrotor_flies_with_the_arms_of_its_carrier_as_with_its_own():
    for drawn in DRAWN[:4]:
        itself = dynamics.allocate(16, drawn.airframe)
        dynamics.write(itself, slice(dynamics.FORCE, dynamics.MOMENT), np.tile(drawn.force, (16, 1)))
        other = dynamics.allocate(16, CARRIER)
        for vehicle in range(16):
            airframe_sampler.put(other, vehicle, drawn, CARRIER)
        expected = flown(itself, dynamics.geometry(drawn.airframe))
        np.testing.assert_allclose(flown(other, dynamics.geometry(CARRIER)), expected, rtol=2e-3, atol=2e-3)


def test_an_environment_gives_each_vehicle_an_airframe_of_its_own_in_each_episode():
    environment = Environment(CARRIER, 3, Task(box=1e3, episode_steps=2, airframes=AirframeRanges()))
    environment.reset(seed=5)
    first = environment.plant
    expected = [carried(draw_vehicle(AirframeRanges(), CARRIER, 5, n, 1).airframe, CARRIER).plant for n in range(3)]
    np.testing.assert_array_equal(first, expected)
    for _ in range(2):
        environment.step(np.zeros((3, 4)))
    np.testing.assert_array_equal(environment.plant, first)
    environment.step(np.zeros((3, 4)))  # which begins the next episode
    expected = [carried(draw_vehicle(AirframeRanges(), CARRIER, 5, n, 2).airframe, CARRIER).plant for n in range(3)]
    np.testing.assert_array_equal(environment.plant, expected)


BAD = {
    "five rotors": (dict(rotor_x=(0.1,) * 5), "rotor_x: found 5 rotors, wanted four"),
    "three rotors": (dict(rotor_x=(0.1,) * 3), "rotor_x: found 3 rotors, wanted four"),
    "a bent arm": (dict(rotor_x=(0.1, -0.1, -0.1, 0.12)), "rotor_x: found 0.1 to 0.12 m, wanted one distance"),
    "rates": (dict(action_layout="rates"), "action_layout: found 'rates', wanted 'motors'"),
    "spins the other way": (dict(rotor_spin=(1.0, -1.0, 1.0, -1.0)), "rotor_spin: found"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_airframe_that_cannot_be_carried_is_refused_in_words(kind):
    change, words = BAD[kind]
    with pytest.raises(UsageError) as caught:
        carried(dataclasses.replace(CARRIER, name="odd", **change), CARRIER)
    assert str(caught.value).startswith("airframe odd: ") and words in str(caught.value)


def test_what_cannot_carry_is_refused_in_words():
    task = Task(airframes=AirframeRanges())
    with pytest.raises(ValueError, match="found airframe crazyflie without a battery, wanted one with a battery"):
        Environment(airframes.load("crazyflie"), 1, task)
    with pytest.raises(ValueError, match=r"wanted only noise, sensors and rotor_loss beside task.airframes"):
        Environment(CARRIER, 1, dataclasses.replace(task, randomisation=Randomisation(mass=0.1)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mas": [1, 2]}, "unknown key 'mas'; did you mean 'mass'?"),
        ({"mass": 1}, "mass: found 1, wanted two numbers, low and high"),
        ({"mass": [2, 1]}, r"mass: found \(2.0, 1.0\), wanted 0.001 to 100, the lower first"),
        ({"force": 7}, "force: found 7, wanted 0 to 1"),
        ([1], "found a list, wanted a mapping of keys to values"),
    ],
)
def test_ranges_of_a_recipe_that_make_no_sense_are_named(given, words):
    with pytest.raises(UsageError, match=f"recipe: task.airframes: {words}"):
        recipes.from_dict({"name": "mine", "task": {"airframes": given}})


def test_a_recipe_with_airframes_is_written_as_it_was_read():
    recipe = recipes.find("any_quad")
    assert recipe.task.airframes and recipes.from_dict(recipes.to_dict(recipe)) == recipe
    assert "airframes" not in recipes.to_dict(recipes.find("default"))["task"]
