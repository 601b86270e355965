"""The policy in integers, bit by bit as the exported C computes it: int8 weights, int16 or int32 membranes.

Membrane, bias and threshold of neuron n are in units of q_n 2^-F: q_n = max |w_n| / 127 is the unit of its weights, and F
is the number of fraction bits of its layer. Observations are in units of 2^-12 and saturate at +-64 (m, m/s, rad/s).

    x   = round(4096 observation)
    I_n = (sum_j w_nj x_j) 2^(F - 12) in the first layer, (sum_j w_nj s_j) 2^F in the others
    U_t = (beta U_{t-1}) / 2^15 - s_{t-1} theta + b + I_t          soft reset; a hard one sets U_{t-1} to 0 instead
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy
from spike_ctrl.snn.neuron import Neuron, Reset
from spike_ctrl.snn.weight_shapes import network_sizes

INPUT_BITS = 12
INPUT_LIMIT = 64.0
BETA_BITS = 15
LIMITS = {16: 2**15 - 1, 32: 2**30}
"""Largest membrane, by the bits of the state. With 32 bits the input of one step can be added without overflow."""


def largest(bits: int) -> int:
    """Largest membrane of a state of so many bits."""
    return LIMITS.get(bits, 2 ** (bits - 1) - 1)


HEADROOM = 4.0  # factor between the largest membrane of a flight and the limit


class IntegerLayer(NamedTuple):
    """A layer of H neurons: weight int8 [in, H], bias int32 [H], beta uint16 [H] in 2^-15, theta int32 [H].

    fraction: fraction bits of the membranes. The weight of a recurrent layer is [in + H, H].
    """

    weight: np.ndarray
    bias: np.ndarray
    beta: np.ndarray
    theta: np.ndarray
    fraction: int


class Tables(NamedTuple):
    """All numbers of the integer policy. An output is tanh(scale sum_j weight_j s_j + bias), in float32."""

    layers: tuple[IntegerLayer, ...]
    output_weight: np.ndarray  # int8 [H, out]
    output_scale: np.ndarray  # float32 [out]
    output_bias: np.ndarray  # float32 [out]


def quantise(weights: Mapping[str, np.ndarray], neuron: Neuron, bits: int, observations: np.ndarray) -> Tables:
    """Round a policy to integers with membranes of 16 or 32 bits.

    observations [steps, in]: a flight. Membranes of 16 bits get as many fraction bits as leave HEADROOM above its peaks.
    Raises UsageError if a layer has too many inputs for sums in 32 bits.
    """
    sizes = network_sizes(weights, neuron.recurrent)
    reached = peaks(SpikingPolicy(weights, neuron), observations)
    layers, start = [], 0
    for index, width in enumerate(sizes[1:-1]):
        weight, unit = _rounded(weights[f"layer{index}.weight"])
        peak = float((reached[start : start + width] / unit).max())
        fraction = INPUT_BITS
        if bits == 16:
            fraction = int(np.clip(np.floor(np.log2(LIMITS[16] / max(HEADROOM * peak, 1.0))), 0, INPUT_BITS))
        bias, theta = (np.rint(weights[f"layer{index}.{name}"] / unit * 2.0**fraction) for name in ("bias", "theta"))
        beta = np.rint(weights[f"layer{index}.beta"] * 2.0**BETA_BITS).astype(np.uint16)
        heard = len(weight)
        most = sizes[index] * (INPUT_LIMIT if index == 0 else 1) + heard - sizes[index]
        inflow = 127 * 2**INPUT_BITS * most
        if LIMITS[32] + inflow + np.abs(bias).max() + theta.max() >= 2**31:
            raise UsageError(f"layer{index}: found {heard} inputs, wanted fewer: sums need more than 32 bits")
        layers.append(IntegerLayer(weight, bias.astype(np.int32), beta, np.maximum(theta, 1).astype(np.int32), fraction))
        start += width
    weight, unit = _rounded(weights["output.weight"])
    return Tables(tuple(layers), weight, unit.astype(np.float32), np.float32(weights["output.bias"]))


class IntegerPolicy:
    """The integer policy with the interface of `SpikingPolicy`. The exported C is compared with it."""

    def __init__(self, tables: Tables, neuron: Neuron, bits: int):
        self.tables, self.neuron, self.limit = tables, neuron, largest(bits)
        self.widths = [len(layer.theta) for layer in tables.layers]
        self.theta = np.concatenate([layer.theta for layer in tables.layers])

    def initial_state(self, batch: int | None = None) -> PolicyState:
        """Zero membranes and no spikes, [N] or [N, B]."""
        shape = len(self.theta) if batch is None else (len(self.theta), batch)
        return PolicyState(np.zeros(shape, np.int64), np.zeros(shape, np.int64))

    def step(self, observation: np.ndarray, state: PolicyState) -> tuple[np.ndarray, PolicyState]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out], and the new state."""
        after = self.advance(observation, state)
        signal = after.spike[-self.widths[-1] :]
        total = np.dot(self.tables.output_weight.T.astype(float), signal.astype(float)).astype(np.float32)
        scale, bias = (self._column(values, observation) for values in (self.tables.output_scale, self.tables.output_bias))
        action = np.tanh(scale * total + bias)
        return np.ascontiguousarray(action.T), after

    def advance(self, observation: np.ndarray, state: PolicyState) -> PolicyState:
        """The hidden layers' state after a step: observation [in] or [B, in]."""
        scaled = np.clip(observation.T.astype(np.float32), -INPUT_LIMIT, INPUT_LIMIT) * np.float32(2**INPUT_BITS)
        signal = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int64)
        membranes, spikes, start = [], [], 0
        for index, layer in enumerate(self.tables.layers):
            rows = slice(start, start + len(layer.theta))
            bias, beta, theta = (self._column(values, observation) for values in (layer.bias, layer.beta, layer.theta))
            before, fired = state.membrane[rows], state.spike[rows]
            if self.neuron.reset is Reset.SOFT:
                kept = _shift(before * beta, BETA_BITS) - fired * theta
            else:
                kept = _shift(before * (1 - fired) * beta, BETA_BITS)
            if len(layer.weight) > len(signal):  # a recurrent layer: its own last spikes are inputs too
                signal = np.concatenate([signal, fired << (INPUT_BITS if index == 0 else 0)])
            current = np.dot(layer.weight.T.astype(float), signal.astype(float)).astype(np.int64)  # exact below 2^53
            current = _shift(current, INPUT_BITS - layer.fraction) if index == 0 else current << layer.fraction
            membrane = np.clip(kept + bias + current, -self.limit, self.limit)
            signal = (membrane > theta).astype(np.int64)
            membranes.append(membrane)
            spikes.append(signal)
            start = rows.stop
        return PolicyState(np.concatenate(membranes), np.concatenate(spikes))

    def spike_rates(self, state: PolicyState) -> tuple[float, ...]:
        """Share of the neurons of each layer that spiked in the last step, over the batch."""
        return tuple(float(part.mean()) for part in np.split(state.spike, np.cumsum(self.widths)[:-1]))

    def _column(self, values: np.ndarray, observation: np.ndarray) -> np.ndarray:
        values = values.astype(np.int64) if values.dtype != np.float32 else values
        return values if observation.ndim == 1 else values[:, None]


def _rounded(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round weights [out, in] to int8 [in, out], and give the unit [out]: the largest weight of each output becomes 127."""
    unit = np.maximum(np.abs(weight.astype(float)).max(axis=1), 1e-9) / 127
    return np.rint(weight / unit[:, None]).astype(np.int8).T.copy(), unit


def peaks(policy: SpikingPolicy, observations: np.ndarray) -> np.ndarray:
    """The largest |U| of each neuron over a flight, [N]."""
    state, reached = policy.initial_state(), np.zeros(len(policy.theta))
    for observation in observations:
        _, state = policy.step(observation, state)
        reached = np.maximum(reached, np.abs(state.membrane))
    return np.maximum(reached, policy.theta)


def _shift(values: np.ndarray, bits: int) -> np.ndarray:
    """values / 2^bits, rounded to the nearest, halves up."""
    return (values + (1 << bits >> 1)) >> bits if bits else values
