"""The networks among the examples: each is trained for seconds, saved, loaded, evaluated, and resumed."""

from pathlib import Path

import numpy as np
import pytest
from example_runs import AIRFRAME, GRADIENT, IMITATION, OWN, VEHICLES, about, flown, run_of

from spike_ctrl import airframe
from spike_ctrl._files import named_object
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.rollout import training_environment
from spike_ctrl.learn.run import Run
from spike_ctrl.policy import checkpoint

ROOT = Path(__file__).resolve().parents[3]
NETWORKS = {
    "ALIF": {"class": "examples.alif:ALIF", "hidden": [32, 16], "slope": {"kind": "fixed", "k": 5}},
    "GRU": {"class": "examples.gru:GRU", "hidden": 24},
    "MLPWithHistory": {"class": "examples.mlp_history:MLPWithHistory", "hidden": 24, "history": 4},
}
SLOW = {"class": "examples.slow_spikes:SlowSpikes", "hidden": [32, 16], "readout_leak": True, "delays": 3}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_network_learns_from_its_teacher_and_is_saved_loaded_and_evaluated(network, tmp_path):
    run = run_of(tmp_path / "run", IMITATION, network=network)
    lines = flown(run)
    assert run.learner.actor_updates > 100
    assert lines[-1]["imitation_loss"] < 0.6 * lines[0]["imitation_loss"]
    run.validate()
    found = checkpoint.load(run.policy_path, expect={"airframe": "crazyflie", "sizes": (18, 4)})
    assert found.manifest.contract.network == network["class"] and found.manifest.contract.neuron is None
    again = evaluate(PolicyController(found.policy), AIRFRAME, starts=32)
    ours = evaluate(PolicyController(run.learner.averaged_policy()), AIRFRAME, starts=32)
    assert again.score == pytest.approx(ours.score, rel=0.05)


@pytest.mark.parametrize("network", (*NETWORKS.values(), SLOW), ids=[*NETWORKS, "SlowSpikes"])
def test_a_network_learns_through_the_model(network, tmp_path):
    run = run_of(tmp_path / "run", GRADIENT, network=network)
    before = run.learner.flying_weights()
    lines = flown(run)
    costs = [line["actor_loss"] for line in lines]
    assert np.mean(costs[-2:]) < 0.8 * np.mean(costs[:2])
    assert not any(line["skipped_updates"] for line in lines)
    after = run.learner.flying_weights()
    assert all(not np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("settings", [IMITATION, GRADIENT, OWN], ids=["td3bc", "bptt", "own"])
def test_a_run_with_code_of_its_own_goes_on_where_it_stopped(settings, tmp_path):
    run = run_of(tmp_path / "run", settings, network=NETWORKS["GRU"])
    flown(run, iterations=6)
    run.save()
    arrays, info = run.learner.state()
    resumed = Run.resume(run.folder, {}, **about())
    again, told = resumed.learner.state()
    assert told["environment_steps"] == info["environment_steps"] > 0
    assert set(again) == set(arrays) and all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert flown(resumed)
    assert resumed.learner.finished


def test_a_run_names_its_code_in_its_recipe_and_in_no_checkpoint_that_is_loaded(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", GRADIENT, network=NETWORKS["GRU"])
    run.save_policy({})
    assert recipes.load(run.folder / "recipe.yaml").network.code.name == "examples.gru:GRU"

    def forbidden(*_):
        raise AssertionError("a checkpoint named code")

    monkeypatch.setattr(named_object, "find", forbidden)
    assert checkpoint.load(run.policy_path).manifest.contract.network == "examples.gru:GRU"


def test_every_recipe_among_the_examples_can_be_trained_by():
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        plan = recipes.load(path)
        craft = airframe.load("any_quad") if plan.task.airframes else AIRFRAME
        assert recipes.from_dict(recipes.to_dict(plan)) == plan
        learner = Learner(plan, craft, VEHICLES, 0)
        assert training_environment(plan, craft, VEHICLES) and learner.progress == 0
