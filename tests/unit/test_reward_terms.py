"""The reward of a recipe: weights and terms of your own, in the environment and through a training."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import SequenceBuffer
from spike_ctrl.learn.rollout import training_environment
from spike_ctrl.sim import reward_shaping
from spike_ctrl.sim.dynamics import COMMAND_ROWS
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.reward import END, START, Coefficients
from spike_ctrl.sim.reward_terms import RewardTerm

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 16
TASK = Task(box=1.5, episode_steps=20)


def change(observation, u, previous):
    return ((u - previous) ** 2).sum(1)


def height(observation, u, previous):
    return observation[:, 2]


def twins(*terms):
    """The same flight without and with the terms."""
    found = [Environment(AIRFRAME, VEHICLES, TASK, terms=some) for some in ((), terms)]
    for environment in found:
        environment.reset(seed=1)
    return found


# --- in the environment ---


def test_the_reward_is_less_by_each_cost_times_its_weight():
    plain, charged = twins(RewardTerm("change", change, 2.0), RewardTerm("height", height, -0.5))
    rng, previous = np.random.default_rng(0), np.full((VEHICLES, 4), AIRFRAME.hover)
    ended = np.zeros(VEHICLES, bool)
    for _ in range(50):
        action = rng.uniform(-1, 1, (VEHICLES, 4))
        seen, reward, terminated, truncated, _ = plain.step(action)
        other, found, *_ = charged.step(action)
        u = plain.read(COMMAND_ROWS)
        cost = 2.0 * np.square(u - previous).sum(1) - 0.5 * seen[:, 2]
        np.testing.assert_array_equal(seen, other)
        np.testing.assert_allclose(found, reward - np.where(ended, 0, cost), atol=1e-5)
        previous = np.where(ended[:, None], AIRFRAME.hover, u)
        ended = terminated | truncated
    assert not ended.all()


def test_the_return_of_an_episode_holds_its_terms_and_tells_their_sums():
    _, charged = twins(RewardTerm("change", change, 2.0))
    rng, total, episodes = np.random.default_rng(0), np.zeros(VEHICLES), 0
    for _ in range(45):
        _, reward, *_, info = charged.step(rng.uniform(-1, 1, (VEHICLES, 4)))
        total += reward
        if info:
            ended = info["_flight"]
            np.testing.assert_allclose(info["flight"]["r"][ended], total[ended], rtol=1e-4)
            assert (info["flight"]["cost_change"][ended] > 0).all() and not info["flight"]["cost_change"][~ended].any()
            total[ended], episodes = 0, episodes + ended.sum()
    assert episodes > VEHICLES


def test_a_term_is_shown_the_state_without_the_noise_of_the_sensors():
    seen = []
    task = Task(randomisation=Randomisation(noise=1.0))
    term = RewardTerm("spy", lambda o, u, previous: seen.append(o) or o[:, 0], 1.0)
    environment = Environment(AIRFRAME, VEHICLES, task, terms=(term,))
    environment.reset(seed=0)
    observed, *_ = environment.step(np.zeros((VEHICLES, 4)))
    np.testing.assert_array_equal(seen[0], environment.true_observation)
    assert not np.array_equal(seen[0], observed)


def test_costs_of_another_shape_are_refused_by_the_name_of_their_term():
    _, environment = twins(RewardTerm("whole", lambda o, u, previous: u - previous, 1.0))
    with pytest.raises(ValueError, match=r"reward term whole: found costs of shape \(16, 4\), wanted \(16,\)"):
        environment.step(np.zeros((VEHICLES, 4)))


def late(observation, u, previous):
    return observation[:, 0] + undefined  # noqa: F821


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (late, r"NameError: name 'undefined' is not defined \(test_reward_terms.py line \d+\)"),
        (lambda o, u, previous: o[:, :2], r"found costs of shape \(7, 2\), wanted \(7,\)"),
    ],
)
def test_a_term_that_fails_or_has_another_shape_ends_a_training_with_one_line(function, told):
    with pytest.raises(UsageError, match=f"^reward term mine: {told}"):
        reward_shaping.derive([Coefficients()], 0.6, 0.5, [RewardTerm("mine", function, 1.0)])


# --- in a recipe ---


def recipe(**blocks):
    return recipes.from_dict({"name": "mine", **blocks})


def test_weights_in_a_recipe_replace_those_of_the_paper_and_the_rest_are_those_of_the_start():
    task = recipe(task={"reward": {"position": 2, "velocity": 0.1}}).task
    for stage in (0.0, 1.0):
        assert task.coefficients(stage) == Coefficients(survive=1, position=2, velocity=0.1, attitude=0.25, action=0.14)
    assert recipe(task={"reward": "end"}).task.coefficients(recipe(task={"reward": "end"}).task.stage(0.3)) == END
    assert recipe(task={"reward": "start"}).task.coefficients(0.0) == START


def test_a_recipe_with_weights_and_terms_survives_being_written_down():
    terms = {"smooth": {"function": "examples.reward_terms:smooth", "weight": 0.5}}
    plan = recipe(task={"reward": {"position": 2}, "terms": terms})
    assert recipes.from_dict(recipes.to_dict(plan)) == plan
    environment = training_environment(plan, AIRFRAME, 4)
    environment.reset(seed=0)
    assert np.isfinite(environment.step(np.zeros((4, 4)))[1]).all()


@pytest.mark.parametrize(
    "task, message",
    [
        ({"reward": "middle"}, "task.reward: found 'middle', wanted one of start, end, curriculum or weights of survive,"),
        ({"reward": {"positon": 1}}, "unknown key 'task.reward.positon'; did you mean 'position'?"),
        ({"reward": {"position": -1}}, "task.reward.position: found -1, wanted 0 to 1e+06"),
        ({"terms": {"smooth": {"weight": 1}}}, "key 'task.terms.smooth.function' is missing"),
        ({"terms": {"smooth": {"function": "a:b"}}}, "key 'task.terms.smooth.weight' is missing"),
        ({"terms": {"position": {"function": "a:b", "weight": 1}}}, "task.terms: found a term 'position', wanted a word"),
        ({"terms": []}, "task.terms: found a list, wanted a mapping of names to terms"),
    ],
)
def test_whatever_is_wrong_with_a_reward_is_named(task, message):
    with pytest.raises(UsageError) as error:
        recipe(task=task)
    assert message in str(error.value)


def test_a_function_that_is_not_there_is_refused_when_the_environment_is_made():
    plan = recipe(task={"terms": {"smooth": {"function": "examples.reward_terms:smoth", "weight": 1}}})
    with pytest.raises(UsageError, match=r"task\.terms\.smooth\.function: found no smoth in examples\.reward_terms"):
        training_environment(plan, AIRFRAME, 4)


def test_rewards_that_are_recomputed_from_flights_refuse_terms():
    terms = {"smooth": {"function": "examples.reward_terms:smooth", "weight": 0.5}}
    student = Learner(recipe(task={"terms": terms}, replay={"capacity": 65536}), AIRFRAME, VEHICLES, 0)
    recorded = SequenceBuffer(1000, 1)
    student.method.learn_from(recorded, blind=False)  # transitions bring theirs
    with pytest.raises(ValueError, match=r"task\.terms: found smooth, wanted none"):
        student.method.learn_from(recorded, blind=True)


# --- through the model ---


def test_bptt_takes_weights_and_refuses_terms():
    plan = recipe(algorithm="bptt", task={"reward": {"position": 2, "attitude": 0.5}})
    objective = Learner(plan, AIRFRAME, VEHICLES, 0).method._objective(0.0)
    assert (objective.position, objective.attitude) == (2, 0.5)
    terms = {"smooth": {"function": "examples.reward_terms:smooth", "weight": 0.5}}
    with pytest.raises(ValueError, match=r"task\.terms: found smooth, wanted none for bptt"):
        Learner(recipe(algorithm="bptt", task={"terms": terms}), AIRFRAME, VEHICLES, 0)
