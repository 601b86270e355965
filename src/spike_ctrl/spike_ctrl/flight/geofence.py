"""The geofence: a cage in the world that set-points stay in and that the vehicle must not leave."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.wind_estimate import Wind


@dataclass(frozen=True)
class Cage:
    """The inner keep-in box (m, ENU). The outer geofence is the autopilot's.

    low, high: the corners, relative to home, where the vehicle last stood disarmed, or absolute in `odom`; `laid` gives
    the box as it then lies in `odom`. margin: set-points keep this distance (m) from the walls; at half of it the guide
    takes over and flies to the centre, below the ceiling at a quarter where it flies already. The floor has no margin,
    because the vehicle takes off from it. ground: height (m) of the ground under the take-off, -inf where it is unknown;
    set-points and the centre stay above it.
    """

    low: Vector = (-3.0, -3.0, -0.5)
    high: Vector = (3.0, 3.0, 3.0)
    margin: float = within(0.5, 0.0, 20.0, "Distance of set-points from the walls; the guide takes over at half of it.", "m")
    ground: float = -math.inf
    relative: bool = True
    narrowest: float = within(2.5, 0.1, 100.0, "Narrowest cage that is accepted.", "m")
    set_point_height: float = within(0.5, 0.0, 20.0, "Height of the lowest set-point above the ground.", "m")
    recovery_height: float = within(0.8, 0.0, 20.0, "Height of the lowest end of a recovery above the ground.", "m")
    stopping_time: float = within(0.6, 0.01, 10.0, "Time in which a controller stops a velocity.", "s")
    wind_drift: float = within(0.7, 0.0, 10.0, "Drift of a vehicle that begins to hold, for each m/s^2 of wind.", "s^2")
    wind_share: float = within(0.49, 0.0, 0.49, "Largest share of the cage, without margins, that is given up for wind.", "")
    doubt_share: float = within(0.9, 0.0, 0.99, "Largest share of it that is given up where the position is in doubt.", "")

    def __post_init__(self) -> None:
        ranges.check(self, "cage")
        numbers = (*self.low, *self.high)
        if len(self.low) != 3 or len(self.high) != 3 or not all(math.isfinite(v) for v in numbers):
            raise UsageError(f"cage: found {self.low} to {self.high}, wanted two corners of three finite numbers")
        for axis, low, high in zip("xyz", self.low, self.high, strict=True):
            if high - low <= 2 * self.margin:
                raise UsageError(
                    f"cage: {axis}: found {low} to {high} m, wanted more than twice the margin, {self.margin} m"
                )

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # `laid` asks for it several times in each step of a flight
        return hash((self.low, self.high, self.margin, self.ground, self.relative))

    @cached_property
    def low_above_ground(self) -> Vector:
        """The lower corner (m) of the part of the cage above the ground."""
        return self.low[0], self.low[1], max(self.low[2], self.ground)

    @cached_property
    def room(self) -> float:
        """From the middle to the nearest wall to the side, m."""
        return min(self.high[0] - self.low[0], self.high[1] - self.low[1]) / 2

    @cached_property
    def centre(self) -> Vector:
        """The middle (m) of the part of the cage above the ground."""
        x, y, z = ((a + b) / 2 for a, b in zip(self.low_above_ground, self.high, strict=True))
        return self.clamp((x, y, z))

    def laid(self, home: Vector | None) -> Cage:
        """The cage as it lies in `odom`, over the ground at home (m). None: unknown; the origin counts as home."""
        return self if home is None else _laid(self, home)

    @cached_property
    def without_ground(self) -> Cage:
        """The same cage, down to its own floor."""
        return replace(self, ground=-math.inf)

    def in_wind(self, wind: Wind, spared: float = 0.0) -> Cage:
        """The part of a cage that lies in `odom` in which set-points are granted in this wind.

        Through the margin the wind may carry a vehicle that the autopilot begins to hold. What it needs beyond is left out,
        less what is `spared` (m).
        """
        if max(abs(wind.east), abs(wind.north)) * self.wind_drift <= self.margin + spared:
            return self
        return _in_wind(self, round(wind.east, 1), round(wind.north, 1), spared)

    def in_doubt(self, crept: Vector) -> Cage:
        """The part of a cage that lies in `odom` in which set-points are granted to such a position.

        crept: m, by which the position has moved otherwise than its velocity said. The vehicle may have stayed behind. Half
        of the margin is for that. What it needs beyond is left out, and from 2.5 margins of height or 3.5 to the side on all
        of it: satellites move a sound position by up to 1.42 m.
        """
        if max(map(abs, crept)) <= self.margin / 2:
            return self
        x, y, z = crept
        return _in_doubt(self, (round(x, 1), round(y, 1), round(z, 1)))

    def spares(self, crept: Vector) -> bool:
        """Whether `in_doubt` can leave out enough for a position that has crept so far (m), where it is asked to."""
        if not self.doubt_share or max(map(abs, crept)) <= self.margin / 2:
            return True
        return all(map(operator.le, _needed(self, crept), _sparable(self, crept[2] > 0)))

    @cached_property
    def box(self) -> tuple[Vector, Vector]:
        """Corners (m) of the box in which set-points may lie."""
        m, (low, high) = self.margin, (self.low, self.high)
        lowest = max(low[2], self.ground + self.set_point_height)
        return (low[0] + m, low[1] + m, lowest), (high[0] - m, high[1] - m, high[2] - m)

    @cached_property
    def stopping_box(self) -> tuple[Vector, Vector]:
        """Corners (m) of the box in which braking from a granted speed ends: half of the margin is for what differs."""
        m, (low, high) = self.margin / 2, (self.low, self.high)
        lowest = max(low[2], self.ground + self.set_point_height / 2)
        return (low[0] + m, low[1] + m, lowest), (high[0] - m, high[1] - m, high[2] - m)

    @property
    def inner(self) -> str:
        """The box in which set-points may lie, in words."""
        low, high = self.box
        return " x ".join(f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)) + " m"

    def clamp(self, position: Vector) -> Vector:
        """The point nearest to `position` (m) at which a set-point may lie."""
        (x, y, z), ((a, b, c), (d, e, f)) = position, self.box
        if a <= x <= d and b <= y <= e and c <= z <= f:
            return x, y, z
        return min(max(x, a), d), min(max(y, b), e), min(max(z, c), f)

    def limit_velocity(self, position: Vector, velocity: Vector) -> Vector:
        """The velocity (m/s) of a set-point at `position`, limited towards the walls.

        Within `stopping_time` it leads no nearer to a wall than half of the margin.
        """
        (x, y, z), (u, v, w), ((a, b, c), (d, e, f)) = position, velocity, self.box
        half, time = self.margin / 2, self.stopping_time
        return (
            min(max(u, -((x - a + half) / time)), (d - x + half) / time),
            min(max(v, -((y - b + half) / time)), (e - y + half) / time),
            min(max(w, -((z - c + half) / time)), (f - z + half) / time),
        )

    def check(self, position: Vector, guided: bool = False) -> Findings:
        """Whether a vehicle at `position` (m) has left the cage or is near a wall.

        guided: by the guide, which may swing half as near to the ceiling: it knows of no weak vehicle, and climbs too far.
        """
        (x, y, z), (a, b, c), (d, e, f), half = position, self.low, self.high, self.margin / 2
        near, above = min(x - a, y - b, d - x, e - y), f - z
        if near >= half and above >= (half / 2 if guided else half) and z >= c:
            return ()
        near = min(near, above)
        outside = max(-near, c - z)
        found = f"({x:.2f}, {y:.2f}, {z:.2f}) m"
        if outside > 0:
            return (Finding(Fault.CAGE_LEFT, f"found {found}, {outside:.2f} m outside"),)
        return (Finding(Fault.CAGE_NEAR, f"found {found}, {near:.2f} m from the wall, wanted at least {half} m"),)

    def check_braking(self, sample: Sample, braking: Braking, guided: Cage | None, wind: Wind) -> Findings:
        """Whether the autopilot could still stop the vehicle inside.

        guided: the cage in which a guide that has had its time to brake keeps the vehicle; None before. It goes on while its
        tilt stops the vehicle there: an autopilot that begins to hold drifts with the wind.
        """
        place, moving = sample.position, sample.velocity
        beyond = braking.beyond(place, moving, self.low_above_ground, self.high)
        if beyond <= braking.nearing:
            return ()
        speed = math.hypot(*moving)
        detail = f"at {speed:.2f} m/s the autopilot stops {beyond:.2f} m outside, wanted at most {braking.nearing} m"
        closes = False
        if guided is not None:
            # A fall is braked by all the thrust there is, which the guide gives and the autopilot would have to learn.
            low, high = (*guided.low_above_ground[:2], -math.inf), guided.high
            closes = braking.beyond_braked(place, moving, sample.quaternion, wind, low, high) > braking.closing
        return (Finding(Fault.CAGE_CLOSING if closes else Fault.CAGE_NEAR, detail),)


@lru_cache(maxsize=32)  # the wind changes slowly
def _in_wind(cage: Cage, east: float, north: float, spared: float) -> Cage:
    low, high = list(cage.low), list(cage.high)
    for axis, wind in enumerate((east, north)):
        most = cage.wind_share * (high[axis] - low[axis] - 2 * cage.margin)
        left_out = min(max(cage.wind_drift * abs(wind) - cage.margin - spared, 0.0), most)
        if wind > 0:
            high[axis] -= left_out
        else:
            low[axis] += left_out
    return replace(cage, low=(low[0], low[1], low[2]), high=(high[0], high[1], high[2]))


def _sparable(cage: Cage, above: bool) -> Vector:
    """What is left out at most, m on each axis. above: the position may lie above the vehicle."""
    (a, b, c), (d, e, f) = cage.box
    (g, h, i), (j, k, m), both = cage.low, cage.high, 2 * cage.margin
    i = max(i, c) if above else i
    x, y, z = (
        cage.doubt_share * min(pair) for pair in ((j - g - both, d - a), (k - h - both, e - b), (m - i - both, f - c))
    )
    return x, y, z


def _needed(cage: Cage, crept: Vector) -> Vector:
    """What would have to be left out, m on each axis."""
    x, y, z = (
        abs(moved) - min(max((reach * cage.margin - abs(moved)) / 2, 0.0), cage.margin / 2)
        for moved, reach in zip(crept, (3.5, 3.5, 2.5), strict=True)
    )
    return x, y, z


@lru_cache(maxsize=32)  # it creeps
def _in_doubt(cage: Cage, crept: Vector) -> Cage:
    low, high = list(cage.low), list(cage.high)
    if crept[2] > 0:
        low[2] = max(low[2], cage.box[0][2])
    for axis, (needed, most) in enumerate(zip(_needed(cage, crept), _sparable(cage, crept[2] > 0), strict=True)):
        left_out = min(max(needed, 0.0), most)
        if crept[axis] > 0:
            low[axis] += left_out
        else:
            high[axis] -= left_out
    return replace(cage, low=(low[0], low[1], low[2]), high=(high[0], high[1], high[2]))


@lru_cache(maxsize=4)  # every step of a flight asks for it several times, and home does not change in the air
def _laid(cage: Cage, home: Vector) -> Cage:
    if not cage.relative:
        return replace(cage, ground=home[2])
    x, y, z = home
    low, high = (((a + x), (b + y), (c + z)) for a, b, c in (cage.low, cage.high))
    return replace(cage, low=low, high=high, ground=z, relative=False)
