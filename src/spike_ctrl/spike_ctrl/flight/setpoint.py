"""The set-point that a flight follows: held, going along a trajectory, or streamed by someone else.

World ENU. A stream that stops, a NaN and a point outside the cage are this module's to find; where the vehicle then
holds is the supervisor's to say.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from spike_ctrl.control.trajectory import PREVIEW, SetPoint, Trajectory
from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.state_checks import Shift

STREAM_TIMEOUT = 0.2  # s
STOPPING = 0.6  # s: a velocity counts as the way of so many seconds, as far as a controller lets itself be carried


class Target(NamedTuple):
    """What is followed. `moved`: by how much the estimator's origin has moved since it was given."""

    course: SetPoint | Trajectory
    since: float = 0.0  # s, start of a trajectory
    streamed: float | None = None  # s, receipt of the last set-point of a stream
    moved: Shift = Shift((0.0, 0.0, 0.0), 0.0)


def hold(position, yaw: float) -> Target:
    return Target(SetPoint(tuple(position), yaw=yaw))


def shifted(target: Target, shift: Shift) -> Target:
    """The target after the estimator moved its origin: the error of position and yaw stays what it was."""
    position = tuple(a + b for a, b in zip(target.moved.position, shift.position, strict=True))
    return target._replace(moved=Shift(position, target.moved.yaw + shift.yaw))


def streamed(target: Target, point: SetPoint, now: float) -> tuple[Target, tuple[Finding, ...]]:
    """The target after a set-point of a stream came; a NaN changes nothing and does not keep the stream alive."""
    if (detail := not_finite(point)) is not None:
        return target, (Finding(Fault.SET_POINT_NOT_FINITE, detail),)
    return Target(point, streamed=now), ()


def stopped(target: Target, now: float) -> tuple[Finding, ...]:
    if target.streamed is None or now - target.streamed <= STREAM_TIMEOUT:
        return ()
    return (Finding(Fault.SET_POINT_STOPPED, f"the last one came {now - target.streamed:.2f} s ago"),)


def current(target: Target, now: float, cage: Cage) -> tuple[SetPoint, tuple[Finding, ...]]:
    """The set-point at `now`, clamped to the cage; clamped, it stands still. A trajectory looks PREVIEW ahead.

    A velocity is a wish, too, and carries a vehicle off its set-point: it must not lead out of the cage.
    """
    course, point = target.course, target.course
    if isinstance(course, Trajectory):
        ahead = course.at(now - target.since + PREVIEW)
        point = course.at(now - target.since)._replace(velocity=ahead.velocity)
    position = tuple(p + d for p, d in zip(point.position, target.moved.position, strict=True))
    inside = cage.clamp(position)
    yaw = math.remainder(point.yaw + target.moved.yaw, 2 * math.pi)
    if math.dist(inside, position) < 1e-6:
        velocity = cage.slowed(position, point.velocity, STOPPING)
        if velocity == tuple(point.velocity):
            return SetPoint(position, velocity, yaw), ()
        found, most = math.hypot(*point.velocity), math.hypot(*velocity)
        detail = f"found {found:.3g} m/s towards a wall, wanted at most {most:.3g} m/s"
        return SetPoint(position, velocity, yaw), (Finding(Fault.SET_POINT_OUTSIDE, detail),)
    found = ", ".join(f"{p:.2f}" for p in position)
    detail = f"found ({found}) m, wanted {cage.inner}"
    return SetPoint(inside, (0.0, 0.0, 0.0), yaw), (Finding(Fault.SET_POINT_OUTSIDE, detail),)


def too_far(course: SetPoint | Trajectory, position, now: float, cage: Cage, reach: float) -> str | None:
    """In words, where a course that is given now begins farther than `reach` (m) from a vehicle at `position`."""
    point, _ = current(Target(course, since=now), now, cage)
    distance = math.dist(point.position, position)
    return None if distance <= reach else f"it is {distance:.2f} m away, wanted at most {reach:.2f} m"


def not_finite(point: SetPoint) -> str | None:
    """The first field of a set-point that is NaN or infinite, in words."""
    for name in ("position", "velocity"):
        for index, value in enumerate(getattr(point, name)):
            if not math.isfinite(value):
                return f"{name}[{index}] is {value}"
    return None if math.isfinite(point.yaw) else f"yaw is {point.yaw}"
