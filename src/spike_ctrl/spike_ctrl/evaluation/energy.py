"""What one control step costs: operations by NeuroBench's definitions, and two estimates of energy.

Definitions (NeuroBench, arXiv 2304.04640), per step and mean over the flights of the frozen evaluation:

    MACs        multiply-accumulates that were needed: inputs that are not 0, with weights that are not 0, where the
                inputs are real numbers
    ACs         the same where the inputs are spikes, so that nothing is multiplied
    dense       both, had no input and no weight been 0
    sparsity    share of the outputs of spiking or ReLU neurons that were 0
    footprint   bytes of parameters and of state
Biases and the neurons' own updates are not counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.sim.environment import Environment
from spike_ctrl.snn.weight_shapes import fan_in

MAC_PJ, AC_PJ = 4.6, 0.9  # 32-bit floating point at 45 nm: Horowitz, ISSCC 2014
SPIKE_PJ, SYNAPSE_PJ, UPDATE_PJ = 23.6, 1.7, 81.0  # Ps, Pw, Pu of arXiv 2510.24461, section 7


class Cost(NamedTuple):
    """Of one control step; footprint in bytes, sparsity of each hidden layer."""

    macs: float
    acs: float
    dense: int
    sparsity: float
    layer_sparsity: tuple[float, ...]
    footprint: int


def synaptic_operations(weight: np.ndarray, active: np.ndarray) -> float:
    """Operations of a layer [out, in] whose inputs are not 0 with the probabilities `active` [in]."""
    return float(active @ np.count_nonzero(weight, axis=0))


def spiking_energy_pj(sizes: Sequence[int], sparsity: float | Sequence[float], recurrent: bool = False) -> float:
    """The paper's estimate for Linear - LIF - ... - Linear of these sizes (inputs, hidden widths, outputs).

    E = sum over hidden layers N (Pu + N_before Pw) + Ps (1 - AS) N, + N_out N_last Pw: updates and weights of all
    neurons, spikes of those that fire. One sparsity for all hidden layers, or one for each. recurrent: the last hidden
    layer counts among those before itself.
    """
    hidden = sizes[1:-1]
    shares = [sparsity] * len(hidden) if isinstance(sparsity, int | float) else sparsity
    energy = sizes[-1] * sizes[-2] * SYNAPSE_PJ
    for before, width, share in zip(fan_in(sizes, recurrent), hidden, shares, strict=True):
        energy += width * (UPDATE_PJ + before * SYNAPSE_PJ) + SPIKE_PJ * (1 - share) * width
    return energy


def arithmetic_energy_pj(macs: float, acs: float) -> float:
    """Of the operations alone, 32-bit floating point at 45 nm; the same for both kinds of network."""
    return MAC_PJ * macs + AC_PJ * acs


class CountingSpikes:
    """A spiking policy as a controller that counts how often each input and each neuron is not 0."""

    def __init__(self, policy: SpikingPolicy):
        self.policy = policy

    def begin(self, vehicles: int) -> None:
        self._state, self.steps = self.policy.initial_state(vehicles), 0
        self.inputs = np.zeros(self.policy.sizes[0])
        self.spikes = np.zeros(sum(self.policy.sizes[1:-1]))

    def act(self, observation: np.ndarray, environment: Environment) -> np.ndarray:
        seen = complete_of(self.policy, observation, environment)
        action, self._state = self.policy.step(seen, self._state)
        self.inputs += (seen != 0).sum(0)
        self.spikes += self._state.spike.sum(1)
        self.steps += len(observation)
        return action

    def cost(self, weights: dict[str, np.ndarray]) -> Cost:
        sizes = self.policy.sizes
        active = np.split(self.spikes / self.steps, np.cumsum(sizes[1:-1])[:-1])
        layers = [weights[f"layer{i}.weight"] for i in range(len(sizes) - 2)] + [weights["output.weight"]]
        inputs = sizes[0]
        macs = synaptic_operations(layers[0][:, :inputs], self.inputs / self.steps)
        heard = [np.zeros(0), *active]  # by each layer, of spikes
        if self.policy.neuron.recurrent:
            heard[-2] = np.concatenate([heard[-2], active[-1]])
        spiking = [layers[0][:, inputs:], *layers[1:]]
        acs = sum(synaptic_operations(weight, rate) for weight, rate in zip(spiking, heard, strict=True))
        state = sum(array.nbytes for array in self.policy.initial_state())
        footprint = state + sum(weight.nbytes for weight in weights.values())
        return step_cost(sum(weight.size for weight in layers), macs, acs, active, footprint)


def step_cost(dense: int, macs: float, acs: float, active: Sequence[np.ndarray], footprint: int) -> Cost:
    """dense: number of weights. active: how often each hidden neuron is not 0, layer by layer."""
    overall = 1 - float(np.concatenate(active).mean())
    return Cost(macs, acs, dense, overall, tuple(1 - float(rate.mean()) for rate in active), footprint)
