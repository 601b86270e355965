"""What became of a flight: how far outside the cage, how hard on the ground, how soon somebody else flew."""

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.certification.injected_fault import FLIGHT, UNPROMISED
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.certification.plant_injection import thrust_share
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import reason
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings

HARD = 1.0  # m/s: a harder touchdown is a hit
FAR = 0.3  # m: an exit by more violates the safety property; by less it is told
TOO_HEAVY = "too heavy to hover"  # a lasting fault of the plant after which no controller keeps the height

_KINDS = ("STEPPED_DOWN", "TAKEN_OVER", "DROPPED", "HOLD_NOT_TAKEN", "NOT_ARMED", "DISARMED", "RECOVERS")
INTERRUPTIONS = tuple(EventKind[name] for name in _KINDS)


class FlightOutcome(NamedTuple):
    """One flight, as it is kept.

    outside: m, farthest true position outside the cage, negative where it stayed inside. hit: m/s, hardest touchdown.
    reaction: s from the fault until the policy no longer commanded, NaN where it went on. alarm: why the policy lost command
    in a flight without a fault; empty where it did not. seconds: of virtual time. phase: in which the fault struck.
    thrust_share: as `plant_injection.thrust_share`.
    """

    seed: int
    family: str
    motion: str
    what: str
    faults: str
    outside: float
    hit: float
    reaction: float
    alarm: str
    last: str
    seconds: float
    phase: str = FLIGHT
    thrust_share: float = math.inf

    @property
    def counted(self) -> str:
        """The class under which it counts: its family, or TOO_HEAVY."""
        return self.family if self.thrust_share >= 1 else TOO_HEAVY

    @property
    def promised(self) -> bool:
        """Whether the safety property is promised of it."""
        return self.counted not in (TOO_HEAVY, *UNPROMISED)

    @property
    def left(self) -> bool:
        """Whether it left the cage by more than FAR."""
        return self.outside > FAR

    @property
    def crashed(self) -> bool:
        """Whether it met the ground harder than HARD."""
        return self.hit > HARD

    @property
    def badness(self) -> float:
        """For the order of the worst: 1 where one of the two limits is just reached."""
        return max(self.outside / FAR, self.hit / HARD)


def fly_scenario(scenario: Scenario, who: Competitors, settings: FlightSettings) -> tuple[FlightOutcome, FlightCore]:
    """The flight of a scenario, and its outcome."""
    with _without_collector():
        core = FlightCore(scenario, who, settings)
        core.fly()
    return outcome(core), core


def outcome(core: FlightCore) -> FlightOutcome:
    """The outcome of a flight that is over."""
    scenario, low, high = core.scenario, core.settings.cage.low, core.settings.cage.high
    flown = np.array([step.position for step in core.steps])
    outside = float(np.maximum(low - flown, flown - high).max())
    flying = Rung.SNN if scenario.phase == FLIGHT and not scenario.grounded else Rung.GUIDE
    after = [at for at, rung, _ in core.moves if at >= scenario.begin and rung > flying]
    interrupted = (event for event in core.events if event.kind in INTERRUPTIONS and not scenario.faults)
    alarm = next((f"{e.time:.2f} s: {e.rung.name if e.rung else 'GUIDE'}: {reason(e)}" for e in interrupted), "")
    return FlightOutcome(
        scenario.seed, scenario.family, scenario.motion, scenario.what, "; ".join(map(str, scenario.faults)),
        round(outside, 4), round(core.vehicle.plant.hardest_touchdown, 4),
        round(after[0] - scenario.begin, 4) if after else math.nan, alarm, core.state.ladder.rung.name,
        round(core.vehicle.now, 3), scenario.phase,
        round(thrust_share(scenario, core.who.airframe.thrust_to_weight), 4),
    )  # fmt: skip


@contextmanager
def _without_collector() -> Iterator[None]:
    """A flight makes a million tuples and hardly a cycle: the collector, which would look for some, runs before it alone.

    What it takes then is the flight before, of which nobody holds the core any more. After a flight it would find the core
    alive, and would not look at it again for a long time.
    """
    enabled = gc.isenabled()
    gc.disable()
    gc.collect(1)
    try:
        yield
    finally:
        if enabled:
            gc.enable()
