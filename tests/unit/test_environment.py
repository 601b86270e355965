"""Episodes of the position task, as Gymnasium's rules and the paper's task want them."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, SingleEnvironment, Task
from spike_ctrl.sim.randomisation import InitialStates, Randomisation
from spike_ctrl.sim.reward import END, START, TERMS, reward, squared_errors

CRAZYFLIE = airframe.load("crazyflie")
HOVER_ACTION = np.float32(2 * CRAZYFLIE.hover - 1)
ON_TARGET = InitialStates(at_target=1.0, rotors_low=CRAZYFLIE.hover, rotors_high=CRAZYFLIE.hover)


def hovering(vehicles, **task):
    """Vehicles that hover on their set-points, and the action that keeps them there."""
    environment = Environment(CRAZYFLIE, vehicles, Task(start=ON_TARGET, **task))
    environment.reset(seed=0)
    return environment, np.full((vehicles, 4), HOVER_ACTION)


def random_flight(environment, steps, seed=0):
    """The first observation, then what each step of a random flight returned, with the action that caused it."""
    rng = np.random.default_rng(seed)
    track = [(environment.reset(seed=seed)[0], None, None, None, {}, None)]
    for _ in range(steps):
        action = rng.uniform(-1, 1, (environment.num_envs, 4)).astype(np.float32)
        track.append((*environment.step(action), action))
    return track


# --- Gymnasium -------------------------------------------------------------------------------------------------------


def test_one_vehicle_passes_gymnasiums_check_env():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not having a.*spec")
        check_env(SingleEnvironment(CRAZYFLIE), skip_render_check=True)


def test_one_vehicle_works_under_gymnasiums_wrappers():
    environment = gymnasium.wrappers.RecordEpisodeStatistics(SingleEnvironment(CRAZYFLIE))
    environment.reset(seed=1)
    total, ended = 0.0, False
    while not ended:
        _, reward_, terminated, truncated, info = environment.step(np.zeros(4, np.float32))
        total, ended = total + reward_, terminated or truncated
    assert info["episode"]["r"] == pytest.approx(total)
    assert info["flight"]["r"] == pytest.approx(total, rel=1e-4)
    assert info["episode"]["l"] == info["flight"]["l"]


def test_the_batch_is_a_vector_environment_with_matching_spaces():
    environment = Environment(CRAZYFLIE, 7)
    assert isinstance(environment, VectorEnv)
    assert environment.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    observation, _ = environment.reset(seed=0)
    assert observation in environment.observation_space
    assert environment.single_observation_space.shape == (18,)
    action = environment.action_space.sample()
    assert action.shape == (7, 4)
    observation, reward_, terminated, truncated, _ = environment.step(action)
    assert observation in environment.observation_space
    assert reward_.shape == terminated.shape == truncated.shape == (7,)
    assert terminated.dtype == truncated.dtype == bool


def test_the_step_after_an_episodes_end_ignores_its_action_and_starts_the_next_with_reward_zero():
    environment = Environment(CRAZYFLIE, 64)
    again = Environment(CRAZYFLIE, 64)
    before, resets = None, 0
    for step in random_flight(environment, 200):
        observation, reward_, terminated, truncated, _, _ = step
        if before is not None and before.any():
            resets += before.sum()
            assert np.all(reward_[before] == 0)
            assert not np.any((terminated | truncated)[before])
            assert np.all(np.abs(observation[before, :3]) <= 0.5)
        before = None if terminated is None else terminated | truncated
    assert resets > 50
    again.reset(seed=0)
    again.reset()
    ended = environment.read(dynamics.EPISODE) == 2
    starts = again.read(dynamics.OBSERVATION_ROWS)
    first_of_second = first_observations(64, 200)
    np.testing.assert_array_equal(first_of_second[ended], starts[ended])


def first_observations(vehicles, steps):
    """The first observation of each vehicle's second episode in a random flight; NaN where it had none."""
    environment = Environment(CRAZYFLIE, vehicles)
    found = np.full((vehicles, 18), np.nan, np.float32)
    before = np.zeros(vehicles, bool)
    for observation, _, terminated, truncated, _, _ in random_flight(environment, steps):
        fresh = before & np.isnan(found[:, 0])
        found[fresh] = observation[fresh]
        before = np.zeros(vehicles, bool) if terminated is None else terminated | truncated
    return found


def test_a_reset_with_a_mask_begins_the_next_episode_in_those_vehicles_and_leaves_the_others_flying():
    whole, some = Environment(CRAZYFLIE, 20), Environment(CRAZYFLIE, 20)
    flown, _ = (random_flight(environment, 5)[-1][0] for environment in (whole, some))
    who = np.arange(20) % 3 == 0
    observation, _ = some.reset(options={"reset_mask": who})
    np.testing.assert_array_equal(observation[~who], flown[~who])
    np.testing.assert_array_equal(observation[who], whole.reset()[0][who])
    with pytest.raises(ValueError, match=r"reset_mask: found shape \(3,\), wanted \(20,\)"):
        some.reset(options={"reset_mask": who[:3]})


def test_one_seed_gives_all_starts_and_a_list_of_them_is_refused():
    with pytest.raises(ValueError, match=r"seed: found \[1, 2\], wanted one whole number"):
        Environment(CRAZYFLIE, 2).reset(seed=[1, 2])
    with pytest.raises(ValueError, match="seed: found -1, wanted one whole number, 0 or more"):
        Environment(CRAZYFLIE, 2).reset(seed=-1)


def test_the_observation_of_the_step_that_ends_an_episode_is_its_last_one():
    for observation, _, terminated, truncated, _, _ in random_flight(Environment(CRAZYFLIE, 64), 200)[1:]:
        outside = np.abs(observation[:, :3]).max(axis=1) > 0.6
        np.testing.assert_array_equal(terminated, outside)
        assert not np.any(terminated & truncated)


def test_an_episode_is_truncated_not_terminated_after_its_last_step():
    environment, action = hovering(3, episode_steps=20)
    for step in range(1, 21):
        _, _, terminated, truncated, info = environment.step(action)
        assert not terminated.any()
        assert truncated.all() == (step == 20)
    np.testing.assert_array_equal(info["flight"]["l"], [20, 20, 20])
    np.testing.assert_allclose(info["flight"]["r"], 20, rtol=1e-4)


def test_a_vehicle_that_leaves_the_box_in_the_last_step_is_terminated_not_truncated():
    environment, action = hovering(2, episode_steps=1)
    dynamics.write(environment.buffer, dynamics.POSITION, [0.7, 0.0])
    _, _, terminated, truncated, _ = environment.step(action)
    np.testing.assert_array_equal(terminated, [True, False])
    np.testing.assert_array_equal(truncated, [False, True])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_box_has_its_half_width_on_every_axis(axis, side):
    environment, action = hovering(2, box=0.6)
    dynamics.write(environment.buffer, dynamics.POSITION + axis, [0.59 * side, 0.61 * side])
    _, _, terminated, _, _ = environment.step(action)
    np.testing.assert_array_equal(terminated, [False, True])


def test_the_episode_statistics_are_sums_over_its_steps():
    environment = Environment(CRAZYFLIE, 32, coefficients=END)
    sums, episodes = np.zeros((32, 2 + len(TERMS))), 0
    before = np.zeros(32, bool)
    for observation, reward_, terminated, truncated, info, action in random_flight(environment, 300)[1:]:
        flying = ~before
        costs = squared_errors(observation, (action + 1) / 2, CRAZYFLIE.hover)
        sums[flying] += np.column_stack([reward_, np.ones(32), costs])[flying]
        sums[before] = 0
        before = terminated | truncated
        if before.any():
            np.testing.assert_array_equal(info["_flight"], before)
            names = ["r", "l", *(f"cost_{term}" for term in TERMS)]
            told = np.column_stack([info["flight"][name] for name in names])
            np.testing.assert_allclose(told[before], sums[before], rtol=2e-4, atol=1e-4)
            episodes += before.sum()
        else:
            assert info == {}
    assert episodes > 50


@pytest.mark.parametrize("coefficients", [START, END])
def test_the_reward_of_a_step_is_the_one_of_the_observation_it_reached_and_the_command_it_took(coefficients):
    before = np.zeros(32, bool)
    for step in random_flight(Environment(CRAZYFLIE, 32, coefficients=coefficients), 100)[1:]:
        observation, reward_, terminated, truncated, _, action = step
        wanted = np.where(before, 0, reward(observation, (action + 1) / 2, CRAZYFLIE.hover, coefficients))
        np.testing.assert_allclose(reward_, wanted, rtol=1e-4, atol=1e-5)
        before = terminated | truncated


def test_coefficients_may_change_between_steps():
    environment, action = hovering(1)
    dynamics.write(environment.buffer, dynamics.POSITION, [0.2])
    first = environment.step(action)[1]
    environment.coefficients = END
    second = environment.step(action)[1]
    assert first - second == pytest.approx(2.5 * 0.04, rel=1e-3)


# --- robustness ------------------------------------------------------------------------------------------------------


def test_a_perfect_hover_earns_500_in_500_steps():
    environment, action = hovering(1)
    for _ in range(500):
        *_, truncated, info = environment.step(action)
    assert truncated.all() and info["flight"]["r"][0] == pytest.approx(500, abs=0.01)


@pytest.mark.parametrize("row", [dynamics.POSITION, dynamics.QUATERNION, dynamics.VELOCITY, dynamics.RATES, dynamics.ROTORS])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_ends_the_episode_and_the_next_one_is_clean(row, value):
    environment, action = hovering(3)
    bad = environment.read(row)
    bad[1] = value
    dynamics.write(environment.buffer, row, bad)
    terminated = np.zeros(3, bool)
    for _ in range(3):  # a rotor's NaN reaches the position after the velocity
        if not terminated.any():
            _, _, terminated, _, _ = environment.step(action)
    np.testing.assert_array_equal(terminated, [False, True, False])
    observation, reward_, *_ = environment.step(action)
    assert np.isfinite(observation).all() and reward_[1] == 0
    assert np.isfinite(environment.step(action)[0]).all()


def test_an_action_that_is_not_a_number_crashes_its_own_vehicle_only():
    environment, action = hovering(3)
    action[1, 2] = np.nan
    _, _, terminated, _, _ = environment.step(action)
    np.testing.assert_array_equal(terminated, [False, True, False])


def test_actions_beyond_the_limits_act_as_the_limits():
    (one, _), (two, _) = hovering(4), hovering(4)
    np.testing.assert_array_equal(one.step(np.full((4, 4), 7.0))[0], two.step(np.ones((4, 4)))[0])
    np.testing.assert_array_equal(one.step(np.full((4, 4), -7.0))[0], two.step(-np.ones((4, 4)))[0])


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3), (4, 2)])
def test_actions_of_a_wrong_shape_are_refused_with_the_wanted_one(shape):
    environment, _ = hovering(2)
    with pytest.raises(ValueError, match=r"actions: found shape .*, wanted \(2, 4\)"):
        environment.step(np.zeros(shape, np.float32))


def test_no_vehicles_are_refused():
    with pytest.raises(ValueError, match="vehicles: found 0, wanted at least 1"):
        Environment(CRAZYFLIE, 0)


def test_equal_seeds_and_actions_give_equal_flights():
    one, two = (random_flight(Environment(CRAZYFLIE, 20), 150, seed=5) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_ten_thousand_random_steps_stay_finite():
    environment = Environment(CRAZYFLIE, 16, Task(box=1.5))
    rng = np.random.default_rng(0)
    environment.reset(seed=0)
    for action in rng.uniform(-1, 1, (10_000, 16, 4)).astype(np.float32):
        observation, reward_, _, _, _ = environment.step(action)
        assert np.isfinite(observation.sum()) and np.isfinite(reward_.sum())


def test_what_a_step_returned_is_not_overwritten_by_the_next():
    environment, action = hovering(2)
    kept = environment.step(action)
    copies = [np.copy(x) for x in kept[:4]]
    environment.step(-action)
    for was, is_ in zip(copies, kept[:4], strict=True):
        np.testing.assert_array_equal(was, is_)


# --- delay and noise of the sensors ---


def late(delay, steps=6):
    """Rotor commands of one step after another, where the action counts up from -1 by .1."""
    environment = Environment(CRAZYFLIE, 64, Task(box=100.0, randomisation=Randomisation(delay=delay)))
    environment.reset(seed=3)
    commands = []
    for step in range(steps):
        environment.step(np.full((64, 4), -1 + 0.1 * step, np.float32))
        commands.append(environment.read(dynamics.COMMAND_ROWS)[:, 0])
    return np.array(commands), environment.read(dynamics.DELAY)


def test_an_action_takes_effect_after_the_vehicles_own_delay_and_before_it_there_is_hover():
    commands, delay = late(2)
    assert set(delay) == {0, 1, 2}
    for vehicle, steps in enumerate(delay.astype(int)):
        wanted = [CRAZYFLIE.hover] * steps + [0.05 * step for step in range(6 - steps)]
        np.testing.assert_allclose(commands[:, vehicle], wanted, atol=1e-6)


def test_without_a_delay_actions_act_at_once():
    commands, delay = late(0)
    assert not delay.any()
    np.testing.assert_allclose(commands, np.tile(0.05 * np.arange(6)[:, None], 64), atol=1e-6)


def test_noise_has_its_size_is_not_in_the_reward_and_follows_the_seed():
    def first(noise, seed=5):
        environment = Environment(CRAZYFLIE, 4096, Task(randomisation=Randomisation(noise=noise)))
        environment.reset(seed=seed)
        observation, reward, *_ = environment.step(np.zeros((4096, 4), np.float32))
        return observation, environment.true_observation, reward

    noisy, true, reward = first(2.0)
    calm, _, same = first(0.0)
    np.testing.assert_array_equal(true, calm)
    np.testing.assert_array_equal(reward, same)
    wanted = np.repeat([0.02, 0.02, 0.06, 0.1], [3, 9, 3, 3])
    np.testing.assert_allclose((noisy - true).std(axis=0), wanted, rtol=0.1)
    np.testing.assert_array_equal(noisy, first(2.0)[0])
    assert not np.array_equal(noisy, first(2.0, seed=6)[0])
