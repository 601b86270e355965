"""What learner and training vehicles tell the graph, as messages."""

import hashlib
import math
from types import SimpleNamespace

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.learn import recipe
from spike_ctrl.learn.learner import Learner, RolloutSettings
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.policy import checkpoint
from spike_ctrl_learner.training_messages import checkpoint_message, rollout_message, status_message
from spike_ctrl_ros.convert import nanoseconds, state_message, transition_message, view

LEARNER = Learner(recipe.find("debug"), airframe.load("crazyflie"), 4, 0)


def test_a_checkpoint_holds_the_weights_that_fly_and_its_own_sum():
    found = checkpoint_message(LEARNER, "run/3", 3, 7_000_000)
    data = bytes(found.data)
    assert (found.epoch, found.name, found.sha256) == (3, "run/3", hashlib.sha256(data).hexdigest())
    loaded = checkpoint.loads(data)
    assert all(np.array_equal(loaded.weights[name], value) for name, value in LEARNER.flying_weights().items())


def test_a_rollout_says_until_when_and_how_it_is_flown():
    found = rollout_message(RolloutSettings(50.0, 0.1, 0.25), 600, 3, 7_000_000)
    assert (found.epoch, found.until_tick, found.horizon, found.curriculum) == (3, 600, 50.0, 0.25)
    assert nanoseconds(found.header.stamp) == 7_000_000


def test_a_status_tells_metrics_by_the_names_of_its_fields_and_nan_for_the_others():
    run = SimpleNamespace(folder="runs/x", learner=LEARNER, remaining=12.0)
    found = status_message(run, {"return": 400.0, "slope": 2.0}, 3000.0, 3, 7_000_000)
    assert (found.return_mean, found.slope, found.steps_per_second, found.remaining_time) == (400.0, 2.0, 3000.0, 12.0)
    assert math.isnan(found.critic_loss) and (found.recipe, found.run) == ("debug", "runs/x")


def test_a_state_and_its_transition_carry_tick_epoch_and_stamp():
    seen = {"flags": np.uint8([1]), "observation": np.ones((1, 18), np.float32)}
    still = np.zeros((1, 4), np.float32)
    rows = Rows(seen["flags"], seen["observation"], None, None, still, still, np.ones(1, np.float32))
    for message in (state_message(5, 2, 50_000_000, **seen), transition_message(5, 2, 50_000_000, **rows._asdict())):
        assert (message.tick, message.epoch, nanoseconds(message.header.stamp)) == (5, 2, 50_000_000)
        assert message.header.frame_id == "odom" and view(message).observation.shape == (1, 18)
