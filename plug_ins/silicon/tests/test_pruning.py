"""A smaller network from a trained one.

- neurons that never spike go without a change of any action
- a neuron that always spikes is replaced by biases
- the checkpoint still holds the policy that it came from, and other numbers of neurons are refused
"""

import dataclasses

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint, self_test
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl_silicon.pruning import pruned

SIZES = (18, 12, 8, 4)


@pytest.fixture(scope="module")
def found():
    return checkpoint.load("models/crazyflie_hard_reset.safetensors")


def small(found, weights):
    contract = dataclasses.replace(found.manifest.contract, sizes=SIZES)
    return dataclasses.replace(found, weights=weights, manifest=dataclasses.replace(found.manifest, contract=contract))


@pytest.mark.parametrize("driven", [-1e3, 1e3], ids=["silent", "always on"])
def test_neurons_whose_spikes_never_change_go_without_a_change_of_any_action(
    found, random_weights, random_observations, driven
):
    neuron, observations = found.manifest.contract.neuron, random_observations(60, 18) / 40
    weights = random_weights(SIZES, neuron.recurrent)
    weights["layer0.bias"][[2, 7, 9]] = driven
    weights["layer1.bias"][[0, 5]] = driven
    wanted = self_test.answers(SpikingPolicy(weights, neuron), observations)
    after = pruned(small(found, weights), (9, 6), observations, "small")
    assert after.manifest.contract.sizes == (18, 9, 6, 4) and after.policy is found.policy
    ours = self_test.answers(SpikingPolicy(after.weights, neuron), observations)
    assert np.abs(ours - wanted).max() < 1e-5


@pytest.mark.parametrize("neurons", [(12,), (13, 8), (0, 8), (12, 8, 4)])
def test_other_numbers_of_neurons_are_refused(found, random_weights, random_observations, neurons):
    given = small(found, random_weights(SIZES, found.manifest.contract.neuron.recurrent))
    with pytest.raises(UsageError, match="--neurons"):
        pruned(given, neurons, random_observations(20, 18), "small")
