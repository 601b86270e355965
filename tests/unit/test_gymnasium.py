"""The task under Gymnasium's own names: made, checked, ended and changed by plain arguments."""

import re
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import spike_ctrl
from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim.environment import Environment, SingleEnvironment
from spike_ctrl.sim.reward_terms import RewardTerm

NAME = "spike_ctrl/Position-v0"
HOVERING = {"at_target": 1.0, "rotors_low": 0.66, "rotors_high": 0.66}


@pytest.mark.parametrize(
    "imports",
    ["import spike_ctrl, gymnasium", "import gymnasium, spike_ctrl",
     "import spike_ctrl, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium",
     "import spike_ctrl; from gymnasium import make; import gymnasium"],
)  # fmt: skip
def test_the_names_are_registered_in_either_order_of_the_imports(imports):
    code = f"{imports}; print(gymnasium.spec('{NAME}').max_episode_steps, type(gymnasium.__loader__).__name__)"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["500", "SourceFileLoader"]


def test_one_vehicle_passes_gymnasiums_check_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(NAME).unwrapped)


def test_one_vehicle_passes_the_check_of_stable_baselines():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(gymnasium.make(NAME))


def test_many_vehicles_are_one_batched_environment():
    environment = gymnasium.make_vec(NAME, num_envs=64)
    assert isinstance(environment, Environment) and environment.num_envs == 64
    assert environment.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observation, _ = environment.reset(seed=0)
    assert observation in environment.observation_space and np.isfinite(environment.observation_space.high).all()
    assert environment.single_action_space == gymnasium.spaces.Box(-1, 1, (4,), np.float32)


def test_gymnasiums_wrapper_records_the_returns_of_many_vehicles():
    environment = gymnasium.wrappers.vector.RecordEpisodeStatistics(gymnasium.make_vec(NAME, num_envs=16))
    environment.reset(seed=0)
    ended = 0
    for _ in range(200):
        *_, info = environment.step(np.zeros((16, 4), np.float32))
        if "flight" in info:
            who = info["_flight"]
            np.testing.assert_allclose(info["episode"]["r"][who], info["flight"]["r"][who], rtol=1e-4, atol=1e-4)
            ended += who.sum()
    assert ended > 16


@pytest.mark.parametrize(
    ("options", "steps"), [({}, 500), ({"max_episode_steps": 20}, 20), ({"max_episode_steps": 700}, 700)]
)
def test_an_episode_is_truncated_after_the_steps_that_gymnasium_was_told(options, steps):
    hover = np.float32(2 * spike_ctrl.Airframe.load("crazyflie").hover - 1)
    one = gymnasium.make(NAME, start=HOVERING, box=2.0, **options)
    many = gymnasium.make_vec(NAME, num_envs=2, start=HOVERING, box=2.0, **options)
    one.reset(seed=0)
    many.reset(seed=0)
    for step in range(1, steps + 1):
        _, _, terminated, truncated, _ = one.step(np.full(4, hover))
        _, _, all_terminated, all_truncated, _ = many.step(np.full((2, 4), hover))
        assert not terminated and not all_terminated.any()
        assert truncated == all_truncated.all() == all_truncated.any() == (step == steps)


def test_one_vehicle_flies_as_the_first_of_many():
    one, many = spike_ctrl.make_env("crazyflie"), spike_ctrl.make_env("crazyflie", vehicles=3)
    assert isinstance(one, SingleEnvironment)
    np.testing.assert_array_equal(one.reset(seed=5)[0], many.reset(seed=5)[0][0])
    action = np.full(4, 0.2, np.float32)
    np.testing.assert_array_equal(one.step(action)[0], many.step(np.tile(action, (3, 1)))[0][0])


def test_the_arguments_reach_the_task():
    def upside(observation, u, previous):
        return (observation[:, 11] < 0).astype(np.float32)

    environment = spike_ctrl.make_env(
        "sih_quadx", 8, box=2.0, episode_steps=30, start={"tilt": 0.1}, randomisation={"mass": 0.2},
        reward={"survive": 3.0, "position": 0.5}, terms=[RewardTerm("upside", upside, 2.0)],
    )  # fmt: skip
    assert (environment.airframe.name, environment.task.box, environment.task.episode_steps) == ("sih_quadx", 2.0, 30)
    assert environment.task.start.tilt == 0.1 and environment.task.randomisation.mass == 0.2
    assert (environment.coefficients.survive, environment.coefficients.velocity) == (3.0, 0.01)
    assert {mass for mass in environment.plant[:, 0]} != {environment.airframe.mass} or environment.reset(seed=0)
    same = gymnasium.make_vec(NAME, num_envs=8, airframe="sih_quadx", reward={"survive": 3.0})
    assert same.coefficients.survive == 3.0 and same.airframe.name == "sih_quadx"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"airframe": "crazyfly"}, UsageError, "did you mean 'crazyflie'"),
        ({"box": 0.0}, ValueError, "box: found 0.0, wanted 0.1 to 100 m"),
        ({"reward": {"positon": 1.0}}, ValueError, "reward: unknown name 'positon'; did you mean 'position'"),
        ({"reward": {"position": -1.0}}, ValueError, "reward: position: found -1.0, wanted 0 to 1e\\+06"),
        ({"randomisation": {"mass": 2.0}}, ValueError, "randomisation: mass: found 2.0, wanted 0 to 0.9"),
        ({"randomisation": {"rotor_loss": {"chance": 2.0}}}, ValueError, "rotor_loss: chance: found 2.0, wanted 0"),
        ({"start": {"zzz": 2.0}}, ValueError, "start: unknown name 'zzz'; known: at_target, position, tilt"),
        ({"box": "1"}, UsageError, "box: found '1', wanted 0.1 to 100 m"),
        ({"airframe": None}, UsageError, "airframe: found None, wanted a name, a path or an Airframe"),
        ({"start": 3}, UsageError, "start: found 3, wanted a mapping of names to values, or InitialStates"),
        ({"reward": {"position": "1"}}, UsageError, "reward: position: found '1', wanted 0 to 1e\\+06"),
        ({"randomisation": {"sensors": 3}}, UsageError, "randomisation.sensors: found 3, wanted a mapping"),
        ({"terms": 3}, UsageError, "terms: found 3, wanted a list, each a RewardTerm"),
        ({"terms": "upside"}, UsageError, "terms: found 'upside', wanted a list, each a RewardTerm"),
        ({"inserts": [1]}, UsageError, r"inserts: found \[1\], wanted a mapping of steps to functions"),
        ({"episode_steps": 9}, TypeError, "episode_steps: found .*, wanted Gymnasium's own name for it, max_episode_steps"),
    ],
)
def test_a_wrong_argument_is_named(options, error, message):
    with pytest.raises(error, match=message):
        gymnasium.make(NAME, **options)
    with pytest.raises(error, match=message):
        gymnasium.make_vec(NAME, num_envs=2, **options)


@pytest.mark.parametrize("name", ["vehicles", "episode_steps"])
@pytest.mark.parametrize("given", ["4", 2.5, [3]])
def test_a_number_that_is_not_whole_is_named(name, given):
    with pytest.raises(UsageError, match=rf"^{name}: found {re.escape(repr(given))}, wanted .*a whole number"):
        spike_ctrl.make_env("crazyflie", **{"vehicles": 2, name: given})
