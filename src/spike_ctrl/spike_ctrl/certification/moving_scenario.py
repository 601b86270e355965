"""A flight of a certification, drawn from its seed: the plant, how the vehicle moves, and the faults that strike it.

    scenario = draw(seed)          # the same seed gives the same flight

The fault strikes while the vehicle moves: on the way to a wall, on a figure, in a climb, or along a stream of set-points.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.certification import injected_fault
from spike_ctrl.certification.injected_fault import FLIGHT, GUIDED, HAND_OVER, KINDS, LANDING, TAKE_OFF, InjectedFault
from spike_ctrl.control.trajectory import SetPoint, Trajectory, Vector
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.ladder_state import LadderLimits
from spike_ctrl.flight.setpoint_limiter import SetPointLimits, too_fast
from spike_ctrl.flight.wind_estimate import Wind

ENGAGED = 1.0  # s: by then the policy flies
HEALTHY = 10.0  # s, a flight without a fault
MOTIONS = ("walls", "figure", "climb", "stream")
OFF, WIND, NOISE, LATENCY = 0.2, 2.0, 2.0, 0.01  # share; m/s^2; factor; s: most of what is random in every flight
STREAM_SPEED = 2.0  # m/s, most
CAGES = (Cage(), Cage((-1.3, -1.3, -0.5), (1.3, 1.3, 2.5)), Cage((-5.0, -4.0, -0.5), (5.0, 4.0, 5.0)))
CAGED, GROUNDED = (0.6, 0.2, 0.2), 0.2  # shares: of each cage; of the flights with the policy that begin on the ground
BEGINS = {TAKE_OFF: (2.2, 6.0), HAND_OVER: (5.0, 8.0)}  # s, when a fault of such a flight from the ground strikes
HANDED_OVER, LANDS, TURNS = 8.5, 25.0, (4.0, 12.0)  # s, by when the policy flies; longest landing; when PX4 turns its yaw
JITTER, SKEW = 3e-3, 2e-4  # s; share: most of any stream
UNSURE = 1.4  # times the wind, as a figure is drawn: the supervisor does not know it exactly
LEAST_THRUST = 1.2  # of the weight, of the weakest plant that is drawn


class Aim(NamedTuple):
    """From `at` (s) on the vehicle is asked to fly there. streamed: until the next one, as a stream of set-points."""

    at: float
    course: SetPoint | Trajectory
    streamed: bool = False


class Stream(NamedTuple):
    """How the autopilot's states come, where its clock is asked for, too. jitter: s, most. skew: of its clock, a share."""

    jitter: float = 0.0
    skew: float = 0.0


class Scenario(NamedTuple):
    """All that is random in a flight but the noise itself, which follows from the seed.

    factors: of mass, thrust and lag. latency: s, of commands. noise: factor. wind: m/s^2. start: m, where it hovers.
    aims: in time. duration: s. phase: one of PHASES, in which the faults strike; with `guide alone` the policy stays in
    shadow. grounded: it takes off and hands over as a real flight does; else it begins in the air. lands: s, when the
    operator asks for it. stream: None: states come at once, and nobody asks for the time. cage: None: that of the settings.
    resets: of a sound estimator, when (s) it moves its origin (m) and turns its yaw (rad). heading: rad, by which its yaw is
    wrong at the start.
    """

    seed: int
    family: str
    factors: tuple[float, float, float]
    latency: float
    noise: float
    wind: Vector
    start: Vector
    motion: str
    aims: tuple[Aim, ...]
    faults: tuple[InjectedFault, ...]
    duration: float
    phase: str = FLIGHT
    grounded: bool = False
    lands: float = math.inf
    stream: Stream | None = None
    cage: Cage | None = None
    resets: tuple[tuple[float, Vector, float], ...] = ()
    heading: float = 0.0

    @property
    def begin(self) -> float:
        """When (s) the first fault begins; infinite where there is none."""
        return min((fault.at for fault in self.faults), default=math.inf)

    def struck(self, *places: str) -> list[InjectedFault]:
        """The faults of these places."""
        return [fault for place in places for fault in self.faults if fault.place == place]

    @property
    def what(self) -> str:
        """The faults by name."""
        return " and ".join(fault.name for fault in self.faults) or "none"


def spread(airframe: Airframe) -> float:
    """How far, as a share, plants that are drawn differ from the one described: each must be able to fly with a fault."""
    ratio = airframe.thrust_to_weight / LEAST_THRUST
    return min(OFF, max((ratio - 1) / (ratio + 1), 0.0))


def draw(
    seed: int, cage: Cage = Cage(), envelope: Envelope = Envelope(), family: str | None = None, off: float = OFF
) -> Scenario:
    """The flight of this seed, in the air, with a fault of FIRST. family: instead of the seed's own. off: as of `spread`."""
    dice = np.random.default_rng(seed)
    family = family or injected_fault.FIRST_FAMILIES[seed % len(injected_fault.FIRST_FAMILIES)]
    low, high = cage.laid((0.0, 0.0, 0.0)).box
    mass, thrust, lag = dice.uniform(1 - off, 1 + off, 3).tolist()
    blowing = dice.standard_normal(3) * (1.0, 1.0, 0.3)
    east, north, up = (blowing / np.linalg.norm(blowing) * dice.uniform(0, WIND)).tolist()
    x, y, _ = dice.uniform(np.array(low) * 0.5, np.array(high) * 0.5).tolist()
    start = (x, y, float(dice.uniform(low[2] + 0.3, high[2])))
    motion = str(dice.choice(MOTIONS))
    aims = _aims(motion, start, cage, (east, north, up), envelope, dice)
    moves = dice.choice([aim.at for aim in aims[:2]])
    at = float(moves + dice.uniform(0.0, 3.0 if motion in ("figure", "stream") else 1.2))
    places = _places(family, dice)
    faults = _faults(places, [None] * len(places), at, dice)
    duration = at + injected_fault.AFTER if faults else ENGAGED + HEALTHY
    noise, latency = float(dice.uniform(0.5, NOISE)), float(dice.uniform(0, LATENCY))
    plant, wind = (mass, thrust, lag), (east, north, up)
    return Scenario(seed, family, plant, latency, noise, wind, start, motion, aims, faults, duration)


def draw_whole(
    seed: int, cage: Cage = Cage(), envelope: Envelope = Envelope(), family: str | None = None, off: float = OFF
) -> Scenario:
    """The flight of this seed, with faults of the whole table in all its phases. family, off: as of `draw`.

    Beside a default cage others are drawn. A fifth of the flights with the policy begin on the ground.
    """
    dice = np.random.default_rng((seed, 2))
    family = family or injected_fault.SEEDED[seed % len(injected_fault.SEEDED)]
    cage = CAGES[int(dice.choice(len(CAGES), p=CAGED))] if cage == Cage() else cage
    places = _places(family, dice)
    kinds = [str(dice.choice(sorted(KINDS[place]))) for place in places]
    usual = (FLIGHT,) if len(kinds) == 2 else (FLIGHT, FLIGHT, GUIDED, HAND_OVER, LANDING)
    phase = str(dice.choice(injected_fault.phases(places[0], kinds[0]) if len(kinds) == 1 else usual))
    thrown = injected_fault.THROWN_START in kinds
    grounded = phase in BEGINS or (phase == FLIGHT and dice.random() < GROUNDED and not thrown)
    plain = draw(seed, cage, envelope, "none", off)
    start, aims = plain.start, plain.aims
    if grounded:
        start = 0.0, 0.0, LadderLimits().take_off_height
        aims = _aims(plain.motion, start, cage, plain.wind, envelope, dice)
        aims = tuple(aim._replace(at=aim.at + HANDED_OVER - ENGAGED) for aim in aims)
    lands = aims[0].at + float(dice.uniform(1.0, 4.0)) if phase == LANDING else math.inf
    moves = float(dice.choice([aim.at for aim in aims[:2]]))
    strikes = {**BEGINS, LANDING: (lands, lands + 6.0)}.get(phase, (moves, moves + 3.0))
    at = float(dice.uniform(*strikes)) if kinds else aims[0].at + HEALTHY - injected_fault.AFTER
    if thrown:  # as high as may be, where it can be caught
        at, start = 0.0, (start[0], start[1], cage.laid((0.0, 0.0, 0.0)).box[1][2])
    faults = _faults(places, kinds, at, dice)
    for n in range(len(aims)) if dice.random() < 0.5 else ():
        if isinstance(course := aims[n].course, SetPoint):
            turned = course._replace(yaw=float(dice.uniform(-math.pi, math.pi)))
            aims = (*aims[:n], aims[n]._replace(course=turned), *aims[n + 1 :])
    jumps = dice.normal(0.0, 0.1, (int(dice.integers(3)) if family == "none" else 0, 3)).clip(-0.25, 0.25)
    resets = tuple((float(dice.uniform(ENGAGED, at + injected_fault.AFTER)), _vector(jump), 0.0) for jump in jumps)
    heading = 0.0
    if grounded and family == "none":  # PX4 turns its yaw some seconds after a take-off: a little, or much and takes it back
        heading = _within(0.15, dice.normal(0.0, 0.05))
        when, wrong = float(dice.uniform(*TURNS)), dice.random() < 0.5
        turn = _within(0.75, dice.normal(0.0, 0.3)) if wrong else _within(0.25, dice.normal(0.0, 0.08)) - heading
        back = ((when + float(dice.uniform(0.2, 1.0)), -turn),) if wrong else ()
        resets = tuple((time, (0.0, 0.0, 0.0), by) for time, by in ((when, turn), *back))
    stream = Stream(float(dice.uniform(0, JITTER)), float(dice.uniform(-SKEW, SKEW)))
    return plain._replace(
        family=family, start=start, aims=aims, faults=faults, duration=at + shown(phase, faults), phase=phase,
        grounded=grounded, lands=lands, stream=stream, cage=cage, resets=resets, heading=heading,
        motion=f"{plain.motion}, {cage.high[0] - cage.low[0]:g} m wide{', from the ground' if grounded else ''}",
    )  # fmt: skip


def shown(phase: str, faults: Sequence[InjectedFault]) -> float:
    """How long (s) a flight goes on after its first fault, or after HEALTHY, until that has shown itself."""
    after = max((KINDS[fault.place][fault.kind].after for fault in faults), default=injected_fault.AFTER)
    return max(after, LANDS) if phase == LANDING else after + 3.0 if phase in BEGINS else after


def _places(family: str, dice: np.random.Generator) -> list[str]:
    """Where the faults of a family strike."""
    if family == "pair":
        return [str(place) for place in dice.choice(injected_fault.PAIRED, 2, replace=False)]
    return [] if family == "none" else [family]


def _faults(
    places: Sequence[str], kinds: Sequence[str | None], at: float, dice: np.random.Generator
) -> tuple[InjectedFault, ...]:
    """Faults of these kinds from `at` (s) on, the second one up to a second later."""
    return tuple(
        injected_fault.draw(place, at + (float(dice.uniform(0, 1.0)) if n else 0.0), dice, kind)
        for n, (place, kind) in enumerate(zip(places, kinds, strict=True))
    )


def _aims(
    motion: str, start: Vector, cage: Cage, wind: Vector, envelope: Envelope, dice: np.random.Generator
) -> tuple[Aim, ...]:
    laid = cage.laid((0.0, 0.0, 0.0))
    if motion == "figure":
        windy = laid.in_wind(Wind(UNSURE * wind[0], UNSURE * wind[1]))
        return (Aim(ENGAGED, _figure(start, laid, windy, envelope, dice)),)
    low, high = (np.array(corner) for corner in laid.box)
    aims, at, place = [], ENGAGED, np.array(start)
    for _ in range(4):
        goal = dice.uniform(low, high)
        if motion == "climb":
            goal[:2], goal[2] = place[:2], low[2] if place[2] > (low[2] + high[2]) / 2 else high[2]
        elif motion == "walls":  # to one of the walls, with a random way
            axis = dice.integers(3)
            goal[axis] = high[axis] if dice.random() < 0.5 else low[axis]
        way = goal - place
        goal = place + way * min(1.0, 0.95 * envelope.reach / max(float(np.linalg.norm(way)), 1e-6))
        if motion == "stream":
            speed = dice.uniform(0.3, STREAM_SPEED)
            velocity = (goal - place) / max(float(np.linalg.norm(goal - place)), 1e-6) * speed
            lasts = float(np.linalg.norm(goal - place)) / speed
            aims.append(Aim(at, SetPoint(_vector(place), _vector(velocity)), True))
            at += lasts
        else:
            aims.append(Aim(at, SetPoint(_vector(goal), yaw=float(dice.uniform(-0.5, 0.5)) + math.pi / 2)))
            at += dice.uniform(1.0, 3.0)
        place = goal
    if motion == "stream":
        aims.append(Aim(at, SetPoint(_vector(place))))
    return tuple(aims)


def _figure(start: Vector, cage: Cage, windy: Cage, envelope: Envelope, dice: np.random.Generator) -> Trajectory:
    """A figure within the cage whose speed and tilt are granted. windy: the part of the cage that is granted in the wind."""
    low, high = (np.array(corner) for corner in cage.box)
    centre = _vector(0.7 * np.array(start) + 0.3 * (low + high) / 2)
    room = float(min(np.min(high[:2] - centre[:2]), np.min(np.array(centre[:2]) - low[:2]), envelope.reach / 2))
    kind = str(dice.choice(["circle", "figure8", "lissajous", "square"]))
    if kind == "lissajous":
        room = min(room, 3 * float(min(high[2] - centre[2], centre[2] - low[2])))
    size = float(dice.uniform(0.4, 1.0)) * max(room, 0.2)
    fastest = min(envelope.trajectory_limits[1], math.sqrt(math.tan(envelope.trajectory_limits[0]) * GRAVITY * size))
    period = 2 * math.pi * size / (fastest * float(dice.uniform(0.2, 0.7)))
    lead = Trajectory.lead
    while True:
        with suppress(UsageError):
            path = Trajectory(kind, centre, math.pi / 2, size=size, period=max(period, 0.5), lead=lead)
            if too_fast(path, windy, Braking(), SetPointLimits()) is None:
                return path.within_reach(*envelope.trajectory_limits, envelope.reach)
        period, lead = 1.1 * period, 1.1 * lead


def _vector(numbers: np.ndarray) -> Vector:
    x, y, z = (float(number) for number in numbers)
    return x, y, z


def _within(most: float, number: float) -> float:
    return float(np.clip(number, -most, most))
