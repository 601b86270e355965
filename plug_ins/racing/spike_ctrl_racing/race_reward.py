"""What a step of a race earns, and the way that is left to a gate."""

import math
from dataclasses import dataclass

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined
from spike_ctrl._files.ranges import within

_ZERO, _HALF = np.float32(0), np.float32(0.5)
DETOUR = np.float32(2.0)  # see `way_left`


@dataclass(frozen=True)
class RaceReward:
    """Weights of what a step earns: progress + passing - body rates - roughness - what ends a flight."""

    progress: float = within(1.0, 0.0, 100.0, "Reward for each metre nearer to the next gate.", "1/m")
    gate: float = within(2.0, 0.0, 1000.0, "Reward for a gate that is passed.")
    body_rates: float = within(0.0005, 0.0, 10.0, "Cost of the squared body rate, in each step.", "s^2/rad^2")
    roughness: float = within(0.005, 0.0, 10.0, "Cost of the squared change of the action, in each step.")
    end: float = within(10.0, 0.0, 1000.0, "Cost of a flight that ends by a hit or outside the arena.")

    def array(self) -> Floats:
        return np.array([self.progress, self.gate, self.body_rates, self.roughness, self.end], np.float32)


@inlined
def way_left(position: Scalars, row: Floats) -> Number:
    """The way left to a gate, m: its distance r, longer where the gate is seen from the side or from behind.

    r (1 + DETOUR max(0, 1/2 - c)), c the cosine between the gate's normal and the direction to its centre. It is 0 at the
    centre alone and continuous elsewhere, so that what a flight earns by it depends on where it began and ended.
    """
    x, y, z = row[0] - position[0], row[1] - position[1], row[2] - position[2]
    r = math.sqrt(x * x + y * y + z * z)
    ahead = x * row[3] + y * row[4] + z * row[5]
    aside = _HALF * r - ahead
    return r + DETOUR * (aside if aside > _ZERO else _ZERO)
