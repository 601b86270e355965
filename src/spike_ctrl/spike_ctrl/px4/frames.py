"""Conversion between REP-103 (ENU, FLU, quaternion x, y, z, w) and the autopilot (NED, FRD, quaternion w, x, y, z).

Each name gives the input and the output frame. Vectors and quaternions are tuples of floats; quaternions turn body to
world. Yaw is counter-clockwise from east in ENU, clockwise from north in NED.
"""

import math

from spike_ctrl.flight.attitude import rotate as rotate
from spike_ctrl.flight.attitude import rotate_back as rotate_back
from spike_ctrl.flight.attitude import yaw as yaw_of

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
_HALF_ROOT = math.sqrt(0.5)


def enu_from_ned(v: Vector) -> Vector:
    """A vector in the world, from NED to ENU or back."""
    north, east, down = v
    return east, north, -down


def flu_from_frd(v: Vector) -> Vector:
    """A vector in the body, from FRD to FLU or back."""
    forward, right, down = v
    return forward, -right, -down


def enu_flu_from_ned_frd(q: Quaternion) -> Quaternion:
    """x, y, z, w of body FLU to ENU, from w, x, y, z of body FRD to NED.

    It is the product (ENU from NED) q (FRD from FLU). Both outer quaternions are half turns: about the bisector of north
    and east, and about forward.
    """
    w, x, y, z = q
    return _HALF_ROOT * (x + y), _HALF_ROOT * (x - y), _HALF_ROOT * (w - z), _HALF_ROOT * (w + z)


def ned_frd_from_enu_flu(q: Quaternion) -> Quaternion:
    """w, x, y, z of body FRD to NED, from x, y, z, w of body FLU to ENU."""
    x, y, z, w = q
    return _HALF_ROOT * (w + z), _HALF_ROOT * (x + y), _HALF_ROOT * (x - y), _HALF_ROOT * (w - z)


def enu_yaw_from_ned(yaw: float) -> float:
    """Yaw from east, from yaw (rad) from north, or back. In (-pi, pi]."""
    return wrapped(math.pi / 2 - yaw)


# Each is its own inverse.
ned_from_enu, frd_from_flu, ned_yaw_from_enu = enu_from_ned, flu_from_frd, enu_yaw_from_ned


def roll_pitch_yaw(q: Quaternion) -> Vector:
    """Angles (rad) of the quaternion x, y, z, w, applied in the order yaw, pitch, roll about the body's axes."""
    roll, pitch = roll_pitch(q)
    return roll, pitch, yaw_of(q)


def roll_pitch(q: Quaternion) -> tuple[float, float]:
    """The first two angles (rad) of `roll_pitch_yaw`."""
    x, y, z, w = q
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    return roll, math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x))))


def from_yaw(yaw: float) -> Quaternion:
    """The level quaternion x, y, z, w with that yaw."""
    return 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)


def wrapped(angle: float) -> float:
    """The same direction in (-pi, pi]."""
    return math.pi - (math.pi - angle) % (2 * math.pi)
