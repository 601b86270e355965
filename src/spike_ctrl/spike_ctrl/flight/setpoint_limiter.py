"""The set-point that is granted: it follows the wanted one as a vehicle could, and never faster than can be braked. Pure.

A set-point that jumps, in place, velocity or yaw, would let policy and guide choose the speed, each its own. So the granted
one has a speed and an acceleration, and turns slowly. It tells its velocity, slows down towards walls and ground, and comes
to rest where it is to stay. A trajectory is looked at as a whole before it is taken; once it is caught up with, it is
followed exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.control.trajectory import SetPoint, Trajectory, Vector
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.geofence import Cage


@dataclass(frozen=True)
class SetPointLimits:
    """How a granted set-point moves. A vehicle does not follow exactly, so part of the largest speed is left for that."""

    speed_share: float = within(0.65, 0.01, 1.0, "Share of the speed that can be braked, to a set-point.", "")
    stream_share: float = within(0.5, 0.01, 1.0, "The same to a set-point of a stream, which may turn at any moment.", "")
    # A vehicle that follows a stream overtakes its speed where it turns. What the share leaves has to suffice for that.
    overtakes: float = within(0.35, 0.01, 10.0, "Who follows a stream is faster by what it gains in this time.", "s")
    path_share: float = within(0.72, 0.01, 1.0, "Share of the speed that can be braked, on a trajectory.", "")
    acceleration: float = within(2.0, 0.01, 20.0, "Largest acceleration of the granted set-point.", "m/s^2")
    # The rest is for plants that differ, for wind, and to catch up: with its rotors at their limits it could not be steered.
    spare: float = within(0.2, 0.01, 1.0, "Largest share of the spare thrust for that acceleration.", "")
    # A vehicle lags behind a set-point that speeds up and later overtakes its speed: less so if that speed is neared slowly.
    smooth: float = within(0.6, 0.01, 10.0, "Time constant with which a set-point of no stream nears a larger speed.", "s")
    turn: float = within(0.5, 0.01, 10.0, "Largest yaw rate of the granted set-point.", "rad/s")
    closing: float = within(4.0, 0.1, 100.0, "Proportional gain on the remaining distance.", "1/s")
    arrived: float = within(1e-3, 1e-6, 1.0, "Within this distance the granted set-point has arrived.", "m")
    caught_up: float = within(0.03, 1e-6, 10.0, "Largest distance from a trajectory that counts as caught up with.", "m")
    beside: float = within(0.25, 1e-6, 10.0, "Largest difference from the trajectory's velocity that counts so,", "m/s")
    steepest: float = within(9.0, 0.1, 100.0, "and this much more for each second of the step.", "m/s^2")
    longest: float = within(0.1, 0.001, 10.0, "Longest step of time; a longer pause counts as this.", "s")
    looks: int = within(100, 2, 10_000, "Points of a trajectory whose speed is checked before it is granted.", "")
    stream_timeout: float = within(0.2, 0.01, 10.0, "If no set-point comes for longer, the stream has stopped.", "s")

    @classmethod
    def of(cls, thrust_to_weight: float) -> SetPointLimits:
        """Those of a vehicle: one with little thrust has a smaller acceleration."""
        usual = cls()
        return replace(usual, acceleration=min(usual.acceleration, usual.spare * (thrust_to_weight - 1) * GRAVITY))


def grant(
    before: SetPoint, wanted: SetPoint, dt: float, cage: Cage, braking: Braking, most: float, limits: SetPointLimits,
    on_path: bool = False, streamed: bool = False,
) -> SetPoint:  # fmt: skip
    """The set-point `dt` s after `before`, in the cage as it lies. most: largest speed (m/s).

    on_path: the wanted set-point is on a trajectory that was granted. streamed: it is the last of a stream.
    """
    if wanted == before:
        return wanted
    dt = min(max(dt, 0.0), limits.longest)
    if (yaw := _turned(before.yaw, wanted.yaw, limits.turn * dt)) != wanted.yaw:
        wanted = wanted._replace(yaw=yaw)
    low, high = cage.stopping_box
    gain = limits.acceleration
    if streamed:  # slower in a narrow cage
        most_there = min(braking.speed(cage.centre, way, low, high) for way in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
        gain = min(gain, (1 - limits.stream_share) * most_there / limits.overtakes)

    def slowed(place: Vector, velocity: Vector, share: float) -> Vector:
        fast = math.hypot(*velocity)
        if fast < 1e-9:
            return velocity
        x, y, z = velocity
        granted = min(share * braking.speed(place, (x / fast, y / fast, z / fast), low, high), most)
        return velocity if granted >= fast else (x * granted / fast, y * granted / fast, z * granted / fast)

    if (
        on_path
        and _caught_up(before, wanted, dt, limits)
        and slowed(wanted.position, wanted.velocity, 1.0) is wanted.velocity
    ):
        return wanted
    (a, b, c), (x, y, z), (u, v, w) = wanted.position, before.position, wanted.velocity
    far = math.dist(wanted.position, before.position)
    if far <= limits.arrived and math.dist(wanted.velocity, before.velocity) <= gain * dt:
        return wanted
    closing = min(limits.closing, math.sqrt(gain / max(far, limits.arrived)))
    follows = on_path and any(wanted.velocity)  # a step is no path to follow
    share = limits.stream_share if streamed else limits.path_share if follows else limits.speed_share
    aim = slowed(before.position, (u + closing * (a - x), v + closing * (b - y), w + closing * (c - z)), share)
    change = gain * dt
    if not (follows or streamed) and sum((p - q) * q for p, q in zip(aim, before.velocity, strict=True)) >= 0:
        change = min(change, math.dist(aim, before.velocity) * dt / limits.smooth)
    # Within the largest share, so that none jumps where the kind of what is wanted changes.
    u, v, w = slowed(before.position, _towards(before.velocity, aim, change), max(share, limits.path_share))
    u, v, w = _coming_to_rest((u, v, w), before.position, *cage.box, limits.acceleration)
    return SetPoint((x + u * dt, y + v * dt, z + w * dt), (u, v, w), wanted.yaw)


def at_rest(point: SetPoint, gain: float) -> Vector:
    """Where (m) a granted set-point that moves can come to rest. gain: m/s^2, its acceleration."""
    (x, y, z), (u, v, w) = point.position, point.velocity
    time = math.hypot(u, v, w) / gain
    return x + time * u, y + time * v, z + time * w


def too_fast(path: Trajectory, cage: Cage, braking: Braking, limits: SetPointLimits) -> str | None:
    """Why a trajectory is not granted, in words: somewhere it is faster than could be braked before the wall or the ground.

    Where it lies outside the cage, it is clamped, and not looked at.
    """
    low, high = cage.stopping_box
    looks = limits.looks
    growing = [path.lead * look / looks for look in range(looks)]
    for time in (*growing, *(path.lead + 2 * path.period * look / looks for look in range(looks))):
        point = path.at(time)
        fast = math.hypot(*point.velocity)
        if fast < 1e-9 or cage.clamp(point.position) != point.position:
            continue
        u, v, w = point.velocity
        granted = limits.path_share * braking.speed(point.position, (u / fast, v / fast, w / fast), low, high)
        if fast > granted:
            where = ", ".join(f"{p:.2f}" for p in point.position)
            found = f"at ({where}) m it flies at {fast:.2f} m/s, wanted at most {granted - 0.005:.2f} before the wall"
            return f"{found}: make it smaller, slower, or farther from the wall"
    return None


def _caught_up(before: SetPoint, wanted: SetPoint, dt: float, limits: SetPointLimits) -> bool:
    """Whether the step to the wanted set-point is one that a set-point on a trajectory makes."""
    near = limits.caught_up + math.hypot(*before.velocity) * dt
    if math.dist(wanted.position, before.position) > near:
        return False
    return math.dist(wanted.velocity, before.velocity) <= limits.beside + limits.steepest * dt


def _coming_to_rest(velocity: Vector, place: Vector, low: Vector, high: Vector, gain: float) -> Vector:
    """The velocity, with which a set-point comes to rest before it leaves the box (corners in m). gain: m/s^2."""
    (u, v, w), (x, y, z), (a, b, c), (d, e, f) = velocity, place, low, high

    def within(speed: float, back: float, ahead: float) -> float:
        room = ahead if speed > 0 else back
        return math.copysign(min(abs(speed), math.sqrt(gain * max(room, 0.0))), speed)

    return within(u, x - a, d - x), within(v, y - b, e - y), within(w, z - c, f - z)


def _turned(yaw: float, wanted: float, most: float) -> float:
    """The yaw (rad), turned towards the wanted one by no more than so much."""
    way = math.remainder(wanted - yaw, 2 * math.pi)
    return wanted if abs(way) <= most else math.remainder(yaw + math.copysign(most, way), 2 * math.pi)


def _towards(velocity: Vector, aim: Vector, most: float) -> Vector:
    """The velocity, changed towards another by no more than so much (m/s)."""
    far = math.dist(aim, velocity)
    if far <= most:
        return aim
    (a, b, c), (x, y, z), share = aim, velocity, most / far
    return x + share * (a - x), y + share * (b - y), z + share * (c - z)
