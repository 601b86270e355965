"""The cost of one step of the exported C on a microcontroller: operations are counted, cycles are estimated.

Compiled by arm-none-eabi-gcc -O2, a weight takes six instructions: two loads, a multiply-add or an addition, a store, a
comparison and a branch. A neuron takes some 24 for leak, reset, bias and spike tests, and an output 150. That makes 73 700
instructions for the shipped 18-256-128-4 policy in flight; QEMU's Cortex-M4 executed 73 800. In the longest step it
executed 236 976 (c_emulated.py), and the model counts 237 144.

Cycles are those without wait states of the memory (Cortex-M4 technical reference manual, 3.3): a load after a load 1,
VFMA 3, VADD 1, store 1, comparison 1, taken branch 3. A Cortex-M7 predicts the branch and issues two instructions at a
time: half a cycle for each, VFMA one more. Neither was measured on a real processor.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class CycleCost(NamedTuple):
    """Cycles per operation: a weight that multiplies an observation, a weight that a spike adds, a neuron, an output."""

    multiplied: float
    added: float
    neuron: float
    output: float


PROCESSORS = {"Cortex-M4": CycleCost(10, 8, 34, 200), "Cortex-M7": CycleCost(4, 3, 14, 100)}
INSTRUCTIONS = CycleCost(6, 6, 24, 150)
"""Instructions instead of cycles, on a Cortex-M4."""
CLOCK_HZ = {"Cortex-M4": 168e6, "Cortex-M7": 480e6}
"""Of an STM32F405, as on a Crazyflie, and of an STM32H743, as on a Pixhawk 6C."""


class Operations(NamedTuple):
    """Operations in one step: weights that multiply an observation, weights that spikes add, neurons, outputs."""

    multiplied: float
    added: float
    neurons: int
    outputs: int

    def times(self, cost: CycleCost) -> float:
        """The cycles of all operations together."""
        return sum(count * each for count, each in zip(self, cost, strict=True))


def operations(sizes: Sequence[int], spike_rates: Sequence[float], recurrent: bool = False) -> Operations:
    """Count the operations of one step.

    sizes: inputs, widths of the hidden layers, outputs. spike_rates: share of spiking neurons of each hidden layer.
    recurrent: the last hidden layer also has its own spikes as inputs. Raises ValueError for another number of rates.
    """
    if len(spike_rates) != len(sizes) - 2:
        raise ValueError(f"spike_rates: found {len(spike_rates)}, wanted {len(sizes) - 2}")
    added = sum(rate * width * after for rate, (width, after) in zip(spike_rates, pairwise(sizes[1:]), strict=True))
    if recurrent:
        added += spike_rates[-1] * sizes[-2] ** 2
    return Operations(sizes[0] * sizes[1], added, sum(sizes[1:-1]), sizes[-1])


def longest(sizes: Sequence[int], recurrent: bool = False) -> Operations:
    """The operations of a step in which every neuron spikes: each weight is added, and no path is longer."""
    return operations(sizes, [1.0] * (len(sizes) - 2), recurrent)
