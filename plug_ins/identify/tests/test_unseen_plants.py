"""Policies in plants of other flights; whether intervals hold between halves: with made figures, and one flight."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from simulated_flight import STILL, TRUTH

from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl_benchmark.baselines import nominal_guides
from spike_ctrl_identify import interval_halves, unseen_plants
from spike_ctrl_identify.fit import Identification, ParameterEstimate


def identified(value, half_width, told=True):
    estimate = ParameterEstimate("lag", "s", 0.05, value, half_width, 0.0, told)
    return Identification(TRUTH, (estimate,), 1, 1, (0.0, 0.0), (0.0, 0.0), "")


def test_each_flight_is_in_one_subset_and_in_one_half():
    flights = list(range(7))
    assert sorted(itertools.chain(*unseen_plants.subsets(flights, 3))) == flights
    for one, other in interval_halves.halves(flights, 3):
        assert sorted(one + other) == flights and abs(len(one) - len(other)) == 1


def test_plants_are_fitted_once_also_where_a_flight_was_left_out_and_others_are_refused(tmp_path, monkeypatch):
    fitted = []

    def fit(prior, part):
        fitted.append(part)
        return SimpleNamespace(trims=tuple((f.name, [0.0, 0.0, 0.0]) for f in part if f.name != "grounded"), airframe=TRUTH)

    monkeypatch.setattr(unseen_plants, "fit_flights", fit)
    flights = [SimpleNamespace(name=name) for name in ("one", "grounded", "two")]
    once, again = (unseen_plants.plants(tmp_path, flights, TRUTH, 1) for _ in range(2))
    assert len(fitted) == 1 and once[0] == again[0] and once[1].shape == again[1].shape == (2, 3)
    with pytest.raises(SystemExit, match="found a fit to one, grounded, two, wanted one, two: use another folder"):
        unseen_plants.plants(tmp_path, flights[::2], TRUTH, 1)


def test_two_halves_differ_by_their_difference_over_its_deviation():
    one, other = identified(0.05, 0.0196 * 3), identified(0.04, 0.0196 * 4)
    assert interval_halves.scores(one, other) == {"lag": pytest.approx(0.2)}
    assert interval_halves.scores(one, identified(0.04, 1.0, told=False)) == {}


def test_a_guide_keeps_a_hover_at_a_full_battery_and_none_survives_a_torque_beyond_the_rotors():
    guide = next(iter(nominal_guides(TRUTH).values()))
    still, beyond = np.zeros((1, 3)), np.array([[2000.0, 0.0, 0.0]])
    assert isinstance(guide, GuideController)
    flown = unseen_plants.fly_plants(guide, TRUTH, still, 0.0, 3.75, math.nan, 4, 1.0, 0.0)
    assert flown.possible == flown.kept == 1.0 and flown.rmse < 0.3
    flown = unseen_plants.fly_plants(guide, TRUTH, np.vstack([still, beyond]), 0.0, 3.75, math.nan, 4, 1.0, 0.0)
    assert (flown.possible, flown.kept) == (0.5, 1.0)
    assert unseen_plants.fly_plants(guide, TRUTH, beyond, 0.0, 3.75, math.nan, 4, 1.0, 0.0).possible == 0.0


def test_the_fullest_command_is_the_one_that_balances_weight_and_torque_in_the_simulation():
    craft, volts, none = dataclasses.replace(TRUTH, velocity_moment=(0.0, 0.0)), 3.75, np.zeros((1, 3))
    command = unseen_plants.fullest_command(craft, none, 0.0, volts)[0]
    environment = Environment(craft, 1, Task(box=1e3, episode_steps=10**6, start=STILL))
    environment.reset(seed=0)
    for row, value in ((dynamics.CHARGE, (volts + 0.5 * craft.hover**3 - 3.0) / 1.2), (dynamics.VOLTAGE, volts)):
        dynamics.write(environment.buffer, row, np.array([value]))
    before = environment.read(slice(7, 10))[0]
    for _ in range(100):
        environment.step(np.full((1, 4), 2 * command - 1, np.float32))
    assert environment.read(slice(7, 10))[0][2] - before[2] == pytest.approx(0, abs=0.15)  # m/s, of 9.81 that weight gives


def test_trim_speed_and_an_empty_battery_fill_the_commands():
    def command(trim=0.0, speed=0.0, volts=3.75):
        return unseen_plants.fullest_command(TRUTH, np.array([[trim, 0, 0]]), speed, volts)[0]

    assert command() < command(trim=2e-4) < command(trim=2e-4, speed=1.0) < command(trim=2e-4, speed=1.0, volts=3.4)
    assert command(trim=2e-4) == pytest.approx(command(trim=-2e-4))
