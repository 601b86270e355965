"""The table of what can fail: a certification draws its faults from it. What each does: `*_injection.py`.

A family is a part of the system that can fail. `none` is the healthy flight, in which every alarm is false. `unseen` are
faults of the state that agree with themselves, which nothing on board can see; those and the autopilot's own estimate are
counted apart. FIRST holds the kinds of the certificates until November 2026, whose seeds draw the same faults again. No seed
draws `rotor`, `stuck` or `thrown` unless asked for: seeds keep their flights. docs/what_can_fail.md is written from here.
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np

PLACES = ("policy", "guide", "link", "process", "operator", "state", "plant", "unseen")
FIRST_FAMILIES = ("none", *PLACES, "pair")
SEEDED = (*FIRST_FAMILIES, "estimator", "clock", "autopilot")  # of which each seed has its own
FAMILIES = (*SEEDED, "rotor", "stuck", "thrown")
UNPROMISED = ("unseen", "autopilot", "rotor", "stuck", "thrown")  # of which a vehicle is not promised to stay in its cage
TAKE_OFF, HAND_OVER, GUIDED, FLIGHT, LANDING = PHASES = ("take-off", "hand-over", "guide alone", "flight", "landing")
SHADOWED, WITH_GUIDE = (HAND_OVER, GUIDED, FLIGHT), (TAKE_OFF, HAND_OVER, GUIDED, FLIGHT)
AFTER, SLOWLY = 7.0, 70.0  # s that a flight goes on after its fault has begun: until it has shown itself
THROWN_START = "from_the_start"  # the kind that begins a flight
PAIRED = ("policy", "guide", "link", "process", "operator", "plant")  # faults that two of which come at once


class FaultRange(NamedTuple):
    """How a fault is drawn. size: least and most, in its unit. lasts: s, inf for the whole flight.

    row: of the fault table (docs/faults.md) that it strikes in motion; None where no row speaks of it. phases: in which it
    strikes. after: s that the flight goes on.
    """

    size: tuple[float, float] = (0.0, 0.0)
    lasts: tuple[float, float] = (math.inf, math.inf)
    row: int | None = None
    phases: tuple[str, ...] = PHASES
    after: float = AFTER
    unit: str = ""


Kinds: TypeAlias = dict[str, dict[str, FaultRange]]


def _of_guide(kinds: dict[str, FaultRange]) -> dict[str, FaultRange]:
    return {name: found._replace(row=17) for name, found in kinds.items()}


_EITHER = {  # policy and guide alike
    "frozen": FaultRange(row=12),
    "frozen_with_dither": FaultRange((1e-4, 3e-3), row=12, unit="of an action's limit"),
    "flipped": FaultRange(row=12),
    "biased": FaultRange((0.05, 1.0), row=12, unit="of an action's limit"),
    "noisy": FaultRange((0.1, 1.0), row=11, unit="of an action's limit"),
    "not_finite": FaultRange(row=7),
}
_FIRST_OF_POLICY = {
    "one_axis_flipped": FaultRange(row=12),
    "scaled": FaultRange((0.0, 3.0), row=10, unit="times"),
    "full": FaultRange(row=10),
}
FIRST: Kinds = {
    "policy": _EITHER | _FIRST_OF_POLICY | {"delayed": FaultRange((1, 8), row=30, unit="answers of so many states before")},
    "guide": _of_guide(_EITHER) | {"falling": FaultRange(row=17)},
    "link": {
        "states_lost": FaultRange((0.2, 0.9), (0.5, 5.0), row=2, unit="share"),
        "states_late": FaultRange((0.02, 0.15), (0.5, 5.0), row=2, unit="s"),
        "states_stop": FaultRange((0.0, 0.0), (0.05, 20.0), row=1),
        "states_doubled": FaultRange((0.2, 1.0), row=3, unit="share"),
        "states_disordered": FaultRange((0.2, 1.0), row=3, unit="share"),
        "commands_lost": FaultRange((0.2, 1.0), (0.5, 20.0), row=48, unit="share"),
        "commands_late": FaultRange((0.01, 0.08), (0.5, 5.0), row=30, unit="s"),
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
        "policy_slow": FaultRange((0.005, 0.05), (0.5, 5.0), row=30, unit="s"),
        "starved": FaultRange((0.01, 0.12), (0.5, 5.0), row=30, unit="s of each .04 to .16 s"),
    },
    "operator": {
        "disengages": FaultRange(),
        "lands": FaultRange(),
        "takes_guide": FaultRange(),
        "shuts_down": FaultRange(row=43),
        "far_set_point": FaultRange((1.0, 20.0), row=36, unit="m"),
        "stream_to_the_wall": FaultRange((0.5, 6.0), (1.0, 4.0), row=36, unit="m/s"),
        "stream_not_finite": FaultRange((0.0, 0.0), (0.5, 3.0), row=36),
        "pilot_holds": FaultRange(row=33),
        "pilot_lands": FaultRange(row=33),
        "pilot_returns": FaultRange(row=33),
        "battery_fails": FaultRange(row=35),
    },
    "state": {
        "position_drifts": FaultRange((0.3, 1.7), row=47, unit="m/s"),
        "height_drifts": FaultRange((0.2, 1.0), row=47, unit="m/s"),
        "yaw_drifts": FaultRange((0.1, 0.6), row=47, unit="rad/s"),
        "tilt_drifts": FaultRange((0.05, 0.3), row=47, unit="rad/s"),
        "velocity_flipped": FaultRange(row=47),
        "velocity_stuck": FaultRange((1e-4, 1e-3), row=47, unit="m/s of dither"),
        "velocity_biased": FaultRange((0.3, 1.5), row=47, unit="m/s"),
        "position_stuck": FaultRange((1e-4, 1e-3), row=47, unit="m of dither"),
        "position_jumps": FaultRange((0.1, 2.0), row=5, unit="m"),
        "rates_stuck": FaultRange((1e-4, 1e-3), row=47, unit="rad/s of dither"),
        "rates_flipped": FaultRange(row=47),
        "not_finite": FaultRange((0.0, 0.0), (0.02, 5.0), row=4),
        "frozen": FaultRange((0.0, 0.0), (0.1, 5.0), row=6),
        "origin_moved": FaultRange((0.1, 1.0), row=9, unit="m, with the reset counter"),
        "noisy": FaultRange((2.0, 10.0), row=5, unit="times the sensors' noise"),
    },
    "plant": {
        "gust": FaultRange((1.0, 5.0), (0.3, 2.0), unit="m/s^2"),
        "heavier": FaultRange((0.05, 0.3), unit="share"),
        "weaker": FaultRange((0.05, 0.25), unit="share"),
        "moment": FaultRange((0.02, 0.1), unit="of the weight times the arm"),
    },
    "unseen": {"drifts_as_its_velocity": FaultRange((0.1, 1.0), after=20.0, unit="m/s")},
}
_OF_ANSWERS = {
    "one_axis_scaled": FaultRange((-1.0, 0.5), row=12, unit="times"),
    "axes_biased": FaultRange((0.05, 1.0), row=12, unit="of an action's limit, all four at once"),
    "axes_swapped": FaultRange(row=12, unit="roll and pitch"),
    "oscillates": FaultRange((0.1, 1.0), row=11, unit="of an action's limit, 2 to 8 Hz, on one axis"),
    "ramps": FaultRange((0.05, 1.0), row=12, unit="1/s, on one axis"),
}
_ADDED: Kinds = {
    "policy": _OF_ANSWERS | {"long_delayed": FaultRange((9, 16), row=30, unit="answers of so many states before")},
    "guide": _of_guide(_OF_ANSWERS | _FIRST_OF_POLICY)
    | {
        "dithered": FaultRange((3e-3, 1e-2), row=17, unit="of an action's limit"),
        "delayed": FaultRange((1, 16), row=17, unit="answers of so many states before"),
    },
    "link": {
        **{
            f"{way}_{how}": FaultRange(size, (2.0, 20.0), 30 if way == "commands" else 2, unit=unit)
            for way, most in (("states", 0.3), ("commands", 0.2), ("both", 0.12))
            for how, size, unit in (
                ("held", (0.01, most), "s"),
                ("growing", (0.05, 0.6), "s/s, for .25 to 2 s"),
                ("bursty", (0.03, 2 * most), "s, of four times that"),
            )
        },
        "states_rare": FaultRange((25.0, 50.0), (0.5, 20.0), row=2, unit="Hz"),
        "status_stops": FaultRange((0.0, 0.0), (0.5, 20.0), row=20, unit="with TIMESYNC; states go on"),
    },
    "process": {
        "policy_late": FaultRange((0.05, 0.2), (0.5, 5.0), row=30, unit="s"),
        "guide_slow": FaultRange((0.005, 0.05), (0.5, 5.0), row=17, unit="s"),
        "guide_late": FaultRange((0.05, 0.2), (0.5, 5.0), row=17, unit="s"),
    },
    "operator": {
        "many_requests": FaultRange((3, 12), unit="requests, or modes of a pilot, within .05 to 1 s of each other")
    },
    "state": {
        "position_lags": FaultRange((5, 50), row=47, unit="states"),
        "velocity_lags": FaultRange((5, 50), row=47, unit="states"),
        "attitude_lags": FaultRange((2, 20), row=47, unit="states"),
        "rates_lag": FaultRange((2, 20), row=47, unit="states"),
        "position_scaled": FaultRange((0.5, 1.5), row=47, unit="times"),
        "velocity_scaled": FaultRange((0.0, 2.0), row=47, unit="times"),
        "rates_scaled": FaultRange((0.0, 2.0), row=47, unit="times"),
        "velocity_axes_swapped": FaultRange(row=47),
        "rates_axes_swapped": FaultRange(row=47),
        "rates_biased": FaultRange((0.05, 0.5), row=47, unit="rad/s"),
        "tilt_biased": FaultRange((0.05, 0.4), row=47, unit="rad"),
        "velocity_ramps": FaultRange((0.05, 0.5), row=47, after=20.0, unit="m/s^2"),
        "velocity_oscillates": FaultRange((0.1, 1.0), row=47, unit="m/s, 2 to 8 Hz"),
        "rates_oscillate": FaultRange((0.2, 2.0), row=47, unit="rad/s, 2 to 8 Hz"),
        "position_creeps": FaultRange((0.04, 0.12), row=47, phases=(GUIDED, FLIGHT), after=SLOWLY, unit="m/s"),
        "height_creeps": FaultRange((0.04, 0.12), row=47, phases=(GUIDED, FLIGHT), after=SLOWLY, unit="m/s"),
        "yaw_creeps": FaultRange((0.01, 0.05), row=47, phases=(GUIDED, FLIGHT), after=SLOWLY, unit="rad/s"),
        "attitude_stuck": FaultRange((1e-4, 1e-3), row=47, unit="rad of dither"),
        "attitude_oscillates": FaultRange((0.02, 0.2), row=47, unit="rad, 2 to 8 Hz"),
        "yaw_biased": FaultRange((0.1, 3.1), row=47, unit="rad, without the reset counter"),
        "force_stuck": FaultRange((1e-4, 1e-3), row=46, unit="m/s^2 of dither, of the accelerometer"),
        "force_biased": FaultRange((0.5, 10.0), row=46, unit="m/s^2, of the accelerometer"),
        "stays": FaultRange((1e-5, 1e-3), row=6, phases=WITH_GUIDE, unit="m, m/s, rad and rad/s of noise"),
    },
    "estimator": {
        "yaw_reset": FaultRange((0.3, 3.1), row=9, unit="rad"),
        "velocity_reset": FaultRange((0.3, 1.5), row=9, unit="m/s"),
        "origin_resets": FaultRange((0.1, 1.0), row=9, after=20.0, unit="m, each second"),
        "velocity_stuck_in_resets": FaultRange((1, 10), row=9, after=20.0, unit="states from one reset to the next"),
        "resets_alone": FaultRange((1, 100), row=9, after=20.0, unit="states from one reset to the next; nothing moves"),
        "position_drifts_in_resets": FaultRange((0.1, 1.0), row=9, after=20.0, unit="m/s, with a reset each second"),
    },
    "clock": {
        "skewed": FaultRange((0.01, 0.5), row=8, after=20.0, unit="s/s, ahead or behind"),
        "jumps": FaultRange((0.03, 5.0), row=8, unit="s"),
        "stands": FaultRange((0.0, 0.0), (0.05, 3.0), row=8),
    },
    "plant": {
        "one_rotor_weaker": FaultRange((0.1, 0.25), unit="share of its thrust"),
        "sags": FaultRange((0.05, 0.25), after=20.0, unit="share of the thrust, over 10 s"),
        "wind_turns": FaultRange((1.0, 3.0), unit="m/s^2, once round in 6 s"),
    },
    "autopilot": {
        "drifts": FaultRange((0.05, 1.0), row=47, after=SLOWLY, unit="m/s"),
        "yaw_reset": FaultRange((0.3, 3.1), row=9, after=30.0, unit="rad"),
        "yaw_drifts": FaultRange((0.02, 0.3), row=47, after=SLOWLY, unit="rad/s"),
        "satellites_lost": FaultRange(row=46, after=30.0),
    },
    "rotor": {
        "weakened": FaultRange((0.3, 0.5), row=49, after=20.0, unit="share of its thrust, within 0 to .5 s"),
        "mostly_lost": FaultRange((0.5, 0.95), row=49, after=20.0, unit="share of its thrust, within 0 to .5 s"),
        "gone": FaultRange((1.0, 1.0), row=49, after=20.0, unit="share of its thrust, within 0 to .5 s"),
    },
    "stuck": {
        "slow": FaultRange((0.0, 0.5), row=51, after=20.0, unit="of its full speed"),
        "near_hover": FaultRange((0.5, 0.85), row=51, after=20.0, unit="of its full speed"),
        "fast": FaultRange((0.85, 1.0), row=51, after=20.0, unit="of its full speed"),
    },
    "thrown": {
        "spun": FaultRange((3.0, 15.0), row=50, phases=SHADOWED, unit="rad/s more, by a blow"),
        "knocked": FaultRange((0.2, 1.0), row=50, phases=SHADOWED, unit="of 3 m/s and 15 rad/s more, by a blow"),
        THROWN_START: FaultRange((0.2, 1.0), row=50, phases=(GUIDED, FLIGHT), unit="of 3 m/s and 15 rad/s, any attitude"),
    },
}
KINDS: Kinds = {place: FIRST.get(place, {}) | _ADDED.get(place, {}) for place in (*PLACES, *FAMILIES[len(FIRST_FAMILIES) :])}
PHASES_OF = {"policy": SHADOWED, "guide": WITH_GUIDE}  # of the others: all, or those of the kind


def phases(place: str, kind: str) -> tuple[str, ...]:
    """The phases in which a kind strikes."""
    found = KINDS[place][kind].phases
    return tuple(phase for phase in found if phase in PHASES_OF.get(place, PHASES))


def struck_rows() -> dict[int, list[str]]:
    """The rows of the fault table that a certification strikes in motion, each with the names of its faults.

    The rows that are left out concern no vehicle in the air (a file, a bag, a parameter, a start), or what is not simulated
    here: spike rates, learner, recorder, ground station, DDS.
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
