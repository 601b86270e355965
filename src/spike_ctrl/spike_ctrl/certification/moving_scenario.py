"""A flight of a certification, drawn from its seed: the plant, how the vehicle moves, and the faults that strike it.

    scenario = draw(seed)          # the same seed gives the same flight

The fault strikes while the vehicle moves: on the way to a wall, on a figure, in a climb, or along a stream of set-points.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.certification import injected_fault
from spike_ctrl.certification.injected_fault import FAMILIES, PAIRED, InjectedFault
from spike_ctrl.control.trajectory import SetPoint, Trajectory, Vector
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.setpoint_limiter import SetPointLimits, too_fast
from spike_ctrl.flight.wind_estimate import Wind

ENGAGED = 1.0  # s: by then the policy flies
AFTER = 7.0  # s that a flight goes on after its fault has begun, unless it is held in place before
HEALTHY = 10.0  # s, a flight without a fault
MOTIONS = ("walls", "figure", "climb", "stream")
OFF, WIND, NOISE, LATENCY = 0.2, 2.0, 2.0, 0.01  # share; m/s^2; factor; s: most of what is random in every flight
STREAM_SPEED = 2.0  # m/s, most
UNSURE = 1.4  # times the wind, as a figure is drawn: the supervisor does not know it exactly
LEAST_THRUST = 1.2  # of the weight, of the weakest plant that is drawn


class Aim(NamedTuple):
    """From `at` (s) on the vehicle is asked to fly there. streamed: until the next one, as a stream of set-points."""

    at: float
    course: SetPoint | Trajectory
    streamed: bool = False


class Scenario(NamedTuple):
    """All that is random in a flight but the noise itself, which follows from the seed.

    factors: of mass, thrust and lag. latency: s, of commands. noise: factor. wind: m/s^2. start: m, where it hovers.
    aims: in time. duration: s.
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
    """The flight of this seed. family: one of FAMILIES instead of the seed's own. off: as of `spread`."""
    dice = np.random.default_rng(seed)
    family = family or FAMILIES[seed % len(FAMILIES)]
    laid = cage.laid((0.0, 0.0, 0.0))
    low, high = laid.box
    mass, thrust, lag = dice.uniform(1 - off, 1 + off, 3).tolist()
    blowing = dice.standard_normal(3) * (1.0, 1.0, 0.3)
    east, north, up = (blowing / np.linalg.norm(blowing) * dice.uniform(0, WIND)).tolist()
    x, y, _ = dice.uniform(np.array(low) * 0.5, np.array(high) * 0.5).tolist()
    start = (x, y, float(dice.uniform(low[2] + 0.3, high[2])))
    motion = str(dice.choice(MOTIONS))
    windy = laid.in_wind(Wind(UNSURE * east, UNSURE * north))
    aims = _aims(motion, start, laid, windy, envelope, dice)
    moves = dice.choice([aim.at for aim in aims[:2]])
    at = float(moves + dice.uniform(0.0, 3.0 if motion in ("figure", "stream") else 1.2))
    places = () if family == "none" else dice.choice(PAIRED, 2, replace=False) if family == "pair" else (family,)
    faults = tuple(
        injected_fault.draw(str(place), at + (float(dice.uniform(0, 1.0)) if n else 0.0), dice)
        for n, place in enumerate(places)
    )
    duration = at + AFTER if faults else ENGAGED + HEALTHY
    noise, latency = float(dice.uniform(0.5, NOISE)), float(dice.uniform(0, LATENCY))
    plant, wind = (mass, thrust, lag), (east, north, up)
    return Scenario(seed, family, plant, latency, noise, wind, start, motion, aims, faults, duration)


def _aims(
    motion: str, start: Vector, cage: Cage, windy: Cage, envelope: Envelope, dice: np.random.Generator
) -> tuple[Aim, ...]:
    if motion == "figure":
        return (Aim(ENGAGED, _figure(start, cage, windy, envelope, dice)),)
    low, high = (np.array(corner) for corner in cage.box)
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
        try:
            path = Trajectory(kind, centre, math.pi / 2, size=size, period=max(period, 0.5), lead=lead)
            path.within_reach(*envelope.trajectory_limits, envelope.reach)
            if too_fast(path, windy, Braking(), SetPointLimits()) is None:
                return path
        except UsageError:
            pass
        period, lead = 1.1 * period, 1.1 * lead


def _vector(numbers: np.ndarray) -> Vector:
    x, y, z = (float(number) for number in numbers)
    return x, y, z
