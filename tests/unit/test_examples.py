"""The examples of algorithms: what they learn. docs/extend.md has longer proofs; plug_ins/networks has those of networks."""

import numpy as np
import pytest
from example_runs import AIRFRAME, OWN, VEHICLES, recipe

from spike_ctrl._files import named_object
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.sim.episode_flags import FIRST

pytestmark = pytest.mark.slow


# --- an algorithm ---


def test_an_algorithm_of_your_own_makes_rewarded_actions_likelier(tmp_path):
    """All vehicles fly the same actions but for their noise; those that got more than the others are what it moves to."""
    learner = Learner(recipe(OWN, network={"hidden": [16, 8], "slope": {"kind": "fixed", "k": 5}}), AIRFRAME, VEHICLES, 0)
    own = learner.method
    wished = np.array([0.3, -0.3, 0.0, 0.2], np.float32)
    observation = np.tile(np.eye(3, dtype=np.float32).ravel(), (VEHICLES, 2))

    def distance():
        policy = learner.flying_policy()
        return float(np.square(policy.step(observation, policy.initial_state(VEHICLES))[0] - wished).sum(1).mean())

    before = distance()
    for _ in range(300):
        policy = learner.flying_policy()
        action = own.explore(observation, policy.step(observation, policy.initial_state(VEHICLES))[0])
        reward = 1 - np.square(action - wished).sum(1)
        blank = np.zeros((VEHICLES, 6), np.float32)
        flags = np.full(VEHICLES, FIRST, np.uint8)
        own.receive(Rows(flags, observation, blank[:, :4], blank, action.astype(np.float32), action, reward))
        own.update(0.0, 5.0, learner.average)
    assert distance() < 0.5 * before


def test_an_algorithm_without_the_protocols_methods_is_refused_by_their_names():
    with pytest.raises(ValueError, match=r"algorithm: examples\.gru:GRU: "):
        Learner(recipe({}, algorithm="examples.gru:GRU"), AIRFRAME, VEHICLES, 0)


# --- the rest ---


def test_the_pendulum_is_trained_by_the_same_td3bc():
    train_pendulum = named_object.find("examples.pendulum:train", "")
    found = []
    policy = train_pendulum(0, 3, lambda done, score: found.append((done, score)))
    assert (policy.inputs, policy.outputs) == (3, 1)
    assert found[0][0] == 3 and -2000 < found[0][1] < 0
