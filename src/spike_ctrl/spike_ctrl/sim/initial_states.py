"""The distribution of the states in which episodes start; `randomisation` draws from it."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.ranges import within


@dataclass(frozen=True)
class InitialStates:
    """The paper's start: a share `at_target` level and at rest on the set-point, else uniform within these bounds."""

    at_target: float = within(0.1, 0.0, 1.0, "Share of the episodes that start level and at rest on the set-point.")
    position: float = within(0.5, 0.0, 100.0, "Largest distance from the set-point on each axis.", "m")
    tilt: float = within(math.pi / 2, 0.0, math.pi, "Largest tilt.", "rad")
    velocity: float = within(1.0, 0.0, 100.0, "Largest velocity on each axis.", "m/s")
    rates: float = within(1.0, 0.0, 100.0, "Largest body rate about each axis.", "rad/s")
    rotors_low: float = within(0.0, 0.0, 1.0, "Lowest normalised rotor speed.")
    rotors_high: float = within(1.0, 0.0, 1.0, "Highest normalised rotor speed.")
    yaw: float = within(0.0, 0.0, math.pi, "Largest yaw to both sides, before the tilt.", "rad")
    thrown: float = within(0.0, 0.0, 1.0, "Share of the others that are thrown: any attitude, up to 3 m/s and 15 rad/s.")

    def array(self) -> Floats:
        return np.array(astuple(self), np.float32)
