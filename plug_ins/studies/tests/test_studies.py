"""The experiments' own arithmetic, against cases made by hand, and each of them once in a tiny size."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.evaluation.evaluation_result import COLUMNS, FIGURES, Evaluation
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.snn import slope_schedule
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_studies import (
    ablation_study,
    cloning,
    gradients_study,
    guide_flights,
    headline_study,
    methods_study,
    paper,
    slopes_study,
    training_run,
)
from spike_ctrl_studies.study import AGREES, DIFFERS, OPEN, StudyOptions, UnitContext

AIRFRAME = airframe.load("crazyflie")


def context(tmp_path, seen=None):
    """A unit's surroundings, with a clock on which every look takes a tenth of a second."""
    clock = map(lambda tick: tick / 10, itertools.count())
    return UnitContext(clock.__next__, lambda share, text: (seen if seen is not None else []).append(share), tmp_path)


def verdicts(findings):
    return [finding.verdict for finding in findings]


# --- gradients ---


def test_the_cosine_of_equal_gradients_is_one_also_where_they_are_tiny():
    a = torch.tensor([3.0, -4.0, 1.0], dtype=torch.float64)
    assert gradients_study.cosine(a, a) == pytest.approx(1)
    assert gradients_study.cosine(1e-200 * a, 7 * a) == pytest.approx(1)
    assert gradients_study.cosine(a, -a) == pytest.approx(-1)
    assert gradients_study.cosine(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])) == 0
    assert math.isnan(gradients_study.cosine(a, 0 * a))


def test_gradients_are_those_of_single_steps_through_autograd():
    network = SpikingNetwork((3, 5, 4, 2), generator=torch.Generator().manual_seed(1)).double()
    observation, label = torch.randn(6, 2, 3, dtype=torch.float64), torch.randn(6, 2, 2, dtype=torch.float64)
    state, actions = network.initial_state(2), []
    for seen in observation:
        action, state = network.step(seen, state, 10.0)
        actions.append(action)
    (torch.stack(actions) - label).square().mean().backward()
    found = gradients_study.layer_gradients(network, observation, label, 10.0)
    wanted = [layer.weight.grad.flatten() for layer in network.layers] + [network.output.weight.grad.flatten()]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-15)


def test_the_papers_own_gradients_agree_with_its_claims_and_others_differ():
    size = {("input", k): value for k, value in paper.INPUT_GRADIENT.items()}
    size |= {("output", k): paper.OUTPUT_GRADIENT for k in gradients_study.SLOPES}
    cosines = {("input", k): value for k, value in paper.INPUT_COSINE.items()} | {
        ("output", k): 1.0 for k in gradients_study.SLOPES
    }
    assert set(verdicts(gradients_study.findings(size, cosines))) == {AGREES}
    upside_down = size | {("input", k): 1 / value for k, value in paper.INPUT_GRADIENT.items()} | {("output", 1): 1.0}
    unlike = cosines | {("input", k): -1.0 for k in gradients_study.SLOPES}
    assert set(verdicts(gradients_study.findings(upside_down, unlike))) == {DIFFERS}


def test_a_unit_of_gradients_has_a_line_for_each_slope_and_layer(tmp_path, monkeypatch):
    monkeypatch.setattr(gradients_study, "VEHICLES", 2)
    monkeypatch.setattr(gradients_study, "STEPS", 12)
    result = gradients_study.measure({"first": 5, "count": 2, "airframe": "crazyflie"}, context(tmp_path))
    assert {(line["seed"], line["k"], line["layer"]) for line in result.lines} == set(
        itertools.product((5, 6), gradients_study.SLOPES, gradients_study.LAYERS)
    )
    assert all(line["cosine"] == pytest.approx(1) for line in result.lines if line["k"] == 100)
    report = gradients_study.report(StudyOptions(), {"a": result.lines})
    assert len(report.table) == 25 and len(report.figures) == 2


# --- training ---

TINY = recipes.from_dict(
    {
        "name": "tiny",
        "algorithm": "td3bc",
        "task": {"box": 1.5, "episode_steps": 25, "reward": "start"},
        "network": {"hidden": [16, 8], "slope": {"kind": "adaptive"}},
        "jump_start": {"horizon": 25, "rest": 5, "until": 0.5},
        "replay": {"capacity": 40_000, "window": 10, "critic_batch": 4, "actor_batch": 4},
        "td3bc": {"burn_in": 2, "label": "guide"},
        "critic_width": 16,
        "schedule": {"steps": 40_000, "iteration_steps": 2560, "evaluations": 4},
    }
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Lines, files and the reported shares of a unit that trained the tiny recipe."""
    shares = []
    settings = training_run.settings(TINY, "crazyflie", 1)
    result = training_run.measure(settings, context(tmp_path_factory.mktemp("scratch"), shares))
    return result, shares


def test_a_training_unit_leaves_policy_recipe_and_evaluation_and_lines_of_each_kind(trained):
    result, shares = trained
    assert set(result.files) == {"recipe.yaml", "policy.safetensors", "evaluation.json"}
    kinds = [line["kind"] for line in result.lines]
    assert kinds.count("validation") >= 4 and kinds.count("result") == 1 and "training" in kinds
    assert shares == sorted(shares) and shares[0] == 0
    evaluation = training_run.evaluation_of(result.lines)
    assert set(evaluation.columns) == set(COLUMNS) and evaluation.starts == 1024


def test_validations_tell_all_columns_and_the_time_they_took(trained):
    for line in [line for line in trained[0].lines if line["kind"] == "validation"]:
        assert {f"validation_{column}" for column in COLUMNS} <= set(line)
        assert line["validation_1.5m_start"] == line["validation_return"]
        assert line["validation_seconds"] == pytest.approx(0.1)  # the clock of this test moves a tenth at each look


def validation(seconds, took, steps, value):
    return {"kind": "validation", "seconds": seconds, "validation_seconds": took, "environment_steps": steps,
            "validation_return": value}  # fmt: skip


CURVE = [validation(10.0, 1.0, 100, 350.0), validation(22.0, 2.0, 200, 410.0), validation(30.0, 1.0, 300, 390.0)]


def test_time_to_a_return_is_that_of_the_weights_without_their_validation():
    assert training_run.curve(CURVE)["cpu"] == [9.0, 20.0, 29.0]
    assert training_run.curve(CURVE)["training"] == [9.0, 19.0, 26.0]
    assert training_run.reached(CURVE, 400, "cpu") == 20.0
    assert training_run.reached(CURVE, 400, "training") == 19.0
    assert training_run.reached(CURVE, 400, "steps") == 200
    assert training_run.reached(CURVE, 445, "cpu") is None


def test_a_field_is_changed_where_the_recipe_has_it_and_an_ambiguous_one_is_refused():
    assert training_run.changed(TINY, hidden=[4], bc=0.0).network.hidden == (4,)
    assert training_run.changed(TINY, jump_start_noise=0.5).jump_start.noise == 0.5
    assert training_run.changed(TINY, task_reward="end").task.reward == "end"
    with pytest.raises(UsageError, match="recipe tiny: nonsense: found in 0 sections, wanted one"):
        training_run.changed(TINY, nonsense=1)
    plan = training_run.find_recipe("default")
    with pytest.raises(UsageError, match="recipe default: noise: found in 2 sections, wanted one"):
        training_run.changed(plan, noise=1)
    with pytest.raises(UsageError, match=r"td3bc\.bc: found -1\.0, wanted 0 to 100"):
        training_run.changed(TINY, bc=-1.0)


# --- headline ---


def evaluation_with(value, change=0.01):
    column = dict.fromkeys(FIGURES, 1.0) | {"return_mean": value}
    return Evaluation(dict.fromkeys(COLUMNS, column), {"median": 0.01, "p95": 0.02}, change, 1024)


def run_of(value, curve=CURVE):
    result = {
        "kind": "result",
        "seed": 0,
        "seconds": 30.0,
        "environment_steps": 300,
        "evaluation": evaluation_with(value).to_dict(),
    }
    return [*curve, result]


def test_headline_compares_with_the_papers_return_and_the_guide():
    runs = {"seed-0": run_of(460.0), "seed-1": run_of(470.0)}
    evaluations = {name: training_run.evaluation_of(lines) for name, lines in runs.items()}
    found = headline_study.findings(evaluations, evaluation_with(450.0), runs)
    assert verdicts(found) == [AGREES, DIFFERS, AGREES]
    assert "465.0 ± 7.1" in found[0].measured and "20.0 s of CPU time" in found[1].measured
    runs = {"seed-0": run_of(300.0, CURVE[:1])}
    found = headline_study.findings({"seed-0": evaluation_with(300.0)}, evaluation_with(450.0), runs)
    assert verdicts(found) == [DIFFERS, AGREES, DIFFERS] and "not reached; 1 of 1 seeds never" in found[1].measured


def test_headline_table_has_each_seed_then_mean_deviation_and_guide():
    guide = [{"kind": "result", "evaluation": evaluation_with(450.0).to_dict()}]
    report = headline_study.report(StudyOptions(), {"guide": guide, "seed-0": run_of(460.0), "seed-1": run_of(470.0)})
    assert [row["run"] for row in report.table] == [
        "seed-0",
        "seed-1",
        "mean",
        "standard deviation",
        "guide (lead to 20 ms)",
    ]
    assert [row["1.5 m start"] for row in report.table] == [460, 470, 465, pytest.approx(50**0.5), 450]
    assert report.table[0]["training s to 400"] == 19.0 and report.table[0]["cpu s to 445"] is None


def test_the_mean_of_curves_is_taken_where_all_are_known():
    x, mean, low, high = headline_study.mean_curve([[0, 1.5, 2], [1, 3]], [[0, 1.5, 2], [5, 5]])
    assert x.tolist() == [1, 1.5, 2]
    assert mean.tolist() == [3, 3.25, 3.5] and low.tolist() == [1, 1.5, 2] and high.tolist() == [5, 5, 5]


# --- slopes ---


def test_the_papers_own_returns_agree_with_its_claims_on_slopes():
    best = {(method, name): (value, 0.0) for method, row in paper.SLOPES.items() for name, (value, _) in row.items()}
    assert verdicts(slopes_study.findings(best, ["TD3"])) == [AGREES, AGREES, AGREES]
    flat = {key: (300.0 if key[0] == "TD3" else 100.0 * index + 1, 0.0) for index, key in enumerate(best)}
    assert verdicts(slopes_study.findings(flat | {("TD3", "adaptive"): (200.0, 0.0)}, ["TD3"])) == [
        DIFFERS,
        DIFFERS,
        DIFFERS,
    ]


def test_where_nothing_was_learned_the_claim_stays_open():
    best = {(method, name): (-49.0, 0.0) for method in ("BC", "TD3") for name in slopes_study.SCHEDULES}
    found = slopes_study.findings(best, ["TD3"])
    assert verdicts(found)[1:] == [OPEN, OPEN] and "nothing was learned" in found[1].measured


def test_epochs_count_from_one_and_those_never_reached_are_none():
    assert slopes_study.epochs_to(CURVE, 400) == 2 and slopes_study.epochs_to(CURVE, 500) is None
    own = [{"kind": "epoch", "epoch": n, "return": value, "slope": 2.0} for n, value in ((1, 20.0), (2, 120.0))]
    assert slopes_study.epochs_to(own, 100) == 2


def test_td3_alone_has_no_label_and_each_method_has_the_slope_that_is_asked_for():
    default = training_run.find_recipe("default")
    assert slopes_study.variants([TINY, default], quick=False) == [("TD3", TINY), ("TD3BC", TINY), ("MG", default)]
    assert [name for name, _ in slopes_study.variants([TINY, default], quick=True)] == ["TD3", "MG"]
    weights = {unit.settings["method"]: unit.weight for unit in slopes_study.units(StudyOptions(quick=True))}
    assert weights == {"BC": 0.1, "TD3": 1.0, "MG": 0.1}  # the light one comes first and foretells the rest
    for method, plan in (("TD3", TINY), ("TD3BC", TINY), ("MG", default)):
        found = slopes_study.with_schedule(method, plan, {"kind": "fixed", "k": 50})
        assert found.network.slope == {"kind": "fixed", "k": 50}
        assert (found.td3bc == plan.td3bc) == (method != "TD3")
    assert slopes_study.with_schedule("TD3", TINY, {"kind": "interval"}).td3bc.bc == 0 < TINY.td3bc.bc


TINY_CLONING = cloning.CloningSettings(
    hidden=(16,), vehicles=8, steps=40, window=10, burn_in=2, batch=8, epochs=12, starts=8
)


def test_cloning_comes_closer_to_the_guide_and_the_schedule_moves_the_slope(tmp_path):
    epochs = list(cloning.clone(TINY_CLONING, slope_schedule.Interval(2.0, 20.0, (0.5,)), AIRFRAME, Gains(), seed=0))
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].loss < 0.85 * epochs[0].loss
    assert [epoch.k for epoch in epochs] == [2.0] * 6 + [20.0] * 6
    settings = {"method": "BC", "schedule": "k = 2", "slope": {"kind": "fixed", "k": 2}, "airframe": "crazyflie", "seed": 0}
    settings |= {"cloning": dataclasses.asdict(TINY_CLONING), "guide": dataclasses.asdict(Gains())}
    result = slopes_study.measure(settings, context(tmp_path))
    assert [line["kind"] for line in result.lines] == ["epoch"] * 12 + ["result"]


def test_windows_hold_the_steps_of_one_vehicle_in_order():
    flights = np.arange(7 * 3).reshape(7, 3, 1).astype(np.float32)  # value = 3 step + vehicle
    windows = cloning.cut(flights, 2)
    assert windows.shape == (2, 9, 1)
    assert (
        windows[:, 0, 0].tolist() == [0, 3] and windows[:, 2, 0].tolist() == [2, 5] and windows[:, 4, 0].tolist() == [7, 10]
    )


def test_guided_flights_are_what_the_simulator_does_with_their_actions_and_end_on_the_target():
    observation, action = guide_flights.flights(AIRFRAME, 32, 300, seed=2)
    assert observation.shape == (300, 32, 18) and action.shape == (300, 32, 4)
    environment = Environment(AIRFRAME, 32, Task(box=4.0, episode_steps=301))
    seen, _ = environment.reset(seed=2)
    for step in range(300):
        np.testing.assert_array_equal(seen, observation[step])
        seen, *_ = environment.step(action[step])
    assert (np.linalg.norm(observation[-1, :, :3], axis=1) < 0.1).mean() > 0.9


# --- ablation ---


def test_variants_take_out_what_their_names_say():
    spread = training_run.changed(TINY, spread=True)

    def of(name, plan=TINY):
        return ablation_study.variant(plan, **ablation_study.VARIANTS[name])

    assert of("TD3BC").td3bc.bc > 0 and of("TD3BC").td3bc.alpha > 0 and of("TD3BC").jump_start.horizon == 0
    assert of("TD3").td3bc.bc == of("TD3").td3bc.bc_end == 0
    assert of("BC").td3bc.alpha == 0 and of("BC").td3bc.critic_updates == 0
    # BC alone is taught by the guide's flights: it flies all of each episode, and nobody else part of one.
    for plan in (TINY, spread):
        jump = of("BC", plan).jump_start
        assert jump.horizon == jump.rest == TINY.task.episode_steps and not jump.spread
    jump = of("TD3BC + jump start").jump_start
    assert jump == TINY.jump_start
    for name in ablation_study.VARIANTS:
        assert of(name).task.reward == "curriculum"
        assert of(name).td3bc.label == ("guide" if "guide's label" in name else "buffer")
        assert (of(name).td3bc.reward == "shifted") is ("reward of 0.1" in name)
    assert of("TD3BC + jump start, reward of 0.1").td3bc.crash_reward == -1


def test_the_papers_own_returns_agree_with_its_claims_on_the_ablation():
    ours = {name: (0.0, 1.0) for name in ablation_study.VARIANTS}
    theirs = ours | {name: (value, 1.0) for name, (value, _) in paper.ABLATION.items()}
    assert verdicts(ablation_study.findings(theirs)) == [AGREES] * 4 + [OPEN, AGREES, AGREES, OPEN]
    assert verdicts(ablation_study.findings(ours)) == [OPEN] * 8
    turned = theirs | {"TD3BC": (450.0, 1.0), "TD3": (450.0, 1.0), "TD3 + jump start": (450.0, 1.0)}
    assert verdicts(ablation_study.findings(turned))[:4] == [DIFFERS] * 4


def test_a_gap_that_the_seeds_cover_decides_nothing():
    scores = {name: (0.0, 1.0) for name in ablation_study.VARIANTS} | {"TD3BC + jump start": (90.0, 216.0)}
    found = ablation_study.findings(scores)
    assert verdicts(found)[:2] == [OPEN] * 2 and found[1].measured == "TD3BC + jump start 90, TD3BC 0; seeds scatter by 216."
    scores["TD3BC + jump start"] = (90.0, float("nan"))  # of one seed
    assert verdicts(ablation_study.findings(scores))[:2] == [AGREES] * 2


def test_the_methods_are_held_to_what_they_are_said_to_reach():
    method = methods_study.Method("td3bc", 0.98, 440, seeds=4)
    good, bad = run_of(450.0), run_of(430.0)
    assert methods_study._finding(method, "x", [good] * 4 + [bad]).verdict == AGREES
    found = methods_study._finding(method, "x", [good] * 3 + [bad] * 2)
    assert (found.verdict, found.measured) == (DIFFERS, "3 of 5 seeds.")
    assert methods_study._finding(method._replace(survival=1.01), "x", [good] * 5).verdict == DIFFERS


def test_the_methods_stand_in_one_table_with_the_guide_and_on_one_figure():
    results = {f"{name} seed {seed}": [line | {"variant": name} for line in run_of(100.0 + seed)]
               for name in methods_study.METHODS for seed in (0, 2)}  # fmt: skip
    results[methods_study.GUIDE] = [line for line in run_of(472.0) if line["kind"] == "result"]
    report = methods_study.report(StudyOptions(), results)
    assert [row["method"] for row in report.table] == [*methods_study.METHODS, "the guide itself"]
    assert report.table[-1]["1.5 m start"] == "472.0" and report.table[0]["1.5 m start"].startswith("101.0")
    assert len(report.figures[0].panels) == 2


def test_the_table_of_the_ablation_has_the_papers_return_beside_ours():
    results = {f"{name} seed {seed}": [line | {"variant": name} for line in run_of(100.0 + seed)]
               for name in ablation_study.VARIANTS for seed in (0, 2)}  # fmt: skip
    report = ablation_study.report(StudyOptions(), results)
    row = report.table[0]
    assert row["variant"] == "TD3BC + jump start" and row["1.5 m start"] == "101.0 ± 1.4" and row["paper"] == "412 ± 7"
    assert len(report.figures) == 2
