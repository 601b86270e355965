"""A smaller network from a trained one: the neurons stay whose spikes change the next layer most.

A neuron counts by the standard deviation of its spikes over a flight times the root of its squared outgoing weights. The
mean of the spikes of one that goes is added to the biases that it fed. The result is a start for `width_tuning`, by which it
learns the actions of the policy that it came from.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl_export import neuron_of


def pruned(found: Checkpoint, neurons: Sequence[int], observations: NDArray[np.float32], name: str) -> Checkpoint:
    """The checkpoint with so many neurons in its hidden layers; its `policy` is still the one that it came from.

    observations [S, in]: a flight. Raises UsageError for other networks and widths.
    """
    neuron = neuron_of(found, name, "integers")
    sizes, weights = found.manifest.contract.sizes, found.weights
    if len(neurons) != len(sizes) - 2 or any(not 1 <= few <= all_ for few, all_ in zip(neurons, sizes[1:-1], strict=True)):
        raise UsageError(f"--neurons: found {list(neurons)}, wanted {len(sizes) - 2} numbers from 1 to {list(sizes[1:-1])}")
    spikes = _spikes(SpikingPolicy(weights, neuron), observations)
    heard, small, start = np.arange(sizes[0]), dict(weights), 0
    for index, few in enumerate(neurons):
        key, width = f"layer{index}", sizes[index + 1]
        seen = spikes[:, start : start + width]
        start += width
        last = index == len(neurons) - 1
        own = neuron.recurrent and last
        into = weights["output.weight" if last else f"layer{index + 1}.weight"][:, :width]
        effect = (into**2).sum(axis=0) + ((weights[f"{key}.weight"][:, sizes[index] :] ** 2).sum(axis=0) if own else 0.0)
        stay = np.sort(np.argsort(-seen.std(axis=0) * np.sqrt(effect), kind="stable")[:few])
        columns = np.concatenate([heard, sizes[index] + stay]) if own else heard
        for part in ("weight", "bias", "beta", "theta"):
            small[f"{key}.{part}"] = small[f"{key}.{part}"][stay]
        small[f"{key}.weight"] = small[f"{key}.weight"][:, columns]
        gone = np.setdiff1d(np.arange(width), stay)
        fed = "output" if last else f"layer{index + 1}"
        small[f"{fed}.bias"] = (small[f"{fed}.bias"] + into[:, gone] @ seen[:, gone].mean(axis=0)).astype(np.float32)
        heard = stay
    small["output.weight"] = weights["output.weight"][:, heard]
    contract = replace(found.manifest.contract, sizes=(sizes[0], *neurons, sizes[-1]))
    return replace(found, weights=small, manifest=replace(found.manifest, contract=contract))


def _spikes(policy: SpikingPolicy, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    state, rows = policy.initial_state(), []
    for observation in observations:
        _, state = policy.step(observation, state)
        rows.append(state.spike > 0)
    return np.stack(rows).astype(np.float32)
