"""A run says by name when ending an episode early pays."""

import warnings

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.early_end import CRASHES, LAST_STEPS, EarlyEndWatch
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED

VEHICLES = 64


def test_it_means_over_the_last_steps_before_crashes_and_over_nothing_else():
    watch = EarlyEndWatch(CRASHES + 1)
    flags = np.full(CRASHES + 1, FIRST, np.uint8)
    for step in range(LAST_STEPS + 15):  # the first 15 steps do not count, nor does the vehicle whose time ran out
        worth = np.full(CRASHES + 1, 9.0 if step < 15 else -0.5)
        worth[-1] = 100.0
        watch.receive(worth, flags)
        flags = np.zeros_like(flags)
    end = np.full(CRASHES + 1, TERMINATED, np.uint8)
    end[-1] = TRUNCATED
    assert watch.worth is None
    watch.receive(np.full(CRASHES + 1, 7.0), end)  # the action of a final state is ignored
    assert watch.worth == pytest.approx(-0.5)


def test_episodes_shorter_than_that_count_with_the_steps_that_they_have():
    watch = EarlyEndWatch(CRASHES)
    for _ in range(2):  # the second episode must not reach back into the first
        watch.receive(np.full(CRASHES, 1.0), np.full(CRASHES, FIRST, np.uint8))
        watch.receive(np.full(CRASHES, 2.0), np.zeros(CRASHES, np.uint8))
        watch.receive(np.zeros(CRASHES), np.full(CRASHES, TERMINATED, np.uint8))
    assert watch.worth == pytest.approx(1.5) and watch.crashes == 2 * CRASHES


def student(reward_of="end", **settings):
    plan = recipes.from_dict(
        {
            "name": "trial",
            "task": {"box": 0.6, "episode_steps": 150, "reward": reward_of},
            "network": {"hidden": [8, 8], "slope": {"kind": "fixed"}},
            "jump_start": {"horizon": 0, "rest": 0, "noise": 1.0},
            "replay": {"capacity": 65536, "window": 20, "critic_batch": 4, "actor_batch": 4},
            "td3bc": {"burn_in": 5, "history": 0, "critic_updates": 1, "actor_updates": 1} | settings,
            "schedule": {"steps": 30000, "evaluations": 1},
        }
    )
    return Learner(plan, airframe.load("crazyflie"), VEHICLES, 0)


def fly(learner, stage=1.0):
    rollout = Rollout(training_environment(learner.recipe, learner.airframe, VEHICLES), 0)
    environment = rollout.environment
    environment.coefficients = learner.recipe.task.coefficients(stage)
    still = np.zeros((VEHICLES, 4), np.float32)
    for _ in range(400):
        seen = rollout.see()
        rows = rollout.fly(seen, still, still, 0.0, 1.0)
        learner.receive(rows)


def test_a_shifted_reward_under_which_crashing_pays_is_named_once():
    learner = student(reward="shifted", reward_scale=0.1, reward_shift=1.0, crash_reward=-1.0)
    with pytest.warns(RuntimeWarning) as told:
        fly(learner)
    assert len(told) == 1
    text = str(told[0].message)
    assert text.startswith("recipe trial: crashing early pays: each further step before a crash has the negative worth -0.")
    assert text.endswith("to td3bc; wanted td3bc.reward: floored")


def test_a_curriculum_under_which_it_pays_only_later_is_named_then():
    learner = student("curriculum", reward="shifted", reward_shift=-1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fly(learner, stage=0.0)
    with pytest.warns(RuntimeWarning, match="recipe trial: crashing early pays"):
        fly(learner, stage=1.0)


@pytest.mark.parametrize("settings", [{}, {"reward": "shifted", "reward_shift": -40.0}])
def test_a_reward_above_a_floor_and_one_that_is_shifted_far_enough_are_not(settings):
    learner = student(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fly(learner)
