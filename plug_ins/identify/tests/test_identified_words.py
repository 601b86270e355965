"""What is told of a fit is true: prior kept only where it is the prior, no battery without voltage, a recipe that trains."""

import dataclasses
import shlex

import numpy as np
import pytest
from simulated_flight import CRAZYFLIE, TRUTH

from spike_ctrl.cli import main
from spike_ctrl.learn import recipe as recipes
from spike_ctrl_identify import identified_airframe as identification
from spike_ctrl_identify import identify_verb, thrust_level
from spike_ctrl_identify.fit import Identification, ParameterEstimate
from spike_ctrl_identify.open_loop import HISTORY, Starts

TRIMS = (("a", [1e-4, 0.0, 0.0]), ("b", [-1e-4, 0.0, 0.0]))


def of(craft, *estimates, trims=TRIMS):
    return Identification(craft, estimates, 100, 20, (0.2, 2.0), (0.05, 0.3), ".25 s", trims)


@pytest.mark.parametrize(
    ("value", "in_table", "in_file"),
    [(0.75, "so the prior's value is kept", "not identifiable, prior kept"), (2.14, "no more than a guess", "a guess")],
)
def test_prior_kept_is_said_of_values_that_are_the_prior(value, in_table, in_file, tmp_path):
    found = of(TRUTH, ParameterEstimate("battery.exponent", "1", 0.75, value, 1.0, 0.0, False))
    assert in_table in identification.parameter_table(found, CRAZYFLIE)
    path = tmp_path / "mine.yaml"
    identification.write(path, found, [], recipes.find("real"))
    assert in_file in path.read_text() and ("prior kept" in path.read_text()) is (value == 0.75)


def test_an_exponent_that_the_voltages_do_not_tell_stays():
    random, count = np.random.default_rng(0), 300
    state = np.zeros((HISTORY + 21, count, 13), np.float32)
    state[..., 6] = 1
    command = np.full((HISTORY + 21, count, 4), 0.7, np.float32) + random.normal(0, 0.02, (1, count, 1)).astype(np.float32)
    for spread, told in ((0.012, False), (0.3, True)):
        volts = (3.7 + random.normal(0, spread, count)).astype(np.float32)
        wide = Starts(state, command, np.repeat(volts[None], HISTORY + 21, 0), np.zeros(count, int))
        level = thrust_level.thrust_level(TRUTH, wide, np.arange(count) // 10)
        assert np.isfinite(level.power_width) == told and (level.power != 0) == told
        assert (thrust_level.levelled(TRUTH, 0.7, level).battery.exponent == TRUTH.battery.exponent) is not told


def test_the_time_left_counts_from_the_first_line_of_progress(monkeypatch):
    begun = []
    monkeypatch.setattr(identify_verb, "progress_with_time_left", lambda most: begun.append(most) or (lambda *_: None))
    show = identify_verb._progress()
    assert begun == []  # bags are read meanwhile
    show("the first round begins", np.nan)
    show("round 1", 0.1)
    assert begun == [True]


def test_without_voltage_the_missing_battery_is_told(tmp_path):
    dark = of(dataclasses.replace(TRUTH, battery=None))
    assert identification.NO_VOLTAGE in identification.parameter_table(dark, CRAZYFLIE)
    assert identification.NO_VOLTAGE not in identification.parameter_table(of(TRUTH), CRAZYFLIE)
    path = tmp_path / "mine.yaml"
    identification.write(path, dark, [], recipes.find("real"))
    assert identification.NO_VOLTAGE in path.read_text()


def test_the_command_that_trains_can_be_pasted_where_a_name_has_a_blank(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "metadata.yaml").touch()
    monkeypatch.setattr(identify_verb, "identified", lambda options, name: (of(TRUTH), recipes.find("real")))
    assert main.main(["identify", "bag", "-o", "my drone.yaml"]) == 0
    typed = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("train with: "))
    assert typed == ["spike-ctrl", "train", "my drone_recipe.yaml", "--airframe", "my drone.yaml"]


def test_flights_by_motors_train_by_the_recipe_real_within_what_was_found():
    names = ("hover_thrust", "inertia_x", "torque_per_thrust", "lag")
    told = [ParameterEstimate(name, "1", 1.0, 1.6, 0.1, 0.0, True) for name in names]
    found = of(TRUTH, *told)
    assert identification.base_of(found) == "real" and identification.base_of(of(TRUTH, trims=())) == "robust"
    base = recipes.find("real")
    plan = identification.recipe(found, base)
    around, before = plan.task.randomisation, base.task.randomisation
    assert (around.sensors, around.charge_low, around.moment_z) == (before.sensors, before.charge_low, before.moment_z)
    assert around.inertia == pytest.approx(0.125) and around.force == pytest.approx(before.force)
    assert around.moment == pytest.approx(4e-4)  # more than twice the deviation of the trims
    assert TRUTH.dead_time + around.dead_time <= 0.04 and plan.bptt == base.bptt
    recipes.from_dict(recipes.to_dict(plan))
    dark = identification.recipe(of(dataclasses.replace(TRUTH, battery=None), *told), base).task.randomisation
    assert dark.charge_low == 1.0
