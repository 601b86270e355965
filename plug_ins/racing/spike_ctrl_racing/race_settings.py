"""The settings of a flight whose policy races: limits of a race, and the cage by where the vehicle can stop. Pure.

Until the hand-over the guide flies as in any flight: it takes off and flies to the start of the course. While the policy
races, its set-point stays there, and no distance from it, speed or tilt is a fault. Instead each state is held against the
simulated stops of `stop_flights`: as soon as one of them would end outside the cage or on the ground, the guide takes over.
Behind the last gate the guide is asked for. LAND and a shutdown wait until it has slowed the vehicle.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import SetPoint, Vector, plus
from spike_ctrl.flight.attitude import tilt, yaw
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.setpoint import hold
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.steering import Astray
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState
from spike_ctrl_racing import course_path, gate_view
from spike_ctrl_racing.flown_words import RaceWords
from spike_ctrl_racing.stop_flights import StopFlights

REACHED = 0.1  # m
WAITS = (Request.LAND, Request.DISENGAGE, Request.SHUT_DOWN)  # of a vehicle that is too fast for the autopilot


@dataclass(frozen=True)
class RaceLimits:
    """When a race may begin, and how near to the walls a vehicle may stop."""

    margin: float = within(0.3, 0.0, 5.0, "Distance from the walls at which a simulated stop must end.", "m")
    floor: float = within(0.2, 0.0, 5.0, "The same from the ground.", "m")
    begins: float = within(0.2, 0.01, 2.0, "Largest distance from the start, and half the largest speed there.", "m")
    slow: float = within(1.0, 0.1, 5.0, "A slower vehicle is the autopilot's to hold or to land.", "m/s")
    rest: float = within(1.0, 0.0, 5.0, "Distance from the walls from which the autopilot may take over.", "m")
    level: float = within(0.5, 0.05, 1.5, "The same of its tilt.", "rad")
    tilt: float = within(3.0, 0.5, math.pi, "Largest tilt in a race.", "rad")
    speed: float = within(15.0, 1.0, 50.0, "Largest speed in a race.", "m/s")


class FollowedRace(NamedTuple):
    """A race so far. gates: rows as of `track.gate_row`, in `odom`. waiting: requests until the vehicle is slow."""

    start: SetPoint | None = None
    gates: Floats | None = None
    passed: int = 0
    place: Vector | None = None
    raced: bool = False
    waiting: tuple[Request, ...] = ()


@dataclass(frozen=True)
class RaceSettings(FlightSettings):
    """Settings of a flight whose policy flies this course of a vehicle that these flights stop."""

    rules: Any = field(default=None, compare=False)

    def follow(
        self, state: SupervisorState, inputs: SupervisorInputs
    ) -> tuple[SupervisorState, SupervisorInputs, FlightSettings]:
        """Before the race the way to the start; in it the gates and the stops; after it no LAND before it is slow."""
        rules, rung = self.rules, state.ladder.rung
        known, sample = state.followed or FollowedRace(), inputs.sample or state.sample
        if rung is Rung.SILENT or sample is None:
            return state._replace(followed=None), inputs, self
        if rung is Rung.SNN:
            state, inputs, known = self._race(state, inputs, known)
        elif rung is Rung.GUIDE and not known.raced:
            inputs, known = self._to_the_start(state, inputs, known)
        limits = rules.limits
        fast = math.hypot(*sample.velocity) > limits.slow or tilt(sample.quaternion) > limits.level
        inputs, known = _waits(inputs, known, fast and rung <= Rung.GUIDE, rung is Rung.SNN)
        recovers = rung is Rung.GUIDE and known.raced and state.ladder.recovering is not None
        brakes = recovers or (rung is Rung.GUIDE and known.raced and fast)
        if recovers and not fast:
            state, inputs = self._come_in(state, inputs, sample)
        state = state._replace(followed=known)
        if not (brakes or rung is Rung.SNN):
            return state, inputs, self
        # Asked to stop from this speed a sound guide is at its limits: it steers otherwise, and its answers hardly change.
        # A policy that races steers to gates, and not to a set-point.
        state = state._replace(astray=Astray())
        if state.guide_monitor.still:
            state = state._replace(guide_monitor=state.guide_monitor._replace(equal=0, still=0))
        return state, inputs, rules.racing(self.cage)

    def _to_the_start(
        self, state: SupervisorState, inputs: SupervisorInputs, known: FollowedRace
    ) -> tuple[SupervisorInputs, FollowedRace]:
        """The guide flies to the start of the course, above the place where the take-off ended."""
        ladder, sample, granted, home = state.ladder, state.sample, state.granted, state.home
        if sample is None or granted is None or home is None or ladder.taking_off or not inputs.airborne:
            return inputs, known
        if known.start is None:
            (x, y, _), words = granted.position, self.rules.words
            place = (x, y, home[2] + course_path.start(words.track)[2])
            row = words.track.rows()[0]
            start = SetPoint(place, yaw=math.atan2(row[4], row[3]))
            known = known._replace(start=start, gates=gate_view.laid_out(words.track, place, start.yaw))
        assert known.start is not None
        free = ladder.latched is None and ladder.recovering is None
        if free and inputs.sample is not None and (state.target is None or state.target.course != known.start):
            inputs = inputs._replace(target=known.start)
        near, begins = math.dist(sample.position, known.start.position), self.rules.limits.begins
        if granted != known.start or near > begins or math.hypot(*sample.velocity) > 2 * begins:
            if inputs.unmet is not None:
                inputs = inputs._replace(unmet=(*inputs.unmet, "race: the vehicle is not at the start of the course"))
        return inputs, known

    def _come_in(
        self, state: SupervisorState, inputs: SupervisorInputs, sample: Sample
    ) -> tuple[SupervisorState, SupervisorInputs]:
        """A recovery ends away from the walls: in wind the autopilot, whose integrals are empty, lets the vehicle drift."""
        rest = self.rules.limits.rest
        inside = replace(self.cage, margin=rest).laid(state.home).clamp
        granted = sample.position if state.granted is None else state.granted.position
        if (place := inside(granted)) != granted:
            state = state._replace(target=hold(place, yaw(sample.quaternion)))
        if (left := math.dist(inside(sample.position), sample.position)) > REACHED:
            found = Finding(Fault.CAGE_NEAR, f"at rest {left:.2f} m too near to a wall, wanted {rest} m from it")
            inputs = inputs._replace(reports=(*inputs.reports, found))
        return state, inputs

    def _race(
        self, state: SupervisorState, inputs: SupervisorInputs, known: FollowedRace
    ) -> tuple[SupervisorState, SupervisorInputs, FollowedRace]:
        """The next gate, the stop from this state, and the end of the race."""
        sample, rules = inputs.sample, self.rules
        known = known._replace(raced=True)
        if sample is None:
            return state, inputs, known
        low, high = rules.stops.reach(sample.velocity, sample.quaternion, sample.rates, state.sent.action)
        if (beyond := rules.beyond(sample, low, high, self.cage.laid(state.home))) > 0:
            detail = f"at {math.hypot(*sample.velocity):.2f} m/s a stop ends {beyond:.2f} m beyond the limit of a race"
            inputs = inputs._replace(reports=(*inputs.reports, Finding(Fault.CAGE_NEAR, detail)))
        if known.gates is None or known.start is None or state.granted is None:
            return state, inputs, known
        moved = [there - here for here, there in zip(state.granted.position, known.start.position, strict=True)]
        place, passed = plus(sample.position, moved), known.passed  # also where the estimator has moved its origin
        if known.place is not None and gate_view.crossed(known.place, place, known.gates[passed % len(known.gates)]):
            passed += 1
        known = known._replace(passed=passed, place=place)
        if passed >= rules.words.gates and Request.GUIDE not in inputs.requests:
            (a, b, _), (d, e, _), (x, y, z) = low, high, sample.position
            rest = self.cage.laid(state.home).clamp((x + a + d, y + b + e, z))
            state = state._replace(target=hold(rest, yaw(sample.quaternion)), granted=None)
            inputs = inputs._replace(requests=(*inputs.requests, Request.GUIDE))
        return state, inputs, known


def _waits(inputs: SupervisorInputs, known: FollowedRace, fast: bool, races: bool) -> tuple[SupervisorInputs, FollowedRace]:
    """Requests that end the flight wait while it is fast; the guide slows the vehicle meanwhile."""
    if not fast:
        asked = tuple(request for request in known.waiting if request not in inputs.requests)
        return inputs._replace(requests=(*inputs.requests, *asked)), known._replace(waiting=())
    if not any(request in WAITS for request in inputs.requests):
        return inputs, known
    waiting = tuple(dict.fromkeys([*known.waiting, *(request for request in inputs.requests if request in WAITS)]))
    others = tuple(request for request in inputs.requests if request not in WAITS)
    others = (*others, Request.GUIDE) if races and Request.GUIDE not in others else others
    return inputs._replace(requests=others), known._replace(waiting=waiting)


class RaceRules:
    """The course, the stops, and the settings while it races."""

    def __init__(self, settings: FlightSettings, craft: Airframe, words: RaceWords, limits: RaceLimits = RaceLimits()):
        self.words, self.limits = words, limits
        self.stops = StopFlights(craft, GeometricGuide(craft), 1 / settings.state.period)
        self.stops.reach((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), None)  # loads its kernel: not in flight
        gate_view.crossed((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), words.track.rows()[0])
        envelope = replace(
            settings.envelope, tilt=limits.tilt, speed=limits.speed, error=100.0, rate=20.0, catching=50.0, catch_time=0.0,
            settled_motion=limits.speed / limits.slow, settled_tilt=limits.tilt / limits.level,
        )  # fmt: skip
        braking = Braking(  # the autopilot's, which does not count
            gap=0.0, time=0.0, vertical_time=0.0, deceleration=50.0, vertical_deceleration=50.0, nearing=10.0, closing=10.0
        )
        self._racing = replace(settings, envelope=envelope, braking=braking)
        self._laid: Cage | None = None

    def racing(self, cage: Cage) -> FlightSettings:
        """The settings while it races."""
        if self._laid is not cage:  # the drag of a race looks like wind, which must not move the set-point
            self._laid, self._racing = cage, replace(self._racing, cage=replace(cage, wind_drift=0.0))
        return self._racing

    def beyond(self, sample: Sample, low: Vector, high: Vector, cage: Cage) -> float:
        """How far (m) beyond the limit of a race the worst of these stops ends; negative: so far within."""
        down, up, margin = plus(sample.position, low), plus(sample.position, high), self.limits.margin
        floor = max(cage.low[2] + margin, cage.ground + self.limits.floor)
        west, south = cage.low[0] - down[0], cage.low[1] - down[1]
        above = max(there - wall for there, wall in zip(up, cage.high, strict=True))
        return max(max(west, south, above) + margin, floor - down[2])


def race_settings(settings: FlightSettings, craft: Airframe, words: RaceWords) -> RaceSettings:
    """The settings of a flight whose policy races this course."""
    answers = settings.answers
    course = replace(answers.course, far=100.0, height_off=100.0)
    answers = replace(
        answers, disagreement=2.0, contradiction=2.0, contradiction_away=2.0, contradiction_first=2.0,
        contradiction_together=4.0, course=course, saturated=98, reversal=2.0,
    )  # fmt: skip
    # A policy that fails may fly faster than a race: such a state is true, and the guide needs it to brake.
    plain = replace(settings, answers=answers, state=replace(settings.state, max_speed=2 * RaceLimits().speed))
    given = {name: getattr(plain, name) for name in FlightSettings.__dataclass_fields__}
    return RaceSettings(**{**given, "course": words.text}, rules=RaceRules(plain, craft, words))
