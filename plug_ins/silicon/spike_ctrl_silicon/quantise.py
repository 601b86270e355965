"""Rounds a trained policy to an integer network of stated widths, without further training."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl_export import neuron_of
from spike_ctrl_export.integer_policy import BETA_BITS, HEADROOM, INPUT_BITS, IntegerLayer, Tables, largest, peaks
from spike_ctrl_silicon.integer_network import TANH_BITS, IntegerNetwork, IntegerReadout, NumberWidths

LEAK_BITS = 12
SCALE_BITS = 15
CLIPS = np.linspace(0.4, 1.0, 25)
"""Shares of a neuron's largest weight at which its weights may saturate; the one with the least squared error is taken."""


def quantised(found: Checkpoint, widths: NumberWidths = NumberWidths(), name: str = "checkpoint") -> IntegerNetwork:
    """The integer network of a checkpoint. Raises UsageError for other networks and widths."""
    neuron = neuron_of(found, name, "an FPGA")
    return rounded(found.weights, neuron, widths, found.self_test, found.manifest.contract.voltage)


def rounded(
    weights: Mapping[str, NDArray[np.float32]],
    neuron: Neuron,
    widths: NumberWidths,
    observations: NDArray[np.float32],
    voltage: VoltageInput | None = None,
) -> IntegerNetwork:
    """Round weights to an integer network. observations [steps, in]: a flight, whose peaks decide the fraction bits."""
    if not 2 <= widths.weights <= 8:
        raise UsageError(f"weights: found {widths.weights} bits, wanted 2 to 8")
    if not (8 <= widths.membrane <= 24 or widths.membrane == 32):
        raise UsageError(f"membrane: found {widths.membrane} bits, wanted 8 to 24, or 32")
    if widths.leak not in ("12 bit", "shift"):
        raise UsageError(f"leak: found {widths.leak!r}, wanted '12 bit' or 'shift'")
    found = peaks(SpikingPolicy(weights, neuron), observations)
    layers: list[IntegerLayer] = []
    start = 0
    while f"layer{len(layers)}.weight" in weights:
        name = f"layer{len(layers)}"
        weight, unit = integers(weights[f"{name}.weight"], widths.weights)
        end = start + len(unit)
        room = largest(widths.membrane) / max(HEADROOM * float((found[start:end] / unit).max()), 1.0)
        fraction = int(np.clip(np.floor(np.log2(room)), 0, INPUT_BITS))
        bias, theta = (np.rint(weights[f"{name}.{of}"] / unit * 2.0**fraction).astype(np.int32) for of in ("bias", "theta"))
        layers.append(
            IntegerLayer(weight, bias, leaks(weights[f"{name}.beta"], widths.leak), np.maximum(theta, 1), fraction)
        )
        start = end
    weight, unit = integers(weights["output.weight"], widths.weights)
    tables = Tables(tuple(layers), weight, unit.astype(np.float32), np.asarray(weights["output.bias"], np.float32))
    return IntegerNetwork(tables, _readout(unit, weights["output.bias"]), neuron, widths, voltage)


def integers(weight: NDArray[np.float32], bits: int) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Round weights [out, in] to integers [in, out] and give the unit [out] of each output.

    The unit is that which leaves the least squared error; larger weights saturate.
    """
    most = 2 ** (bits - 1) - 1
    peak = np.maximum(np.abs(weight.astype(float)).max(axis=1), 1e-9)
    best, unit = np.full(len(weight), np.inf), peak / most
    for share in CLIPS:
        trial = share * peak / most
        error = ((_nearest(weight, trial, most) * trial[:, None] - weight) ** 2).sum(axis=1)
        unit, best = np.where(error < best, trial, unit), np.minimum(error, best)
    return _nearest(weight, unit, most).astype(np.int8).T.copy(), unit


def leaks(beta: NDArray[np.float32], kind: str) -> NDArray[np.uint16]:
    """Leaks as multiples of 2^-12, or the nearest of 0, 2^-k and 1 - 2^-k; in units of 2^-15."""
    steps = 2**LEAK_BITS
    if kind == "12 bit":
        found = np.rint(beta.astype(float) * steps)
    else:
        powers = 2 ** np.arange(LEAK_BITS + 1)
        allowed = np.unique([0, *powers, *(steps - powers)])
        found = allowed[np.abs(beta.astype(float)[:, None] * steps - allowed).argmin(axis=1)]
    fine: NDArray[np.uint16] = (found.astype(np.int64) << (BETA_BITS - LEAK_BITS)).astype(np.uint16)
    return fine


def _readout(unit: NDArray[np.float64], bias: NDArray[np.float32]) -> IntegerReadout:
    scale = unit * 2.0**TANH_BITS
    shift = int(np.clip(np.floor(np.log2((2**SCALE_BITS - 1) / scale.max())), 0, 16))
    return IntegerReadout(
        np.rint(scale * 2.0**shift).astype(np.int64),
        np.rint(bias.astype(float) * 2.0 ** (TANH_BITS + shift)).astype(np.int64),
        shift,
    )


def _nearest(weight: NDArray[np.float32], unit: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    nearest: NDArray[np.float64] = np.clip(np.rint(weight / unit[:, None]), -most, most)
    return nearest
