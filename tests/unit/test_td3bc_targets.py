"""The targets of TD3BC's critics, computed by hand: whom they ask, lambda returns, ends of episodes, noise."""

import dataclasses

import numpy as np
import pytest
import torch
from td3bc_by_hand import SLOPE, Constant, Linear, algorithm, generator, sequences, window

from spike_ctrl.learn.replay_buffer import Rows, SequenceBuffer
from spike_ctrl.learn.td3bc import lambda_returns
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED


def by_hand(**settings):
    """Targets where V'(s') = s'[0] + .5 * 4 * .25 = s'[0] + .5, the smaller of two critics."""
    learner = algorithm(gamma=0.9, policy_noise=0.0, **settings)
    learner.actor = Constant([1.0, 1.0, 1.0, 1.0])  # only the target actor may be asked
    learner.actor_target = Constant([0.25, 0.25, 0.25, 0.25])
    learner.critic = Linear((9.0, 9.0), (9.0, 9.0))  # only the target critics may be asked
    learner.critic_target = Linear((1.0, 0.5), (1.0, 3.0))
    return learner


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
