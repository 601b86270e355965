"""The policy in real time: the same step as the numpy runtime's, compiled by numba, for one vehicle or a batch.

At 100 Hz on a busy computer the step is part of the time from a state to its command; compiled it takes a fraction of
numpy's, because a spike adds one row of weights and silence costs nothing.

Every sum has one order, that of the exported C: leak, reset and bias, then the inputs one after another, then the neuron's
own layer where it is recurrent; no product is fused with a sum. So one vehicle, a batch and the C are equal bit by bit.
"""

import math
from collections.abc import Mapping
from types import FunctionType

import numpy as np

from spike_ctrl._files.arrays import Floats, Integers
from spike_ctrl._files.kernel import kernel, spliced
from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.membrane import fires, remainder, subtracted
from spike_ctrl.snn.neuron import PAPER, Neuron, Reset

_remainder, _subtracted, _fires = spliced(remainder), spliced(subtracted), spliced(fires)
TILE = 16  # vehicles whose columns are gathered at once: as many float32 as a cache line holds


def _steps(
    observation: Floats, membrane: Floats, spike: Floats, numbers: Floats, sizes: Integers, hard: bool, recurrent: bool
) -> tuple[Floats, Floats, Floats]:
    """One step of B vehicles: observation [B, in], membrane and spike [N, B] before it.

    numbers: bias, beta, theta of all hidden neurons, then for each layer the weights [in, out], at last the outputs' bias.
    Gives action [B, out], membrane and spike in new arrays.
    """
    neurons, vehicles = membrane.shape
    layers, outputs = sizes.size - 2, sizes[sizes.size - 1]
    bias, beta, theta = numbers[:neurons], numbers[neurons : 2 * neurons], numbers[2 * neurons : 3 * neurons]
    after, fired = np.empty_like(membrane), np.empty_like(spike)
    action = np.empty((vehicles, outputs), membrane.dtype)
    shape = TILE, neurons
    before, spiked, now = np.empty(shape, bias.dtype), np.empty(shape, bias.dtype), np.empty(shape, bias.dtype)
    active = np.empty(neurons, np.int64)
    for first in range(0, vehicles, TILE):
        some = min(TILE, vehicles - first)
        if vehicles == 1:
            for n in range(neurons):
                before[0, n], spiked[0, n] = membrane[n, 0], spike[n, 0]
        else:
            for n in range(neurons):
                for v in range(some):
                    before[v, n], spiked[v, n] = membrane[n, first + v], spike[n, first + v]
        for v in range(some):
            u, s, fires_now = before[v], spiked[v], now[v]
            for i in range(neurons):
                u[i] = _remainder(u[i], s[i], beta[i], hard) - _subtracted(s[i], theta[i], hard) + bias[i]
            at, begin, count = 3 * neurons, 0, 0
            for layer in range(layers):
                inputs, width = sizes[layer], sizes[layer + 1]
                into = u[begin : begin + width]
                if layer == 0:
                    for j in range(inputs):
                        signal = observation[first + v, j]
                        if signal != 0:
                            row = numbers[at + j * width : at + (j + 1) * width]
                            for i in range(width):
                                into[i] += signal * row[i]
                else:
                    for k in range(count):
                        row = numbers[at + active[k] * width : at + (active[k] + 1) * width]
                        for i in range(width):
                            into[i] += row[i]
                at += inputs * width
                if recurrent and layer == layers - 1:
                    for j in range(width):
                        if s[begin + j] != 0:
                            row = numbers[at + j * width : at + (j + 1) * width]
                            for i in range(width):
                                into[i] += row[i]
                    at += width * width
                count = 0
                for i in range(width):
                    fires_now[begin + i] = _fires(into[i], theta[begin + i])
                    active[count] = i
                    count += fires_now[begin + i] != 0
                begin += width
            end = at + sizes[layers] * outputs
            for i in range(outputs):
                total = numbers[end + i]
                for k in range(count):
                    total += numbers[at + active[k] * outputs + i]
                action[first + v, i] = math.tanh(total)
        if vehicles == 1:
            for n in range(neurons):
                after[n, 0], fired[n, 0] = before[0, n], now[0, n]
        else:
            for n in range(neurons):
                for v in range(some):
                    after[n, first + v], fired[n, first + v] = before[v, n], now[v, n]
    return action, after, fired


_ordered = kernel(cache=True, nogil=True, error_model="numpy")(_steps)
# As the step was before; by a name of its own, for the files of numba's cache know a function's name but not its rules.
_contracted = FunctionType(_steps.__code__, globals())
_contracted.__qualname__ = "_contracted"
_fused = kernel(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(_contracted)


class CompiledPolicy(SpikingPolicy):
    """A SpikingPolicy whose step is compiled.

    Sums are made in another order than numpy's: actions agree to some 1e-6, and a membrane that close to its threshold
    may spike in one and not in the other. The constructor compiles, some seconds where the cache of numba is empty. fused:
    products are fused with sums, as in flights that were recorded before there was one order; for their replay.
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], neuron: Neuron = PAPER, voltage: VoltageInput | None = None,
        fused: bool = False,
    ):  # fmt: skip
        super().__init__(weights, neuron, voltage)
        constants = self._single
        parts = [constants.bias, constants.beta, constants.theta]
        parts += [weight.T for _, weight, _ in self._layers] + [constants.output_weight.T, constants.output_bias]
        self._numbers = np.concatenate([part.ravel() for part in parts])
        self._size_array, self._hard = np.array(self.sizes), self.neuron.reset is Reset.HARD
        self._step = _fused if fused else _ordered
        self.step(np.zeros(self.sizes[0], self.dtype), self.initial_state())

    def step(self, observation: np.ndarray, state: PolicyState) -> tuple[np.ndarray, PolicyState]:
        """As SpikingPolicy.step."""
        self.require_fit(observation, state)
        alone = observation.ndim == 1
        seen = np.ascontiguousarray(observation[None] if alone else observation, self.dtype)
        membrane, spike = map(np.ascontiguousarray, [part[:, None] for part in state] if alone else state)
        action, membrane, spike = self._step(
            seen, membrane, spike, self._numbers, self._size_array, self._hard, self.neuron.recurrent
        )
        if alone:
            return action[0], PolicyState(membrane[:, 0], spike[:, 0])
        return action, PolicyState(membrane, spike)
