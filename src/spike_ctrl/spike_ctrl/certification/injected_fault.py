"""The faults that a certification injects: their families, and how each draws its size. What each does: `*_tampering.py`.

A family is a part of the system that can fail. `none` is the healthy flight, in which every alarm is false. `unseen` are
faults of the state that agree with themselves, which nothing on board can see; they are counted apart.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

PLACES = ("policy", "guide", "link", "process", "operator", "state", "plant", "unseen")
FAMILIES = ("none", *PLACES, "pair")
PAIRED = ("policy", "guide", "link", "process", "operator", "plant")  # faults that two of which come at once


class FaultRange(NamedTuple):
    """How a fault is drawn. size: least and most, in its own unit. lasts: s, inf for the whole flight."""

    size: tuple[float, float] = (0.0, 0.0)
    lasts: tuple[float, float] = (math.inf, math.inf)


KINDS: dict[str, dict[str, FaultRange]] = {
    "policy": {
        "frozen": FaultRange(),
        "frozen_with_dither": FaultRange((1e-4, 3e-3)),
        "flipped": FaultRange(),
        "one_axis_flipped": FaultRange(),
        "scaled": FaultRange((0.0, 3.0)),
        "biased": FaultRange((0.05, 1.0)),
        "noisy": FaultRange((0.1, 1.0)),
        "not_finite": FaultRange(),
        "full": FaultRange(),
        "delayed": FaultRange((1, 8)),  # answers of so many states before
    },
    "guide": {
        "frozen": FaultRange(),
        "frozen_with_dither": FaultRange((1e-4, 3e-3)),
        "flipped": FaultRange(),
        "biased": FaultRange((0.05, 1.0)),
        "noisy": FaultRange((0.1, 1.0)),
        "not_finite": FaultRange(),
        "falling": FaultRange(),
    },
    "link": {
        "states_lost": FaultRange((0.2, 0.9), (0.5, 5.0)),  # share
        "states_late": FaultRange((0.02, 0.15), (0.5, 5.0)),  # s
        "states_stop": FaultRange((0.0, 0.0), (0.05, 20.0)),
        "states_doubled": FaultRange((0.2, 1.0)),  # share
        "states_disordered": FaultRange((0.2, 1.0)),  # share
        "commands_lost": FaultRange((0.2, 1.0), (0.5, 20.0)),  # share
        "commands_late": FaultRange((0.01, 0.08), (0.5, 5.0)),  # s
        "cut": FaultRange((0.0, 0.0), (0.1, 20.0)),
    },
    "process": {
        "policy_killed": FaultRange(),
        "guide_killed": FaultRange(),
        "supervisor_killed": FaultRange(),
        "bridge_killed": FaultRange(),
        "companion_killed": FaultRange(),
        "policy_stopped": FaultRange((0.0, 0.0), (0.03, 2.0)),
        "guide_stopped": FaultRange((0.0, 0.0), (0.03, 2.0)),
        "supervisor_stopped": FaultRange((0.0, 0.0), (0.03, 2.0)),
        "bridge_stopped": FaultRange((0.0, 0.0), (0.03, 2.0)),
        "companion_stopped": FaultRange((0.0, 0.0), (0.03, 2.0)),
        "policy_slow": FaultRange((0.005, 0.05), (0.5, 5.0)),  # s
        "starved": FaultRange((0.01, 0.12), (0.5, 5.0)),  # s of each .04 to .16 s
    },
    "operator": {
        "disengages": FaultRange(),
        "lands": FaultRange(),
        "takes_guide": FaultRange(),
        "shuts_down": FaultRange(),
        "far_set_point": FaultRange((1.0, 20.0)),  # m
        "stream_to_the_wall": FaultRange((0.5, 6.0), (1.0, 4.0)),  # m/s
        "stream_not_finite": FaultRange((0.0, 0.0), (0.5, 3.0)),
        "pilot_holds": FaultRange(),
        "pilot_lands": FaultRange(),
        "pilot_returns": FaultRange(),
        "battery_fails": FaultRange(),
    },
    "state": {
        "position_drifts": FaultRange((0.3, 1.7)),  # m/s
        "height_drifts": FaultRange((0.2, 1.0)),  # m/s
        "yaw_drifts": FaultRange((0.1, 0.6)),  # rad/s
        "tilt_drifts": FaultRange((0.05, 0.3)),  # rad/s
        "velocity_flipped": FaultRange(),
        "velocity_stuck": FaultRange((1e-4, 1e-3)),  # m/s of dither
        "velocity_biased": FaultRange((0.3, 1.5)),  # m/s
        "position_stuck": FaultRange((1e-4, 1e-3)),  # m of dither
        "position_jumps": FaultRange((0.1, 2.0)),  # m
        "rates_stuck": FaultRange((1e-4, 1e-3)),  # rad/s of dither
        "rates_flipped": FaultRange(),
        "not_finite": FaultRange((0.0, 0.0), (0.02, 5.0)),
        "frozen": FaultRange((0.0, 0.0), (0.1, 5.0)),
        "origin_moved": FaultRange((0.1, 1.0)),  # m, with the reset counter
        "noisy": FaultRange((2.0, 10.0)),  # times the sensors' noise
    },
    "plant": {
        "gust": FaultRange((1.0, 5.0), (0.3, 2.0)),  # m/s^2
        "heavier": FaultRange((0.05, 0.3)),  # share
        "weaker": FaultRange((0.05, 0.25)),  # share
        "moment": FaultRange((0.02, 0.1)),  # of the weight times the arm
    },
    "unseen": {
        "drifts_as_its_velocity": FaultRange((0.1, 1.0)),  # m/s
    },
}


class InjectedFault(NamedTuple):
    """One fault of a flight, from `at` until `until` (s). size: see KINDS. direction: unit vector. axis: 0..3."""

    place: str
    kind: str
    at: float
    until: float
    size: float
    direction: tuple[float, float, float]
    axis: int
    seed: int

    @property
    def name(self) -> str:
        """Place and kind."""
        return f"{self.place} {self.kind}"

    def acts(self, now: float) -> bool:
        """Whether it acts at `now` (s)."""
        return self.at <= now < self.until

    def __str__(self) -> str:
        size = f", size {self.size:.3g}" if self.size else ""
        lasts = "" if math.isinf(self.until) else f" for {self.until - self.at:.2f} s"
        return f"{self.name.replace('_', ' ')} from {self.at:.2f} s on{lasts}{size}"


def draw(place: str, at: float, dice: np.random.Generator, kind: str | None = None) -> InjectedFault:
    """A random fault of a place, or of that kind, that begins at `at` (s)."""
    kind = kind or str(dice.choice(sorted(KINDS[place])))
    found = KINDS[place][kind]
    lasts = dice.uniform(*found.lasts) if math.isfinite(found.lasts[1]) else math.inf
    pointing = dice.standard_normal(3)
    x, y, z = (pointing / np.linalg.norm(pointing)).tolist()
    size, axis = float(dice.uniform(*found.size)), int(dice.integers(4))
    return InjectedFault(place, kind, at, at + lasts, size, (x, y, z), axis, int(dice.integers(2**31)))
