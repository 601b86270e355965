"""Rolling out: rows say what was seen, who flew, what it earned, and where episodes begin and end."""

from types import SimpleNamespace

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.replay_buffer import SequenceBuffer
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED
from spike_ctrl.sim.reward import START, reward

VEHICLES, STEPS = 24, 30
AIRFRAME = airframe.load("crazyflie")
ENDED = TERMINATED | TRUNCATED


def recipe(box=1.5, **task):
    return recipes.from_dict({"name": "test", "task": {"box": box, "episode_steps": STEPS, "reward": "start"} | task})


def flights(ticks, policy=-1.0, horizon=0.0, noise=0.0, seed=0, spread=True, **task):
    """Rows of some ticks and the episodes that ended, of a policy with one action and the geometric guide."""
    environment, told = training_environment(recipe(**task), AIRFRAME, VEHICLES), []
    rollout = Rollout(environment, seed, recipes.JumpStartSettings(spread=spread))
    step = environment.step
    environment.step = lambda actions: told.append(step(actions)) or told[-1]
    guide, rows, episodes = GeometricGuide(AIRFRAME), [], []
    action = np.full((VEHICLES, 4), policy, np.float32)
    for _ in range(ticks):
        seen = rollout.see()
        advice, _ = guide.act(
            seen.observation, guide.initial_state(VEHICLES), seen.rotor_speed, seen.disturbance, seen.plant
        )
        rows.append(rollout.fly(seen, action, advice, horizon, noise))
        episodes.append(ended(*told[-1]))
    return rows, episodes


def ended(observation, reward, terminated, truncated, info):
    """Returns, lengths and crashes of the episodes that end with a step of the environment."""
    ends = terminated | truncated
    flight = info.get("flight", {"r": np.empty(VEHICLES), "l": np.empty(VEHICLES)})
    return SimpleNamespace(returns=flight["r"][ends], lengths=flight["l"][ends], crashed=terminated[ends])


def column(rows, name):
    return np.array([getattr(row, name) for row in rows])


def test_an_episode_is_framed_by_first_and_its_end_and_the_next_begins_one_row_later():
    flags = column(flights(100, horizon=STEPS, spread=False)[0], "flags") & (FIRST | ENDED)
    expected = [FIRST, *[0] * (STEPS - 1), TRUNCATED]
    assert (flags == np.resize(expected, 100)[:, None]).all()


def test_every_end_is_followed_by_a_beginning_and_crashes_are_apart_from_time_limits():
    rows, episodes = flights(200, policy=-1.0, box=0.6)
    flags = column(rows, "flags")
    ended = (flags & ENDED) > 0
    assert not ((flags & ENDED) == ENDED).any()
    np.testing.assert_array_equal(ended[:-1], (flags[1:] & FIRST) > 0)
    outside = np.abs(column(rows, "observation")[..., :3]).max(axis=-1) > 0.6
    np.testing.assert_array_equal((flags & TERMINATED) > 0, outside)
    assert (flags & TERMINATED).any() and (flags & TRUNCATED).any()
    assert sum(found.crashed.sum() for found in episodes[:-1]) == ((flags & TERMINATED) > 0).sum()


def test_the_reward_of_a_row_is_that_of_its_action_and_the_state_it_led_to():
    rows, _ = flights(90, policy=0.3, noise=0.2, box=0.6)
    flying = (column(rows, "flags")[:-1] & ENDED) == 0
    observation, action = column(rows, "observation"), column(rows, "action")
    wanted = [reward(after, (a + 1) / 2, AIRFRAME.hover, START) for after, a in zip(observation[1:], action, strict=False)]
    found = column(rows, "reward")[:-1]
    np.testing.assert_allclose(found[flying], np.array(wanted)[flying], rtol=1e-5, atol=1e-5)
    assert (found[~flying] == 0).all()


def test_the_rewards_between_two_ends_sum_to_the_episodes_return():
    rows, episodes = flights(150, policy=-0.5, box=0.6)
    total, steps = np.zeros(VEHICLES), np.zeros(VEHICLES)
    for row, after, found in zip(rows, rows[1:], episodes, strict=False):
        flying = (row.flags & ENDED) == 0
        total += row.reward
        steps += flying
        ends = (after.flags & ENDED) > 0
        np.testing.assert_allclose(found.returns, total[ends], rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(found.lengths, steps[ends])
        np.testing.assert_array_equal(found.crashed, (after.flags[ends] & TERMINATED) > 0)
        total[ends] = steps[ends] = 0


def test_steps_flown_by_the_guide_are_flagged_and_bear_its_action():
    rows, _ = flights(STEPS, policy=-0.2, horizon=20, noise=0.1)
    for step, row in enumerate(rows):
        by_guide = (row.flags & GUIDE) > 0
        np.testing.assert_array_equal(row.action[by_guide], row.guide_action[by_guide])
        assert (row.action[~by_guide] != row.guide_action[~by_guide]).any(axis=1).all()
        assert not by_guide.any() or step < 20
    assert 0.1 < ((column(rows, "flags") & GUIDE) > 0).mean() < 0.6


def test_without_spread_the_hand_over_comes_at_the_same_step_of_every_episode():
    flags = column(flights(3 * (STEPS + 1), policy=0.3, horizon=12, spread=False, box=100.0)[0], "flags")
    by_guide = (flags & GUIDE) > 0
    assert (by_guide == (np.arange(len(flags)) % (STEPS + 1) < 12)[:, None]).all()


def test_rows_go_into_the_buffer_and_come_out_as_whole_flights():
    rows, _ = flights(150, horizon=STEPS, spread=False)
    buffer = SequenceBuffer(VEHICLES * 150, VEHICLES)
    for row in rows:
        buffer.add(row)
    sample = buffer.sample(200, STEPS, 0, np.random.default_rng(0))
    assert sample.mask.all() and (sample.age == 0).all() and not sample.terminated.any()


def test_rotor_speeds_and_disturbance_are_those_before_the_action():
    rows, _ = flights(3, policy=1.0, randomisation={"force": 0.01, "moment": 1e-5})
    speed, disturbance = column(rows, "rotor_speed"), column(rows, "disturbance")
    assert (speed[1] > speed[0]).all() and (speed[2] > speed[1]).all()
    np.testing.assert_array_equal(disturbance[0], disturbance[2])
    assert len(np.unique(disturbance[0])) == 6 * VEHICLES


def test_the_true_plant_is_shown_only_where_it_differs_from_the_nominal():
    assert Rollout(training_environment(recipe(), AIRFRAME, 3), 0).see().plant is None
    plant = Rollout(training_environment(recipe(randomisation={"mass": 0.1}), AIRFRAME, 3), 0).see().plant
    assert len(plant) == 3 and len(np.unique(plant[:, 0])) == 3


@pytest.mark.parametrize("seed, same", [(5, True), (6, False)])
def test_equal_seeds_give_equal_flights_and_others_do_not(seed, same):
    options = {"policy": 0.2, "horizon": 20, "noise": 0.2}
    mine, other = flights(70, seed=5, **options)[0], flights(70, seed=seed, **options)[0]
    equal = [np.array_equal(a, b) for row, twin in zip(mine, other, strict=True) for a, b in zip(row, twin, strict=True)]
    assert all(equal) == same
