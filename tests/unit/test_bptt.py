"""The model gradient as a method of the learner: where it starts, that it learns, that it goes on as if nothing happened."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.evaluation.benchmark import evaluate, randomised
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import training_state
from spike_ctrl.learn.bptt import TILE
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import STATE_ROWS
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED

pytestmark = pytest.mark.slow

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 32


def recipe(**bptt):
    settings = {"updates": 2, "vehicles": 2 * TILE, "pool": 4 * TILE, "segment": 20, "action_rate": 0.1} | bptt
    return recipes.from_dict(
        {
            "name": "tiny",
            "algorithm": "bptt",
            "task": {"box": 1.5, "episode_steps": 20, "reward": "start"},
            "network": {"hidden": [32, 16], "slope": {"kind": "fixed", "k": 2}},
            "jump_start": {"horizon": 0, "rest": 0},
            "bptt": settings,
            "schedule": {"steps": 16000, "iteration_steps": 320, "averaging": 1, "learning_rate": 3e-3},
        }
    )


def learner(seed=0, **settings):
    return Learner(recipe(**settings), AIRFRAME, VEHICLES, seed)


def rows(environment, flags):
    zeros = np.zeros((environment.num_envs, 4), np.float32)
    return Rows(
        np.full(environment.num_envs, flags, np.uint8), environment.true_observation, environment.rotor_speed,
        environment.disturbance, zeros, zeros, np.zeros(environment.num_envs, np.float32),
    )  # fmt: skip


def fed(student, seed=0):
    environment = Environment(AIRFRAME, VEHICLES, Task())
    environment.reset(seed=seed)
    student.receive(rows(environment, FIRST))
    return environment


def test_it_starts_where_episodes_were_seen_to_start():
    student = learner()
    environment = fed(student)
    student.receive(rows(environment, FIRST | TERMINATED))  # a state that was not finite
    student.receive(rows(environment, 0))
    method = student.method
    assert method.received == VEHICLES
    wanted = environment.read(STATE_ROWS)
    found = method.starts[:VEHICLES]
    same = np.sign((found[:, 3:7] * wanted[:, 3:7]).sum(1, keepdims=True))  # q and -q are one attitude
    np.testing.assert_allclose(found[:, 3:7] * same, wanted[:, 3:7], atol=1e-5)
    np.testing.assert_allclose(np.delete(found, range(3, 7), 1), np.delete(wanted, range(3, 7), 1), atol=1e-6)
    student.iterate()
    state = np.concatenate([dynamics.read(tile.buffer, STATE_ROWS, TILE) for tile in method.tiles])
    assert np.isfinite(state).all() and len(state) == 4 * TILE


def test_without_a_start_nothing_is_updated():
    student = learner()
    before = student.flying_weights()
    assert "actor_loss" not in student.iterate()
    assert all(np.array_equal(before[name], value) for name, value in student.flying_weights().items())


def test_the_cost_falls():
    student = learner(updates=10)
    fed(student)
    costs = [student.iterate()["actor_loss"] for _ in range(12)]
    assert np.mean(costs[-3:]) < 0.5 * np.mean(costs[:3])


def test_equal_seeds_learn_alike_on_any_number_of_threads_and_others_do_not(monkeypatch):
    def weights(seed, cores):
        monkeypatch.setattr("os.sched_getaffinity", lambda process: range(cores))
        student = learner(seed)
        fed(student)
        student.iterate()
        return student.flying_weights()["layer0.weight"]

    np.testing.assert_array_equal(weights(0, 1), weights(0, 2))
    assert not np.array_equal(weights(0, 2), weights(1, 2))


def test_a_restored_learner_goes_on_bit_by_bit(tmp_path):
    original, twin = learner(), learner()
    fed(original)
    original.iterate()
    training_state.save(tmp_path / "state", *original.state())
    twin.restore(*training_state.load(tmp_path / "state"))
    mine, other = ([student.iterate() for _ in range(3)] for student in (original, twin))
    assert [m["actor_loss"] for m in mine] == [m["actor_loss"] for m in other]
    for name, value in original.flying_weights().items():
        np.testing.assert_array_equal(value, twin.flying_weights()[name])


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted():
    student = learner()
    fed(student)
    student.iterate()
    before = student.flying_weights()
    for tile in student.method.tiles:
        tile.membrane[:] = np.nan
        tile.flown[:] = 0
    assert student.iterate()["skipped_updates"] > 0
    assert all(np.isfinite(value).all() for value in student.flying_weights().values())
    assert before.keys() == student.flying_weights().keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vehicles": TILE + 16}, f"bptt.vehicles: found {TILE + 16}, wanted a multiple of {TILE}"),
        ({"pool": 3 * TILE}, f"bptt.pool: found {3 * TILE}, wanted a multiple of {2 * TILE}"),
    ],
)
def test_numbers_that_do_not_divide_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        learner(**settings)


def test_a_few_seconds_of_the_shipped_recipe_teach_it_to_stay():
    """From nothing to survival, with rollouts as in training; the whole recipe is measured by `experiment headline`."""
    plan = recipes.find("default")
    student = Learner(plan, AIRFRAME, 256, 0)
    rollout = Rollout(training_environment(plan, AIRFRAME, 256), 0)
    calm = np.zeros((256, 4), np.float32)
    for _ in range(50):  # a sixth of it
        for _ in range(8):
            seen = rollout.see()
            student.receive(rollout.fly(seen, calm, calm, 0, 0.1))
        student.iterate()
    found = evaluate(PolicyController(student.averaged_policy()), AIRFRAME, starts=64)
    assert found.columns["1.5m_start"]["survival"] > 0.9 and found.headline > 400


def test_randomised_plants_scale_with_the_airframe():
    small, large = randomised(AIRFRAME), randomised(airframe.load("sih_quadx"))
    assert small.force == pytest.approx(0.03) and small.moment == pytest.approx(1e-4)
    assert large.force == pytest.approx(0.03 / 0.027)
    assert (small.mass, small.delay, small.noise) == (large.mass, large.delay, large.noise) == (0.2, 2, 1.0)
