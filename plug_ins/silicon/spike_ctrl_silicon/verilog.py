"""Writes an integer network for the core in rtl/: its memories as .hex files, its sizes as the module `policy`."""

from importlib import resources
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.snn.neuron import Reset
from spike_ctrl_export.integer_policy import BETA_BITS, INPUT_BITS, largest
from spike_ctrl_silicon.bounds import bounds, signed_bits
from spike_ctrl_silicon.integer_network import TANH, IntegerNetwork
from spike_ctrl_silicon.quantise import LEAK_BITS

LEAK_WIDTH = LEAK_BITS + 1  # a leak of 1 included
LANES = (1, 2, 4, 8, 16, 32)


class Layout(NamedTuple):
    """Where the numbers of a network lie in the core's memories. Layers are the hidden ones and the readout last.

    groups: of LANES neurons. rows: of weights of a group. lists: where a hidden layer's list of spikes begins.
    """

    lanes: int
    groups: tuple[int, ...]
    rows: tuple[int, ...]
    lists: tuple[int, ...]
    event_words: int

    @property
    def weight_words(self) -> int:
        """Words of LANES weights."""
        return sum(groups * rows for groups, rows in zip(self.groups, self.rows, strict=True))

    @property
    def hidden_groups(self) -> int:
        """Groups of all hidden layers."""
        return sum(self.groups[:-1])


def layout(network: IntegerNetwork, lanes: int) -> Layout:
    """The layout for so many lanes. Raises UsageError for a number of lanes that the core does not have."""
    if lanes not in LANES:
        raise UsageError(f"lanes: found {lanes}, wanted one of {', '.join(map(str, LANES))}")
    weights = [layer.weight for layer in network.tables.layers] + [network.tables.output_weight]
    hidden = network.sizes[1:-1]
    starts = np.cumsum([0, *hidden]).tolist()
    own = hidden[-1] if network.neuron.recurrent else 0
    return Layout(
        lanes,
        tuple(-(-weight.shape[1] // lanes) for weight in weights),
        tuple(weight.shape[0] for weight in weights),
        tuple(starts[:-1]),
        max(starts[-1] + own, 2),
    )


def memories(network: IntegerNetwork, place: Layout) -> dict[str, str]:
    """The .hex files: one word a line, the first lane in the lowest bits."""
    bits = network.widths.weights
    weights: list[int] = []
    neurons: list[int] = []
    bias_bits, theta_bits = neuron_bits(network)
    for layer in network.tables.layers:
        weights += _weights(layer.weight, bits, place.lanes)
        leak = layer.beta.astype(np.int64) >> (BETA_BITS - LEAK_BITS)
        fields = ((leak, LEAK_WIDTH), (layer.theta.astype(np.int64), theta_bits), (layer.bias.astype(np.int64), bias_bits))
        packed = _fields(fields)
        width = LEAK_WIDTH + theta_bits + bias_bits
        silent = 1 << LEAK_WIDTH  # a neuron that fills the last group: threshold 1, never reached
        packed += [silent] * (-len(packed) % place.lanes)
        neurons += _joined(packed, width, place.lanes)
    weights += _weights(network.tables.output_weight, bits, place.lanes)
    readout = network.readout
    outputs = _fields(((readout.scale, 16), (readout.bias, readout_bias_bits(network))))
    return {
        "weights.hex": _hex(weights, bits * place.lanes),
        "neurons.hex": _hex(neurons, (LEAK_WIDTH + theta_bits + bias_bits) * place.lanes),
        "readout.hex": _hex(outputs, 16 + readout_bias_bits(network)),
        "tanh.hex": _hex([int(value) for value in TANH], 16),
    }


def neuron_bits(network: IntegerNetwork) -> tuple[int, int]:
    """Bits of a bias (signed) and of a threshold (unsigned)."""
    layers = network.tables.layers
    bias = max(int(np.abs(layer.bias.astype(np.int64)).max()) for layer in layers)
    return signed_bits(bias), max(int(layer.theta.max()).bit_length() for layer in layers)


def stored_bits(network: IntegerNetwork) -> int:
    """Bits of all numbers that a core keeps: weights, leaks, biases, thresholds, membranes, factors of the readout."""
    tables, neurons, outputs = network.tables, sum(network.sizes[1:-1]), network.sizes[-1]
    weights = sum(layer.weight.size for layer in tables.layers) + tables.output_weight.size
    each = LEAK_WIDTH + sum(neuron_bits(network)) + network.widths.membrane
    return weights * network.widths.weights + neurons * each + outputs * (16 + readout_bias_bits(network))


def readout_bias_bits(network: IntegerNetwork) -> int:
    """Bits of a bias of the readout."""
    return signed_bits(int(np.abs(network.readout.bias).max()))


def parameters(network: IntegerNetwork, place: Layout) -> dict[str, str]:
    """The parameters of `spike_core`, by name, as Verilog."""
    found, widths, hidden = bounds(network), network.widths, network.sizes[1:-1]
    bias_bits, theta_bits = neuron_bits(network)
    fractions = [layer.fraction for layer in network.tables.layers]
    numbers = {
        "INPUTS": network.sizes[0],
        "OUTPUTS": network.sizes[-1],
        "LAYERS": len(hidden),
        "LANES": place.lanes,
        "RECURRENT": int(network.neuron.recurrent),
        "HARD_RESET": int(network.neuron.reset is Reset.HARD),
        "INPUT_BITS": INPUT_BITS,
        "WEIGHT_BITS": widths.weights,
        "MEMBRANE_BITS": widths.membrane,
        "LIMIT": largest(widths.membrane),
        "BIAS_BITS": bias_bits,
        "THETA_BITS": theta_bits,
        "SUM_BITS": max(map(signed_bits, found.sum)),
        "NEXT_BITS": max(*map(signed_bits, (*found.next, *found.sum)), widths.membrane + 2),
        "SCALE_SHIFT": network.readout.shift,
        "READOUT_BITS": max(signed_bits(found.readout), 13),
        "READOUT_BIAS_BITS": readout_bias_bits(network),
        "WEIGHT_WORDS": place.weight_words,
        "GROUP_WORDS": place.hidden_groups,
        "EVENT_WORDS": place.event_words,
        "OWN_ROW": place.rows[-2] - hidden[-1] if network.neuron.recurrent else 0,
        "OWN_LIST": hidden[-1] if network.neuron.recurrent else 0,
    }
    tables = {
        "GROUPS": _table(place.groups, 16),
        "ROWS": _table(place.rows, 16),
        "LIST": _table(place.lists, 16),
        "FRACTION": _table(fractions, 8),
    }
    return {name: str(value) for name, value in numbers.items()} | tables


def policy(network: IntegerNetwork, place: Layout, title: str) -> str:
    """The module `policy`: the core with the sizes of a network."""
    values = parameters(network, place)
    lines = ",\n".join(f"        .{name}({value})" for name, value in values.items())
    inputs, outputs = network.sizes[0], network.sizes[-1]
    return f"""// {title}. Written by spike-ctrl export; do not edit.
module policy #(
    localparam int INPUTS = {inputs},
    localparam int OUTPUTS = {outputs},
    localparam int X_BITS = {INPUT_BITS + 8}
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic                       x_write,
    input  logic [$clog2(INPUTS)-1:0]  x_index,
    input  logic signed [X_BITS-1:0]   x_value,
    input  logic                       start,
    input  logic                       fresh,
    output logic                       busy,
    output logic                       done,
    output logic [16*OUTPUTS-1:0]      action,
    output logic                       spiked,
    output logic [15:0]                spiked_layer,
    output logic [15:0]                spiked_neuron
);
    spike_core #(
{lines}
    ) core (.*);
endmodule
"""


def files(network: IntegerNetwork, lanes: int, title: str) -> dict[str, str]:
    """All files of the core by name, the sources of rtl/ included. Raises UsageError."""
    place = layout(network, lanes)
    shared = {file.name: file.read_text() for file in resources.files("spike_ctrl_silicon").joinpath("rtl").iterdir()}
    for name in ("spike_link.sv", "testbench.sv"):
        shared[name] = _sized(shared[name], network)
    return shared | {"policy.sv": policy(network, place, title)} | memories(network, place)


def _sized(source: str, network: IntegerNetwork) -> str:
    inputs, outputs = network.sizes[0], network.sizes[-1]
    return source.replace("int INPUTS = 18", f"int INPUTS = {inputs}").replace("int OUTPUTS = 4", f"int OUTPUTS = {outputs}")


def _weights(weight: np.ndarray, bits: int, lanes: int) -> list[int]:
    """Words of a layer's weights [in, out], group after group, each with a word per input."""
    padded = np.pad(weight.astype(np.int64), ((0, 0), (0, -weight.shape[1] % lanes))) & ((1 << bits) - 1)
    words: list[int] = []
    for start in range(0, padded.shape[1], lanes):
        for row in padded[:, start : start + lanes]:
            words += _joined([int(value) for value in row], bits, lanes)
    return words


def _fields(fields: tuple[tuple[np.ndarray, int], ...]) -> list[int]:
    """One number per row of several fields, the first in the lowest bits, negative ones in two's complement."""
    words = [0] * len(fields[0][0])
    shift = 0
    for values, bits in fields:
        words = [word | (int(value) & ((1 << bits) - 1)) << shift for word, value in zip(words, values, strict=True)]
        shift += bits
    return words


def _joined(values: list[int], bits: int, lanes: int) -> list[int]:
    """Words of `lanes` values, the first in the lowest bits."""
    return [
        sum(value << (bits * lane) for lane, value in enumerate(values[start : start + lanes]))
        for start in range(0, len(values), lanes)
    ]


def _hex(words: list[int], bits: int) -> str:
    return "".join(f"{word:0{-(-bits // 4)}x}\n" for word in words)


def _table(values: tuple[int, ...] | list[int], bits: int) -> str:
    """A packed table whose first entry lies in the lowest bits."""
    return "{" + ", ".join(f"{bits}'d{value}" for value in reversed(values)) + "}"
