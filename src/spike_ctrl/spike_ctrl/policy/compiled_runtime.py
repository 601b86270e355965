"""The policy for one vehicle in real time: the same step as the numpy runtime's, compiled by numba.

At 100 Hz on a busy computer the step is part of the time from a state to its command; compiled it takes a fraction of
numpy's, because a spike adds one row of weights and silence costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from spike_ctrl._files.arrays import Floats, Integers
from spike_ctrl._files.kernel import kernel, spliced
from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.membrane import fires, remainder, subtracted
from spike_ctrl.snn.neuron import PAPER, Neuron, Reset

_remainder, _subtracted, _fires = spliced(remainder), spliced(subtracted), spliced(fires)


@kernel(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _step(
    observation: Floats, membrane: Floats, spike: Floats, numbers: Floats, sizes: Integers, hard: bool, recurrent: bool
) -> tuple[Floats, Floats, Floats]:
    """One step of one vehicle. numbers: bias, beta, theta of all hidden neurons, then for each layer the weights [in, out],
    last the bias of the outputs. Gives action, membrane and spike in new arrays."""
    neurons, layers, outputs = membrane.size, sizes.size - 2, sizes[sizes.size - 1]
    bias, beta, theta = numbers[:neurons], numbers[neurons : 2 * neurons], numbers[2 * neurons : 3 * neurons]
    after, fired = np.empty_like(membrane), np.empty_like(spike)
    for i in range(neurons):
        after[i] = _remainder(membrane[i], spike[i], beta[i], hard) - _subtracted(spike[i], theta[i], hard) + bias[i]
    at, begin = 3 * neurons, 0
    for layer in range(layers):
        inputs, width = sizes[layer], sizes[layer + 1]
        u = after[begin : begin + width]
        for j in range(inputs):
            signal = observation[j] if layer == 0 else fired[begin - inputs + j]
            if signal != 0:
                row = numbers[at + j * width : at + (j + 1) * width]
                for i in range(width):
                    u[i] += signal * row[i]
        at += inputs * width
        if recurrent and layer == layers - 1:
            for j in range(width):
                if spike[begin + j] != 0:
                    row = numbers[at + j * width : at + (j + 1) * width]
                    for i in range(width):
                        u[i] += row[i]
            at += width * width
        for i in range(begin, begin + width):
            fired[i] = _fires(after[i], theta[i])
        begin += width
    inputs = sizes[layers]
    action = numbers[at + inputs * outputs : at + (inputs + 1) * outputs].copy()
    for j in range(inputs):
        if fired[begin - inputs + j] != 0:
            for i in range(outputs):
                action[i] += numbers[at + j * outputs + i]
    for i in range(outputs):
        action[i] = math.tanh(action[i])
    return action, after, fired


class CompiledPolicy(SpikingPolicy):
    """A SpikingPolicy whose step is compiled where there is one vehicle; a batch of more takes numpy's step.

    Sums are made in another order than numpy's: actions agree to some 1e-6, and a membrane that close to its threshold
    may spike in one and not in the other. The constructor compiles, some seconds where the cache of numba is empty.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], neuron: Neuron = PAPER, voltage: VoltageInput | None = None):
        super().__init__(weights, neuron, voltage)
        constants = self._single
        parts = [constants.bias, constants.beta, constants.theta]
        parts += [weight.T for _, weight, _ in self._layers] + [constants.output_weight.T, constants.output_bias]
        self._numbers = np.concatenate([part.ravel() for part in parts])
        self._size_array, self._hard = np.array(self.sizes), self.neuron.reset is Reset.HARD
        self.step(np.zeros(self.sizes[0], self.dtype), self.initial_state())

    def step(self, observation: np.ndarray, state: PolicyState) -> tuple[np.ndarray, PolicyState]:
        """As SpikingPolicy.step; compiled for observations [in] and [1, in]."""
        shape = observation.shape
        if shape[:-1] not in ((), (1,)):
            return super().step(observation, state)
        if shape[-1] != self.sizes[0] or shape[:-1] != state.membrane.shape[1:]:
            raise ValueError(f"observation: found shape {shape}, wanted {(*state.membrane.shape[1:], self.sizes[0])}")
        action, membrane, spike = _step(
            observation.ravel().astype(self.dtype, copy=False),
            state.membrane.ravel(),
            state.spike.ravel(),
            self._numbers,
            self._size_array,
            self._hard,
            self.neuron.recurrent,
        )
        if len(shape) == 1:
            return action, PolicyState(membrane, spike)
        return action[None], PolicyState(membrane[:, None], spike[:, None])
