"""The jump start: who flies when, and whose action carries the noise."""

import numpy as np
import pytest

from spike_ctrl.learn.jump_start import JumpStart
from spike_ctrl.learn.recipe_blocks import JumpStartSettings

VEHICLES = 200
POLICY, GUIDE = np.full((VEHICLES, 4), 0.25, np.float32), np.full((VEHICLES, 4), -0.5, np.float32)
ALL = np.ones(VEHICLES, bool)


def jump_start(horizon, spread=True, seed=0):
    start = JumpStart(VEHICLES, seed, JumpStartSettings(spread=spread))
    start.begin(ALL, horizon)
    return start


def fly(start, step, noise=0.0, policy=POLICY):
    return start.act(np.full(VEHICLES, step), policy, GUIDE, noise)


@pytest.mark.parametrize("spread", [False, True])
def test_without_a_horizon_the_policy_flies_from_the_first_step(spread):
    start = jump_start(0, spread)
    for step in range(3):
        action, by_guide = fly(start, step)
        assert not by_guide.any()
        np.testing.assert_array_equal(action, POLICY)


def test_with_a_horizon_beyond_the_episode_the_guide_flies_all_of_it():
    start = jump_start(500, spread=False)
    for step in (0, 250, 499):
        action, by_guide = fly(start, step, noise=0.1)
        assert by_guide.all()
        np.testing.assert_array_equal(action, GUIDE)


def test_without_spread_all_hand_over_exactly_at_the_horizon():
    start = jump_start(50, spread=False)
    assert fly(start, 49)[1].all()
    assert not fly(start, 50)[1].any()


def test_with_spread_the_hand_overs_are_uniform_up_to_the_horizon():
    start = jump_start(100)
    flown = np.array([fly(start, step)[1].mean() for step in range(101)])
    assert flown[0] > 0.95 and flown[100] == 0
    assert (np.diff(flown) <= 0).all()
    np.testing.assert_allclose(flown, 1 - np.arange(101) / 100, atol=0.1)


def test_a_new_episode_draws_its_own_hand_over_and_leaves_the_others_theirs():
    start = jump_start(100)
    before, first = start.hand_over.copy(), np.arange(VEHICLES) < 20
    start.begin(first, 1000)
    assert (start.hand_over[first] != before[first]).all()
    assert start.hand_over[first].max() > 100
    np.testing.assert_array_equal(start.hand_over[~first], before[~first])


def test_only_the_actions_of_the_policy_are_noisy():
    start = jump_start(100)
    action, by_guide = fly(start, 50, noise=0.1)
    assert 0 < by_guide.sum() < VEHICLES
    np.testing.assert_array_equal(action[by_guide], GUIDE[by_guide])
    noise = action[~by_guide] - POLICY[~by_guide]
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 0.1) < 0.02
    assert len(np.unique(noise)) > 0.9 * noise.size  # each vehicle and motor has its own


def lasting(memory):
    """Settings of noise with this correlation from one step of 10 ms to the next."""
    return JumpStartSettings(spread=True, noise_time=-0.01 / np.log(memory) if memory else 0.0)


def noise_of(memory, steps=400):
    """Unit noise of every vehicle and motor over an episode, [steps, N, 4]; small, so that no action is clipped."""
    start = JumpStart(VEHICLES, 3, lasting(memory))
    return np.array([fly(start, step, noise=0.01)[0] - POLICY for step in range(steps)]) / 0.01


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_the_noise_keeps_its_deviation_and_lasts_as_long_as_its_memory(memory):
    noise = noise_of(memory)
    assert noise[0].std() == pytest.approx(1, abs=0.05)  # from the first step of an episode on
    assert noise[100:].std() == pytest.approx(1, abs=0.02)
    for lag in (1, 5):
        pairs = (noise[:-lag] * noise[lag:]).mean()
        assert pairs == pytest.approx(memory**lag, abs=0.02)


def test_a_new_episode_begins_with_new_noise():
    start = JumpStart(VEHICLES, 3, lasting(0.99))
    before = fly(start, 5, noise=0.1)[0] - POLICY
    after = fly(start, 0, noise=0.1)[0] - POLICY
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.1


def test_with_noise_spread_each_episode_has_its_own_share_of_the_noise():
    start = JumpStart(VEHICLES, 3, JumpStartSettings(spread=True, noise_spread=True))
    start.begin(ALL, 0)
    noise = np.array([fly(start, step, noise=0.01)[0] - POLICY for step in range(400)]) / 0.01
    share = noise.std((0, 2))
    np.testing.assert_allclose(np.sort(share), (np.arange(VEHICLES) + 0.5) / VEHICLES, atol=0.1)  # uniform from 0 to 1
    first = np.arange(VEHICLES) < 20
    before = start.loudness.copy()
    start.begin(first, 0)
    assert (start.loudness[first] != before[first]).all() and (start.loudness[~first] == before[~first]).all()


def test_the_correlation_time_of_a_recipe_is_in_seconds():
    assert JumpStart(1, 0, JumpStartSettings(noise_time=0.1)).memory == pytest.approx(np.exp(-0.1))
    assert JumpStart(1, 0, JumpStartSettings()).memory == 0


def test_actions_stay_within_their_limits_and_the_inputs_as_they_were():
    policy = np.full((VEHICLES, 4), 0.9, np.float32)
    action, _ = fly(jump_start(0), 0, noise=1.0, policy=policy)
    assert action.dtype == np.float32
    assert action.min() == -1 and action.max() == 1
    assert (policy == np.float32(0.9)).all() and (GUIDE == -0.5).all()


def test_equal_generators_give_equal_flights():
    def draws(seed):
        start = jump_start(100, seed=seed)
        return start.hand_over, fly(start, 60, noise=0.2)[0]

    for mine, same, other in zip(draws(1), draws(1), draws(2), strict=True):
        np.testing.assert_array_equal(mine, same)
        assert not np.array_equal(mine, other)
