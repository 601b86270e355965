"""The set-point that a flight follows: held, along a trajectory, or streamed by another node. World ENU. Pure.

Whether a set-point is finite, near enough and in the cage is told here. What the vehicle follows: target_choice.py.
"""

import math
from typing import NamedTuple

from spike_ctrl.control.trajectory import PREVIEW, SetPoint, Trajectory, Vector
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.state_checks import OriginShift


class Target(NamedTuple):
    """What the vehicle follows: a set-point or a trajectory. moved: how far the estimator has moved its origin since."""

    course: SetPoint | Trajectory
    since: float = 0.0  # s, start of a trajectory
    streamed: float | None = None  # s, receipt of the last set-point of a stream
    moved: OriginShift = OriginShift()

    @property
    def descends(self) -> bool:
        """Whether it leads to the ground."""
        return isinstance(self.course, Trajectory) and self.course.kind == "descent"


def hold(position: Vector, yaw: float) -> Target:
    """A target that stands still at a position (m) and yaw (rad)."""
    return Target(SetPoint(position, yaw=yaw))


def shifted(target: Target, shift: OriginShift) -> Target:
    """The target after the estimator moved its origin: the errors of position and yaw stay as they were."""
    return target._replace(moved=target.moved.then(shift))


def moved_along(point: SetPoint | None, shift: OriginShift, cage: Cage) -> SetPoint | None:
    """A set-point after the estimator moved its origin, clamped to the cage."""
    return None if point is None else set_point_at(shifted(Target(point), shift), 0.0, cage)[0]


def set_point_at(target: Target, now: float, cage: Cage) -> tuple[SetPoint, Findings]:
    """The set-point at `now` (s), clamped to the cage. Along the axes on which it is clamped it stands still.

    Of a trajectory the velocity is that of PREVIEW seconds later. A velocity towards a wall is limited, because it carries
    the vehicle off its set-point and must not carry it out of the cage.
    """
    course = target.course
    if isinstance(course, Trajectory):
        ahead = course.at(now - target.since + PREVIEW)
        point = course.at(now - target.since)._replace(velocity=ahead.velocity)
    else:
        point = course
    (x, y, z), (a, b, c) = point.position, target.moved.position
    position = (x + a, y + b, z + c)
    inside = cage.clamp(position)
    yaw = math.remainder(point.yaw + target.moved.yaw, 2 * math.pi)
    if math.dist(inside, position) < 1e-6:
        if not any(point.velocity):
            return SetPoint(position, point.velocity, yaw), ()
        velocity = cage.limit_velocity(position, point.velocity)
        if velocity == tuple(point.velocity):
            return SetPoint(position, velocity, yaw), ()
        speed, allowed = math.hypot(*point.velocity), math.hypot(*velocity)
        detail = f"found {speed:.3g} m/s towards a wall, wanted at most {allowed:.3g} m/s"
        return SetPoint(position, velocity, yaw), (Finding(Fault.SET_POINT_OUTSIDE, detail),)
    detail = f"found ({', '.join(f'{p:.2f}' for p in position)}) m, wanted {cage.inner}"
    u, v, w = (v if abs(p - q) < 1e-6 else 0.0 for v, p, q in zip(point.velocity, inside, position, strict=True))
    velocity = cage.limit_velocity(inside, (u, v, w))
    return SetPoint(inside, velocity, yaw), (Finding(Fault.SET_POINT_OUTSIDE, detail),)


def too_far(course: SetPoint | Trajectory, position: Vector, now: float, cage: Cage, reach: float) -> str | None:
    """Why a course cannot be followed from now on, in words: it starts farther than `reach` (m) from `position` (m)."""
    point, _ = set_point_at(Target(course, since=now), now, cage)
    distance = math.dist(point.position, position)
    return None if distance <= reach else f"it is {distance:.2f} m away, wanted at most {reach:.2f} m"


def not_finite(point: SetPoint) -> str | None:
    """The first field of a set-point that is NaN or infinite, in words; None where all are finite."""
    for name in ("position", "velocity"):
        for index, value in enumerate(getattr(point, name)):
            if not math.isfinite(value):
                return f"{name}[{index}] is {value}"
    return None if math.isfinite(point.yaw) else f"yaw is {point.yaw}"
