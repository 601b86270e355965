"""The frozen evaluation: four columns from one flight equal four flights, and nobody is flattered."""

import functools
import json

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation import benchmark
from spike_ctrl.evaluation.benchmark import (
    COEFFICIENTS,
    EPISODE_STEPS,
    EVALUATION_SEED,
    STARTS,
    VALIDATION_SEED,
    evaluate,
    start_set_seeds,
)
from spike_ctrl.evaluation.controllers import GuideController, GuideFirstController, PolicyController
from spike_ctrl.evaluation.evaluation_result import BOXES, COLUMNS, HEADLINE, Evaluation, evaluation_table, spread_table
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.reward import END, START
from spike_ctrl.snn.weight_shapes import weight_shapes

AIRFRAME = airframe.load("crazyflie")
SEED, VEHICLES = 7, 48


class Constant:
    """Commands the same to all motors, whatever happens."""

    def __init__(self, action):
        self.action = action

    def begin(self, vehicles):
        self.vehicles = vehicles

    def act(self, observation, environment):
        return np.full((self.vehicles, 4), self.action, np.float32)


class Recorder:
    """Flies another controller and keeps what it saw and did."""

    def __init__(self, controller):
        self.controller = controller

    def begin(self, vehicles):
        self.controller.begin(vehicles)
        self.observations, self.actions = [], []

    def act(self, observation, environment):
        self.observations.append(observation)
        self.actions.append(self.controller.act(observation, environment))
        return self.actions[-1]


def guide():
    return GuideController(GeometricGuide(AIRFRAME))


def policy():
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(0.1, 0.9, shape).astype(np.float32)
        if name.endswith(("beta", "theta"))
        else rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in weight_shapes((18, 24, 16, 4)).items()
    }
    weights["output.bias"][:] = np.arctanh(2 * AIRFRAME.hover - 1)
    return PolicyController(SpikingPolicy(weights))


def flown(controller, box, coefficients):
    """Return, length and crash of the first episode of each vehicle, as the environment itself gives them."""
    environment = Environment(AIRFRAME, VEHICLES, Task(box=box, episode_steps=EPISODE_STEPS), coefficients)
    observation, _ = environment.reset(seed=SEED)
    controller.begin(VEHICLES)
    found = np.full((3, VEHICLES), np.nan)
    while np.isnan(found).any():
        observation, _, terminated, _, info = environment.step(controller.act(observation, environment))
        if info:
            new = info["_flight"] & np.isnan(found[0])
            found[:, new] = np.array([info["flight"]["r"], info["flight"]["l"], terminated])[:, new]
    return found


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("stage", COEFFICIENTS)
@pytest.mark.parametrize("make", [guide, policy])
def test_every_column_equals_a_flight_of_its_own(make, box, stage):
    column = evaluate(make(), AIRFRAME, seed=SEED, starts=VEHICLES).columns[f"{box}_{stage}"]
    returns, lengths, crashed = flown(make(), BOXES[box], COEFFICIENTS[stage])
    assert 0 < lengths.min() < lengths.max()
    assert column["return_mean"] == pytest.approx(returns.mean(), rel=1e-4)
    assert column["return_std"] == pytest.approx(returns.std(), rel=1e-3)
    assert column["length_mean"] == lengths.mean()
    assert column["survival"] == pytest.approx(1 - crashed.mean())


@pytest.mark.parametrize("action", [-1.0, 1.0])
def test_a_policy_that_does_nothing_or_too_much_crashes(action):
    found = evaluate(Constant(action), AIRFRAME, seed=SEED, starts=VEHICLES)
    for name in COLUMNS:
        assert found.columns[name]["survival"] == 0
        assert found.columns[name]["length_mean"] < 150
        assert found.columns[name]["return_mean"] < 150
    assert found.columns["0.6m_start"]["length_mean"] < found.columns["1.5m_start"]["length_mean"]
    assert np.isnan(found.hover_error_m["median"])
    assert "none survived" in evaluation_table({"stone": found})


def test_an_evaluation_without_survivors_is_valid_json():
    found = evaluate(Constant(-1.0), AIRFRAME, seed=SEED, starts=4)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["hover_error_m"] == {"median": None, "p95": None}
    assert set(written["columns"]) == {"1.5m_start", "1.5m_end", "0.6m_start", "0.6m_end"}
    assert set(written["columns"][HEADLINE]) == {"return_mean", "return_std", "survival", "length_mean"}
    assert written["starts"] == 4


@pytest.mark.parametrize("starts", [0, "4", 1.5])
def test_a_number_of_starts_that_cannot_be_is_refused_by_that_name(starts):
    with pytest.raises(UsageError, match=f"starts: found {starts!r}, wanted a whole number, at least 1"):
        evaluate(Constant(-1.0), AIRFRAME, starts=starts)


def test_the_hover_error_is_the_mean_distance_of_the_last_second_of_those_who_survived():
    recorder = Recorder(guide())
    found = evaluate(recorder, AIRFRAME, seed=SEED, starts=VEHICLES)
    position = np.array(recorder.observations)[..., :3]
    assert len(position) == EPISODE_STEPS
    inside = (np.abs(position) <= 1.5).all(axis=(0, 2))
    # Of the last second, the state after the last action is not seen again.
    distance = np.linalg.norm(position[-99:, inside], axis=-1).mean(axis=0)
    assert found.hover_error_m["median"] == pytest.approx(np.median(distance), rel=0.02)
    assert found.hover_error_m["p95"] == pytest.approx(np.percentile(distance, 95), rel=0.02)


def test_a_policy_sees_the_18_numbers_alone_from_the_first_step_on():
    recorder = Recorder(policy())
    evaluate(recorder, AIRFRAME, seed=SEED, starts=VEHICLES)
    network, state = recorder.controller.policy, recorder.controller.policy.initial_state(VEHICLES)
    for observation, action in zip(recorder.observations[:50], recorder.actions, strict=False):
        assert observation.shape == (VEHICLES, 18)
        wanted, state = network.step(observation, state)
        np.testing.assert_array_equal(action, wanted)


def test_the_spike_rate_of_each_layer_is_told():
    rates = evaluate(policy(), AIRFRAME, seed=SEED, starts=8).spike_rates
    assert len(rates) == 2 and all(0 < rate < 1 for rate in rates)


def test_equal_seeds_give_equal_evaluations_and_a_controller_is_begun_afresh():
    controller = policy()
    first, second = (evaluate(controller, AIRFRAME, seed=SEED, starts=16) for _ in range(2))
    assert repr(first) == repr(second)  # a figure that is not a number equals none
    assert first.columns != evaluate(controller, AIRFRAME, seed=SEED + 1, starts=16).columns


def test_the_starts_for_choosing_are_not_those_of_the_frozen_evaluation():
    assert STARTS == 1024 and EPISODE_STEPS == 500
    assert VALIDATION_SEED != EVALUATION_SEED
    assert (COEFFICIENTS["start"], COEFFICIENTS["end"]) == (START, END)
    assert (BOXES["1.5m"], BOXES["0.6m"]) == (1.5, 0.6)


def test_the_guide_reaches_its_reference_returns():
    found = evaluate(guide(), AIRFRAME)
    wanted = {"1.5m_start": 441, "1.5m_end": 330, "0.6m_start": 321, "0.6m_end": 271}
    assert {name: found.columns[name]["return_mean"] for name in COLUMNS} == pytest.approx(wanted, rel=0.05)


def test_a_guide_without_privileges_flies_worse_on_other_plants():
    other = Randomisation(mass=0.2, thrust=0.2, force=0.05)
    knowing, blind = (
        evaluate(GuideController(GeometricGuide(AIRFRAME), privileged), AIRFRAME, seed=SEED, starts=64, randomisation=other)
        for privileged in (True, False)
    )
    assert knowing.headline > blind.headline + 10


def test_the_table_names_every_controller_and_column():
    found = evaluate(guide(), AIRFRAME, seed=SEED, starts=8)
    text = evaluation_table({"spiking policy": found, "guide": found})
    assert len(text.splitlines()) == 3
    for word in ("1.5m start", "1.5m end", "0.6m start", "0.6m end", "hover, p95 cm", "|du|", "spiking policy", "guide"):
        assert word in text
    assert f"{found.headline:.1f} ({found.columns[HEADLINE]['survival']:.3f})" in text


def test_mean_and_deviation_over_start_sets_are_told_for_every_column():
    sets = []
    for number in range(3):  # mean 11 and deviation 1 of the returns; .5 and .25 of the survival
        column = {"return_mean": 10.0 + number, "return_std": 5.0, "survival": 0.25 + 0.25 * number, "length_mean": 1.0}
        sets.append(Evaluation(dict.fromkeys(COLUMNS, column), {"median": 0.0, "p95": 0.0}, 0.0, 1024))
    heads, line = spread_table({"stone": sets}).splitlines()
    assert line.count("11.0 +- 1.0 (0.500 +- 0.250)") == 4 and line.startswith("stone") and "1.5m start" in heads


def test_other_start_sets_are_flown_and_told_beside_the_frozen_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "evaluate", functools.partial(evaluate, starts=16))
    assert main(["eval", "--guide", "--seeds", "2", "--json", str(tmp_path / "found.json")]) == 0
    assert "2 other sets of starts, mean +- deviation" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    wanted = [evaluate(guide(), AIRFRAME, seed=seed, starts=16).columns for seed in start_set_seeds(2)]
    assert [one["columns"] for one in found["start_sets"]] == wanted and found["columns"] not in wanted
    assert EVALUATION_SEED not in start_set_seeds(100) and VALIDATION_SEED not in start_set_seeds(100)


def test_a_deviation_wants_two_start_sets_and_a_protocol_that_has_starts(capsys):
    for words in (["--seeds", "1"], ["--seeds", "4", "--protocol", "hover"], ["--seeds", "-2"]):
        assert main(["eval", "--guide", *words]) == 2
        assert f"--seeds: found {words[1]} with " in capsys.readouterr().err


def test_a_guide_flown_warm_up_is_reported_apart_and_flies_exactly_its_steps():
    class Constant:
        def __init__(self, value):
            self.value = value

        def begin(self, vehicles):
            self.calls = 0

        def act(self, observation, environment):
            self.calls += 1
            return np.full((len(observation), 4), self.value, np.float32)

    policy, guide = Constant(0.1), Constant(0.3)
    both = GuideFirstController(policy, guide, steps=50)
    both.begin(2)
    flown = [both.act(np.zeros((2, 18), np.float32), None)[0, 0] for _ in range(52)]
    assert flown == [np.float32(0.3)] * 50 + [np.float32(0.1)] * 2
    assert policy.calls == 52  # it runs beside the guide, so its spiking state is warm


class SomeFail:
    """The guide, but half of the vehicles get another action from some step on."""

    def __init__(self, action, step=100):
        self.guide, self.action, self.step = guide(), action, step

    def begin(self, vehicles):
        self.guide.begin(vehicles)
        self.steps, self.random = 0, np.random.default_rng(0)

    def act(self, observation, environment):
        action = np.array(self.guide.act(observation, environment))
        self.steps += 1
        if self.steps > self.step:
            action[::2] = self.action(self.random, action[::2].shape)
        return action


@pytest.mark.parametrize("action", [lambda rng, shape: rng.uniform(-1, 1, shape), lambda rng, shape: np.full(shape, np.nan)])
def test_the_change_of_the_action_is_that_of_the_vehicles_that_still_fly(action):
    """Those that crashed fly again in episodes that do not count, and what they are told must not count either."""
    all_fly = evaluate(guide(), AIRFRAME, seed=SEED, starts=VEHICLES)
    found = evaluate(SomeFail(action), AIRFRAME, seed=SEED, starts=VEHICLES)
    assert found.columns[HEADLINE]["survival"] == pytest.approx(0.5, abs=0.05)
    assert found.action_change == pytest.approx(all_fly.action_change, rel=0.2)
    assert all(np.isfinite(value) for column in found.columns.values() for value in column.values())
    assert found.columns[HEADLINE]["length_mean"] < 0.75 * all_fly.columns[HEADLINE]["length_mean"]


def test_where_none_flies_to_the_end_there_is_no_change_of_the_action():
    found = evaluate(Constant(-1.0), AIRFRAME, seed=SEED, starts=VEHICLES)
    assert found.columns[HEADLINE]["survival"] == 0 and np.isnan(found.action_change)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["action_change"] is None
    assert np.isnan(Evaluation.from_dict(json.loads(text)).action_change)
