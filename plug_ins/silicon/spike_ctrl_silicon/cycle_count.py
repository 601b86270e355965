"""Cycles of the core per step: of a flight, as Verilator counts them, and of the longest step that the network can take."""

from collections.abc import Container
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl_silicon.integer_network import IntegerNetwork, IntegerRuntime, inputs_of
from spike_ctrl_silicon.simulated_core import FRESH, CoreSteps, SimulatedCore
from spike_ctrl_silicon.verilog import layout

OVERHEAD, SILENT = 9, 6  # cycles of a group in addition to its events and spikes, and without events
OWN = 1  # to turn to the list of own spikes
READOUT = 4  # cycles of an output


class Cycles(NamedTuple):
    """Cycles per step of a flight, and spikes per step and layer."""

    median: float
    most: int
    spikes: tuple[float, ...]


def longest(network: IntegerNetwork, lanes: int) -> int:
    """Cycles of a step in which every neuron spikes, and spiked in the step before: no step takes longer."""
    sizes, place = network.sizes, layout(network, lanes)
    total = 0
    for index, (groups, rows) in enumerate(zip(place.groups[:-1], place.rows[:-1], strict=True)):
        own = OWN if network.neuron.recurrent and index == len(sizes) - 3 else 0
        total += groups * (rows + own + OVERHEAD) + sizes[index + 1]
    return total + place.groups[-1] * (place.rows[-1] + OVERHEAD - 4) + READOUT * sizes[-1] + place.groups[-1] - 1


def expected(network: IntegerNetwork, lanes: int, spike: NDArray[np.int64], before: NDArray[np.int64]) -> int:
    """Cycles of a step by its spikes [N] and those of the step before [N]."""
    sizes, place = network.sizes, layout(network, lanes)
    starts = np.cumsum([0, *sizes[1:-1]])
    counts = [int(spike[start:end].sum()) for start, end in pairwise(starts)]
    heard, total = sizes[0], 0
    for index, count in enumerate(counts):
        own = int(before[starts[-2] :].sum()) if network.neuron.recurrent and index == len(counts) - 1 else 0
        total += place.groups[index] * (_walk(heard + own) + (OWN if own else 0)) + count
        heard = count
    return total + place.groups[-1] * (_walk(heard) - 4) + READOUT * sizes[-1] + place.groups[-1] - 1


def _walk(events: int) -> int:
    """Cycles of a group with so many events."""
    return events + OVERHEAD if events else SILENT


def flown(
    network: IntegerNetwork, lanes: int, observations: NDArray[np.float32], starts: Container[int] = frozenset({0})
) -> Cycles:
    """Step the core in Verilator through observations [S, in]. Raises UsageError where it differs from the runtime.

    starts: the steps that begin from zero.
    """
    flags = np.array([FRESH if step in starts else 0 for step in range(len(observations))], np.int32)
    with SimulatedCore(network, lanes) as core:
        steps = core.run(inputs_of(observations), flags)
    require_equal(network, observations, steps, starts)
    parts = np.split(steps.spike, np.cumsum(network.sizes[1:-2]), axis=1)
    return Cycles(
        float(np.median(steps.cycles)), int(steps.cycles.max()), tuple(float(part.sum(1).mean()) for part in parts)
    )


def require_equal(
    network: IntegerNetwork,
    observations: NDArray[np.float32],
    steps: CoreSteps,
    starts: Container[int] = frozenset({0}),
) -> None:
    """Raise UsageError at the first step in which membranes, spikes or actions of core and runtime differ."""
    runtime = IntegerRuntime(network)
    state = runtime.initial_state()
    for index, observation in enumerate(observations):
        state = runtime.advance(observation, runtime.initial_state() if index in starts else state)
        pairs = {"membranes": (steps.membrane[index], state.membrane), "spikes": (steps.spike[index], state.spike)}
        for what, (core, ours) in (pairs | {"actions": (steps.action[index], runtime.action(state))}).items():
            if not np.array_equal(core, ours):
                raise UsageError(f"core: step {index}: {what}: found {core}, wanted {ours}")
