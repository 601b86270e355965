"""The falsifier: a search for the plant, the motion and the moment in which a fault of one kind does most harm.

Random flights tell how often the safety property is violated; the search tells whether it can be. Differential evolution
(Storn and Price, Journal of Global Optimization 11, 1997) minimises the robustness of "always inside, never harder than
1 m/s": the distance to the nearer of the two limits, negative beyond it.

    found = search("policy", "frozen", 200, fly)     # fly: the outcome of a scenario
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl.certification import injected_fault
from spike_ctrl.certification.flight_outcome import FAR, HARD, FlightOutcome
from spike_ctrl.certification.injected_fault import KINDS, LANDING, InjectedFault
from spike_ctrl.certification.moving_scenario import (
    BEGINS,
    ENGAGED,
    HANDED_OVER,
    LATENCY,
    NOISE,
    OFF,
    WIND,
    Aim,
    Scenario,
    Stream,
    shown,
)
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.ladder_state import LadderLimits

POPULATION = 12
LATEST = 1.5  # s after the set-point, by which the fault strikes
NUMBERS = (
    "start x", "start y", "start z", "goal x", "goal y", "goal z", "time", "size", "lasts", "azimuth", "elevation", "axis",
    "mass", "thrust", "lag", "wind", "wind azimuth", "latency", "noise", "phase",
)  # fmt: skip


class Falsified(NamedTuple):
    """The worst flight of a search. numbers: by which `scenario` draws it again."""

    place: str
    kind: str
    flights: int
    robustness: float
    numbers: tuple[float, ...]
    outcome: FlightOutcome


def robustness(outcome: FlightOutcome) -> float:
    """Distance to the nearer limit: m to FAR outside the cage, or m/s to HARD."""
    return min(FAR - outcome.outside, HARD - outcome.hit)


def scenario(
    place: str, kind: str, numbers: Sequence[float], cage: Cage = Cage(), envelope: Envelope = Envelope(), off: float = OFF
) -> Scenario:
    """The flight of these NUMBERS, 0 to 1 each: from a start to a goal, on the way to which a fault of this kind strikes.

    off: as of `moving_scenario.spread`.
    """
    n = dict(zip(NUMBERS, (min(max(float(x), 0.0), 1.0) for x in numbers), strict=True))
    low, high = (np.array(corner) for corner in cage.laid((0.0, 0.0, 0.0)).box)
    start, goal = (low + (high - low) * [n[f"{name} {axis}"] for axis in "xyz"] for name in ("start", "goal"))
    way = goal - start
    goal = start + way * min(1.0, 0.95 * envelope.reach / max(float(np.linalg.norm(way)), 1e-6))
    drawn, phases = KINDS[place][kind], injected_fault.phases(place, kind)
    phase = phases[min(int(len(phases) * n["phase"]), len(phases) - 1)]
    grounded, lands = phase in BEGINS, ENGAGED + 1.0 if phase == LANDING else math.inf
    earliest, latest = {**BEGINS, LANDING: (lands, lands + 6.0)}.get(phase, (ENGAGED, ENGAGED + LATEST))
    at, begins = _between((earliest, latest), n["time"]), HANDED_OVER if grounded else ENGAGED
    lasts = _between(drawn.lasts, n["lasts"]) if math.isfinite(drawn.lasts[1]) else math.inf
    turn, up = 2 * math.pi * n["azimuth"], 2 * n["elevation"] - 1
    level = math.sqrt(1 - up * up)
    pointing = (level * math.cos(turn), level * math.sin(turn), up)
    size, axis = _between(drawn.size, n["size"]), min(int(4 * n["axis"]), 3)
    fault = InjectedFault(place, kind, at, at + lasts, size, pointing, axis, 1)
    blows, wind = 2 * math.pi * n["wind azimuth"], WIND * n["wind"]
    mass, thrust, lag = (_between((1 - off, 1 + off), n[name]) for name in ("mass", "thrust", "lag"))
    x, y, z = (0.0, 0.0, LadderLimits().take_off_height) if grounded else start.tolist()
    aim = Aim(begins, SetPoint((float(goal[0]), float(goal[1]), float(goal[2])), yaw=math.pi / 2))
    return Scenario(
        0, place, (mass, thrust, lag), LATENCY * n["latency"], _between((0.5, NOISE), n["noise"]),
        (wind * math.cos(blows), wind * math.sin(blows), 0.0), (x, y, z), "searched", (aim,), (fault,),
        at + shown(phase, [fault]), phase, grounded, lands, Stream(),
    )  # fmt: skip


def search(
    place: str,
    kind: str,
    flights: int,
    fly: Callable[[Scenario], FlightOutcome],
    seed: int = 0,
    tell: Callable[[int, float], None] = lambda flown, worst: None,
    off: float = OFF,
) -> Falsified:
    """The worst of so many flights, each better aimed than the last; it ends early where the safety property is violated.

    off: as of `moving_scenario.spread`. tell: called after each flight with their number and the least robustness so far.
    """
    from scipy.optimize import differential_evolution

    worst: Falsified | None = None
    flown = 0

    def fitness(numbers: np.ndarray) -> float:
        nonlocal worst, flown
        outcome = fly(scenario(place, kind, numbers.tolist(), off=off))
        flown += 1
        left = robustness(outcome)
        if worst is None or left < worst.robustness:
            worst = Falsified(place, kind, flown, left, tuple(float(x) for x in numbers), outcome)
        tell(flown, worst.robustness)
        return left

    begin = np.random.default_rng(seed).random((min(POPULATION, max(flights, 5)), len(NUMBERS)))
    generations = max(flights // len(begin) - 1, 0)
    differential_evolution(
        fitness, [(0.0, 1.0)] * len(NUMBERS), maxiter=generations, init=begin, polish=False, tol=0.0, rng=seed,
        callback=lambda intermediate_result: worst is not None and worst.robustness < 0,
    )  # fmt: skip
    assert worst is not None
    return worst._replace(flights=flown)


def _between(span: tuple[float, float], share: float) -> float:
    return span[0] + share * (span[1] - span[0])
