"""How large each number of an integer network can become, whatever is observed: arithmetic over its weights.

The core's registers have the widths that follow from these bounds, so no sum in it can overflow. Only membranes and the
index of the tanh table reach limits, and there they saturate as in `integer_network`.
"""

from typing import NamedTuple

import numpy as np

from spike_ctrl_export.integer_policy import INPUT_BITS, INPUT_LIMIT, largest
from spike_ctrl_silicon.integer_network import IntegerNetwork


class Bounds(NamedTuple):
    """Largest magnitudes. sum: of weights and inputs of a layer, the readout last. next: of a membrane before it saturates,
    of each hidden layer. readout: of the scaled sum with its bias and the rounding."""

    sum: tuple[int, ...]
    next: tuple[int, ...]
    readout: int


def largest_sums(network: IntegerNetwork) -> tuple[np.ndarray, ...]:
    """The largest |sum| of weights and inputs of each neuron, int64 [H] of each hidden layer, then of each output [out]."""
    found = []
    for index, layer in enumerate(network.tables.layers):
        if index == 0:
            weight = np.abs(layer.weight.astype(np.int64))
            factor = np.full(len(weight), 1 << INPUT_BITS, np.int64)
            factor[: network.sizes[0]] = int(INPUT_LIMIT) << INPUT_BITS
            found.append(factor @ weight)
        else:
            found.append(_worst(layer.weight))
    return (*found, _worst(network.tables.output_weight))


def bounds(network: IntegerNetwork) -> Bounds:
    """The bounds of a network, reached by the worst inputs and spikes (`sum`) or never exceeded (`next`, `readout`)."""
    nexts, sums, limit = [], largest_sums(network), largest(network.widths.membrane)
    for index, (layer, total) in enumerate(zip(network.tables.layers, sums, strict=False)):
        shift = INPUT_BITS - layer.fraction
        current = total << layer.fraction if index else (total + (1 << shift >> 1)) >> shift
        nexts.append(int((limit + layer.theta.astype(np.int64) + np.abs(layer.bias.astype(np.int64)) + current).max()))
    readout = network.readout
    worst = int((sums[-1] * readout.scale + np.abs(readout.bias)).max()) + (1 << readout.shift >> 1)
    return Bounds(tuple(int(total.max()) for total in sums), tuple(nexts), worst)


def signed_bits(bound: int) -> int:
    """Bits of a signed number that holds -bound to bound."""
    return bound.bit_length() + 1


def _worst(weight: np.ndarray) -> np.ndarray:
    """The largest |sum| of each column that some set of spikes gives."""
    weight = weight.astype(np.int64)
    worst: np.ndarray = np.maximum(np.maximum(weight, 0).sum(axis=0), np.maximum(-weight, 0).sum(axis=0))
    return worst
