"""One step of the spiking network for a tile of vehicles, forwards and backwards.

Arrays are [B, P]: a row for each of at most WORD vehicles, and in it the neurons of all layers, layer after layer, each
filled up with silent ones to a multiple of WORD. So a product with weights combines rows (`snn.row_products`): dense
where the factors are numbers; where they are spikes, a sum of the rows of those neurons that spike.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spike_ctrl._files.arrays import Floats, Number
from spike_ctrl._files.kernel import FASTMATH, inlined, kernel
from spike_ctrl.snn.membrane import fires, membrane_vjp, remainder, subtracted
from spike_ctrl.snn.row_products import LANES, PANEL, WORD, add_marked, combine, marks
from spike_ctrl.snn.surrogate import derivative

_remainder, _subtracted, _fires = inlined(remainder), inlined(subtracted), inlined(fires)
_membrane_vjp, _derivative = inlined(membrane_vjp), inlined(derivative)
_ZERO, _ONE, _NEVER = np.float32(0), np.float32(1), np.float32(1e30)
OUTPUTS = LANES  # numbers in a row of the network's outputs, of which 4 count
OPTIONS = {"cache": True, "fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
Words: TypeAlias = npt.NDArray[np.uint64]


class NetworkArrays(NamedTuple):
    """Views of a spiking network's parameters, or of their gradients."""

    weights: tuple[np.ndarray, ...]  # [H, in] of each hidden layer; [H, in + H] where it also hears its own last spikes
    bias: tuple[np.ndarray, ...]  # [H] of each
    beta: tuple[np.ndarray, ...]
    theta: tuple[np.ndarray, ...]
    readout: np.ndarray  # [4, H]
    readout_bias: np.ndarray  # [4]
    hard: bool  # a spike forgets the membrane, else it subtracts the threshold


class NetworkRows(NamedTuple):
    """The same, in rows. A layer hears `in` numbers, which take P_in rows or columns, and perhaps its own last spikes, P."""

    weights: list[np.ndarray]  # [P_in + P, P] of each hidden layer, P_in = in of the first
    readout: np.ndarray  # [P, OUTPUTS]
    bias: np.ndarray  # [P of all layers]
    beta: np.ndarray
    theta: np.ndarray
    start: np.ndarray  # where each layer begins in a row, and the end of the last


def columns(sizes: tuple[int, ...]) -> np.ndarray:
    """Where each neuron of hidden layers of these sizes stands in a row, and at the end the length of a row."""
    found, start = [], 0
    for size in sizes:
        found.append(start + np.arange(size))
        start += -(-size // WORD) * WORD
    return np.append(np.concatenate(found), start)


@inlined
def _filled(size: int, unit: int) -> int:
    return -(-size // unit) * unit


@kernel(**OPTIONS)
def tables(policy: NetworkArrays, inputs: int) -> NetworkRows:
    """The parameters as tables, for observations of so many numbers."""
    layers = len(policy.bias)
    start = np.zeros(layers + 1, np.int64)
    for layer in range(layers):
        start[layer + 1] = start[layer] + _filled(len(policy.bias[layer]), WORD)
    bias, beta = np.zeros(start[layers], np.float32), np.zeros(start[layers], np.float32)
    theta = np.full(start[layers], _NEVER)
    weights, heard, rows = [], inputs, inputs
    for layer in range(layers):
        given, size, width = policy.weights[layer], len(policy.bias[layer]), start[layer + 1] - start[layer]
        own = given.shape[1] > heard
        table = np.zeros((rows + (width if own else 0), width), np.float32)
        for h in range(size):
            n = start[layer] + h
            bias[n], beta[n], theta[n] = policy.bias[layer][h], policy.beta[layer][h], policy.theta[layer][h]
            for i in range(given.shape[1]):
                table[i if i < heard else rows + i - heard, h] = given[h, i]
        weights.append(table)
        heard, rows = size, width
    readout = np.zeros((rows, OUTPUTS), np.float32)
    for h in range(heard):
        for i in range(4):
            readout[h, i] = policy.readout[i, h]
    return NetworkRows(weights, readout, bias, beta, theta, start)


@kernel(**OPTIONS)
def no_gradient(network: NetworkRows) -> NetworkRows:
    """Zeros of the shapes of `network`, but for its readout's, which is kept by outputs: [4, P]."""
    weights = [np.zeros_like(table) for table in network.weights]
    size = len(network.bias)
    bias, beta, theta = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    return NetworkRows(weights, np.zeros((4, len(network.readout)), np.float32), bias, beta, theta, network.start)


@kernel(**OPTIONS)
def backward_tables(policy: NetworkArrays, inputs: int) -> list[Floats]:
    """For each layer its weights by what it hears, [columns / PANEL, P, PANEL]; last those of the readout, [1, 4, P]."""
    found, heard, first = [], inputs, _filled(inputs, PANEL)
    for layer in range(len(policy.bias)):
        given, size = policy.weights[layer], len(policy.bias[layer])
        width = _filled(size, WORD)
        own = given.shape[1] > heard
        table = np.zeros(((first + (width if own else 0)) // PANEL, width, PANEL), np.float32)
        for h in range(size):
            for i in range(given.shape[1]):
                column = i if i < heard else first + i - heard
                table[column // PANEL, h, column % PANEL] = given[h, i]
        found.append(table)
        heard, first = size, width
    readout = np.zeros((1, 4, first), np.float32)
    for i in range(4):
        for h in range(heard):
            readout[0, i, h] = policy.readout[i, h]
    found.append(readout)
    return found


@kernel(**OPTIONS)
def add_gradient(found: NetworkRows, gradient: NetworkArrays, inputs: int) -> None:
    """Add the gradients in tables, as `no_gradient` makes them, to those of a network."""
    heard, rows = inputs, inputs
    for layer in range(len(gradient.bias)):
        size, start = len(gradient.bias[layer]), found.start[layer]
        weights, given = gradient.weights[layer], found.weights[layer]
        for h in range(size):
            for i in range(weights.shape[1]):
                weights[h, i] += given[i if i < heard else rows + i - heard, h]
            gradient.bias[layer][h] += found.bias[start + h]
            gradient.beta[layer][h] += found.beta[start + h]
            gradient.theta[layer][h] += found.theta[start + h]
        heard, rows = size, found.start[layer + 1] - start
    for i in range(4):
        for h in range(heard):
            gradient.readout[i, h] += found.readout[i, h]


@kernel(**OPTIONS)
def step(
    network: NetworkRows, hard: bool, observation: Floats, before: Floats, spike: Floats, after: Floats, current: Floats,
    output: Floats,
) -> None:  # fmt: skip
    """A step of all layers and of the readout, without its bias.

    observation [in, B]. before, after [B, P]: the membranes. spike [B, P]: those of the step before, replaced by this one's.
    current [B, P]: room. output [B, OUTPUTS].
    """
    vehicles, length = before.shape
    first, rows = 0, len(observation)
    for layer in range(len(network.weights)):
        weights, lower, first = network.weights[layer], first, network.start[layer]
        width = network.start[layer + 1] - first
        if layer == 0:
            table = (weights, 0, width, PANEL)
            combine((current, first, length), (observation, 0, 1, vehicles), rows, table, vehicles, width, False)
        else:
            current[:, first : first + width] = _ZERO
            for word in range(0, rows, WORD):  # its rows of weights stay in the nearest cache
                for b in range(vehicles):
                    mask = marks(spike, b * length + lower + word)
                    add_marked(current, b * length + first, mask, (weights, word * width, width), width)
        for word in range(0, len(weights) - rows, WORD):
            for b in range(vehicles):
                mask = marks(spike, b * length + first + word)
                add_marked(current, b * length + first, mask, (weights, (rows + word) * width, width), width)
        _fire(current, before, spike, after, network.bias, network.beta, network.theta, hard, first, width)
        rows = width
    table = (network.readout, 0, OUTPUTS, PANEL)
    combine((output, 0, OUTPUTS), (spike, first, length, 1), rows, table, vehicles, OUTPUTS, False)


# The compiler makes vector instructions of a loop only where few of its arrays may overlap. Copies overlap with nothing.


@kernel(**OPTIONS)
def _fire(
    current: Floats, before: Floats, spike: Floats, after: Floats, bias: Floats, beta: Floats, theta: Floats, hard: bool,
    first: int, width: int,
) -> None:  # fmt: skip
    """A step of the layer of `width` neurons that begins at `first`, with the arithmetic of `snn.membrane`."""
    here, offset = slice(first, first + width), np.uint64(first)
    bias, beta, theta = bias[here].copy(), beta[here].copy(), theta[here].copy()
    for b in range(len(current)):
        inflow, u0, s, u = current[b], before[b], spike[b], after[b]
        for k in range(np.uint64(width)):
            n = offset + k
            x = _remainder(u0[n], s[n], beta[k], hard) + (inflow[n] + bias[k]) - _subtracted(s[n], theta[k], hard)
            u[n] = x
            s[n] = _ONE if _fires(x, theta[k]) else _ZERO


@kernel(**OPTIONS)
def spikes(membrane: Floats, theta: Floats, spike: Floats, by_neuron: Words) -> None:
    """Set spike [B, P] from the membranes [B, P], and bit b of by_neuron [P] where the neuron spikes in vehicle b."""
    by_neuron[:] = np.uint64(0)
    for b in range(len(membrane)):
        u, s, bit = membrane[b], spike[b], np.uint64(1) << np.uint64(b)
        for n in range(np.uint64(len(u))):
            fired = _fires(u[n], theta[n])
            s[n] = _ONE if fired else _ZERO
            by_neuron[n] |= bit if fired else np.uint64(0)


@kernel(**OPTIONS)
def mark(spike: Floats, by_neuron: Words) -> None:
    """Set bit b of by_neuron [P] where the neuron's spike [B, P] in vehicle b is 1."""
    by_neuron[:] = np.uint64(0)
    for b in range(len(spike)):
        s, bit = spike[b], np.uint64(1) << np.uint64(b)
        for n in range(np.uint64(len(s))):
            by_neuron[n] |= bit if s[n] > _ZERO else np.uint64(0)


@kernel(**OPTIONS)
def step_vjp(
    network: NetworkRows, backward: list[Floats], hard: bool, slope: Number, observation: Floats, before: Floats,
    spiked: Floats, marked_before: Words, after: Floats, spike: Floats, marked: Words, by_output: Floats, incoming: Floats,
    later: Floats, found: NetworkRows, by_observation: Floats,
) -> None:  # fmt: skip
    """A step backwards, from the gradient by_output [4, B] to by_observation [B, in, filled up to PANEL].

    spiked, spike [B, P], and by neuron marked_before, marked [P]: the spikes before and after the step. later [B, P]: the
    gradient of the membranes after the next step, replaced by that of those after this one. incoming [B, P]: of the last
    layer, what its next step takes back to its spikes; the rest is room. Adds to the gradients `found`.
    """
    vehicles, length = before.shape
    start, layers = network.start, len(network.weights)
    last, end = start[layers - 1], start[layers]
    table = (spike, last, length, PANEL)
    combine((found.readout, 0, end - last), (by_output, 0, vehicles, 1), vehicles, table, 4, end - last, True)
    table = (backward[layers], 0, end - last, PANEL)
    combine((incoming, last, length), (by_output, 0, 1, vehicles), 4, table, vehicles, end - last, True)
    for layer in range(layers - 1, -1, -1):
        first, weights, panels = start[layer], found.weights[layer], backward[layer]
        width = start[layer + 1] - first
        panel, lower = width * PANEL, start[layer - 1] if layer > 0 else 0
        rows = first - lower if layer > 0 else len(observation)
        heard = _filled(rows, PANEL)
        _unfire(network, hard, slope, before, spiked, after, spike, incoming, later, found, first, width)
        factors = (later, first, length, 1)
        if layer > 0:
            combine((incoming, lower, length), factors, width, (panels, 0, PANEL, panel), vehicles, heard, False)
            for i in range(rows):
                add_marked(weights, i * width, marked[lower + i], (later, first, length), width)
        else:
            combine((by_observation, 0, heard), factors, width, (panels, 0, PANEL, panel), vehicles, heard, False)
            seen = (observation, 0, vehicles, 1)
            combine((weights, 0, width), seen, vehicles, (later, first, length, PANEL), rows, width, True)
        if len(weights) > rows:
            own = (panels, heard // PANEL * panel, PANEL, panel)
            combine((incoming, first, length), factors, width, own, vehicles, width, False)
            for i in range(width):
                add_marked(weights, (rows + i) * width, marked_before[first + i], (later, first, length), width)
        elif layer == layers - 1:
            incoming[:, first:end] = _ZERO


@kernel(**OPTIONS)
def _unfire(
    network: NetworkRows, hard: bool, slope: Number, before: Floats, spiked: Floats, after: Floats, spike: Floats,
    incoming: Floats, later: Floats, found: NetworkRows, first: int, width: int,
) -> None:  # fmt: skip
    """A layer's step backwards: with G_t = `incoming` the gradient of s_t, `later` goes from dU_{t+1} to dU_t,

    with ds_t = G_t + (ds_t of the next step's reset):  dU_t = surrogate'(U_t - theta) ds_t + (dU_t of the next step's leak)
    """
    here, offset = slice(first, first + width), np.uint64(first)
    beta, theta = network.beta[here].copy(), network.theta[here].copy()
    by_bias, by_beta, by_theta = np.zeros_like(beta), np.zeros_like(beta), np.zeros_like(beta)
    for b in range(len(later)):
        g, du, u0, s0, u, s = incoming[b], later[b], before[b], spiked[b], after[b], spike[b]
        for k in range(np.uint64(width)):
            n = offset + k
            to_membrane, to_spike, _, _ = _membrane_vjp(du[n], u[n], s[n], beta[k], theta[k], hard)
            through = (g[n] + to_spike) * _derivative(u[n] - theta[k], slope)
            x = through + to_membrane
            _, _, to_beta, to_theta = _membrane_vjp(x, u0[n], s0[n], beta[k], theta[k], hard)
            du[n] = x
            by_bias[k] += x
            by_beta[k] += to_beta
            by_theta[k] += to_theta - through
    found.bias[here] += by_bias
    found.beta[here] += by_beta
    found.theta[here] += by_theta
