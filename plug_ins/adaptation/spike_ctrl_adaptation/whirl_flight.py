"""A hover about which the air begins to whirl: a force that depends on the place, which no estimate of a vehicle explains.

The policy is driven round its set-point. The force has no mean, so a policy that is tuned for a steady one gains little. It
may learn from the transitions of the flight instead.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl_adaptation.adapted_flight import AdaptedFlight, GuidedFlight, draw, led_by

SIZE, LASTS, SPAN = 4.0, 60.0, 10.0  # m/s^2 at the radius where it is fastest; s; s of a mean


class WhirlFlight(NamedTuple):
    """One flight. Mean distances (m) of the true position from the set-point: before the whirl, and in each SPAN of it.

    kept, rolled_back: policies that took over. told: what the adapter did, with the time (s) since the whirl began.
    """

    flying: str
    seed: int
    before: float
    off: tuple[float, ...]
    kept: int
    rolled_back: int
    lost: str
    told: tuple[str, ...]


def fly(flying: str, seed: int, noise: float, who: Competitors, settings: FlightSettings, data: bytes) -> WhirlFlight:
    """One flight. flying: learning, or as of `adapted_flight.fly`. data: the policy's checkpoint. Raises UsageError."""
    calm = draw("wind", seed, noise, who.airframe)
    at = calm.begin
    fault = calm.faults[0]._replace(kind="whirl", size=SIZE)
    scenario = calm._replace(faults=(fault,), duration=at + LASTS)
    if flying in ("learning", "adapted"):
        core: FlightCore = AdaptedFlight(scenario, who, settings, data, learns=flying == "learning")
    elif flying == "policy":
        core = FlightCore(scenario, who, settings)
    else:
        core = GuidedFlight(scenario, led_by(flying, who, settings), settings)
    core.fly()
    time = np.array([step.time for step in core.steps]) - at
    distance = np.array([math.dist(step.position, step.wanted) for step in core.steps])

    def mean(begin: float) -> float:
        rows = (time >= begin) & (time < begin + SPAN)
        return float(distance[rows].mean()) if rows.any() else math.inf

    kinds = [event.kind for event in core.events]
    verdicts = [(e.time, sentence(e)) for e in core.events if e.kind in (EventKind.KEPT, EventKind.ROLLED_BACK)]
    told = sorted((*getattr(core, "told", []), *verdicts), key=lambda one: one[0])
    wanted = Rung.GUIDE if isinstance(core, GuidedFlight) else Rung.SNN
    return WhirlFlight(
        flying,
        seed,
        float(distance[(time >= -3) & (time < 0)].mean()),
        tuple(mean(begin) for begin in np.arange(0.0, LASTS, SPAN)),
        kinds.count(EventKind.KEPT),
        kinds.count(EventKind.ROLLED_BACK),
        next((why for when, rung, why in core.moves if rung is not wanted and when > 1.0), ""),
        tuple(f"{when - at:.1f} s: {words}" for when, words in told),
    )
