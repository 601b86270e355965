"""A policy whose step is integers from the observation to the action: what the FPGA core computes, bit by bit.

Hidden layers compute as the exported C with int8 weights does (`spike_ctrl_export.integer_policy`), with weights, leaks and
membranes of the stated widths. The readout is integer too:

    y = (scale sum_j w_j s_j + bias + 2^(S - 1)) / 2^S        in units of 2^-9
    action = sign(y) table[min(|y|, 2047)]                    in units of 2^-15, table[i] = tanh(i 2^-9)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.policy.numpy_runtime import PolicyState
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl_export.integer_policy import INPUT_BITS, INPUT_LIMIT, IntegerPolicy, Tables

TANH_BITS, TANH_ENTRIES, ACTION_BITS = 9, 2048, 15
TANH = np.rint(2.0**ACTION_BITS * np.tanh(np.arange(TANH_ENTRIES) / 2.0**TANH_BITS)).astype(np.int64)
"""tanh of 0 to 4 in steps of 2^-9; the last entry, .9993, stands for all that is larger."""


class NumberWidths(NamedTuple):
    """Bits of the numbers of an integer network.

    weights: of all weights. leak: "12 bit", or "shift" for leaks among 0, 2^-k and 1 - 2^-k. membrane: of a membrane.
    """

    weights: int = 8
    leak: str = "12 bit"
    membrane: int = 16

    @property
    def words(self) -> str:
        """The widths for the user."""
        return f"int{self.weights} weights, {self.leak} leaks, int{self.membrane} membranes"


class IntegerReadout(NamedTuple):
    """The readout's factor and bias of each output, int64 [out], and its shift S."""

    scale: NDArray[np.int64]
    bias: NDArray[np.int64]
    shift: int


class IntegerNetwork(NamedTuple):
    """All numbers of a policy in integers. tables: of the hidden layers, and the weights of the readout."""

    tables: Tables
    readout: IntegerReadout
    neuron: Neuron
    widths: NumberWidths
    voltage: VoltageInput | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, widths of the hidden layers, outputs."""
        hidden = [len(layer.theta) for layer in self.tables.layers]
        own = hidden[0] if self.neuron.recurrent and len(hidden) == 1 else 0
        return (len(self.tables.layers[0].weight) - own, *hidden, self.tables.output_weight.shape[1])


class IntegerRuntime(IntegerPolicy):
    """An integer network with the interface of `Policy`.

    >>> from spike_ctrl.policy import checkpoint
    >>> from spike_ctrl_silicon.quantise import quantised
    >>> runtime = IntegerRuntime(quantised(checkpoint.load("crazyflie")))
    >>> action, state = runtime.step(np.zeros(18, np.float32), runtime.initial_state())
    """

    def __init__(self, network: IntegerNetwork) -> None:
        super().__init__(network.tables, network.neuron, network.widths.membrane)
        self.network, self.voltage = network, network.voltage
        self.inputs, self.outputs = network.sizes[0], network.sizes[-1]

    def step(self, observation: NDArray[np.float32], state: PolicyState) -> tuple[NDArray[np.float32], PolicyState]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out], and the new state."""
        after = self.advance(observation, state)
        return np.ascontiguousarray((self.action(after) / 2.0**ACTION_BITS).astype(np.float32).T), after

    def action(self, state: PolicyState) -> NDArray[np.int64]:
        """The action of a state's spikes in units of 2^-15, [out] or [out, B]."""
        readout = self.network.readout
        total = np.dot(self.tables.output_weight.T.astype(float), state.spike[-self.widths[-1] :].astype(float))
        scale, bias = (values if state.spike.ndim == 1 else values[:, None] for values in (readout.scale, readout.bias))
        y = (scale * total.astype(np.int64) + bias + (1 << readout.shift >> 1)) >> readout.shift
        found: NDArray[np.int64] = np.sign(y) * TANH[np.minimum(np.abs(y), TANH_ENTRIES - 1)]
        return found

    def reset_rows(self, state: PolicyState, mask: NDArray[np.bool_]) -> PolicyState:
        """The state of a batch with those vehicles back at the initial state whose mask [B] is true."""
        keep = ~np.asarray(mask, bool)
        return PolicyState(state.membrane * keep, state.spike * keep)


def inputs_of(observation: NDArray[np.float32]) -> NDArray[np.int64]:
    """Observations in units of 2^-12, as the core receives them: rounded in float32, saturated at +-64."""
    scaled = np.clip(observation.astype(np.float32), -INPUT_LIMIT, INPUT_LIMIT) * np.float32(2**INPUT_BITS)
    rounded: NDArray[np.int64] = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int64)
    return rounded
