"""On-policy distillation: a guide that is copied, where its label counts, and what a recipe may say."""

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.dagger import divergence
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.learn.training_process import training_process
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 16


def recipe(**changes):
    plan = {
        "base": "learned_teacher",
        "guide": {},
        "network": {"hidden": [16, 8]},
        "critic_width": 16,
        "schedule": {"steps": 64_000, "iteration_steps": 160, "learning_rate": 5e-3, "learning_rate_end": 5e-3},
    }
    return recipes.from_dict(plan | changes)


def ticks(count, guide, seed=0, reward=0.0):
    """Rows of flight in random states; the guide answers them."""
    rng = np.random.default_rng(seed)
    for t in range(count):
        seen = rng.uniform(-1, 1, (VEHICLES, 18)).astype(np.float32)
        flags = np.full(VEHICLES, FIRST if t == 0 else 0, np.uint8)
        rest = np.zeros((VEHICLES, 4), np.float32), np.zeros((VEHICLES, 6), np.float32), np.zeros((VEHICLES, 4), np.float32)
        yield Rows(flags, seen, *rest, guide(seen), np.full(VEHICLES, reward, np.float32))


def constant(seen):
    return np.tile(np.array([0.5, -0.2, 0.1, 0.3], np.float32), (len(seen), 1))


def test_the_policy_learns_what_its_guide_does():
    learner = Learner(recipe(), AIRFRAME, VEHICLES, 0)
    with training_process():
        losses = []
        for iteration in range(40):
            for rows in ticks(10, constant, iteration):
                learner.receive(rows)
            losses.append(learner.iterate()["imitation_loss"])
    assert losses[-1] < 0.05 * losses[0]
    policy = learner.flying_policy()
    action, _ = policy.step(next(ticks(1, constant)).observation, policy.initial_state(VEHICLES))
    assert np.abs(action - constant(action)).mean() < 0.2


def test_a_miss_is_the_divergence_of_two_shares_of_full_power():
    generator = torch.Generator().manual_seed(1)
    action, label = torch.tanh(torch.randn(2, 50, 4, generator=generator))
    flown, wanted = (Bernoulli((1 + u) / 2) for u in (action, label))
    found = divergence(action, label)
    torch.testing.assert_close(found, 2 * kl_divergence(wanted, flown).sum(-1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(divergence(label, label), torch.zeros(50))


def test_full_thrust_is_learned_as_fast_near_full_thrust_as_elsewhere():
    """Before the tanh the derivative is twice the error, also where the tanh is flat."""
    before = torch.tensor([[-4.0, -0.3, 1.2, 4.0]], requires_grad=True)
    label = torch.tensor([[-1.0, 0.5, 1.0, 1.0]])
    divergence(before.tanh(), label).sum().backward()
    torch.testing.assert_close(before.grad, 2 * (before.tanh() - label).detach(), rtol=1e-3, atol=1e-5)


def test_a_network_without_a_tanh_is_drawn_back_into_the_range():
    action = torch.tensor([[1.5, -3.0, 0.2, 0.0]], requires_grad=True)
    divergence(action, torch.zeros(1, 4)).sum().backward()
    assert action.grad[0, 0] > 0 > action.grad[0, 1] and torch.isfinite(action.grad).all()


def test_where_all_is_lost_the_label_counts_most_and_where_nothing_can_be_lost_least():
    """Half of the vehicles stand in states that are worth everything, half in some that are worth nothing."""
    method = Learner(recipe(), AIRFRAME, VEHICLES, 0).method
    value = torch.where(torch.arange(VEHICLES) < VEHICLES // 2, method.best, 0.0)
    importance = method.importance(value.expand(10, -1), torch.ones(10, VEHICLES))
    assert importance.mean() == pytest.approx(1, rel=1e-5)
    assert importance[0, -1] / importance[0, 0] == pytest.approx(1 / method.settings.least_importance, rel=1e-4)


def test_the_final_state_of_an_episode_teaches_nothing():
    """Its action is ignored; a guide that says something absurd there changes nothing."""
    found = []
    for last in (0.0, 0.9):
        learner = Learner(recipe(), AIRFRAME, VEHICLES, 0)
        for t, rows in enumerate(ticks(10, constant)):  # the last tick is left for the next update
            if t == 8:
                label = np.full_like(rows.guide_action, last)
                rows = rows._replace(flags=np.full(VEHICLES, TERMINATED, np.uint8), guide_action=label)
            learner.receive(rows)
        learner.iterate()
        found.append(learner.flying_weights())
    for name, weight in found[0].items():
        np.testing.assert_array_equal(weight, found[1][name])


def test_the_critic_learns_the_return_of_the_policy():
    """A reward that never changes is worth itself over 1 - gamma."""
    plan = recipe(dagger={"gamma": 0.8, "critic_rate": 1e-2, "epochs": 4, "sequences": 16})
    learner = Learner(plan, AIRFRAME, VEHICLES, 0)
    method, reward = learner.method, -1.0
    for iteration in range(60):
        for rows in ticks(10, constant, iteration, reward):
            learner.receive(rows)
        learner.iterate()
    seen = torch.from_numpy(
        np.concatenate([next(ticks(1, constant, 99)).observation, np.zeros((VEHICLES, 4), np.float32)], 1)
    )
    wanted = float(method.step_worth(np.array([reward]))[0]) / (1 - 0.8)
    assert method.critic(seen).detach().mean().item() == pytest.approx(wanted, rel=0.05)


def test_a_recipe_for_dagger_takes_no_block_of_another_algorithm():
    with pytest.raises(UsageError, match=r"ppo: found in a recipe for dagger, wanted only for ppo"):
        recipe(ppo={"epochs": 3})
