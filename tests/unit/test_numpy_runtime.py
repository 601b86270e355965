"""The numpy runtime against the torch network."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import Neuron, Reset
from spike_ctrl.snn.weight_shapes import network_sizes, weight_shapes

pytestmark = pytest.mark.slow

SIZES = (18, 256, 128, 4)


def network(reset=Reset.SOFT, seed=0, sizes=SIZES, recurrent=False):
    return SpikingNetwork(sizes, Neuron(reset, recurrent=recurrent), generator=torch.Generator().manual_seed(seed))


def observations(*shape, seed=1):
    """Smooth signals, so that neurons go through quiet and busy times: [steps, ..., 18]."""
    noise = np.random.default_rng(seed).standard_normal((*shape, 18))
    for step in range(1, len(noise)):
        noise[step] = 0.9 * noise[step - 1] + 0.5 * noise[step]
    return noise


@pytest.mark.parametrize(("reset", "recurrent"), [(Reset.SOFT, False), (Reset.HARD, False), (Reset.SOFT, True)])
def test_ten_thousand_steps_equal_torch(reset, recurrent):
    """In double precision no membrane comes within rounding of its threshold, so all 3.84 million spikes must agree."""
    net = network(reset, recurrent=recurrent).double()
    policy = SpikingPolicy(net.weights(), net.neuron)
    inputs = observations(10_000)
    with torch.no_grad():
        wanted, wanted_state, wanted_rates = net.unroll(torch.from_numpy(inputs[:, None]), net.initial_state(1), 2.0)
    state, actions, spikes = policy.initial_state(), [], 0.0
    for observation in inputs:
        action, state = policy.step(observation, state)
        actions.append(action)
        spikes = spikes + np.array(policy.spike_rates(state))
    np.testing.assert_allclose(np.stack(actions), wanted[:, 0].numpy(), atol=1e-12)
    membrane = torch.cat([layer.membrane[0] for layer in wanted_state]).numpy()
    np.testing.assert_allclose(state.membrane, membrane, atol=1e-10)
    np.testing.assert_allclose(spikes / len(inputs), wanted_rates, rtol=1e-9)
    assert 0.02 < wanted_rates[0] < 0.9


def test_ten_thousand_single_precision_steps_equal_torch_but_for_membranes_at_the_threshold():
    """Both start each step from the same state. Where a spike differs, the membrane is within 1e-5 of its threshold,
    that happens to less than one neuron in 1e5, and where none differs the actions agree to 1e-6."""
    net = network()
    policy = SpikingPolicy(net.weights(), net.neuron)
    inputs = observations(10_000).astype(np.float32)
    state, flips, found = net.initial_state(1), 0, []
    with torch.no_grad():
        for observation in inputs:
            mine = PolicyState(
                *(np.concatenate([getattr(layer, name)[0] for layer in state]) for name in PolicyState._fields)
            )
            action, mine = policy.step(observation, mine)
            wanted, state = net.step(torch.from_numpy(observation[None]), state, 2.0)
            flipped = mine.spike != np.concatenate([layer.spike[0] for layer in state])
            flips += flipped.sum()
            if flipped.any():
                first = np.flatnonzero(flipped)[0]
                assert abs(mine.membrane[first] - policy.theta[first]) < 1e-5
            else:
                found.append((action, wanted[0].numpy()))
    np.testing.assert_allclose(*np.swapaxes(found, 0, 1), atol=1e-6)
    assert flips < 1e-5 * 10_000 * 384


def test_a_batch_is_its_vehicles_one_by_one():
    weights = {name: value.astype(np.float64) for name, value in network().weights().items()}
    policy = SpikingPolicy(weights)
    inputs = observations(50, 6)
    together, alone = policy.initial_state(6), [policy.initial_state() for _ in range(6)]
    for observation in inputs:
        actions, together = policy.step(observation, together)
        assert actions.shape == (6, 4)
        for vehicle in range(6):
            action, alone[vehicle] = policy.step(observation[vehicle], alone[vehicle])
            np.testing.assert_allclose(actions[vehicle], action, atol=1e-12)
    assert policy.spike_rates(together) == pytest.approx(np.mean([policy.spike_rates(state) for state in alone], axis=0))


def test_what_a_step_returns_may_be_kept():
    policy = SpikingPolicy(network().weights())
    first, second = observations(2).astype(np.float32)
    action, state = policy.step(first, policy.initial_state())
    kept = [array.copy() for array in (action, *state)]
    again, _ = policy.step(second, state)
    assert not np.array_equal(again, action)
    assert all(np.array_equal(array, copy) for array, copy in zip((action, *state), kept, strict=True))


def test_only_the_masked_vehicles_are_reset_even_from_nan():
    policy = SpikingPolicy(network().weights())
    _, state = policy.step(observations(1, 3)[0], policy.initial_state(3))
    state.membrane[:, 1] = np.nan
    after = policy.reset_rows(state, np.array([False, True, False]))
    assert not after.membrane[:, 1].any() and not after.spike[:, 1].any()
    assert np.array_equal(after.membrane[:, [0, 2]], state.membrane[:, [0, 2]])


def test_double_precision_observations_are_taken_in_single():
    policy = SpikingPolicy(network().weights())
    action, state = policy.step(np.zeros(18), policy.initial_state())
    assert action.dtype == state.membrane.dtype == np.float32


def test_sizes_follow_from_the_weights():
    weights = network(sizes=(18, 64, 32, 16, 4)).weights()
    assert network_sizes(weights) == (18, 64, 32, 16, 4)
    assert weight_shapes((18, 64, 32, 16, 4)) == {name: value.shape for name, value in weights.items()}


def test_wrong_shapes_are_named():
    policy = SpikingPolicy(network().weights())
    with pytest.raises(ValueError, match=r"observation: found shape \(17,\), wanted \(18,\)"):
        policy.step(np.zeros(17), policy.initial_state())
    with pytest.raises(ValueError, match=r"observation: found shape \(3, 18\), wanted \(4, 18\)"):
        policy.step(np.zeros((3, 18)), policy.initial_state(4))
    with pytest.raises(ValueError, match=r"mask: found shape \(3,\), wanted \(4,\)"):
        policy.reset_rows(policy.initial_state(4), np.zeros(3, bool))
    with pytest.raises(ValueError, match=r"layer1\.beta: found nothing, wanted shape \(128,\)"):
        SpikingPolicy({name: value for name, value in network().weights().items() if name != "layer1.beta"})


def test_the_aircraft_needs_no_torch():
    modules = "spike_ctrl.policy.checkpoint, spike_ctrl.policy.numpy_runtime"
    code = f"import sys, {modules}; print({{'torch', 'numba'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
