"""A hover about which the air begins to whirl: a force that depends on the place, which no estimate of a vehicle explains.

The policy is driven round its set-point. The force has no mean, so a policy that is tuned for a steady one gains little. It
may learn from the transitions of the flight instead.
"""

import math
from typing import NamedTuple

import numpy as np

from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.certification.plant_injection import PlantInjection
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.simulated_px4.plant import Plant
from spike_ctrl_adaptation.adapted_flight import AdaptedFlight, GuidedFlight, draw, led_by

SIZE, LASTS, SPAN = 4.0, 60.0, 10.0  # m/s^2 at the radius where it is fastest; s; s of a mean
CORE = 0.2  # m, radius at which the air is fastest (Rankine's vortex)


def whirl(x: float, y: float, size: float) -> tuple[float, float]:
    """Acceleration (m/s^2) by air that turns about the origin, counter-clockwise: `size` at CORE, less within and beyond."""
    radius = math.hypot(x, y)
    share = size / CORE if radius < CORE else size * CORE / radius**2
    return -share * y, share * x


class Whirling(PlantInjection):
    """A plant in air that whirls about the start from the fault `whirl` on."""

    def __init__(self, scenario: Scenario, plant: Plant) -> None:
        self.centre = scenario.start
        super().__init__(scenario, plant)
        self.steady = self.faults

    def air(self, now: float) -> list[float]:
        """Force (N) of wind and whirl."""
        force, mass = super().air(now), self.plant.airframe.mass
        for fault in self.faults:
            if fault.acts(now):
                x, y = (a - b for a, b in zip(self.plant.state.position[:2], self.centre[:2], strict=True))
                a, b = whirl(x, y, fault.size)
                force = [force[0] + a * mass, force[1] + b * mass, force[2]]
        return force


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


def fly_whirl(flying: str, seed: int, noise: float, who: Competitors, settings: FlightSettings, data: bytes) -> WhirlFlight:
    """One flight. flying: learning, or as of `fly_change`. data: the policy's checkpoint. Raises UsageError."""
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
    core.plant = Whirling(scenario, core.vehicle.plant)
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
