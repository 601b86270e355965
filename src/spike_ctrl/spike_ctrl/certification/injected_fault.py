"""The table of what can fail: a certification draws its faults from it. What each does: `*_injection.py`.

A family is a part of the system that can fail. `none` is the healthy flight, in which every alarm is false. `unseen` are
faults of the state that agree with themselves, which nothing on board can see; they are counted apart. What no flight has:
NOT_FLOWN. FIRST holds the kinds of the certificates until November 2026, from which their seeds draw the same faults again.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np

PLACES = ("policy", "guide", "link", "process", "operator", "state", "plant", "unseen")
FIRST_FAMILIES = ("none", *PLACES, "pair")
FAMILIES = (*FIRST_FAMILIES, "estimator", "clock", "autopilot")
TAKE_OFF, HAND_OVER, GUIDED, FLIGHT, LANDING = PHASES = ("take-off", "hand-over", "guide alone", "flight", "landing")
SHADOWED, WITH_GUIDE = (HAND_OVER, GUIDED, FLIGHT), (TAKE_OFF, HAND_OVER, GUIDED, FLIGHT)
AFTER, SLOWLY = 7.0, 70.0  # s that a flight goes on after its fault has begun: until it has shown itself
PAIRED = ("policy", "guide", "link", "process", "operator", "plant")  # faults that two of which come at once


class FaultRange(NamedTuple):
    """How a fault is drawn. size: least and most, in its own unit. lasts: s, inf for the whole flight.

    row: of the fault table (docs/faults.md) that it strikes in motion; None where no row speaks of it. phases: in which it
    strikes. after: s that the flight goes on.
    """

    size: tuple[float, float] = (0.0, 0.0)
    lasts: tuple[float, float] = (math.inf, math.inf)
    row: int | None = None
    phases: tuple[str, ...] = PHASES
    after: float = AFTER


Kinds: TypeAlias = dict[str, dict[str, FaultRange]]
FIRST: Kinds = {
    "policy": {
        "frozen": FaultRange(row=12),
        "frozen_with_dither": FaultRange((1e-4, 3e-3), row=12),
        "flipped": FaultRange(row=12),
        "one_axis_flipped": FaultRange(row=12),
        "scaled": FaultRange((0.0, 3.0), row=10),
        "biased": FaultRange((0.05, 1.0), row=12),
        "noisy": FaultRange((0.1, 1.0), row=11),
        "not_finite": FaultRange(row=7),
        "full": FaultRange(row=10),
        "delayed": FaultRange((1, 8), row=30),  # answers of so many states before
    },
    "guide": {
        "frozen": FaultRange(row=17),
        "frozen_with_dither": FaultRange((1e-4, 3e-3), row=17),
        "flipped": FaultRange(row=17),
        "biased": FaultRange((0.05, 1.0), row=17),
        "noisy": FaultRange((0.1, 1.0), row=17),
        "not_finite": FaultRange(row=17),
        "falling": FaultRange(row=17),
    },
    "link": {
        "states_lost": FaultRange((0.2, 0.9), (0.5, 5.0), row=2),  # share
        "states_late": FaultRange((0.02, 0.15), (0.5, 5.0), row=2),  # s
        "states_stop": FaultRange((0.0, 0.0), (0.05, 20.0), row=1),
        "states_doubled": FaultRange((0.2, 1.0), row=3),  # share
        "states_disordered": FaultRange((0.2, 1.0), row=3),  # share
        "commands_lost": FaultRange((0.2, 1.0), (0.5, 20.0), row=48),  # share
        "commands_late": FaultRange((0.01, 0.08), (0.5, 5.0), row=30),  # s
        "cut": FaultRange((0.0, 0.0), (0.1, 20.0), row=20),
    },
    "process": {
        "policy_killed": FaultRange(row=16),
        "guide_killed": FaultRange(row=17),
        "supervisor_killed": FaultRange(row=19),
        "bridge_killed": FaultRange(row=20),
        "companion_killed": FaultRange(row=44),
        "policy_stopped": FaultRange((0.0, 0.0), (0.03, 2.0), row=15),
        "guide_stopped": FaultRange((0.0, 0.0), (0.03, 2.0), row=17),
        "supervisor_stopped": FaultRange((0.0, 0.0), (0.03, 2.0), row=19),
        "bridge_stopped": FaultRange((0.0, 0.0), (0.03, 2.0), row=20),
        "companion_stopped": FaultRange((0.0, 0.0), (0.03, 2.0), row=44),
        "policy_slow": FaultRange((0.005, 0.05), (0.5, 5.0), row=30),  # s
        "starved": FaultRange((0.01, 0.12), (0.5, 5.0), row=30),  # s of each .04 to .16 s
    },
    "operator": {
        "disengages": FaultRange(),
        "lands": FaultRange(),
        "takes_guide": FaultRange(),
        "shuts_down": FaultRange(row=43),
        "far_set_point": FaultRange((1.0, 20.0), row=36),  # m
        "stream_to_the_wall": FaultRange((0.5, 6.0), (1.0, 4.0), row=36),  # m/s
        "stream_not_finite": FaultRange((0.0, 0.0), (0.5, 3.0), row=36),
        "pilot_holds": FaultRange(row=33),
        "pilot_lands": FaultRange(row=33),
        "pilot_returns": FaultRange(row=33),
        "battery_fails": FaultRange(row=35),
    },
    "state": {
        "position_drifts": FaultRange((0.3, 1.7), row=47),  # m/s
        "height_drifts": FaultRange((0.2, 1.0), row=47),  # m/s
        "yaw_drifts": FaultRange((0.1, 0.6), row=47),  # rad/s
        "tilt_drifts": FaultRange((0.05, 0.3), row=47),  # rad/s
        "velocity_flipped": FaultRange(row=47),
        "velocity_stuck": FaultRange((1e-4, 1e-3), row=47),  # m/s of dither
        "velocity_biased": FaultRange((0.3, 1.5), row=47),  # m/s
        "position_stuck": FaultRange((1e-4, 1e-3), row=47),  # m of dither
        "position_jumps": FaultRange((0.1, 2.0), row=5),  # m
        "rates_stuck": FaultRange((1e-4, 1e-3), row=47),  # rad/s of dither
        "rates_flipped": FaultRange(row=47),
        "not_finite": FaultRange((0.0, 0.0), (0.02, 5.0), row=4),
        "frozen": FaultRange((0.0, 0.0), (0.1, 5.0), row=6),
        "origin_moved": FaultRange((0.1, 1.0), row=9),  # m, with the reset counter
        "noisy": FaultRange((2.0, 10.0), row=5),  # times the sensors' noise
    },
    "plant": {
        "gust": FaultRange((1.0, 5.0), (0.3, 2.0)),  # m/s^2
        "heavier": FaultRange((0.05, 0.3)),  # share
        "weaker": FaultRange((0.05, 0.25)),  # share
        "moment": FaultRange((0.02, 0.1)),  # of the weight times the arm
    },
    "unseen": {
        "drifts_as_its_velocity": FaultRange((0.1, 1.0))  # m/s
    },
}
_NOW_AND_THEN = (2.0, 20.0)  # s that a link is slow
_ADDED: Kinds = {
    "policy": {
        "one_axis_scaled": FaultRange((-1.0, 0.5), row=12),
        "axes_biased": FaultRange((0.1, 1.0), row=12),  # all four at once
        "axes_swapped": FaultRange(row=12),  # roll and pitch
        "oscillates": FaultRange((0.1, 1.0), row=11),  # 2 to 8 Hz, on one axis
        "ramps": FaultRange((0.05, 1.0), row=12),  # 1/s, on one axis
        "long_delayed": FaultRange((9, 16), row=30),  # answers of so many states before
    },
    "guide": {
        "dithered": FaultRange((3e-3, 1e-2), row=17),
        "one_axis_flipped": FaultRange(row=17),
        "one_axis_scaled": FaultRange((-1.0, 0.5), row=17),
        "axes_biased": FaultRange((0.05, 1.0), row=17),
        "axes_swapped": FaultRange(row=17),
        "oscillates": FaultRange((0.1, 1.0), row=17),
        "ramps": FaultRange((0.05, 1.0), row=17),
        "scaled": FaultRange((0.0, 3.0), row=17),
        "full": FaultRange(row=17),
        "delayed": FaultRange((1, 16), row=17),
    },
    "link": {
        **{
            f"{direction}_{how}": FaultRange(size, _NOW_AND_THEN, row=30 if direction == "commands" else 2)
            for direction, most in (("states", 0.3), ("commands", 0.2), ("both", 0.12))  # commands upwards, both ways
            for how, size in (("held", (0.01, most)), ("growing", (0.05, 0.6)), ("bursty", (0.03, 2 * most)))  # s; s/s; s
        },
        "states_rare": FaultRange((25.0, 50.0), (0.5, 20.0), row=2),  # Hz
    },
    "process": {"policy_late": FaultRange((0.05, 0.2), (0.5, 5.0), row=30)},  # s
    "operator": {"many_requests": FaultRange((3, 12))},  # at random, with modes of a pilot, within .05 to 1 s of each other
    "state": {
        "position_lags": FaultRange((5, 50), row=47),  # states
        "velocity_lags": FaultRange((5, 50), row=47),
        "attitude_lags": FaultRange((2, 20), row=47),
        "rates_lag": FaultRange((2, 20), row=47),
        "position_scaled": FaultRange((0.5, 1.5), row=47),
        "velocity_scaled": FaultRange((0.0, 2.0), row=47),
        "rates_scaled": FaultRange((0.0, 2.0), row=47),
        "velocity_axes_swapped": FaultRange(row=47),
        "rates_axes_swapped": FaultRange(row=47),
        "rates_biased": FaultRange((0.05, 0.5), row=47),  # rad/s
        "tilt_biased": FaultRange((0.05, 0.4), row=47),  # rad
        "velocity_ramps": FaultRange((0.05, 0.5), row=47),  # m/s^2
        "velocity_oscillates": FaultRange((0.1, 1.0), row=47),  # m/s, 2 to 8 Hz
        "rates_oscillate": FaultRange((0.2, 2.0), row=47),  # rad/s, 2 to 8 Hz
        "position_creeps": FaultRange((0.04, 0.12), row=47, phases=(GUIDED, FLIGHT), after=SLOWLY),  # m/s
        "height_creeps": FaultRange((0.04, 0.12), row=47, phases=(GUIDED, FLIGHT), after=SLOWLY),  # m/s
        "yaw_creeps": FaultRange((0.01, 0.05), row=47, phases=(GUIDED, FLIGHT), after=SLOWLY),  # rad/s
        "stays": FaultRange((1e-5, 1e-3), row=6, phases=WITH_GUIDE),  # m, m/s, rad and rad/s of noise
    },
    "estimator": {
        "yaw_reset": FaultRange((0.3, 3.1), row=9),  # rad
        "velocity_reset": FaultRange((0.3, 1.5), row=9),  # m/s
        "origin_resets": FaultRange((0.1, 1.0), row=9),  # m, each second
        "velocity_stuck_in_resets": FaultRange((1, 10), row=9),  # states from one reset to the next
        "position_drifts_in_resets": FaultRange((0.1, 1.0), row=9),  # m/s, with a reset each second
    },
    "clock": {
        "skewed": FaultRange((0.01, 0.5), row=8),  # s/s, ahead or behind
        "jumps": FaultRange((0.03, 5.0), row=8),  # s
        "stands": FaultRange((0.0, 0.0), (0.05, 3.0), row=8),
    },
    "plant": {
        "one_rotor_weaker": FaultRange((0.1, 0.25)),  # share of its thrust
        "sags": FaultRange((0.05, 0.25)),  # share of the thrust, over 10 s
        "wind_turns": FaultRange((1.0, 3.0)),  # m/s^2, once round in 6 s
    },
    "autopilot": {
        "drifts": FaultRange((0.05, 1.0), row=47, after=30.0),  # m/s
        "yaw_reset": FaultRange((0.3, 3.1), row=9, after=30.0),  # rad
        "yaw_drifts": FaultRange((0.02, 0.3), row=47, after=30.0),  # rad/s
        "satellites_lost": FaultRange(row=46, after=30.0),
    },
}
KINDS: Kinds = {place: FIRST.get(place, {}) | _ADDED.get(place, {}) for place in (*PLACES, *FAMILIES[len(FIRST_FAMILIES) :])}
PHASES_OF = {"policy": SHADOWED, "guide": WITH_GUIDE}  # of the others: all, or those of the kind
NOT_FLOWN = (
    ("policy", "spikes too seldom or too often, of a hidden layer", "no fault of its own: what matters is the action"),
    ("policy", "another checkpoint answers, or one of another layout", "refused by name and layout, without any motion"),
    ("guide", "a fault that shows only when it must take over", "two faults at once: `pair` flies it"),
    ("state", "position and velocity drift together, slowly", "flown as `unseen` and counted apart: nothing contradicts it"),
    ("link", "damaged, unsigned, replayed or foreign packets", "no bytes are flown here; tests fly them (rows 38 and 39)"),
    ("link", "DDS between the nodes", "flown with real processes (docs/faults.md, level L)"),
    ("clock", "the companion's own clock steps", "all its times are monotonic"),
    ("process", "learner, recorder, ground station", "flown with real processes; no command depends on them"),
    ("operator", "sticks of a remote control", "the simulated vehicle has none; its modes are flown"),
    ("plant", "a rotor or a battery that fails altogether", "four rotors of which one stands cannot keep their attitude"),
    ("plant", "a collision, a broken frame", "not simulated"),
    ("autopilot", "its position and velocity drift together", "nothing on board contradicts it (as `unseen`)"),
    ("autopilot", "its rate loop, its mixer, its own modes", "taken for sound: they are the last protection"),
)  # component, what can fail, why no flight has it


def phases(place: str, kind: str) -> tuple[str, ...]:
    """The phases in which a kind strikes."""
    found = KINDS[place][kind].phases
    return tuple(phase for phase in found if phase in PHASES_OF.get(place, PHASES))


def struck_rows() -> dict[int, list[str]]:
    """The rows of the fault table that a certification strikes in motion, each with the names of its faults.

    The rows that are left out concern no vehicle in the air (a file, a bag, a parameter, a start), or what is not simulated
    here: a clock that jumps, spike rates, learner, recorder, ground station, DDS, an estimator that doubts itself.
    """
    found: dict[int, list[str]] = {}
    for place, kinds in KINDS.items():
        for kind, drawn in kinds.items():
            if drawn.row is not None:
                found.setdefault(drawn.row, []).append(f"{place} {kind}")
    return dict(sorted(found.items()))


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
    """A random fault of a place, one of FIRST, or of that kind, that begins at `at` (s)."""
    kind = kind or str(dice.choice(sorted(FIRST[place])))
    found = KINDS[place][kind]
    lasts = dice.uniform(*found.lasts) if math.isfinite(found.lasts[1]) else math.inf
    pointing = dice.standard_normal(3)
    x, y, z = (pointing / np.linalg.norm(pointing)).tolist()
    size, axis = float(dice.uniform(*found.size)), int(dice.integers(4))
    return InjectedFault(place, kind, at, at + lasts, size, (x, y, z), axis, int(dice.integers(2**31)))
