"""What flights teach: the stages of each variant, a unit that learns from a flight it was given, and what is refused."""

import itertools

import numpy as np
import pytest
from recorded import write_flight

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main
from spike_ctrl.evaluation import benchmark
from spike_ctrl.evaluation.evaluation_result import COLUMNS, FIGURES, Evaluation
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.learner import Learner
from spike_ctrl.policy import checkpoint
from spike_ctrl_studies import offline_study, training_run
from spike_ctrl_studies.study import AGREES, DIFFERS, OPEN, StudyOptions, UnitContext

REAL = airframe.load("crazyflie_real")
ALL = {"airframe": "crazyflie_real", "bags": ("bags/one", "bags/two")}


def of(name, plan=None):
    plan = plan or training_run.find_recipe("offline_real")
    return offline_study.stages(offline_study.VARIANTS[name], plan, training_run.find_recipe("real"))


def test_cloning_has_no_critic_and_the_models_gradient_no_bag():
    clone = recipes.from_dict(of("BC, recurrent")[0]["recipe"])
    assert clone.td3bc.alpha == clone.td3bc.critic_updates == 0 and clone.network.recurrent
    whole = recipes.from_dict(of("TD3BC")[0]["recipe"])
    assert whole == training_run.find_recipe("offline_real")
    assert [stage["bags"] for stage in of(offline_study.TUNED_BC)] == [True, False]
    assert [stage["bags"] for stage in of(offline_study.ALONE)] == [False]


def test_what_is_flown_after_the_bags_comes_on_top_of_their_steps():
    stage = of("TD3BC, then flown")[0]
    assert stage["online"] == 300_000
    assert stage["recipe"]["schedule"]["steps"] == training_run.find_recipe("offline_real").schedule.steps + 300_000


def test_each_seed_has_each_variant_and_the_bags_where_it_learns_from_them():
    units = offline_study.units(StudyOptions(seeds=2, **ALL))
    assert len(units) == 12 and len({unit.name for unit in units}) == 12
    alone = [unit for unit in units if unit.settings["variant"] == offline_study.ALONE]
    assert [stage["bags"] for unit in alone for stage in unit.settings["stages"]] == [[], []]
    assert units[0].settings["stages"][0]["bags"] == ["bags/one", "bags/two"]


def test_an_airframe_that_was_not_identified_is_refused():
    with pytest.raises(UsageError, match="--airframe: found crazyflie without a battery, wanted one that was identified"):
        offline_study.units(StudyOptions(bags=("bags/one",)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["offline", "--airframe", "crazyflie_real"],
            "--from-bag: found none, wanted the bags that experiment offline learns",
        ),
        (["ablation", "--from-bag", "bags/one"], "--from-bag: found 1 with experiment ablation, wanted none: only offline"),
    ],
)
def test_bags_go_with_the_experiment_that_learns_from_them(arguments, message, capsys):
    assert main.main(["experiment", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


TINY = {
    "name": "tiny", "algorithm": "td3bc", "task": {"box": 1.5, "reward": "start"},
    "network": {"hidden": [16, 8], "recurrent": True, "slope": {"kind": "fixed", "k": 5}},
    "replay": {"capacity": 65536, "window": 20, "critic_batch": 4, "actor_batch": 8},
    "td3bc": {"burn_in": 5, "label": "buffer", "alpha": 0, "critic_updates": 0, "actor_updates": 4},
    "critic_width": 16, "schedule": {"steps": 4000, "iteration_steps": 1000, "evaluations": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The result of a unit of two stages, on a flight of the guide; and the shares that it told."""
    pytest.importorskip("spike_ctrl_identify", reason="spike_ctrl_identify is not installed: a flight as it imports them")
    from simulated_flight import simulate

    folder, shares = tmp_path_factory.mktemp("offline"), []
    flight = simulate(trim=(1e-4, 1e-4, 0), charge=0.9, seconds=4)
    action = 2 * flight.command[:-1] - 1
    write_flight(folder / "bag", flight.state, action, action, "motors")
    follow = recipes.to_dict(recipes.from_dict(TINY | {"name": "after"}))
    stages = [
        {"recipe": recipes.to_dict(recipes.from_dict(TINY)), "bags": [str(folder / "bag")], "online": 0},
        {"recipe": follow | {"schedule": follow["schedule"] | {"steps": 1000}}, "bags": [], "online": 0},
    ]
    settings = {"variant": "BC", "seed": 3, "airframe": "crazyflie_real", "stages": stages, "vehicles": 2}
    clock = map(lambda tick: tick / 10, itertools.count())
    context = UnitContext(clock.__next__, lambda share, text: shares.append(share), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "EPISODE_STEPS", 110)
        patch.setattr(offline_study.real_flights, "SECONDS", 1.0)
        patch.setattr(offline_study.real_flights, "LEAD", 0.0)
        patch.setattr(offline_study, "FOLLOWS", 0.0)
        result = offline_study.measure(settings, context)
    return result, shares, folder


def test_a_unit_tells_how_the_hover_and_each_reference_were_flown_and_keeps_the_last_policy(measured):
    result, shares, _ = measured
    kinds = [line["kind"] for line in result.lines]
    assert kinds == ["flight"] * 11 + ["result"] and shares == sorted(shares)
    assert {line["seed"] for line in result.lines} == {3} and 0.4 < result.lines[0]["half_lost_after_s"] < 1
    assert checkpoint.loads(result.files["policy.safetensors"]).manifest.recipe == "after"


def test_the_first_stage_learnt_the_flight_and_the_second_began_from_it(measured):
    _, _, folder = measured
    first, second = (checkpoint.load(folder / f"stage-{n}" / "policy.safetensors").weights for n in (0, 1))
    untrained = Learner(recipes.from_dict(TINY), REAL, 256, 3).averaged_weights()
    name = "layer0.weight"
    assert np.abs(first[name] - untrained[name]).max() > 1e-4
    np.testing.assert_array_equal(second[name], first[name])  # four ticks of flight are too short to learn from
    told = (folder / "stage-0" / "run.json").read_text()
    assert str(folder / "bag") in told and '"environment_steps": 0' in told


def run_of(survival, hover, variant):
    columns = dict.fromkeys(COLUMNS, dict.fromkeys(FIGURES, 1.0) | {"survival": survival})
    evaluation = Evaluation(columns, {"median": 0.1, "p95": 0.2}, 0.01, 1024).to_dict()
    flight = {"kind": "flight", "survival": hover, "rmse_m": 0.2 if hover else None, "half_lost_after_s": 3.0}
    flights = [{"reference": offline_study.AT_HOVER}] + ([{"reference": "circle slow"}] if hover else [])
    return [*(flight | one for one in flights), {"kind": "result", "variant": variant, "seed": 0, "evaluation": evaluation}]


def test_the_report_compares_survivals_and_what_nobody_survived_has_no_error():
    runs = [(0.2, 0.0, "BC"), (0.3, 0.0, "BC"), (0.9, 0.6, "TD3BC"), (0.8, 0.0, "TD3BC"), (0.25, 0.0, "BC, recurrent")]
    results = {str(n): run_of(*run) for n, run in enumerate(runs)}
    report = offline_study.report(StudyOptions(**ALL), results)
    assert [row["variant"] for row in report.table] == ["BC", "TD3BC", "BC, recurrent"]
    assert (
        report.table[0]["survival"] == "0.250 ± 0.071" and report.table[0]["hover: cm"] == report.table[0]["cm, most"] == "-"
    )
    assert (
        report.table[1]["cm, most"] == "20.0 (1 of 2 never)"
        and report.table[1]["references: not lost, least"][:5] == "0.600"
    )
    assert [finding.verdict for finding in report.findings] == [DIFFERS, AGREES, OPEN]
    assert report.title == "What 2 flights teach, 2 seeds each"
