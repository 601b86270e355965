"""The braking invariant: from an admitted state the slowest net that may have to act still ends inside the cage.

That net is the autopilot. After the last command it flies the old rates until its loss time is over, then brakes by its own
limits; asked to hold, it brakes at once. `px4/preflight.py` wants the parameters with which this was measured. Pure.

    end = braking.end(position, velocity)             # where it comes to rest
    speed = braking.speed(position, direction, low, high)   # the largest that is granted there
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import Quaternion, z_axis
from spike_ctrl.flight.wind_estimate import Wind


@dataclass(frozen=True)
class Braking:
    """The way to rest at speed v: v * (gap + time) + v^2 / (2 * deceleration), without the gap where it is asked to hold.

    It bounds what was measured on the simulated autopilot with COM_OF_LOSS_T 0.2 s, which brakes as PX4 does
    (tests/oracles/braking_measurement.py, to the side for plants up to a fifth off), and on PX4 v1.17 (docs/px4.md). Up and
    down are one pair of numbers.
    """

    gap: float = within(0.25, 0.0, 10.0, "Time for which the autopilot flies the old rates if commands stop.", "s")
    time: float = within(0.85, 0.0, 10.0, "Extra delay before the vehicle brakes.", "s")
    deceleration: float = within(3.5, 0.1, 50.0, "Deceleration of the autopilot to the side.", "m/s^2")
    vertical_time: float = within(0.28, 0.0, 10.0, "Extra delay before the vehicle brakes up and down.", "s")
    vertical_deceleration: float = within(10.0, 0.1, 50.0, "Deceleration of the autopilot up and down.", "m/s^2")
    nearing: float = within(0.1, 0.0, 10.0, "The guide takes over if the vehicle would stop so far outside the cage.", "m")
    closing: float = within(
        0.2, 0.0, 10.0, "HOLD is asked for if neither a guide that had its time nor the autopilot stops nearer.", "m"
    )
    drag: float = within(1.0, 0.01, 100.0, "Drag of the vehicle whose braking distance was measured.", "1/s")
    slipping: float = within(0.27, 0.0, 10.0, "Extra braking delay of a sideways motion without drag.", "s")
    slipping_upright: float = within(0.12, 0.0, 10.0, "Extra braking delay of a vertical motion without drag.", "s")
    catching: float = within(12.0, 0.1, 100.0, "Deceleration of a fall for each unit of thrust/weight.", "m/s^2")
    upright: float = within(0.3, 0.01, 1.0, "Least vertical share of the body's z axis of a vehicle that brakes.", "")
    least: float = within(1.15, 1.0, 10.0, "Thrust/weight from which on a fall is slowed; for a plant a tenth too weak.", "")
    slowest: float = within(0.5, 0.1, 50.0, "Least deceleration of a fall.", "m/s^2")

    @classmethod
    def of(cls, craft: Airframe) -> Braking:
        """That of an airframe: one that has less drag than the simulated vehicle stops later, a weak one falls farther."""
        known = cls()
        slips = max(1 - craft.level_drag / known.drag, 0.0)
        caught = known.catching * (craft.thrust_to_weight - known.least)
        return replace(
            known,
            time=known.time + known.slipping * slips,
            vertical_time=known.vertical_time + known.slipping_upright * slips,
            vertical_deceleration=min(known.vertical_deceleration, max(caught, known.slowest)),
        )

    def end(self, position: Vector, velocity: Vector, asked: bool = False) -> Vector:
        """Where (m) a vehicle with this velocity (m/s) is brought to rest. asked: to hold; otherwise commands stop."""
        gap, fast = 0.0 if asked else self.gap, math.hypot(velocity[0], velocity[1])
        level = gap + self.time + fast / (2 * self.deceleration)
        upright = gap + self.vertical_time + abs(velocity[2]) / (2 * self.vertical_deceleration)
        return (position[0] + level * velocity[0], position[1] + level * velocity[1], position[2] + upright * velocity[2])

    def beyond(self, position: Vector, velocity: Vector, low: Vector, high: Vector, asked: bool = False) -> float:
        """How far (m) outside the box a vehicle is brought to rest; negative: so far inside."""
        return _outside(self.end(position, velocity, asked), low, high)

    def beyond_braked(
        self, position: Vector, velocity: Vector, quaternion: Quaternion, wind: Wind, low: Vector, high: Vector
    ) -> float:
        """How far (m) outside the box a vehicle rests that is asked to hold, or whose tilt brakes it sooner to a side.

        Its lift and the wind slow it along an axis by a (m/s^2) in a level flight. The tilt falls in proportion to the speed
        v, and the way is v^2 / a.
        """
        x, y, z = self.end(position, velocity, asked=True)
        east, north, up = z_axis(quaternion)
        lift = GRAVITY / up if up >= self.upright else 0.0
        x = _sooner(position[0], velocity[0], east * lift + wind.east, x)
        y = _sooner(position[1], velocity[1], north * lift + wind.north, y)
        return _outside((x, y, z), low, high)

    def speed(self, position: Vector, direction: Vector, low: Vector, high: Vector) -> float:
        """The largest speed (m/s) in this direction (unit vector) from which it is brought to rest in the box."""
        (x, y, z), (u, v, w), (a, b, c), (d, e, f) = position, direction, low, high
        level, upright = math.hypot(u, v), abs(w)
        east = ((d if u > 0 else a) - x) / u if abs(u) > 1e-9 else math.inf
        north = ((e if v > 0 else b) - y) / v if abs(v) > 1e-9 else math.inf
        up = ((f if w > 0 else c) - z) / w if upright > 1e-9 else math.inf
        sideways = _fastest(min(east, north) * level, self.gap + self.time, self.deceleration)
        vertical = _fastest(up * upright, self.gap + self.vertical_time, self.vertical_deceleration)
        return min(sideways / level if level > 1e-9 else math.inf, vertical / upright if upright > 1e-9 else math.inf)

    def describe(self, speed: float) -> str:
        """Its way from a speed (m/s), in words."""
        level, vertical = self.end((0.0, 0.0, 0.0), (speed, 0.0, 0.0))[0], self.end((0.0, 0.0, 0.0), (0.0, 0.0, speed))[2]
        return f"from {speed:g} m/s the autopilot stops within {level:.2f} m, up and down within {vertical:.2f} m"


def _outside(place: Vector, low: Vector, high: Vector) -> float:
    """How far (m) a place lies outside the box; negative: so far inside."""
    (x, y, z), (a, b, c), (d, e, f) = place, low, high
    return max(a - x, x - d, b - y, y - e, c - z, z - f)


def _sooner(here: float, speed: float, gained: float, end: float) -> float:
    """Where (m) a vehicle rests along an axis on which it gains so much speed (m/s^2), if that is before `end`."""
    way = abs(speed / gained) * speed if gained * speed < 0 else math.inf
    return here + way if abs(way) < abs(end - here) else end


def _fastest(room: float, time: float, deceleration: float) -> float:
    """The speed whose way to rest is so long (m); 0 where there is no room."""
    if room <= 0 or math.isinf(room):
        return 0.0 if room <= 0 else math.inf
    return deceleration * (math.sqrt(time * time + 2 * room / deceleration) - time)
