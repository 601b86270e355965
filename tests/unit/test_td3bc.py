"""TD3BC on sequences: what moves the actor, which steps count. Each fault of the paper's public code has its test."""

import numpy as np
import pytest
import torch
from td3bc_by_hand import SLOPE, Linear, algorithm, generator, sequences, window
from torch import nn

from spike_ctrl.learn.replay_buffer import HISTORY


class Bowl(nn.Module):
    """Q = -|a - best|^2 in every state."""

    def __init__(self, best):
        super().__init__()
        self.best = torch.tensor(best)

    def forward(self, privileged, action, members=2):
        return -(action - self.best).square().sum(-1).expand(members, *action.shape[:-1])


# --- the actor ---


def test_in_units_of_the_labels_deviation_the_loss_is_the_share_that_is_not_explained():
    rng = np.random.default_rng(0)
    together, apart = 0.3 * rng.standard_normal((50, 40, 1)), 0.01 * rng.standard_normal((50, 40, 4))
    label = torch.from_numpy((together + apart).astype(np.float32))  # the motors differ thirty times less than they change
    weight = torch.ones(50, 40)
    learner = algorithm(bc_unit="deviation")
    batch = learner.batch(sequences(50, 40))._replace(label=label, label_weight=weight, weight=weight)
    assert learner.actor_losses(batch, label.mean((0, 1)).expand_as(label))[0].item() == pytest.approx(1.0, abs=0.01)
    assert learner.actor_losses(batch, label)[0].item() == 0.0
    common = learner.actor_losses(batch, label.mean(-1, keepdim=True).expand_as(label))[0].item()
    assert common == pytest.approx(0.75, abs=0.01)  # right in one of four directions


def test_the_critics_opinion_reaches_every_parameter_of_the_actor():
    learner = algorithm()
    batch = learner.batch(sequences(30, 32))
    action, _, _ = learner.actor.unroll(batch.observation[:-1], learner.actor.initial_state(32), SLOPE)
    _, opinion = learner.actor_losses(batch, action)
    for name, parameter in learner.actor.named_parameters():
        gradient = torch.autograd.grad(opinion, parameter, retain_graph=True)[0]
        assert gradient.abs().max() > 1e-8, name


def test_without_imitation_the_actor_moves_to_the_best_action():
    best = [0.6, -0.4, 0.2, 0.0]
    learner = algorithm(rate=1e-2, alpha=1.0)
    learner.critic = Bowl(best)
    batch = learner.batch(sequences(20, 16))

    def distance():
        action, _, _ = learner.actor.unroll(batch.observation[:-1], learner.actor.initial_state(16), SLOPE)
        return (action - learner.critic.best).square().sum(-1).mean().item()

    before = distance()
    for _ in range(150):
        learner.update_actor(batch, bc=0.0, q=1.0, slope=SLOPE)
    assert distance() < 0.2 * before


def test_a_critic_that_learnt_the_bowl_leads_the_actor_there():
    best = torch.tensor([0.5, -0.5, 0.0, 0.3])
    learner = algorithm(rate=1e-2, alpha=1.0, gamma=0.0)
    sample = sequences(20, 32)
    sample.privileged[:] = 0  # the reward depends on the action alone
    sample = sample._replace(reward=-np.square(sample.action - best.numpy()).sum(-1))
    batch = learner.batch(sample)

    def distance():
        action, _, _ = learner.actor.unroll(batch.observation[:-1], learner.actor.initial_state(32), SLOPE)
        return (action - best).square().sum(-1).mean().item()

    before = distance()
    for _ in range(150):
        learner.update_critics(batch, SLOPE, generator())
    for _ in range(100):
        learner.update_actor(batch, bc=0.0, q=1.0, slope=SLOPE)
    assert distance() < 0.5 * before


@pytest.mark.parametrize("label", ["buffer", "guide"])
def test_with_imitation_alone_the_actor_learns_its_label(label):
    target = np.full((10, 8, 4), 0.5, np.float32)
    fields = (
        {"action": target, "guide_action": -target} if label == "buffer" else {"action": -target, "guide_action": target}
    )
    learner = algorithm(rate=1e-2, label=label)
    batch = learner.batch(sequences(10, 8, **fields))
    losses = [learner.update_actor(batch, bc=1.0, q=0.0, slope=SLOPE)[0] for _ in range(150)]
    assert losses[-1]["imitation_loss"] < 0.1 * losses[0]["imitation_loss"]
    assert losses[-1]["actor_loss"] == losses[-1]["imitation_loss"]


def test_the_losses_of_the_actor_by_hand():
    learner = algorithm(alpha=3.0)
    learner.critic = Linear((1.0, 2.0), (100.0, 100.0))  # the second critic has no say
    sample = sequences(2, 1, mask=np.array([[True], [True]]))
    sample.privileged[:2, 0, 0] = [1.0, -4.0]
    sample.action[:] = 0.5
    action = torch.tensor([[[0.5, 0.5, 0.5, 0.0]], [[0.0, 0.0, 0.0, 0.0]]])
    imitation, opinion = learner.actor_losses(learner.batch(sample), action)
    assert imitation.item() == pytest.approx((0.25 + 4 * 0.25) / 2)
    q = [1.0 + 2 * 1.5, -4.0]  # 4, -4
    assert opinion.item() == pytest.approx(-3.0 * np.mean(q) / np.mean(np.abs(q)))
    action[1] = 0.5  # Q 4 and 0
    assert learner.actor_losses(learner.batch(sample), action)[1].item() == pytest.approx(-3.0 * 2 / 2)


def test_changes_of_the_action_cost_where_both_steps_count():
    learner = algorithm(burn_in=1)
    batch = learner.batch(sequences(4, 1))
    action = torch.tensor([0.0, 0.5, 0.1, 0.2]).reshape(4, 1, 1).expand(4, 1, 4)
    assert learner._change(batch, action).item() == pytest.approx(4 * (0.4**2 + 0.1**2) / 2)


def test_a_cost_on_changes_makes_the_actor_smoother():
    found = []
    for change in (0.0, 10.0):
        learner = algorithm(rate=1e-2, action_rate=change)
        batch = learner.batch(sequences(10, 8))
        for _ in range(60):
            learner.update_actor(batch, bc=1.0, q=0.0, slope=SLOPE)
        action, _, _ = learner.actor.unroll(batch.observation, learner.actor.initial_state(8), SLOPE)
        found.append((action[1:] - action[:-1]).abs().mean().item())
    assert found[1] < 0.5 * found[0]


def test_updating_the_actor_leaves_the_critics_as_they_are_and_able_to_learn():
    learner = algorithm()
    batch = learner.batch(sequences())
    before = [p.clone() for p in learner.critic.parameters()]
    learner.update_actor(batch, bc=1.0, q=1.0, slope=SLOPE)
    assert all(torch.equal(a, b) for a, b in zip(before, learner.critic.parameters(), strict=True))
    assert all(p.requires_grad and p.grad is None for p in learner.critic.parameters())
    learner.update_critics(batch, SLOPE, generator())
    assert not any(torch.equal(a, b) for a, b in zip(before, learner.critic.parameters(), strict=True))


# --- which steps count ---


def test_steps_before_the_burn_in_carry_no_loss_unless_the_window_begins_with_the_episode():
    mask = np.ones((6, 3), bool)
    mask[4:, 2] = False
    batch = algorithm(burn_in=2).batch(sequences(mask=mask, age=np.array([7, 0, 7])))
    assert batch.weight.T.tolist() == [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0]]


@pytest.mark.parametrize("update", ["critics", "actor"])
def test_steps_without_weight_change_nothing(update):
    mask = np.ones((6, 3), bool)
    mask[4:, 2] = False
    results = []
    for junk in (0.0, 0.7):
        learner = algorithm(burn_in=2, td_lambda=0.8)
        sample = sequences(mask=mask)
        for array in (sample.action, sample.guide_action, sample.reward):
            array[:2] += junk
            array[4:, 2] += junk
        sample.observation[5:, 2] += junk
        batch = learner.batch(sample)
        if update == "critics":
            learner.update_critics(batch, SLOPE, generator())
        else:
            learner.update_actor(batch, bc=1.0, q=0.0, slope=SLOPE)
        results.append([p.clone() for p in (*learner.actor.parameters(), *learner.critic.parameters())])
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-7)


def test_a_sample_without_any_step_that_counts_changes_nothing():
    learner = algorithm(burn_in=4)
    batch = learner.batch(sequences(6, 3, mask=np.zeros((6, 3), bool)))
    before = [p.clone() for p in (*learner.actor.parameters(), *learner.critic.parameters())]
    assert learner.update_critics(batch, SLOPE, generator()) == 0
    learner.update_actor(batch, bc=1.0, q=1.0, slope=SLOPE)
    after = [*learner.actor.parameters(), *learner.critic.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_every_window_is_unrolled_from_the_zero_state():
    learner, sample = algorithm(), sequences()
    seen = []
    for actor in (learner.actor, learner.actor_target):
        unroll = actor.unroll
        actor.unroll = lambda o, state, slope, unroll=unroll: seen.append(state) or unroll(o, state, slope)
    for _ in range(2):
        learner.update_critics(learner.batch(sample), SLOPE, generator())
        learner.update_actor(learner.batch(sample), bc=1.0, q=1.0, slope=SLOPE)
    assert len(seen) == 4
    assert not any(layer.membrane.any() or layer.spike.any() for state in seen for layer in state)


def test_the_batch_and_the_sample_are_unchanged_by_the_updates():
    learner = algorithm(reward_scale=0.1, reward_shift=1.0, crash_reward=-5.0, td_lambda=0.8)
    sample = sequences()
    copies = [array.copy() for array in sample]
    batch = learner.batch(sample)
    tensors = [tensor.clone() for tensor in batch]
    learner.targets(batch, learner.own_actions(batch, SLOPE), generator())
    learner.update_critics(batch, SLOPE, generator())
    learner.update_actor(batch, bc=1.0, q=1.0, slope=SLOPE)
    assert all(np.array_equal(a, b) for a, b in zip(copies, sample, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(tensors, batch, strict=True))


# --- settings ---


def test_the_label_from_the_buffer_counts_less_where_the_policy_flew_itself():
    sample = window()
    sample = sample._replace(by_guide=np.array([[True], [False], [True]]))
    action = torch.zeros(3, 1, 4)  # the labels are -1: each step errs by 4
    for own, wanted in ((1.0, 4.0), (0.25, 3.0), (0.0, 8 / 3)):
        learner = algorithm(bc_own=own)
        assert learner.actor_losses(learner.batch(sample), action)[0].item() == pytest.approx(wanted)


def test_the_guides_label_counts_fully_whoever_flew():
    learner = algorithm(bc_own=0.0, label="guide")
    batch = learner.batch(window())
    assert learner.actor_losses(batch, batch.label + 1)[0].item() == pytest.approx(4.0)


@pytest.mark.parametrize(("unit", "same"), [("mean", False), ("deviation", True)])
def test_in_units_of_its_deviation_the_critics_opinion_does_not_weaken_when_all_values_rise(unit, same):
    def gradient(offset):
        learner = algorithm(q_unit=unit, alpha=1.0)
        learner.critic = Linear((1.0, 0.5), (0.0, 0.0))
        batch = learner.batch(window())
        batch.privileged[..., 0] += offset
        action = torch.zeros(3, 1, 4, requires_grad=True)
        return torch.autograd.grad(learner.actor_losses(batch, action)[1], action)[0]

    near, far = gradient(0.0), gradient(1000.0)
    assert torch.allclose(near, far, rtol=1e-3) is same
    assert bool((near.abs() > 10 * far.abs()).all()) is not same


def test_the_reward_is_shifted_then_scaled_and_a_crash_costs_extra():
    learner = algorithm(reward_scale=0.5, reward_shift=1.0, crash_reward=-5.0)
    batch = learner.batch(window(terminated=[2]))
    assert batch.reward[:, 0].tolist() == pytest.approx([0.0, 0.5, 1.0 - 5.0])


def test_the_targets_follow_at_the_rate_tau():
    learner = algorithm(tau=0.1)
    batch = learner.batch(sequences())
    pairs = [(learner.actor, learner.actor_target), (learner.critic, learner.critic_target)]
    before = [[p.clone() for p in target.parameters()] for _, target in pairs]
    learner.update_critics(batch, SLOPE, generator())
    learner.update_actor(batch, bc=1.0, q=1.0, slope=SLOPE)
    for (online, target), old in zip(pairs, before, strict=True):
        for p, t, o in zip(online.parameters(), target.parameters(), old, strict=True):
            torch.testing.assert_close(t, 0.9 * o + 0.1 * p)
            assert not t.requires_grad


def test_the_actor_sees_the_18_numbers_alone():
    learner = algorithm()
    sample = sequences()
    batch = learner.batch(sample)
    assert batch.observation.shape[-1] == 18
    assert batch.privileged.shape[-1] == 18 + 4 * HISTORY + 4 + 6


# --- both at once ---


def in_order(at_once, order):
    """Weights after two rounds of three critic updates ("c") and two of the actor ("a"), in this order."""
    learner = algorithm(at_once=at_once)
    for turn in range(2):
        learner.exchange()
        draws = generator(turn)
        for n, which in enumerate(order):
            batch = learner.batch(sequences(seed=10 * turn + order[:n].count(which) + 5 * (which == "a")))
            if which == "c":
                learner.update_critics(batch, SLOPE, draws)
            else:
                learner.update_actor(batch, 0.5, 1.0, SLOPE)
    return [weight for module in (learner.actor, learner.critic) for weight in module.parameters()]


def test_at_once_the_order_of_critics_and_actor_changes_nothing_and_in_turn_it_does():
    for at_once in (True, False):
        first, mixed, last = (in_order(at_once, order) for order in ("cccaa", "cacac", "aaccc"))
        for other in (mixed, last):
            assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True)) == at_once


def test_at_once_each_learns_from_the_other_as_the_round_began():
    learner, turn = algorithm(at_once=True), algorithm()
    for batch in (learner.batch(sequences(seed=n)) for n in range(3)):
        learner.update_critics(batch, SLOPE, generator())
        turn.update_critics(batch, SLOPE, generator())
    one, other = (each.actor_losses(batch, batch.label)[1].item() for each in (learner, turn))
    assert one != other
    learner.exchange()
    assert learner.actor_losses(batch, batch.label)[1].item() == other
