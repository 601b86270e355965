"""The examples: each is trained for seconds, saved, loaded, evaluated, and resumed. docs/extend.md has longer proofs."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import named_object
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.learn.rollout import training_environment
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.episode_flags import FIRST

pytestmark = pytest.mark.slow

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 16
ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {
    "ALIF": {"class": "examples.alif:ALIF", "hidden": [32, 16], "slope": {"kind": "fixed", "k": 5}},
    "GRU": {"class": "examples.gru:GRU", "hidden": 24},
    "MLPWithHistory": {"class": "examples.mlp_history:MLPWithHistory", "hidden": 24, "history": 4},
}
SLOW = {"class": "examples.slow_spikes:SlowSpikes", "hidden": [32, 16], "readout_leak": True, "delays": 3}
IMITATION = {
    "task": {"box": 1.5, "episode_steps": 50, "reward": {"position": 2}, "terms": {
        "smooth": {"function": "examples.reward_terms:smooth", "weight": 0.1},
        "level": {"function": "examples.reward_terms:level", "weight": 0.1}}},
    "guide": {"class": "examples.teacher:SmoothGuide", "share": 0.6},
    "jump_start": {"horizon": 50, "rest": 0, "until": 0.5, "spread": True},
    "replay": {"capacity": 8192, "window": 10, "critic_batch": 8, "actor_batch": 16},
    "td3bc": {"label": "guide", "burn_in": 2, "critic_updates": 1, "actor_updates": 10, "bc": 1, "bc_end": 1, "q_from": 0.9,
              "q_full": 1},
    "critic_width": 16,
    "schedule": {"steps": 6400, "iteration_steps": 320, "learning_rate": 5e-3, "evaluations": 1},
}  # fmt: skip
GRADIENT = {
    "algorithm": "model_gradient",
    "task": {"box": 1.5, "episode_steps": 25, "reward": "end"},
    "jump_start": {"horizon": 0, "rest": 0, "noise": 0.1},
    "model_gradient": {"updates": 10, "vehicles": 32, "pool": 32, "segment": 20},
    "schedule": {"steps": 3200, "iteration_steps": 320, "learning_rate": 1e-2, "evaluations": 1},
}
OWN = {
    "algorithm": {"class": "examples.reinforce:Reinforce", "gamma": 0.95},
    "task": {"box": 1.5, "episode_steps": 50, "reward": "start"},
    "jump_start": {"horizon": 0, "rest": 0, "noise": 0},
    "schedule": {"steps": 3200, "iteration_steps": 320, "evaluations": 1},
}


def recipe(settings, **more):
    return recipes.from_dict({"name": "example"} | settings | more)


def about():
    return {"clock": itertools.count().__next__, "command": "spike-ctrl train", "commit": ""}


def run_of(folder, settings, **more):
    return Run.start(folder, recipe(settings, **more), AIRFRAME, VEHICLES, 0, **about())


def flown(run, iterations=None):
    """Train and give the lines of metrics that tell of updates."""
    found, left = [], iter(range(10**9 if iterations is None else iterations))
    run.report = found.append
    train(run, lambda line: None, lambda: next(left, None) is None)
    return [line for line in found if "actor_loss" in line]


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


@pytest.mark.parametrize("settings", [IMITATION, GRADIENT, OWN], ids=["td3bc", "model_gradient", "own"])
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


# --- an algorithm ---


def test_an_algorithm_of_your_own_makes_rewarded_actions_likelier(tmp_path):
    """All vehicles fly the same actions but for their noise; those that got more than the others are what it moves to."""
    learner = Learner(recipe(OWN, network={"hidden": [16, 8], "slope": {"kind": "fixed", "k": 5}}), AIRFRAME, VEHICLES, 0)
    own = learner.method
    wished = np.array([0.3, -0.3, 0.0, 0.2], np.float32)
    observation = np.tile(np.eye(3, dtype=np.float32).ravel(), (VEHICLES, 2))

    def distance():
        policy = learner.flying_policy()
        return float(np.square(policy.step(observation, policy.initial_state(VEHICLES))[0] - wished).sum(1).mean())

    before = distance()
    for _ in range(300):
        policy = learner.flying_policy()
        action = own.explore(observation, policy.step(observation, policy.initial_state(VEHICLES))[0])
        reward = 1 - np.square(action - wished).sum(1)
        blank = np.zeros((VEHICLES, 6), np.float32)
        flags = np.full(VEHICLES, FIRST, np.uint8)
        own.receive(Rows(flags, observation, blank[:, :4], blank, action.astype(np.float32), action, reward))
        own.update(0.0, 5.0, learner.average)
    assert distance() < 0.5 * before


def test_an_algorithm_without_the_protocols_methods_is_refused_by_their_names():
    with pytest.raises(ValueError, match=r"algorithm: examples\.gru:GRU: "):
        Learner(recipe({}, algorithm="examples.gru:GRU"), AIRFRAME, VEHICLES, 0)


# --- the rest ---


def test_the_pendulum_is_trained_by_the_same_td3bc():
    train_pendulum = named_object.find("examples.pendulum:train", "")
    found = []
    policy = train_pendulum(0, 3, lambda done, score: found.append((done, score)))
    assert (policy.inputs, policy.outputs) == (3, 1)
    assert found[0][0] == 3 and -2000 < found[0][1] < 0


def test_every_recipe_among_the_examples_can_be_trained_by():
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        plan = recipes.load(path)
        craft = airframe.load("any_quad") if plan.task.airframes else AIRFRAME
        assert recipes.from_dict(recipes.to_dict(plan)) == plan
        learner = Learner(plan, craft, VEHICLES, 0)
        assert training_environment(plan, craft, VEHICLES) and learner.progress == 0
