"""The way of a vehicle, or of its set-point, as poses at some distance in time; a jump begins a new one. Pure."""

import math
from typing import NamedTuple

PERIOD = 100_000_000  # ns, between two poses of a path
MARGIN = 0.5  # m that a vehicle may be farther than its speed explains


class PathPose(NamedTuple):
    """stamp: ns. position: m, odom. quaternion: x, y, z, w. speed: m/s."""

    stamp: int
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    speed: float = 0.0


def longer(path: tuple[PathPose, ...], pose: PathPose, length: float) -> tuple[PathPose, ...]:
    """The path with this pose at its end, unless it comes too soon; at most `length` (s) long.

    Where time goes back, or the vehicle is where it cannot have flown to, an episode has begun and the path begins anew.
    """
    if not path:
        return (pose,)
    last = path[-1]
    passed = pose.stamp - last.stamp
    reach = MARGIN + 1.5e-9 * passed * max(pose.speed, last.speed)
    if passed < 0 or math.dist(pose.position, last.position) > reach:
        return (pose,)
    if passed < PERIOD:
        return path
    return (*(one for one in path if pose.stamp - one.stamp <= 1e9 * length), pose)
