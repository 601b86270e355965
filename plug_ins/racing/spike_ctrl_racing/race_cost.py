"""What a control step of a racing policy costs, slow and at speed, beside a policy of equal size that hovers.

Operations and energies are those of `spike_ctrl.evaluation.energy`: formulas, nothing measured on a chip.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files import resources
from spike_ctrl._files.arrays import Flags, Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.energy import CountingSpikes, arithmetic_energy_pj, spiking_energy_pj
from spike_ctrl.evaluation.tracking import track
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy

PARTS = {  # of a race, by the speed in m/s
    "whole race": (0.0, math.inf), "below 3 m/s": (0.0, 3.0), "3 to 8 m/s": (3.0, 8.0), "above 8 m/s": (8.0, math.inf)
}  # fmt: skip
HOVERS = "any_rates"  # 128-128 neurons, as racer_gates; flies any vehicle with the layout rates


class StepCost(NamedTuple):
    """Of one control step, means over the steps of a part of the flights."""

    policy: str
    part: str
    steps: int
    spikes: float
    macs: float
    acs: float
    spiking_nj: float  # by the formula for spiking hardware, arXiv 2510.24461
    arithmetic_nj: float  # of the operations alone, 45 nm


class RaceCount:
    """Counts the spikes of a policy in each of PARTS. Raises UsageError for one that does not spike."""

    def __init__(self, policy: Any, name: str) -> None:
        if not isinstance(policy, SpikingPolicy):
            raise UsageError(f"--cost: found {name}, which has no spikes, wanted a spiking policy")
        self.name, self.parts = name, {part: CountingSpikes(policy) for part in PARTS}
        for count in self.parts.values():
            count.begin(1)

    def watch(self, seen: Floats, state: Any, flying: Flags) -> None:
        """Count a step of N vehicles: observations (N, 30), the policy's state after it, and who still races (N,)."""
        speed = np.linalg.norm(seen[:, 12:15], axis=1)
        for part, count in self.parts.items():
            low, high = PARTS[part]
            which = flying & (speed >= low) & (speed < high)
            count.inputs += (seen[which] != 0).sum(0)
            count.spikes += state.spike[:, which].sum(1)
            count.steps += int(which.sum())

    def costs(self, weights: dict[str, np.ndarray]) -> list[StepCost]:
        """Of all parts in which the policy flew."""
        return [_cost(self.name, part, count, weights) for part, count in self.parts.items() if count.steps]


def hover(airframe: Airframe) -> StepCost:
    """What a step of HOVERS costs in a simulated hover of a vehicle."""
    loaded = checkpoint.load(resources.find("models", f"{HOVERS}.safetensors"))
    assert isinstance(loaded.policy, SpikingPolicy)
    count = CountingSpikes(loaded.policy)
    track(count, Trajectory("hover"), airframe)
    return _cost(HOVERS, f"hover, {airframe.name}", count, loaded.weights)


def _cost(name: str, part: str, count: CountingSpikes, weights: Mapping[str, np.ndarray]) -> StepCost:
    cost, policy = count.cost(dict(weights)), count.policy
    formula = spiking_energy_pj(policy.sizes, cost.layer_sparsity, policy.neuron.recurrent)
    energies = formula / 1e3, arithmetic_energy_pj(cost.macs, cost.acs) / 1e3
    return StepCost(name, part, count.steps, float(count.spikes.sum()) / count.steps, cost.macs, cost.acs, *energies)


def table(costs: Sequence[StepCost]) -> str:
    """The costs as a table."""
    head = ["policy", "flies", "steps", "spikes a step", "MACs", "ACs", "nJ, spiking", "nJ, arithmetic"]
    rows = [
        [c.policy, c.part, f"{c.steps}", f"{c.spikes:.1f}", f"{c.macs:.0f}", f"{c.acs:.0f}", f"{c.spiking_nj:.1f}",
         f"{c.arithmetic_nj:.1f}"]
        for c in costs
    ]  # fmt: skip
    return text_table([head, *rows], named=2)
