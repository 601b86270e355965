"""Attitude of a body as a quaternion x, y, z, w (body FLU to world ENU): its yaw, its tilt, and angles between two."""

import math

Quaternion = tuple[float, float, float, float]


def yaw(quaternion: Quaternion) -> float:
    """Yaw (rad, counter-clockwise from east) of a body with this attitude."""
    x, y, z, w = quaternion
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def rotate(q: Quaternion, v: tuple[float, float, float]) -> tuple[float, float, float]:
    """The vector turned by the quaternion x, y, z, w: from body to world."""
    x, y, z, w = q
    tx, ty, tz = 2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])
    return (v[0] + w * tx + y * tz - z * ty, v[1] + w * ty + z * tx - x * tz, v[2] + w * tz + x * ty - y * tx)


def rotate_back(q: Quaternion, v: tuple[float, float, float]) -> tuple[float, float, float]:
    """The vector turned against the quaternion x, y, z, w: from world to body."""
    x, y, z, w = q
    return rotate((-x, -y, -z, w), v)


def tilt(quaternion: Quaternion) -> float:
    """Angle (rad) between the body's z axis and up."""
    x, y, _, _ = quaternion
    return math.acos(min(max(1 - 2 * (x * x + y * y), -1.0), 1.0))


def z_axis(quaternion: Quaternion) -> tuple[float, float, float]:
    """The body's z axis in the world, along which the rotors push."""
    x, y, z, w = quaternion
    return 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)


def lean_along(quaternion: Quaternion, velocity: tuple[float, float, float]) -> float:
    """The share of the lift that pushes a body on to where it flies, to the side; below 0 it brakes. velocity: m/s."""
    (east, north, _), (u, v, _) = z_axis(quaternion), velocity
    return (east * u + north * v) / max(math.hypot(u, v), 1e-9)


def angle_between(first: Quaternion, second: Quaternion) -> float:
    """Angle (rad) of the rotation from one attitude to another. Both quaternions have norm 1."""
    (a, b, c, d), (x, y, z, w) = first, second
    inner = abs(a * x + b * y + c * z + d * w)
    return 2 * math.acos(min(inner, 1.0))


def turned(quaternion: Quaternion, yaw: float) -> Quaternion:
    """The attitude after a turn of the body by that yaw (rad) about the world's vertical axis."""
    (x, y, z, w), s, c = quaternion, math.sin(yaw / 2), math.cos(yaw / 2)
    return c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    """The attitude that `a` turns the attitude `b` to, about the axes of the world."""
    (ax, ay, az, aw), (bx, by, bz, bw) = a, b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def normalised(quaternion: Quaternion) -> Quaternion:
    """The same attitude as a quaternion of norm 1."""
    norm = math.hypot(*quaternion)
    x, y, z, w = quaternion
    return x / norm, y / norm, z / norm, w / norm
