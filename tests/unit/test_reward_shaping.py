"""The reward above a floor: living on never costs, at any stage of any recipe. The flights into the wall are flown."""

import dataclasses

import numpy as np
import pytest
import torch
from td3bc_by_hand import algorithm, window

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.off_policy import OffPolicy
from spike_ctrl.learn.replay_buffer import Widths
from spike_ctrl.learn.rollout import training_environment
from spike_ctrl.learn.td3bc import TD3BC
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.reward import END, START, Coefficients, reward
from spike_ctrl.sim.reward_shaping import ShapedReward, derive
from spike_ctrl.sim.reward_terms import RewardTerm
from spike_ctrl.snn.network import SpikingNetwork

pytestmark = pytest.mark.slow

AIRFRAME = airframe.load("crazyflie")
HOVER = AIRFRAME.hover
SHIPPED = (resources.folder("config") / "recipes").glob("*.yaml")
FROM_REWARDS = sorted(path.stem for path in SHIPPED if recipes.load(path).algorithm != "bptt")


def crashes(environment, steps=200, seed=0):
    """Raw rewards of episodes that random actions flew into the wall, one array each."""
    rng, flying, found = np.random.default_rng(seed), [[] for _ in range(environment.num_envs)], []
    environment.reset(seed=seed)
    ended = np.zeros(environment.num_envs, bool)
    for _ in range(steps):
        pull = rng.uniform(-1, 1, (environment.num_envs, 4)).astype(np.float32)
        _, earned, terminated, truncated, _ = environment.step(pull)
        for n in np.flatnonzero(~ended):
            flying[n].append(earned[n])
            if terminated[n]:
                found.append(np.array(flying[n]))
        ended = terminated | truncated
        for n in np.flatnonzero(ended):
            flying[n] = []
    return found


def gain_of_one_more_step(rewards, gamma):
    """By how much each last step of an episode raises its return, had it crashed one step earlier instead: [T]."""
    returns = np.cumsum(rewards * gamma ** np.arange(len(rewards)))
    return np.diff(np.concatenate([[0], returns]))


@pytest.mark.parametrize("name", FROM_REWARDS)
@pytest.mark.parametrize("stage", [0.0, 0.5, 1.0])
def test_one_more_step_before_the_crash_never_lowers_the_return(name, stage):
    plan = recipes.find(name)
    assert plan.algorithm != "td3bc" or plan.td3bc.reward == "floored"
    environment = training_environment(plan, AIRFRAME, 64)
    environment.coefficients = plan.task.coefficients(plan.task.stage(stage))
    flights = crashes(environment)
    assert len(flights) > 50
    for root in (1.0, 0.5, 0.25):
        learned = plan.task.floored(HOVER, root)
        for gamma in (0.0, getattr(plan, plan.algorithm).gamma, 1.0):
            assert min(gain_of_one_more_step(learned(flight), gamma).min() for flight in flights) >= 0


def test_with_a_shifted_reward_it_does_lower_it_so_the_test_above_can_fail():
    flights = crashes(Environment(AIRFRAME, 64, Task(box=1.5, episode_steps=150), END))
    shifted = [gain_of_one_more_step(0.1 * (flight - 1), 0.97)[-10:].mean() for flight in flights]
    assert np.mean(shifted) < -0.1


def test_a_crash_is_an_absorbing_state_that_pays_the_floor_for_ever():
    learned, gamma = derive([START], 1.5, HOVER), 0.97
    rewards = np.array([0.9, 0.4, -0.7])  # all above the floor
    after = learned.floor / (1 - gamma)  # r / (1 - gamma)
    raw = sum(gamma**t * r for t, r in enumerate(rewards)) + gamma**3 * after
    floored = sum(gamma**t * r for t, r in enumerate(learned(rewards)))
    assert floored == pytest.approx(0.3 / (1 - learned.floor) * (raw - after), rel=1e-5)


def test_the_floor_is_the_reward_of_standing_level_at_the_nearest_point_of_the_wall():
    learned = derive([START], 1.5, HOVER)
    assert learned.floor == pytest.approx(1 - 1.5**2)
    assert learned(np.array([1.0])) == pytest.approx(0.3)  # at the set-point
    assert derive([START], 3.0, HOVER).floor == pytest.approx(1 - 9)
    assert derive([START, END], 1.5, HOVER).floor == pytest.approx(1 - 3.5 * 1.5**2)  # the worst of the curriculum
    costs_only = dataclasses.replace(START, survive=0.0)
    assert derive([costs_only], 1.5, HOVER).floor == pytest.approx(-(1.5**2))


def test_as_a_distance_it_falls_evenly_from_the_set_point_to_the_wall():
    learned = derive([START], 1.5, HOVER, exponent=0.5)
    away = np.array([0.0, 0.015, 0.15, 0.75, 1.5])
    np.testing.assert_allclose(learned(1 - away**2), 0.3 * (1 - away / 1.5), atol=1e-4)
    assert learned(np.array([1.3])) == pytest.approx(0.3)  # terms of your own may add a bonus


def test_beyond_the_floor_nothing_is_worse():
    learned = derive([START], 1.5, HOVER)
    tumbling = np.zeros((1, 18), np.float32)
    tumbling[0, :3], tumbling[0, 12:15] = 1.4, 8.0
    tumbling[0, 3:12] = np.diag([1, -1, -1]).ravel()  # upside down
    raw = reward(tumbling, np.ones((1, 4), np.float32), HOVER, START)
    assert raw < learned.floor
    assert learned(raw) == 0


def test_own_terms_move_the_floor_as_they_move_the_reward():
    term = RewardTerm("far", lambda observation, u, previous: np.abs(observation[:, :3]).sum(1), 2.0)
    assert derive([START], 1.5, HOVER, [term]).floor == pytest.approx(1 - 1.5**2 - 2 * 1.5)


def test_a_reward_that_does_not_care_where_the_vehicle_is_has_no_floor():
    with pytest.raises(
        ValueError, match="found 1 per step at the set-point and 1 at the wall, wanted more at the set-point"
    ):
        derive([Coefficients(position=0.0)], 1.5, HOVER)
    plan = recipes.from_dict({"name": "x", "task": {"reward": {"position": 0.0}}})
    with pytest.raises(UsageError, match=r"^task\.reward: found 1 per step"):
        plan.task.floored(HOVER)


def test_the_critics_of_a_floored_recipe_learn_exactly_that():
    learned = derive([START], 1.5, HOVER)
    plain = algorithm()
    floored = TD3BC(plain.actor, plain.critic, dataclasses.replace(plain.settings, reward="floored"), 1e-3, learned)
    sample = window(terminated=[2])
    sample.reward[:, 0] = [1.0, -5.0, -1.0]
    np.testing.assert_allclose(floored.batch(sample).reward[:, 0], learned(np.array([1.0, -5.0, -1.0])), rtol=1e-6)


def test_what_is_no_quadrotor_brings_the_worst_and_the_best_of_its_task():
    plan = recipes.from_dict({"name": "x", "replay": {"capacity": 4096}, "td3bc": {"history": 0}})
    generator, widths = torch.Generator(), Widths(observation=3, action=1, rotor_speed=0, disturbance=0)
    given = (plan, None, 1, 0, SpikingNetwork((3, 8, 1), generator=generator), generator, widths)
    with pytest.raises(ValueError, match=r"^td3bc\.reward: found 'floored', wanted the ShapedReward of the task where no"):
        OffPolicy(*given)
    worth = OffPolicy(*given, ShapedReward(-2.0, 0.0)).step_worth(np.array([0.0, -1.0, -2.0, -3.0]))
    np.testing.assert_allclose(worth, [0.3, 0.15, 0, 0], atol=1e-6)
