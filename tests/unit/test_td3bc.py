"""TD3BC on sequences: each fault of the paper's public code has its test, with targets computed by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from spike_ctrl.learn.buffer import FIRST, HISTORY, TERMINATED, TRUNCATED, Rows, SequenceBuffer, Sequences, privileged_size
from spike_ctrl.learn.critic import AdvantageCritic, TwinCritic
from spike_ctrl.learn.settings import TD3BCSettings as Settings
from spike_ctrl.learn.td3bc import TD3BC, lambda_returns
from spike_ctrl.snn.network import SpikingNetwork

SLOPE = 2.0


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def algorithm(seed=0, rate=1e-3, **settings):
    actor = SpikingNetwork((18, 24, 16, 4), generator=generator(seed))
    return TD3BC(actor, TwinCritic(16, generator(seed + 1)), Settings(**{"burn_in": 0} | settings), rate)


def sequences(length=6, batch=3, seed=0, **fields):
    """A sample of random numbers, all of it inside episodes that began before the windows."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(length + 1, batch, 18)).astype(np.float32)
    rest = rng.normal(size=(length + 1, batch, privileged_size() - 18)).astype(np.float32)
    action, guide_action = rng.uniform(-1, 1, (2, length, batch, 4)).astype(np.float32)
    return Sequences(
        observation=observation,
        privileged=np.concatenate([observation, rest], axis=2),
        action=action,
        guide_action=guide_action,
        reward=rng.normal(size=(length, batch)).astype(np.float32),
        terminated=np.zeros((length, batch), bool),
        mask=np.ones((length, batch), bool),
        age=np.full(batch, 100),
    )._replace(**fields)


class Constant(nn.Module):
    """An actor with one output for all observations."""

    def __init__(self, action):
        super().__init__()
        self.action = torch.tensor(action)

    def initial_state(self, batch):
        return ()

    def unroll(self, observation, state, slope):
        return self.action.expand(*observation.shape[:2], 4), (), ()


class Linear(nn.Module):
    """Q_j = j-th weights on the first observation number and the sum of the actions."""

    def __init__(self, *weights):
        super().__init__()
        self.weights = weights

    def forward(self, privileged, action, members=2):
        return torch.stack([x * privileged[..., 0] + a * action.sum(-1) for x, a in self.weights[:members]])


class Bowl(nn.Module):
    """Q = -|a - best|^2 in every state."""

    def __init__(self, best):
        super().__init__()
        self.best = torch.tensor(best)

    def forward(self, privileged, action, members=2):
        return -(action - self.best).square().sum(-1).expand(members, *action.shape[:-1])


# --- the actor ---


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
        learner = algorithm(rate=1e-2, change=change)
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


# --- targets ---


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


def by_hand(**settings):
    """Targets where V'(s') = s'[0] + .5 * 4 * .25 = s'[0] + .5, the smaller of two critics."""
    learner = algorithm(gamma=0.9, policy_noise=0.0, **settings)
    learner.actor = Constant([1.0, 1.0, 1.0, 1.0])  # only the target actor may be asked
    learner.actor_target = Constant([0.25, 0.25, 0.25, 0.25])
    learner.critic = Linear((9.0, 9.0), (9.0, 9.0))  # only the target critics may be asked
    learner.critic_target = Linear((1.0, 0.5), (1.0, 3.0))
    return learner


def window(terminated=(), mask=(True, True, True)):
    """One window of three steps: states 10, 20, 30, 40, rewards 1, 2, 3, actions that must not matter."""
    sample = sequences(3, 1, mask=np.array(mask)[:, None], action=np.full((3, 1, 4), -1, np.float32))
    sample.privileged[:, 0, 0] = [10, 20, 30, 40]
    sample.reward[:, 0] = [1, 2, 3]
    for step in terminated:
        sample.terminated[step] = True
    return sample


def values(learner, sample):
    batch = learner.batch(sample)
    return learner.targets(batch, learner.own_actions(batch, SLOPE), generator())


def targets(learner, sample):
    return values(learner, sample)[:, 0].tolist()


def test_bootstrapping_asks_the_targets_and_never_the_stored_action():
    assert targets(by_hand(), window()) == pytest.approx([1 + 0.9 * 20.5, 2 + 0.9 * 30.5, 3 + 0.9 * 40.5])


def test_of_two_critics_the_one_that_promises_less_is_believed():
    learner = by_hand()
    learner.critic_target = Linear((1.0, 0.5), (2.0, -30.0))  # 20.5, 30.5, 40.5 against 10, 30, 50
    assert targets(learner, window()) == pytest.approx([1 + 0.9 * 10, 2 + 0.9 * 30, 3 + 0.9 * 40.5])


def test_a_crash_is_not_bootstrapped():
    assert targets(by_hand(), window(terminated=[1]))[1] == pytest.approx(2)
    assert targets(by_hand(td_lambda=0.5), window(terminated=[1]))[1] == pytest.approx(2)


def test_lambda_returns_mix_backwards_along_the_window():
    third = 3 + 0.9 * 40.5
    second = 2 + 0.9 * (0.5 * 30.5 + 0.5 * third)
    first = 1 + 0.9 * (0.5 * 20.5 + 0.5 * second)
    assert targets(by_hand(td_lambda=0.5), window()) == pytest.approx([first, second, third])


def test_lambda_of_one_gives_the_discounted_sum_of_rewards():
    steps = targets(by_hand(td_lambda=1.0), window())
    assert steps[0] == pytest.approx(1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 40.5)


def test_lambda_returns_do_not_reach_beyond_the_end_of_an_episode():
    second = 2 + 0.9 * 30.5  # truncated here: the value of the final state stands in for what follows
    found = targets(by_hand(td_lambda=0.5), window(mask=(True, True, False)))
    assert found[:2] == pytest.approx([1 + 0.9 * (0.5 * 20.5 + 0.5 * second), second])
    crashed = targets(by_hand(td_lambda=0.5), window(terminated=[1], mask=(True, True, False)))
    assert crashed[:2] == pytest.approx([1 + 0.9 * (0.5 * 20.5 + 0.5 * 2), 2])


def test_lambda_zero_is_the_one_step_target_and_equals_a_slow_recursion():
    g = generator()
    reward, value = torch.randn(2, 9, 5, generator=g)
    terminated, following = (torch.rand(2, 9, 5, generator=g) < 0.3).float()
    following[-1] = 0

    def slow(t, b, mix):
        use = mix * following[t, b].item()
        later = slow(t + 1, b, mix) if use else 0.0
        mixed = (1 - use) * value[t, b].item() + use * later
        return reward[t, b].item() + 0.97 * (1 - terminated[t, b].item()) * mixed

    for mix in (0.0, 0.8):
        wanted = torch.tensor([[slow(t, b, mix) for b in range(5)] for t in range(9)])
        torch.testing.assert_close(lambda_returns(reward, terminated, value, following, 0.97, mix), wanted)


@pytest.mark.parametrize("end", [TERMINATED, TRUNCATED])
def test_sampled_flights_bootstrap_at_the_time_limit_and_not_at_a_crash(end):
    buffer, rng = SequenceBuffer(150, 1), np.random.default_rng(0)
    for tick in range(150):  # episodes of five steps and a final state
        flags = np.array([{0: FIRST, 5: end}.get(tick % 6, 0)], np.uint8)
        buffer.add(Rows(flags, *(rng.normal(size=(1, width)) for width in (18, 4, 6, 4, 4)), rng.normal(size=1)))
    sample = buffer.sample(16, 8, 0, rng)
    learner = by_hand()
    learner.critic_target = Linear((0.0, 25.0), (0.0, 25.0))  # V' = 25 everywhere
    found = values(learner, sample)
    torch.testing.assert_close(found[:4], torch.from_numpy(sample.reward[:4]) + 0.9 * 25)
    bootstrap = 0.9 * 25 if end == TRUNCATED else 0.0
    torch.testing.assert_close(found[4], torch.from_numpy(sample.reward[4]) + bootstrap)


def test_the_noise_of_the_target_action_is_clipped_and_stays_within_the_actions_limits():
    learner = by_hand()
    learner.settings = dataclasses.replace(learner.settings, gamma=1.0, policy_noise=5.0, noise_clip=0.1)
    learner.critic_target = Linear((0.0, 0.25), (0.0, 0.25))  # the mean of the four actions
    sample = sequences(50, 40, reward=np.zeros((50, 40), np.float32))
    mean = values(learner, sample)
    assert mean.min() >= 0.25 - 0.1001 and mean.max() <= 0.25 + 0.1001
    assert mean.std() > 0.03
    learner.actor_target = Constant([0.99] * 4)
    assert values(learner, sample).max() <= 1


# --- the critic by advantages ---


def confounded(steps=20, batch=64, seed=0):
    """Flights of a policy that answers bad states with large actions, as a pilot does; what would help is known.

    Reward -x^2 - .02 |action - own - help|^2 with the bad x in the first observation number, own = x in all motors and
    help = (.3, 0, 0, 0), where the action deviates from own by noise of .2.
    """
    rng = np.random.default_rng(seed)
    sample = sequences(steps, batch, seed=seed)
    sample.privileged[:] = 0
    x = rng.normal(size=(steps + 1, batch)).clip(-2, 2) / 2
    sample.privileged[..., 0] = x
    own = np.repeat(x[..., None], 4, axis=2).astype(np.float32)
    noise = 0.2 * rng.normal(size=(steps, batch, 4)).astype(np.float32)
    help_ = np.array([0.3, 0, 0, 0], np.float32)
    reward = -np.square(x[:-1]) - 0.02 * np.square(noise - help_).sum(-1)
    return sample._replace(action=own[:-1] + noise, reward=reward.astype(np.float32)), torch.from_numpy(own)


def advantage(rate=1e-2, **settings):
    actor = SpikingNetwork((18, 24, 16, 4), generator=generator())
    return TD3BC(actor, AdvantageCritic(32, generator(1)), Settings(**{"burn_in": 0, "gamma": 0.0} | settings), rate)


def direction(learner, batch, own):
    """Mean cosine between the gradient of the actor's opinion at its own action and the way that helps."""
    action = own[:-1].clone().requires_grad_(True)
    _, opinion = learner.actor_losses(batch, action)
    way = -torch.autograd.grad(opinion, action)[0]
    return (way[..., 0] / way.norm(dim=-1).clamp(min=1e-12)).mean().item()


def taught(learner, updates=150):
    for index in range(updates):
        sample, own = confounded(seed=index)
        learner.own_actions = lambda batch, slope, own=own: own
        learner.update_critics(learner.batch(sample), SLOPE, generator(index))
    sample, own = confounded(seed=9999)
    return learner.batch(sample), own


def test_it_points_the_way_that_helps_although_bad_states_come_with_large_actions():
    learner = advantage()
    assert direction(learner, *taught(learner)) > 0.7
    twin = algorithm(rate=1e-2, gamma=0.0)  # the reason for the other one: the same data mislead it
    assert direction(twin, *taught(twin)) < 0.5


def test_its_value_is_the_return_of_the_policy_itself_without_what_deviations_add():
    learner = advantage()
    batch, _ = taught(learner)
    wanted = -batch.privileged[:-1, :, 0].square() - 0.02 * 0.3**2
    with torch.no_grad():
        error = learner.critic.value(batch.privileged[:-1]) - wanted
    assert error.abs().mean() < 0.05 * wanted.std()


def test_an_action_equal_to_the_policys_own_has_no_advantage():
    critic, batch = AdvantageCritic(16, generator()), advantage().batch(sequences())
    found = critic.advantage(batch.privileged[:-1], batch.action, batch.action)
    assert not found.detach().any()
    assert critic.advantage(batch.privileged[:-1], batch.action, -batch.action).detach().abs().min() > 0


def test_the_gain_of_an_action_over_itself_is_nothing_with_the_gradient_of_its_advantage():
    critic, batch = AdvantageCritic(16, generator()), advantage().batch(sequences())
    action = batch.action.requires_grad_(True)
    gain = critic.gain(batch.privileged[:-1], action)
    assert not gain.detach().any()
    other = critic.advantage(batch.privileged[:-1], action, torch.zeros_like(action))
    torch.testing.assert_close(*(torch.autograd.grad(found.sum(), action)[0] for found in (gain, other)))


def test_it_bootstraps_with_the_value_of_its_target_and_not_at_a_crash():
    learner = advantage(gamma=0.9)
    batch = learner.batch(window(terminated=[1]))
    found = learner.targets(batch, learner.own_actions(batch, SLOPE), generator())
    value = learner.critic_target.value(batch.privileged)[:, 0]
    wanted = [1 + 0.9 * value[1].item(), 2.0, 3 + 0.9 * value[3].item()]
    assert found[:, 0].tolist() == pytest.approx(wanted)


def test_the_opinion_by_advantages_reaches_every_parameter_of_the_actor():
    learner = advantage()
    batch = learner.batch(sequences(30, 32))
    action, _, _ = learner.actor.unroll(batch.observation[:-1], learner.actor.initial_state(32), SLOPE)
    _, opinion = learner.actor_losses(batch, action)
    for name, parameter in learner.actor.named_parameters():
        assert torch.autograd.grad(opinion, parameter, retain_graph=True)[0].abs().max() > 1e-8, name


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


# --- settings ---


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
