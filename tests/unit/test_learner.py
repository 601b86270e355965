"""The learner: rows go in, a better policy comes out, and a restored one goes on as if nothing had happened."""

import dataclasses

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import training_state
from spike_ctrl.learn.learner import MAX_TICKS, Learner
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED

AIRFRAME = airframe.load("crazyflie")
VEHICLES = 16


def recipe(**blocks):
    tiny = {
        "name": "tiny",
        "task": {"box": 1.5, "episode_steps": 25, "reward": "start"},
        "network": {"hidden": [16, 8], "slope": {"kind": "adaptive"}},
        "jump_start": {"horizon": 25, "rest": 5, "until": 0.5, "spread": True},
        "replay": {"capacity": 4096, "window": 10, "critic_batch": 4, "actor_batch": 4},
        "td3bc": {"burn_in": 2, "label": "guide", "critic_updates": 2, "actor_updates": 2},
        "critic_width": 16,
        "schedule": {"steps": 16000, "iteration_steps": 320},
    }
    return recipes.from_dict(
        {key: value | blocks.get(key, {}) if isinstance(value, dict) else value for key, value in tiny.items()}
    )


def learner(seed=0, vehicles=VEHICLES, **blocks):
    return Learner(recipe(**blocks), AIRFRAME, vehicles, seed)


def flights(ticks, seed=0):
    """Rows of random flying, half of it by the guide."""
    rollout, rng = Rollout(training_environment(recipe(), AIRFRAME, VEHICLES), seed), np.random.default_rng(seed)
    guide, rows = GeometricGuide(AIRFRAME), []
    for _ in range(ticks):
        seen = rollout.see()
        advice, _ = guide.act(seen.observation, guide.initial_state(VEHICLES), seen.rotor_speed, seen.disturbance)
        rows.append(rollout.fly(seen, rng.uniform(-1, 1, (VEHICLES, 4)).astype(np.float32), advice, 25, 0.1))
    return rows


def learn(student, rows, iterations=1):
    """Metrics of each iteration, the rows shared out evenly."""
    metrics, ticks = [], len(rows) // iterations
    for start in range(0, ticks * iterations, ticks):
        for row in rows[start : start + ticks]:
            student.receive(row)
        metrics.append(student.iterate())
    return metrics


def flat(flags, reward=0.0):
    """One row of VEHICLES motionless vehicles with these flags."""
    zeros = [np.zeros((VEHICLES, width), np.float32) for width in (18, 4, 6, 4, 4)]
    return Rows(np.full(VEHICLES, flags, np.uint8), *zeros, np.full(VEHICLES, reward, np.float32))


# --- going on ---


@pytest.mark.parametrize("at_once", [False, True])
def test_a_restored_learner_goes_on_bit_by_bit(tmp_path, at_once):
    original = learner(td3bc={"at_once": at_once})
    learn(original, flights(104), iterations=4)  # four episodes of all vehicles
    training_state.save(tmp_path / "state", *original.state())
    twin = learner(td3bc={"at_once": at_once})
    twin.restore(*training_state.load(tmp_path / "state"))
    rows = flights(300, seed=1)  # more than the ring holds
    mine, other = learn(original, rows, iterations=5), learn(twin, rows, iterations=5)
    assert {"critic_loss", "actor_loss", "return", "survival", "slope"} <= set(mine[0])
    assert mine == other
    (arrays, info), (twin_arrays, twin_info) = original.state(), twin.state()
    assert set(arrays) == set(twin_arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, twin_arrays[name], err_msg=name)
    for name in ("method", "slope", "environment_steps", "iterations", "actor_updates"):
        assert info[name] == twin_info[name]


def test_a_restored_learner_forgot_none_of_its_episodes_and_counters():
    original, twin = learner(), learner()
    learn(original, flights(105), iterations=3)
    twin.restore(*original.state())
    assert twin.rollout_settings() == original.rollout_settings()
    assert twin.progress == original.progress == 105 * VEHICLES / 16000
    wanted, found = original.iterate(), twin.iterate()
    assert {k: v for k, v in found.items() if k != "guide_share"} == {k: v for k, v in wanted.items() if k != "guide_share"}


def test_an_episode_that_a_restart_cut_off_does_not_count_in_the_next_ones_return():
    student = learner()
    for row in (flat(FIRST, 5.0), flat(0, 5.0), flat(FIRST, 1.0), flat(0, 1.0), flat(TRUNCATED)):
        student.receive(row)
    metrics = student.iterate()
    assert (metrics["return"], metrics["length"]) == (2, 2)


@pytest.mark.parametrize("other", [{"vehicles": 8}, {"seed": 1}])
def test_the_state_of_another_run_is_refused_by_name(other):
    name = next(iter(other))
    with pytest.raises(ValueError, match=f"{name}: found {other[name]}, wanted {VEHICLES if name == 'vehicles' else 0}"):
        learner(**other).restore(*learner().state())


def test_a_state_saved_before_the_first_update_restores():
    original, twin = learner(), learner()
    twin.restore(*original.state())
    rows = flights(60)
    assert learn(twin, rows, iterations=2) == learn(original, rows, iterations=2)


@pytest.mark.parametrize("at_once", [False, True])
def test_equal_seeds_learn_alike_and_others_do_not(at_once):
    rows = flights(80)
    mine, same, other = (learner(seed=seed, td3bc={"at_once": at_once}) for seed in (0, 0, 1))
    metrics = learn(mine, rows, iterations=2)
    assert metrics == learn(same, rows, iterations=2)
    assert metrics != learn(other, rows, iterations=2)
    for a, b, c in zip(
        mine.flying_weights().values(), same.flying_weights().values(), other.flying_weights().values(), strict=True
    ):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c) or len(set(a.flat)) == 1  # the output bias starts at hover for all


# --- bookkeeping ---


def test_nothing_is_updated_until_windows_fit_and_the_metrics_say_so():
    student = learner()
    before = student.flying_weights()
    metrics = learn(student, flights(20))[0]
    assert "actor_loss" not in metrics and student.actor_updates == 0
    assert metrics["environment_steps"] == 20 * VEHICLES
    assert all(np.array_equal(before[name], value) for name, value in student.flying_weights().items())


def test_a_buffer_in_which_windows_never_fit_is_refused():
    with pytest.raises(ValueError, match="capacity"):
        learner(vehicles=64, replay={"capacity": 4096, "window": 20})  # 64 ticks, wanted 73


def test_returns_lengths_and_survival_by_hand():
    student = learner()
    half = np.arange(VEHICLES) < VEHICLES // 2
    crash = flat(0)._replace(flags=np.where(half, TERMINATED, 0).astype(np.uint8))
    rest = flat(0, 0.5)._replace(flags=np.where(half, FIRST, 0).astype(np.uint8))
    for row in (flat(FIRST | GUIDE, 1.0), flat(0, 2.0), crash, rest, flat(TRUNCATED)):
        student.receive(row)
    metrics = student.iterate()
    # Half crash after two steps worth 3, then fly one worth .5 to the limit; the others fly four steps worth 3.5.
    assert metrics["return"] == pytest.approx(np.mean([3, 0.5, 3.5]))
    assert metrics["length"] == pytest.approx(np.mean([2, 1, 4]))
    assert metrics["survival"] == pytest.approx(2 / 3)
    assert metrics["guide_share"] == pytest.approx(1 / 5)  # of the five ticks, the first
    assert student.environment_steps == 5 * VEHICLES


def test_a_policy_that_answers_nan_is_not_learnt_from_and_is_told_of_once():
    """Through the environment: the action is NaN, and so is the state that it leads to, which ends the episode."""
    rollout = Rollout(training_environment(recipe(), AIRFRAME, VEHICLES), 0)
    guide, student = GeometricGuide(AIRFRAME), learner()
    with pytest.warns(RuntimeWarning, match=r"8 of 16 vehicles have NaN or infinity .* after 160 steps") as told:
        for tick in range(120):
            seen = rollout.see()
            advice, _ = guide.act(seen.observation, guide.initial_state(VEHICLES), seen.rotor_speed, seen.disturbance)
            action = advice.copy()
            if tick % 30 == 10:
                action[::2] = np.nan
            rows = rollout.fly(seen, action, advice, 0, 0.1)
            student.receive(rows)
    assert len(told) == 1
    for name, array in student.method.buffer.arrays().items():
        assert np.isfinite(array).all(), name
    metrics = student.iterate()
    assert np.isfinite(list(metrics.values())).all() and "actor_loss" in metrics
    assert metrics["dropped_rows"] >= 4 * 8  # the actions, and the states after them
    assert all(np.isfinite(weight).all() for weight in student.flying_weights().values())
    assert 0 < metrics["survival"] < 1  # what ended so is a crash


def test_the_share_of_the_guide_is_that_of_the_vehicles_it_flies():
    student = learner()
    student.receive(flat(0)._replace(flags=np.array([GUIDE | FIRST] * 4 + [FIRST] * 12, np.uint8)))
    assert student.iterate()["guide_share"] == 0.25


def test_the_leave_follows_the_steps_flown():
    student = learner(task={"reward": "curriculum"})
    found = []
    for steps in (0, 4000, 8000, 12000, 16000, 20000):
        student.environment_steps = steps
        found.append((student.rollout_settings().horizon, student.rollout_settings().curriculum, student.finished))
    assert found == [(25, 0, False), (15, 0.25, False), (5, 0.5, False), (5, 0.75, False), (5, 1, True), (5, 1, True)]
    assert student.rollout_settings().noise == 0.1
    quieter = learner(jump_start={"noise": 0.4, "noise_left": 0.25})
    assert quieter.rollout_settings().noise == 0.4
    quieter.environment_steps = quieter.recipe.schedule.steps // 2
    assert quieter.rollout_settings().noise == pytest.approx(0.2)  # by equal factors
    quieter.environment_steps = quieter.recipe.schedule.steps
    assert quieter.rollout_settings().noise == pytest.approx(0.1)
    assert learner(task={"reward": "end"}).rollout_settings().curriculum == 1
    assert learner(jump_start={"until": 0.0}).rollout_settings().horizon == 5


def test_weights_and_learning_rate_follow_the_steps_flown():
    settings = {"bc": 1.0, "bc_end": 0.01, "q_from": 0.2, "q_full": 0.6}
    student = learner(td3bc=settings, schedule={"learning_rate": 1e-2, "learning_rate_end": 1e-4})
    learn(student, flights(60))
    found = []
    for progress in (0.0, 0.1, 0.4, 0.5, 1.0):
        student.environment_steps = int(progress * 16000)
        metrics = student.iterate()
        found.append((metrics["bc_weight"], metrics["q_weight"], metrics["learning_rate"]))
    wanted = [(10 ** (-2 * p), q, 10 ** (-2 - 2 * p)) for p, q in ((0, 0), (0.1, 0), (0.4, 0.5), (0.5, 0.75), (1, 1))]
    np.testing.assert_allclose(found, wanted)
    assert student.method.algorithm.actor_optimiser.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_an_iteration_has_its_vehicle_steps_but_not_too_many_ticks():
    assert learner().ticks_per_iteration == 320 // VEHICLES
    assert learner(schedule={"iteration_steps": 16}, vehicles=64).ticks_per_iteration == 1
    assert learner(schedule={"iteration_steps": 100_000}).ticks_per_iteration == MAX_TICKS


# --- learning ---


def test_it_learns_what_the_guide_would_do():
    settings = {
        "bc": 1,
        "bc_end": 1,
        "q_from": 1,
        "q_full": 1,
        "actor_updates": 10,
        "critic_updates": 0,
    }
    student = learner(
        td3bc=settings,
        schedule={"learning_rate": 1e-2},
        replay={"actor_batch": 32},
        network={"hidden": [64, 32], "slope": {"kind": "fixed"}},
    )
    rows = flights(200)
    losses = [metrics["imitation_loss"] for metrics in learn(student, rows, iterations=10) if "imitation_loss" in metrics]
    losses += [student.iterate()["imitation_loss"] for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_averaged_policy_lags_behind_the_flying_one_and_is_what_is_validated(monkeypatch):
    student = learner()
    learn(student, flights(60))
    flying, averaged = student.flying_weights(), student.averaged_weights()
    assert not np.array_equal(flying["output.weight"], averaged["output.weight"])
    seen = []
    monkeypatch.setattr("spike_ctrl.learn.learner.SpikingPolicy", lambda weights, *_: seen.append(weights))
    monkeypatch.setattr("spike_ctrl.learn.learner.evaluate", lambda *_, **options: options)
    options = student.validate()
    assert all(np.array_equal(seen[0][name], value) for name, value in averaged.items())
    assert options["seed"] != 51024461  # the frozen evaluation's starts are not for choosing


def test_the_policy_starts_at_hover():
    student = learner()
    state = student.actor.output.bias.detach().numpy()
    np.testing.assert_allclose((np.tanh(state) + 1) / 2, AIRFRAME.hover, rtol=1e-5)


def test_the_contract_names_vehicle_layouts_rate_and_sizes():
    contract = learner(network={"reset": "hard"}).contract()
    assert (contract.airframe, contract.airframe_hash) == ("crazyflie", AIRFRAME.hash)
    assert (contract.observation, contract.action, contract.rate_hz) == ("setpoint_frame_18", "motors", 100.0)
    assert contract.sizes == (18, 16, 8, 4) and contract.neuron.reset == "hard"
    assert dataclasses.asdict(contract)


def test_it_can_begin_with_given_weights_and_refuses_those_of_another_network():
    begun, other = learner(seed=1), learner(seed=2)
    begun.start_from(other.averaged_weights())
    for weights in (begun.flying_weights(), begun.averaged_weights(), begun.method.algorithm.actor_target.weights()):
        assert all((weights[name] == value).all() for name, value in other.averaged_weights().items())
    with pytest.raises(ValueError, match="wanted"):
        begun.start_from({"layer0.weight": np.zeros((2, 2), np.float32)})


def test_a_recipe_may_begin_with_the_weights_of_a_checkpoint():
    from spike_ctrl._files.errors import UsageError
    from spike_ctrl.policy import checkpoint

    craft, robust = airframe.load("crazyflie"), recipes.find("robust")
    made = Learner(dataclasses.replace(robust, weights="crazyflie_robust"), craft, 64, 0)
    wanted = checkpoint.load("crazyflie_robust").weights
    for found in (made.flying_weights(), made.averaged_weights()):
        for name in found:
            np.testing.assert_array_equal(found[name], wanted[name])
    with pytest.raises(UsageError, match=r"recipe robust: weights: crazyflie_l2f: .*found"):
        Learner(dataclasses.replace(robust, weights="crazyflie_l2f"), craft, 64, 0)
