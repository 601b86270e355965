"""The policy in numpy alone, with the sums of the compiled step and of the exported C in their order: equal bit by bit.

numpy's own products add in an order that depends on the number of vehicles and on the processor. Here each neuron adds leak,
reset and bias, then the inputs one after another, then its own layer where it is recurrent: `numpy.add.reduce` over the
first axis of an array whose rows lie one after another adds row after row.
"""

import ctypes
from collections.abc import Callable, Mapping

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.membrane import fires, remainder, subtracted
from spike_ctrl.snn.neuron import PAPER, Neuron, Reset


class OrderedPolicy(SpikingPolicy):
    """A SpikingPolicy of float32 weights that steps one vehicle after another, slower than numpy's products for a batch."""

    def __init__(
        self, weights: Mapping[str, np.ndarray], neuron: Neuron = PAPER, voltage: VoltageInput | None = None
    ) -> None:
        super().__init__(weights, neuron, voltage)
        self._into = [np.ascontiguousarray(weight.T) for _, weight, _ in self._layers]
        self._out = np.ascontiguousarray(self._single.output_weight.T)
        self._tanh = _tanhf()

    def step(self, observation: np.ndarray, state: PolicyState) -> tuple[np.ndarray, PolicyState]:
        """As SpikingPolicy.step."""
        self.require_fit(observation, state)
        seen = observation.astype(self.dtype, copy=False)
        if observation.ndim == 1:
            return self._alone(seen, state)
        flown = [
            self._alone(one, PolicyState(membrane, spike))
            for one, membrane, spike in zip(seen, state.membrane.T, state.spike.T, strict=True)
        ]
        action = np.array([found for found, _ in flown], self.dtype).reshape(len(seen), self.outputs)
        after = (np.array([getattr(new, part) for _, new in flown], self.dtype) for part in ("membrane", "spike"))
        return action, PolicyState(*(np.ascontiguousarray(rows.reshape(len(seen), -1).T) for rows in after))

    def _alone(self, observation: Floats, state: PolicyState) -> tuple[Floats, PolicyState]:
        bias, beta, theta, _, output_bias = self._single
        hard = self.neuron.reset is Reset.HARD
        membrane = remainder(state.membrane, state.spike, beta, hard)
        membrane -= subtracted(state.spike, theta, hard)
        membrane += bias
        spike = np.empty_like(membrane)
        added = observation[:, None] * self._into[0][: len(observation)]
        for index, (where, _, layer_theta) in enumerate(self._layers):
            u, into, inputs = membrane[where], self._into[index], self.sizes[index]
            if len(into) > inputs:  # recurrent
                added = np.concatenate([added, into[inputs:][state.spike[where] != 0]])
            np.add.reduce(np.concatenate([u[None], added]), axis=0, out=u)
            spike[where] = fires(u, layer_theta)
            above = self._into[index + 1] if index + 1 < len(self._into) else self._out
            added = above[np.flatnonzero(spike[where])]  # a silent neuron adds nothing
        total = np.add.reduce(np.concatenate([output_bias[None], added]), axis=0)
        return np.array([self._tanh(value) for value in total], self.dtype), PolicyState(membrane, spike)


def _tanhf() -> Callable[[float], float]:
    """The C library's tanh of a float32, as the compiled step and the C take it; numpy's rounds otherwise now and then."""
    found = ctypes.CDLL(None).tanhf
    found.argtypes, found.restype = [ctypes.c_float], ctypes.c_float
    return found
