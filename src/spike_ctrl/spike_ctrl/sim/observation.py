"""The 18-number observation, in one place for simulation, flight and replay.

All in the set-point's frame, a world ENU frame moved to the set-point and turned by its yaw:
position (3, m), rotation matrix body FLU to set-point frame (9, row-major), velocity (3, m/s), body rates (3, rad/s).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl.sim.dynamics import AT, POSITION, QUATERNION, RATES, TARGET, TARGET_COS, TARGET_SIN, VELOCITY

SIZE = 18
LAYOUT = "setpoint_frame_18"
NOISE = np.repeat(np.array([0.01, 0.01, 0.03, 0.05], np.float32), [3, 9, 3, 3])
"""Standard deviations of the noise of a good state estimate: .01 m, .01 (about half a degree), .03 m/s, .05 rad/s."""
_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_GIVEN = {"position": 3, "quaternion": 4, "velocity": 3, "rates": 3, "target": 3}
_SIZES = tuple(_GIVEN.values())
Vector = Sequence[float] | NDArray[Any]


@inlined
def observe(
    position: Scalars, quaternion: Scalars, velocity: Scalars, rates: Scalars, target: Scalars, cos: Number, sin: Number
) -> Scalars:
    """The observation as 18 scalars, from tuples; `cos` and `sin` are those of the set-point's yaw."""
    qx, qy, qz, qw = quaternion
    dx, dy, dz = position[0] - target[0], position[1] - target[1], position[2] - target[2]
    r00, r01, r02 = _ONE - _TWO * (qy * qy + qz * qz), _TWO * (qx * qy - qw * qz), _TWO * (qx * qz + qw * qy)
    r10, r11, r12 = _TWO * (qx * qy + qw * qz), _ONE - _TWO * (qx * qx + qz * qz), _TWO * (qy * qz - qw * qx)
    r20, r21, r22 = _TWO * (qx * qz - qw * qy), _TWO * (qy * qz + qw * qx), _ONE - _TWO * (qx * qx + qy * qy)
    vx, vy, vz = velocity
    return (
        cos * dx + sin * dy, cos * dy - sin * dx, dz,
        cos * r00 + sin * r10, cos * r01 + sin * r11, cos * r02 + sin * r12,
        cos * r10 - sin * r00, cos * r11 - sin * r01, cos * r12 - sin * r02,
        r20, r21, r22,
        cos * vx + sin * vy, cos * vy - sin * vx, vz,
        rates[0], rates[1], rates[2],
    )  # fmt: skip


@inlined
def observe_lane(buffer: Floats, lane: Number) -> Scalars:
    """The observation of one vehicle in a buffer of `dynamics`, whose rows start at the flat index `lane`."""
    o: Scalars = observe(
        (buffer[lane + AT[POSITION]], buffer[lane + AT[POSITION + 1]], buffer[lane + AT[POSITION + 2]]),
        (buffer[lane + AT[QUATERNION]], buffer[lane + AT[QUATERNION + 1]], buffer[lane + AT[QUATERNION + 2]],
         buffer[lane + AT[QUATERNION + 3]]),
        (buffer[lane + AT[VELOCITY]], buffer[lane + AT[VELOCITY + 1]], buffer[lane + AT[VELOCITY + 2]]),
        (buffer[lane + AT[RATES]], buffer[lane + AT[RATES + 1]], buffer[lane + AT[RATES + 2]]),
        (buffer[lane + AT[TARGET]], buffer[lane + AT[TARGET + 1]], buffer[lane + AT[TARGET + 2]]),
        buffer[lane + AT[TARGET_COS]], buffer[lane + AT[TARGET_SIN]],
    )  # fmt: skip
    return o


@kernel(cache=True)
def _build(numbers: Floats, cos: Number, sin: Number, out: Floats) -> None:
    """numbers: position, quaternion, velocity, rates, target."""
    n = numbers
    values = observe(
        (n[0], n[1], n[2]),
        (n[3], n[4], n[5], n[6]),
        (n[7], n[8], n[9]),
        (n[10], n[11], n[12]),
        (n[13], n[14], n[15]),
        cos,
        sin,
    )
    for i in range(SIZE):
        out[i] = values[i]


def build(
    position: Vector,
    quaternion: Vector,
    velocity: Vector,
    rates: Vector,
    target: Vector = (0.0, 0.0, 0.0),
    target_yaw: float = 0.0,
) -> Floats:
    """Observation float32 (18,) of one vehicle.

    position (3, m, world ENU), quaternion (x, y, z, w; body FLU to world), velocity (3, m/s, world),
    rates (3, rad/s, body), target (3, m, world), target_yaw (rad, counter-clockwise from east).
    """
    given = position, quaternion, velocity, rates, target
    if tuple(map(len, given)) != _SIZES:
        name, found = next((n, np.shape(g)) for g, (n, size) in zip(given, _GIVEN.items(), strict=True) if len(g) != size)
        raise ValueError(f"{name}: found shape {found}, wanted ({_GIVEN[name]},)")
    numbers, out = np.array([*position, *quaternion, *velocity, *rates, *target], np.float32), np.empty(SIZE, np.float32)
    _build(numbers, np.float32(math.cos(target_yaw)), np.float32(math.sin(target_yaw)), out)
    return out
