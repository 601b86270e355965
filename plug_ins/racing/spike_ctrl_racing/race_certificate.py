"""Races in the core's virtual time, with faults of the policy at their worst moments. Pure.

Each seed draws a plant, noise, latency and wind. The race is flown without a fault first. Then the policy fails at the
fastest moment, or at the one from which a stop would end nearest to a wall or to the ground: it freezes, is scaled, falls
silent, or answers NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import FlightOutcome, outcome
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import settings_for
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.state_consistency import ZERO
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl_racing import course_path, race_settings
from spike_ctrl_racing.flown_words import RaceWords
from spike_ctrl_racing.gate_view import RacingPolicy
from spike_ctrl_racing.race_room import RaceRoom
from spike_ctrl_racing.stop_flights import StopFlights

FAULTS = (("policy", "frozen"), ("policy", "scaled"), ("process", "policy_killed"), ("policy", "not_finite"))
EACH = 2 * len(FAULTS)  # flights of a seed, if each fault strikes once at the fastest and once at the nearest moment
SCALES = (0.0, 2.5)  # of a scaled policy
OFF, WIND, NOISE, LATENCY = 0.05, 1.0, 1.0, 0.005  # as of `moving_scenario`, most
BRAKES, LANDS = 4.0, 40.0  # s after the fault: until it is asked to land, and at most until it has landed
LONGEST = 60.0  # s of a race
LANDING = 8  # flights of one seed of so many go on until the vehicle has landed; others may end when it is held at rest
SOONER = 0.2  # s before a fault, from when on stops are predicted again
NEAR, AGAIN = 0.2, 0.1  # m from the start; s until the policy is engaged again


class CertifiedRace(NamedTuple):
    """A flight with a fault. moment: fastest or nearest. speed: m/s, when it struck.

    beyond: m, farthest true position outside walls and ceiling after that; negative: so far inside.
    """

    outcome: FlightOutcome
    moment: str
    speed: float
    beyond: float


class Moments(NamedTuple):
    """A race without a fault: times (s), speeds (m/s), and how far (m) beyond the limit each simulated stop would end."""

    time: list[float]
    speed: list[float]
    beyond: list[float]


def cage_of(room: RaceRoom) -> Cage:
    """The keep-in box of a flight in this room."""
    a, b, c, d, e, f = room.cage
    return Cage((a, b, c), (d, e, f))


class RaceCore(FlightCore):
    """A flight that begins with the guide's way to the start of the course.

    ends_with_race: at the last gate, or when the guide takes over. ends_landed: a vehicle that is held at rest goes on.
    """

    ends_with_race = ends_landed = False

    def _engage(self) -> None:
        """The policy is engaged as soon as the vehicle rests at the start."""
        known, sample = self.state.followed, self.state.sample
        placed = known is not None and known.start is not None and self.state.granted == known.start
        if not placed or sample is None or math.dist(sample.position, known.start.position) > NEAR:
            self.clock.at(self.clock.now + AGAIN, self._engage)
        elif not known.raced:
            super()._engage()

    def _over(self) -> bool:
        known, commander = self.state.followed, self.vehicle.commander
        raced = known is not None and known.raced and self.state.ladder.rung is not Rung.SNN
        over = super()._over()
        return (self.ends_with_race and raced) or (over and not (self.ends_landed and commander.armed))


class RaceCertificate:
    """Flights of a policy with the layout `racing_30` over a course, in a cage."""

    def __init__(self, name: str, policy: Policy, craft: Airframe, words: RaceWords, cage: Cage):
        self.words, self.cage = words, cage
        plain = settings_for(craft, 100.0)
        self.settings = race_settings.race_settings(replace(plain, cage=cage), craft, words)
        flying = RacingPolicy(policy, words.track)
        self.who = Competitors(name, flying, GeometricGuide(craft), craft)

    def scenario(self, seed: int) -> Scenario:
        """The plant of a seed, without a fault."""
        dice = np.random.default_rng((seed, 42))
        mass, thrust, lag = dice.uniform(1 - OFF, 1 + OFF, 3).tolist()
        blowing = dice.standard_normal(3) * (1.0, 1.0, 0.3)
        east, north, up = (blowing / np.linalg.norm(blowing) * dice.uniform(0, WIND)).tolist()
        start = (0.0, 0.0, course_path.start(self.words.track)[2])
        return Scenario(
            seed, "none", (mass, thrust, lag), float(dice.uniform(0, LATENCY)), float(dice.uniform(0.5, 1) * NOISE),
            (east, north, up), start, "race", (), (), LONGEST, cage=self.cage,
        )  # fmt: skip

    def healthy(self, seed: int) -> tuple[RaceCore, Moments]:
        """The race without a fault, to its end or until the guide has taken over."""
        found, rules = Moments([], [], []), self.settings.rules
        core = RaceCore(self.scenario(seed), self.who, self.settings)
        core.ends_with_race = True
        inner = rules.beyond

        def beyond(sample, *rest):  # type: ignore[no-untyped-def]
            value = inner(sample, *rest)
            found.time.append(core.clock.now)
            found.speed.append(math.hypot(*sample.velocity))
            found.beyond.append(value)
            return value

        rules.beyond = beyond
        try:
            core.fly()
        finally:
            del rules.beyond
        return core, found

    def moments(self, found: Moments, count: int, dice: np.random.Generator) -> list[tuple[str, int]]:
        """So many indices of each kind: among the fastest states, and those whose stops end nearest to a limit."""
        chosen: list[tuple[str, int]] = []
        for name, values in (("fastest", found.speed), ("nearest", found.beyond)):
            order = np.argsort(values)[::-1][: max(len(values) // 20, count)]
            chosen += [(name, int(index)) for index in dice.choice(order, count, replace=len(order) < count)]
        return chosen

    def faulty(self, seed: int, count: int = 1) -> tuple[list[CertifiedRace], bool]:
        """Flights of a seed: each fault at `count` of the fastest and of the nearest moments.

        And whether its race without a fault ended before the last gate.
        """
        dice, (core, known) = np.random.default_rng((seed, 43)), self.healthy(seed)
        alarm = core.state.followed is None or core.state.followed.passed < self.words.gates
        flown = []
        for place, kind in FAULTS if known.time else ():
            for moment, index in self.moments(known, count, dice):
                at = known.time[index]
                size = float(dice.uniform(*SCALES)) if kind == "scaled" else 0.0
                axis = int(dice.integers(4))
                fault = InjectedFault(place, kind, at, math.inf, size, (1.0, 0.0, 0.0), axis, int(dice.integers(2**31)))
                scenario = self.scenario(seed)._replace(family=kind, faults=(fault,), duration=at + LANDS, lands=at + BRAKES)
                core = RaceCore(scenario, self.who, self.settings)
                core.ends_landed = seed % LANDING == 0
                rules, stops = self.settings.rules, self.settings.rules.stops
                rules.stops = _Later(core, at - SOONER, stops)
                try:
                    core.fly()
                finally:
                    rules.stops = stops
                beyond = _beyond(core, at)
                flown.append(CertifiedRace(outcome(core), moment, known.speed[index], beyond))
        return flown, alarm


class _Later:
    """Stops from a time (s) on: before, the flight is that without a fault, in which none ended outside."""

    def __init__(self, core: FlightCore, at: float, stops: StopFlights) -> None:
        self.core, self.at, self.stops = core, at, stops

    def reach(self, *state: Any) -> tuple[Vector, Vector]:
        """As `StopFlights.reach`."""
        return self.stops.reach(*state) if self.core.clock.now >= self.at else (ZERO, ZERO)


def _beyond(core: FlightCore, at: float) -> float:
    """Farthest position outside walls and ceiling from a time (s) on, m."""
    low, high = np.array(core.settings.cage.low), np.array(core.settings.cage.high)
    flown = np.array([step.position for step in core.steps if step.time >= at])
    return round(float(max((low - flown)[:, :2].max(), (flown - high).max())), 4)


def broken(flown: Sequence[CertifiedRace]) -> list[CertifiedRace]:
    """Those that left the cage by more than the promise, or touched down too hard."""
    return [one for one in flown if one.outcome.left or one.outcome.crashed]
