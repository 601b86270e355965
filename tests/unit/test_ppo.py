"""PPO: what it remembers of its flight, what it expects, and that it learns from rewards alone."""

import itertools

import numpy as np
import pytest
import torch

from spike_ctrl import airframe
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.ppo import generalised_advantages
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl.sim.episode_flags import FIRST

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 16
PPO = {
    "name": "trial",
    "algorithm": "ppo",
    "task": {"box": 1.5, "episode_steps": 50, "reward": "start"},
    "network": {"hidden": [16, 8], "slope": {"kind": "fixed", "k": 5}},
    "jump_start": {"horizon": 0, "rest": 0, "noise": 0},
    "ppo": {"sequences": 8},
    "schedule": {"steps": 3200, "iteration_steps": 320, "evaluations": 1},
}


def recipe(**more):
    return recipes.from_dict(PPO | more)


def test_ppo_explores_by_itself_and_learns_from_its_own_flight(tmp_path):
    about = {"clock": itertools.count().__next__, "command": "spike-ctrl train", "commit": ""}
    run, lines = Run.start(tmp_path / "run", recipe(), AIRFRAME, VEHICLES, 0, **about), []
    run.report = lines.append
    assert run.learner.explorer is run.learner.method and run.learner.rollout_settings().noise == 0
    before = run.learner.flying_weights()
    train(run, lambda line: None, lambda: False)
    lines = [line for line in lines if "actor_loss" in line]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert 0.3 < lines[-1]["deviation"] < 0.7 and run.learner.actor_updates > 30
    assert not np.array_equal(before["output.weight"], run.learner.flying_weights()["output.weight"])


def test_equal_seeds_give_equal_critics_whatever_torch_has_drawn_before():
    one = Learner(recipe(), AIRFRAME, VEHICLES, 0).method.critic.state_dict()
    torch.rand(5)
    other = Learner(recipe(), AIRFRAME, VEHICLES, 0).method.critic.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_ppo_remembers_what_it_flew_and_what_was_expected_of_it():
    """The samples that it keeps are those that flew, before they were clipped, with their probability then."""
    learner = Learner(recipe(), AIRFRAME, VEHICLES, 0)
    ppo, rollout = learner.method, Rollout(training_environment(learner.recipe, AIRFRAME, VEHICLES), 0)
    policy, state = learner.flying_policy(), learner.flying_policy().initial_state(VEHICLES)
    for _ in range(30):
        seen = rollout.see()
        state = policy.reset_rows(state, (seen.flags & FIRST) > 0)
        action, state = policy.step(seen.observation, state)
        rows = rollout.fly(seen, ppo.explore(seen.observation, action), action, 0.0, 0.0)
        learner.receive(rows)
        sample = ppo.ticks[-1][5].numpy()
        np.testing.assert_array_equal(sample.clip(-1, 1), rows.action)
    assert any((np.abs(tick[5].numpy()) > 1).any() for tick in ppo.ticks)
    hidden = ppo.hidden
    seen, first = (stack(ppo.ticks, index) for index in (0, 1))
    actions = actors.unroll(ppo.actor, seen[..., :-4].contiguous(), hidden, 2.0, first)[0]
    probability = ppo._log_probability(actions, stack(ppo.ticks, 5))
    np.testing.assert_allclose(probability.detach(), stack(ppo.ticks, 6), atol=0.05)


def stack(ticks, index):
    return torch.stack([tick[index] for tick in ticks])


def test_the_advantages_of_ppo_by_hand():
    """Three steps of one vehicle: it crashes after the second, and begins anew."""
    column = lambda *values: torch.tensor(values).reshape(-1, 1)  # noqa: E731
    reward, values = column(1.0, 2.0, 0.0, 3.0, 0.0), column(0.5, 0.6, 9.0, 0.7, 0.8)
    crashed = column(False, False, True, False, False)
    first = column(True, False, False, True, False)
    found = generalised_advantages(reward, values, crashed, crashed, first, 0.99, 0.95)[:, 0].tolist()
    second = 2.0 - 0.6
    wanted = [1 + 0.99 * 0.6 - 0.5 + 0.99 * 0.95 * second, second, 0, 3 + 0.99 * 0.8 - 0.7]
    assert found == pytest.approx(wanted)


def test_ppo_refuses_a_guides_share():
    with pytest.raises(ValueError, match=r"jump_start\.horizon and rest: found a guide's share, wanted 0"):
        Learner(recipe(jump_start={"horizon": 10, "rest": 0}), AIRFRAME, VEHICLES, 0)
