"""The set-point that is granted: it moves to the wanted one no faster than the braking invariant allows. Pure.

A set-point that jumps would let policy and guide choose the speed. So it moves, and slows down towards walls and ground:
the autopilot must always be able to stop. It tells no velocity on its way, so that the vehicle follows some tenths of a
second behind and no faster than the set-point.
"""

from __future__ import annotations

import math

from spike_ctrl.control.trajectory import SetPoint, Vector
from spike_ctrl.flight.braking import Braking

SHARE = 0.6  # of the largest speed: the vehicle does not follow exactly
LONGEST = 0.1  # s: after a longer pause it goes on as after so long


def grant(
    before: SetPoint, wanted: SetPoint, dt: float, low: Vector, high: Vector, braking: Braking, most: float
) -> SetPoint:
    """The set-point `dt` s after `before`. low, high: corners (m) that braking must end in. most: m/s, largest speed."""
    dt = min(max(dt, 0.0), LONGEST)
    (a, b, c), (x, y, z) = wanted.position, before.position
    far = math.hypot(a - x, b - y, c - z)
    if far > 1e-9:
        u, v, w = direction = ((a - x) / far, (b - y) / far, (c - z) / far)
        speed = min(SHARE * braking.speed(before.position, direction, low, high), most)
        if far > speed * dt + 1e-9:
            return SetPoint((x + u * speed * dt, y + v * speed * dt, z + w * speed * dt), yaw=wanted.yaw)
    if not any(wanted.velocity):
        return wanted
    return wanted._replace(velocity=_limited(wanted, low, high, braking))


def _limited(point: SetPoint, low: Vector, high: Vector, braking: Braking) -> Vector:
    """The set-point's velocity, as far as it is granted."""
    fast = math.hypot(*point.velocity)
    if fast < 1e-9:
        return point.velocity
    vx, vy, vz = point.velocity
    share = min(1.0, braking.speed(point.position, (vx / fast, vy / fast, vz / fast), low, high) / fast)
    return share * vx, share * vy, share * vz
