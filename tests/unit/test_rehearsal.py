"""The flight in simulation that separates a policy from weights that nobody trained."""

from itertools import islice

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.flight import rehearsal
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.rate_loop import begin_some

MODELS = {
    "crazyflie": "crazyflie", "crazyflie_robust": "crazyflie", "crazyflie_td3bc": "crazyflie",
    "crazyflie_hard_reset": "crazyflie", "crazyflie_l2f": "crazyflie_l2f", "sih_quadx": "sih_quadx",
    "crazyflie_any_rotor": "crazyflie_drag",
    "crazyflie_any_rotor_robust": "crazyflie_drag",
    "crazyflie_any_rotor_stuck": "crazyflie_drag",
}  # fmt: skip


def shipped(name):
    return checkpoint.load(resources.folder("models") / f"{name}.safetensors")


def changed(name, change):
    found = shipped(name)
    return SpikingPolicy(change({k: v.copy() for k, v in found.weights.items()}), found.manifest.contract.neuron)


def shuffled(seed):
    dice = np.random.default_rng(seed)
    return lambda weights: {name: dice.permutation(w.ravel()).reshape(w.shape) for name, w in weights.items()}


def flipped(weights):
    return weights | {name: -weights[name] for name in ("output.weight", "output.bias")}


@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_policy_passes(name):
    assert rehearse(shipped(name).policy, airframe.load(MODELS[name]), 100.0) is None


@pytest.mark.parametrize("name", ["crazyflie", "sih_quadx"])
@pytest.mark.parametrize("seed", range(10))
def test_shuffled_weights_never_pass(name, seed):
    why = rehearse(changed(name, shuffled(seed)), airframe.load(MODELS[name]), 100.0)
    assert why.startswith("in simulation ") and why.endswith("are more than 0.5 m from the set-point after 4 s")


@pytest.mark.parametrize("name", ["crazyflie", "sih_quadx"])
def test_a_policy_of_the_wrong_sign_does_not_pass(name):
    assert rehearse(changed(name, flipped), airframe.load(MODELS[name]), 100.0).startswith("in simulation 16 of 16")


def test_a_policy_of_another_airframe_does_not_pass():
    assert rehearse(shipped("crazyflie").policy, airframe.load("sih_quadx"), 100.0)


@pytest.mark.parametrize(("name", "tolerance"), [("crazyflie", 1e-2), ("sih_quadx", 1e-2)])
def test_it_flies_as_the_environment_does(name, tolerance):
    """Oracle: the environment's own kernel. Motors are integrated in finer steps here, so equality is not to the bit."""
    craft, policy = airframe.load(MODELS[name]), shipped(name).policy
    environment = Environment(craft, rehearsal.VEHICLES, Task(box=10.0, episode_steps=10_000))
    environment.reset(seed=0)
    fresh = dynamics.allocate(rehearsal.VEHICLES, craft)
    rehearsal._start(fresh, craft)
    for rows in (dynamics.STATE_ROWS, dynamics.ROTOR_ROWS):
        dynamics.write(environment.buffer, rows, dynamics.read(fresh, rows, rehearsal.VEHICLES))
    begin_some(environment.buffer, np.ones(rehearsal.VEHICLES, bool))
    state, theirs = policy.initial_state(rehearsal.VEHICLES), environment.true_observation
    for step, seen in enumerate(islice(rehearsal.fly_rehearsal(policy, craft, 100.0), 100)):
        if step:
            np.testing.assert_allclose(seen[:, :3], theirs[:, :3], atol=tolerance)
        action, state = policy.step(seen, state)
        theirs, *_ = environment.step(action)
