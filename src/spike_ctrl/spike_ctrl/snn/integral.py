"""The integral of the position error: three more inputs, for a network that must hold its place under a steady force.

A leaky neuron forgets within some steps, so what a network of them learns of an unknown mass or wind is incomplete. The
integral is part of the policy's state, computed from what it observes: outside it still sees 18 numbers.
"""

from __future__ import annotations

import numpy as np

OBSERVED = 18  # numbers of an observation
INPUTS = 3
STEP = np.float32(0.01)  # s
LIMIT = np.float32(0.5)  # m s, each axis: no wind-up
GAIN = np.float32(5.0)  # of the network's input, which is of the order of 1 then


def advance(integral: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The integral [3] or [3, B] (m s) after a step that observes the position error of the same shape (m)."""
    return np.clip(integral + STEP * position, -LIMIT, LIMIT)


def observed(inputs: int) -> int:
    """How many numbers a policy observes whose network has so many inputs: 18 of 21, where it computes the integral."""
    return OBSERVED if inputs == OBSERVED + INPUTS else inputs
