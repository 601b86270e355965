"""A teacher that is learned first: its network, what a recipe says of it, and the run that trains both."""

import itertools
import json

import numpy as np
import pytest
import torch

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import teacher
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl.learn.training_process import training_process
from spike_ctrl.policy import checkpoint
from spike_ctrl.snn.network_state import restart
from spike_ctrl_networks.dense_network import DenseNetwork

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 32
ABOUT = {"command": "spike-ctrl train", "commit": ""}


def network(seed=0):
    return DenseNetwork(18, 4, torch.Generator().manual_seed(seed), hidden=[16, 16])


def small(tmp_path, **teacher_keys):
    """A small recipe whose teacher is learned first."""
    schedule = {"steps": 3200, "iteration_steps": 320, "evaluations": 1}
    plan = {"base": "teacher", "schedule": schedule, "ppo": {"sequences": 16}} | teacher_keys
    (tmp_path / "small_teacher.yaml").write_text(json.dumps(plan))
    plan = {
        "name": "small",
        "base": "learned_teacher",
        "guide": {"recipe": str(tmp_path / "small_teacher.yaml"), "steps": 3200, "vehicles": 64},
        "network": {"hidden": [16, 8]},
        "dagger": {"sequences": 16},
        "critic_width": 16,
        "schedule": schedule,
    }
    return recipes.from_dict(plan)


def test_many_steps_at_once_are_the_same_as_one_by_one():
    dense, generator = network(), torch.Generator().manual_seed(1)
    observation, first = torch.randn(9, 5, 18, generator=generator), torch.rand(9, 5, generator=generator) < 0.3
    state = dense.step(torch.randn(5, 18, generator=generator), dense.initial_state(5))[1]
    at_once, after, _ = actors.unroll(dense, observation, state, 2.0, first)
    for t, row in enumerate(observation):
        action, state = dense.step(row, restart(dense, state, first[t]))
        torch.testing.assert_close(at_once[t], action)
    for one, other in zip(after, state, strict=True):
        torch.testing.assert_close(one, other)


def test_it_sees_how_velocity_and_rates_changed_but_not_in_the_first_step():
    dense, observation = network(), torch.randn(3, 18, generator=torch.Generator().manual_seed(1))
    at_first, state = dense.step(observation, dense.initial_state(3))
    unchanged, _ = dense.step(observation, state)
    changed, _ = dense.step(observation, (state[0] + 0.1, state[1]))
    torch.testing.assert_close(unchanged, at_first)
    assert (changed - unchanged).abs().max() > 1e-4


def test_its_mean_follows_what_it_sees_by_a_fifth_of_the_distance_in_each_step():
    dense, start = network(), torch.zeros(1, 18)
    _, state = dense.step(start, dense.initial_state(1))
    for _ in range(3):
        _, state = dense.step(start + 1, state)
    torch.testing.assert_close(state[0], torch.full((1, 6), 1 - 0.8**3))


def test_a_guide_that_is_learned_stretches_with_the_steps_of_its_recipe_and_is_written_as_it_was_read():
    plan = recipes.find("learned_teacher")
    longer = plan.with_steps(2 * plan.schedule.steps)
    assert longer.guide.steps == 2 * plan.guide.steps and longer.guide.recipe == "teacher"
    assert recipes.from_dict(recipes.to_dict(longer)) == longer


def test_who_needs_its_guide_at_once_is_told_how_to_get_it():
    with pytest.raises(UsageError, match=r"learned_teacher: guide: found a guide that the recipe teacher trains first"):
        teacher.make(recipes.find("learned_teacher"), AIRFRAME)


def test_the_exploration_falls_as_the_recipe_says(tmp_path):
    noise = {"deviation": 0.4, "deviation_end": 0.1, "sequences": 16}
    schedule = {"steps": 6400, "iteration_steps": 640, "evaluations": 1}
    plan = recipes.from_dict({"base": "teacher", "ppo": noise, "schedule": schedule})
    run, found = Run.start(tmp_path / "run", plan, AIRFRAME, VEHICLES, 0, clock=itertools.count().__next__, **ABOUT), []
    assert all(
        run.learner.method.noise[0] is not learned for learned in run.learner.method.optimiser.param_groups[0]["params"]
    )
    run.report = lambda line: found.append(line.get("deviation"))
    train(run, lambda line: None, lambda: False)
    found = [value for value in found if value]
    assert found[-1] == pytest.approx(0.1, rel=1e-3) and all(np.diff(found) < 0)


def test_the_dense_network_soon_learns_from_rewards_alone_to_stay_in_the_box(tmp_path):
    """From small tilts. Untrained, every flight ends in a crash, half way through its episode."""
    start = {"tilt": 0.3, "rates": 0.5, "rotors_low": 0.5, "rotors_high": 0.8}
    plan = recipes.from_dict(
        {
            "base": "teacher",
            "task": {"reward": "start", "episode_steps": 100, "start": start},
            "ppo": {"sequences": 32},
            "schedule": {"steps": 160_000, "iteration_steps": 4096, "learning_rate": 2e-3, "evaluations": 1},
        }
    )
    run, found = Run.start(tmp_path / "run", plan, AIRFRAME, 128, 0, clock=itertools.count().__next__, **ABOUT), []
    run.report = lambda line: found.append(line.get("survival"))
    with training_process():
        train(run, lambda line: None, lambda: False)
    found = [value for value in found if value is not None]
    assert found[0] < 0.1 and found[-1] > 0.8


def test_the_teacher_is_trained_first_and_its_policy_is_the_guide(tmp_path):
    plan, lines = small(tmp_path), []
    run = Run.start(tmp_path / "run", plan, AIRFRAME, VEHICLES, 3, clock=itertools.count().__next__, **ABOUT)
    assert train(run, lines.append, lambda: False)
    run.finish()
    begins = [line.startswith("teacher: ") for line in lines]
    assert begins[0] and not begins[-1] and begins == sorted(begins, reverse=True)
    of_teacher = checkpoint.load(tmp_path / "run" / "teacher" / "policy.safetensors")
    assert of_teacher.manifest.seed == 3 and "DenseNetwork" in of_teacher.manifest.contract.network
    label = run.learner.method.ticks[-1][-1]
    assert label.abs().max() <= 1


def test_a_run_that_was_stopped_while_its_teacher_learned_goes_on_with_it(tmp_path):
    plan, asked = small(tmp_path), itertools.count()
    clock = {"clock": itertools.count().__next__}
    run = Run.start(tmp_path / "run", plan, AIRFRAME, VEHICLES, 0, **clock, **ABOUT)
    assert not train(run, lambda line: None, lambda: next(asked) > 4)
    run.close()
    before = json.loads((tmp_path / "run" / "teacher" / "run.json").read_text())["environment_steps"]
    assert 0 < before < 3200
    again = Run.resume(tmp_path / "run", **clock, **ABOUT)
    assert train(again, lambda line: None, lambda: False)
    metrics = (tmp_path / "run" / "teacher" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["environment_steps"] for line in metrics]
    assert min(steps) <= before < max(steps) and again.learner.finished


def test_a_teacher_whose_own_guide_is_learned_is_refused(tmp_path):
    plan = small(tmp_path, guide={"recipe": "teacher"})
    with pytest.raises(UsageError, match=r"teacher: guide: found one that is learned"):
        Run.start(tmp_path / "run", plan, AIRFRAME, VEHICLES, 0, clock=itertools.count().__next__, **ABOUT)
