"""A trained policy as a network for Loihi: 8-bit weights with a shared exponent, 12-bit decays, few thresholds, hard reset.

A control step of a network with L hidden layers takes L time steps of the chip, because a spike reaches the next layer one
time step later. Layer l gets its inputs in time step l of each control step and leaks in all of them, by beta^(1/L), so the
network computes what it was trained for, without a delay.

Each neuron's weights and bias are divided by its threshold and multiplied by one of eight powers of two, the new threshold,
so that its largest weight uses the range of weights. Observations come as bits of two's complement: a line per bit, whose
weight is that of the input times 2^k. One more line, always on, brings the bias.

    w_act = mantissa 2^(6 + exponent)                   mantissa even, -256 to 254; exponent of a line -1 to 7
    v_t = v_{t-1} - sign(v) ceil(|v| decay / 2^12) + sum of w_act of the lines that fire;  v > 2^6 threshold: spike, v = 0

The rules are those of brian2-loihi (Michaelis et al. 2022), which the authors compared with the chip.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.neuron import Reset
from spike_ctrl_export import neuron_of

MANTISSA, THRESHOLD, WEIGHT_SHIFT = 254, 131071, 6
EXPONENTS = (-1, 7)  # lower ones lose bits of even mantissas
DECAY_BITS = 12
DECAY = 1 << DECAY_BITS
PROFILES, THRESHOLDS, COMPARTMENTS, AXONS, SYNAPSE_BYTES = 32, 8, 1024, 4096, 131072  # of a core
RANGES = ((2.0, 10),) * 3 + ((1.0, 10),) * 9 + ((8.0, 9),) * 3 + ((16.0, 8),) * 3 + ((1.0, 10),)
"""Of each input: the largest magnitude, m, 1, m/s, rad/s, and fraction bits. The rest saturates. The voltage is last."""


class LoihiLayer(NamedTuple):
    """A layer of H neurons whose lines are those below, its own spikes where it is recurrent, and the bias.

    mantissa int [lines, H], exponent int [lines], decay int [H], threshold int [H]: mantissas.
    """

    mantissa: NDArray[np.int64]
    exponent: NDArray[np.int64]
    decay: NDArray[np.int64]
    threshold: NDArray[np.int64]

    @property
    def weight(self) -> NDArray[np.int64]:
        """The weights as the chip adds them, [lines, H]."""
        return self.mantissa << (WEIGHT_SHIFT + self.exponent[:, None])


class LoihiNetwork(NamedTuple):
    """All numbers. The readout, float32 [out, H] and [out], is computed by the host. rounded: distinct decays before."""

    layers: tuple[LoihiLayer, ...]
    output_weight: NDArray[np.float32]
    output_bias: NDArray[np.float32]
    recurrent: bool
    inputs: int
    voltage: VoltageInput | None
    rounded: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, widths of the hidden layers, outputs."""
        return (self.inputs, *(len(layer.decay) for layer in self.layers), len(self.output_bias))


def converted(found: Checkpoint, name: str = "checkpoint", any_reset: bool = False) -> LoihiNetwork:
    """The network of a checkpoint. any_reset: also of one whose neurons subtract their threshold; it computes another thing.

    Raises UsageError for a network that the chip does not have.
    """
    neuron = neuron_of(found, name, "Loihi")
    if neuron.reset is not Reset.HARD and not any_reset:
        raise UsageError(f"{name}: reset: found {neuron.reset.value}, wanted hard: Loihi sets a membrane to 0 after a spike")
    weights, sizes = found.weights, found.manifest.contract.sizes
    steps, layers, rounded = len(sizes) - 2, [], []
    for index in range(steps):
        key = f"layer{index}"
        weight, theta = weights[f"{key}.weight"].astype(float), weights[f"{key}.theta"].astype(float)
        heard = sizes[index]
        lines = weight[:, :heard] @ bit_weights(heard) if index == 0 else weight[:, :heard]
        scaled = np.concatenate([lines, weight[:, heard:], weights[f"{key}.bias"][:, None]], axis=1) / theta[:, None]
        decay = np.rint(DECAY * (1 - weights[f"{key}.beta"].astype(float) ** (1 / steps)))
        rounded.append(len(np.unique(decay)))
        threshold = _thresholds(np.abs(scaled).max(axis=1))
        layers.append(LoihiLayer(*_integers(scaled.T * threshold), _profiles(decay.astype(np.int64)), threshold))
    output = weights["output.weight"], weights["output.bias"]
    return LoihiNetwork(tuple(layers), *output, neuron.recurrent, sizes[0], found.manifest.contract.voltage, tuple(rounded))


def told(network: LoihiNetwork) -> list[str]:
    """What the chip makes of a network, in lines for the user. Raises UsageError for one that does not fit its cores."""
    lines = [
        f"{len(network.layers)} time steps of the chip per control step; the readout is computed by the host",
        f"{bit_weights(network.inputs).shape[1]} input lines: observations in two's complement, saturated",
    ]
    for index, layer in enumerate(network.layers):
        axons, width = layer.mantissa.shape
        if width > COMPARTMENTS or axons > AXONS or layer.mantissa.size > SYNAPSE_BYTES:
            found = f"found {width} neurons, {axons} axons, {layer.mantissa.size} synapses"
            wanted = f"wanted at most {COMPARTMENTS}, {AXONS}, {SYNAPSE_BYTES} on its core"
            raise UsageError(f"layer{index}: {found}; {wanted}")
        lost = float(np.mean((layer.mantissa == 0) & (layer.exponent[:, None] == EXPONENTS[0])))
        lines.append(
            f"layer{index}: one core; {width} neurons, {axons} axons; {len(np.unique(layer.decay))} decays of "
            f"{network.rounded[index]}, {len(np.unique(layer.threshold))} thresholds, "
            f"{len(np.unique(layer.exponent))} exponents; {100 * lost:.1f} % of weights are 0"
        )
    return lines


def bits_of(observation: NDArray[np.float32]) -> NDArray[np.float64]:
    """The input lines of observations [in] or [B, in]: 0 or 1, [lines] or [lines, B]."""
    seen, lines = observation.T.astype(float), []
    for row, (largest, fraction) in zip(seen, RANGES[: len(seen)], strict=True):
        most = int(largest * 2**fraction)
        whole = np.clip(np.rint(row * 2.0**fraction), -most, most - 1).astype(np.int64)
        lines += [whole >> bit & 1 for bit in range(most.bit_length())]
    return np.stack(lines).astype(float)


def bit_weights(inputs: int) -> NDArray[np.float64]:
    """What each line of the bits counts in units of its input, [inputs, lines]."""
    rows: list[tuple[int, float]] = []
    for index, (largest, fraction) in enumerate(RANGES[:inputs]):
        most = int(largest * 2**fraction)
        powers = [2.0 ** (bit - fraction) for bit in range(most.bit_length())]
        rows += [(index, power) for power in (*powers[:-1], -powers[-1])]
    found = np.zeros((inputs, len(rows)))
    for line, (index, value) in enumerate(rows):
        found[index, line] = value
    return found


def _thresholds(largest: NDArray[np.float64]) -> NDArray[np.int64]:
    """Mantissas of the thresholds of neurons whose largest weights are so many thresholds; at most THRESHOLDS values."""
    fits = np.minimum(MANTISSA * 2.0 ** EXPONENTS[1] / largest, THRESHOLD)
    top = min(float(fits.max()), float(fits.min()) * 2.0 ** (THRESHOLDS - 1))
    shift = np.clip(np.ceil(np.log2(top / fits)), 0, THRESHOLDS - 1)
    found: NDArray[np.int64] = np.floor(top / 2.0**shift).astype(np.int64)
    return found


def _integers(wanted: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Mantissas [lines, H] and exponents [lines] of weights [lines, H] in units of 2^6."""
    largest = np.maximum(np.abs(wanted).max(axis=1), 1e-9)
    exponent = np.clip(np.ceil(np.log2(largest / MANTISSA)), *EXPONENTS).astype(np.int64)
    mantissa = 2 * np.rint(wanted / 2.0 ** (exponent[:, None] + 1)).astype(np.int64)
    return np.clip(mantissa, -MANTISSA, MANTISSA), exponent


def _profiles(decay: NDArray[np.int64]) -> NDArray[np.int64]:
    """The decays, each moved to the nearest of PROFILES levels that fit them best (Lloyd's algorithm)."""
    if len(np.unique(decay)) <= PROFILES:
        return decay
    levels = np.quantile(decay, (np.arange(PROFILES) + 0.5) / PROFILES)
    for _ in range(30):
        nearest = np.abs(decay[:, None] - levels).argmin(axis=1)
        levels = np.array([decay[nearest == n].mean() if np.any(nearest == n) else levels[n] for n in range(PROFILES)])
    moved: NDArray[np.int64] = np.rint(levels).astype(np.int64)[np.abs(decay[:, None] - levels).argmin(axis=1)]
    return moved
