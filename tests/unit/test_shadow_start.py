"""A flight that begins with a hand-over: the vehicle is held in a hover, the policy remembers what another commanded."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.bptt import TILE
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.learn.shadow_start import PLANT, after_shadow, held
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.dynamics import STATE_ROWS
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.episode_flags import FIRST

STEPS, VEHICLES = 40, 8


@pytest.fixture(scope="module")
def policy():
    found = checkpoint.load(resources.folder("models") / "any_quad.safetensors").policy
    found.learns_plant = True
    return found


def seen():
    """Observations (T, 18, B) near a hover: position, rotation matrix, velocity, body rates."""
    level = np.concatenate([np.zeros(3), np.eye(3).ravel(), np.zeros(6)])[:, None]
    return (level + np.random.default_rng(3).normal(0, 0.01, (STEPS, 18, VEHICLES))).astype(np.float32)


def own_flight(policy, observation):
    """Actions (T, out, B) of a policy that commands, and its memory after them."""
    state, actions = policy.initial_state(VEHICLES), []
    for each in observation:
        action, state = policy.step(each.T, state)
        actions.append(action.T)
    return np.array(actions), state


def test_who_hears_its_own_commands_remembers_its_own_flight(policy):
    observation = seen()
    actions, wanted = own_flight(policy, observation)
    # Within what atanh can be told, 0.99, its own actions are no news.
    assert np.abs(actions).max() < 0.99
    found = after_shadow(policy, observation, (actions + 1) / 2)
    np.testing.assert_allclose(found.membrane, wanted.membrane, atol=2e-4)
    assert (found.spike != wanted.spike).mean() < 0.002


def test_who_hears_another_s_commands_remembers_another_flight(policy):
    observation = seen()
    actions, own = own_flight(policy, observation)
    other = after_shadow(policy, observation, (np.clip(actions + 0.4, -0.95, 0.95) + 1) / 2)
    assert np.abs(other.membrane - own.membrane).mean() > 0.01


def test_a_policy_that_cannot_be_told_is_refused():
    plain = checkpoint.load(resources.folder("models") / "crazyflie.safetensors").policy
    with pytest.raises(ValueError, match="recurrent: found false, wanted true"):
        after_shadow(plain, seen(), np.full((STEPS, 4, VEHICLES), 0.5, np.float32))


def learner(shadow, recurrent=True, seed=0):
    recipe = recipes.from_dict(
        {
            "name": "tiny",
            "base": "any_quad",
            "network": {"hidden": [32, 32], "recurrent": recurrent},
            "bptt": {"updates": 2, "vehicles": TILE, "pool": 2 * TILE, "segment": 30, "shadow": shadow},
            "schedule": {"steps": 16000, "iteration_steps": 320},
        }
    )
    craft = airframe.load("any_quad")
    student, environment = Learner(recipe, craft, 32, seed), Environment(craft, 32, Task())
    environment.reset(seed=seed)
    zeros = np.zeros((32, 4), np.float32)
    student.receive(
        Rows(
            np.full(32, FIRST, np.uint8), environment.true_observation, environment.rotor_speed,
            environment.disturbance, zeros, zeros, np.zeros(32, np.float32),
        )
    )  # fmt: skip
    return student


def test_a_vehicle_that_is_held_stays_where_it_is():
    """By the simulator, whose steps `held` does not know: 64 drawn quadrotors, steadily pushed, for half a second."""
    craft = airframe.load("any_quad")
    environment = Environment(craft, 64, Task(box=1e3, airframes=AirframeRanges(dead_time=(0, 0), charge=(0.75, 0.75))))
    environment.reset(seed=5)
    still = np.hstack([np.zeros((64, 3)), held(environment.read(PLANT), dynamics.geometry(craft))])
    speed = still[:, 13:]
    able = (speed > 0).all(1) & (speed < 1).all(1)
    assert able.sum() > 50
    dynamics.write(environment.buffer, STATE_ROWS, still)
    battery = craft.battery
    for _ in range(50):
        volts = environment.voltage[:, None]
        environment.step(2 * speed / battery.factor(volts) - 1)
    moved = environment.read(STATE_ROWS)
    assert np.linalg.norm(moved[able, :3], axis=1).max() < 0.02
    assert np.abs(moved[able, 10:13]).max() < 0.1


def test_training_begins_some_episodes_with_a_hand_over():
    own, told, again = learner(0.0), learner(1.0), learner(1.0)
    for student in (own, told, again):
        student.iterate()
    commands = [np.concatenate([tile.command for tile in student.method.tiles], axis=2) for student in (told, again)]
    assert np.isfinite(commands[0]).all()
    np.testing.assert_array_equal(*commands)
    for tile in told.method.tiles:
        who = np.ones(TILE, bool)
        told.method._restart(tile, who, 0)
        state = dynamics.read(tile.buffer, STATE_ROWS, TILE)
        assert not state[:, 7:13].any()  # at rest, though the states that were received move
        assert np.abs(tile.membrane).max() > 0.1 and np.ptp(tile.command, axis=0).max() == 0
    own.method._restart(own.method.tiles[0], np.ones(TILE, bool), 0)
    assert not own.method.tiles[0].membrane.any()


def test_only_a_network_that_hears_itself_can_begin_in_shadow():
    with pytest.raises(ValueError, match=r"bptt\.shadow: found 0\.5, wanted 0 but for a recurrent"):
        learner(0.5, recurrent=False)
