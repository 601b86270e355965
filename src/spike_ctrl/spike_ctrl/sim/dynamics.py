"""The quadrotor dynamics: a batch of vehicles in one flat float32 buffer, advanced by a numba kernel.

The buffer has the shape (blocks, ROWS, LANES), flattened: vehicle n is lane n % 16 of block n // 16, and each row holds
one quantity of 16 vehicles side by side, so that the compiler turns the loop over lanes into vector instructions.

World frame ENU, body frame FLU, SI units, quaternion x, y, z, w (body to world). Equations: rigid body with diagonal
inertia, quadratic thrust curve, first-order rotors with separate lags for speeding up and slowing down, linear drag,
a steady force (world) and torque (body) as disturbance; classical Runge-Kutta, rotor set-points held over the step.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl.airframe import GRAVITY, Airframe

LANES = 16

# State
POSITION, QUATERNION, VELOCITY, RATES, ROTORS = 0, 3, 7, 10, 13
# Parameters, true for each vehicle
MASS, INERTIA, THRUST, TORQUE, LAG_UP, LAG_DOWN, LINEAR_DRAG, ANGULAR_DRAG = 17, 18, 21, 24, 25, 26, 27, 28
FORCE, MOMENT = 29, 32
# Set-point: position, cosine and sine of its yaw. The rotor commands
TARGET, TARGET_COS, TARGET_SIN, COMMAND = 35, 38, 39, 40
# Body-rate loop (`rates` layout): set-point, integral, filtered rates and their filtered derivative
RATE_SETPOINT, RATE_INTEGRAL, GYRO, GYRO_SLOPE = 44, 48, 51, 54
# Episode: steps flown, number of the episode, 1 once it has ended; return and four costs summed over it
STEP, EPISODE, ENDED, SUMS = 57, 58, 59, 60
# What a step leaves behind: observation, reward, terminated, truncated
OBSERVATION, REWARD, TERMINATED, TRUNCATED = 65, 83, 84, 85
# Control steps from an action to its effect
DELAY = 86
# True factors on the body-rate loop's P, I and D and on the shares of its filters, 1 where it is as the airframe says
LOOP_FACTORS = 87
ROWS = 91

STATE_ROWS = slice(0, 17)
PLANT_ROWS = slice(MASS, FORCE)
DISTURBANCE_ROWS = slice(FORCE, TARGET)
ROTOR_ROWS = slice(ROTORS, MASS)
COMMAND_ROWS = slice(COMMAND, RATE_SETPOINT)
LOOP_ROWS = slice(RATE_SETPOINT, STEP)
SUM_ROWS = slice(SUMS, OBSERVATION)
OBSERVATION_ROWS = slice(OBSERVATION, REWARD)
PLANT_SIZE = FORCE - MASS

# Rounding may differ from strict IEEE order, NaN and infinity stay what they are.
FASTMATH = {"contract", "arcp", "nsz"}

# Flat offset of each row. Unsigned, since a signed index costs a sign test and with it the vector instructions.
AT = tuple(np.uint64(LANES * row) for row in range(ROWS))

_ZERO, _HALF, _ONE, _TWO, _SIX = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0, 6.0))
GRAVITY_F32 = np.float32(GRAVITY)


def allocate(vehicles: int, airframe: Airframe) -> Floats:
    """A zeroed buffer (blocks * ROWS * LANES) for at least `vehicles`, every lane a nominal airframe at rest and level."""
    blocks = -(-vehicles // LANES)
    buffer = np.zeros(blocks * ROWS * LANES, np.float32)
    view = rows(buffer)
    view[:, QUATERNION + 3] = 1.0
    view[:, TARGET_COS] = view[:, LOOP_FACTORS:] = 1.0
    view[:, PLANT_ROWS] = nominal_plant(airframe)[None, :, None]
    return buffer


def nominal_plant(airframe: Airframe) -> Floats:
    """The parameter rows of the airframe as float32 (PLANT_SIZE,).

    Mass, inertia 3, thrust curve 3, yaw torque per thrust, lags up and down, linear and angular drag.
    """
    return np.array(
        [airframe.mass, *airframe.inertia, *airframe.thrust_curve, airframe.torque_per_thrust,
         airframe.lag_up, airframe.lag_down, airframe.linear_drag, airframe.angular_drag], np.float32)  # fmt: skip


def geometry(airframe: Airframe) -> Floats:
    """Twelve float32: rotor positions x forward (m), then y left (m), then the signs of the reaction torques about z."""
    return np.array([*airframe.rotor_x, *airframe.rotor_y, *airframe.rotor_spin], np.float32)


def rows(buffer: Floats) -> Floats:
    """The buffer as a view (blocks, ROWS, LANES)."""
    return buffer.reshape(-1, ROWS, LANES)


def read(buffer: Floats, which: slice | int, vehicles: int) -> Floats:
    """A copy of some rows, vehicle by vehicle: (vehicles, rows), or (vehicles,) for one row."""
    part = rows(buffer)[:, which]
    if isinstance(which, int):
        return part.flatten()[:vehicles]
    return np.ascontiguousarray(part.transpose(0, 2, 1)).reshape(-1, part.shape[1])[:vehicles]


def write(buffer: Floats, which: slice | int, values: ArrayLike) -> None:
    """Set some rows from (vehicles, rows) or (vehicles,); lanes beyond the vehicles keep their values."""
    view = rows(buffer)
    given = np.asarray(values, np.float32)
    vehicle = np.arange(len(given))
    view[vehicle // LANES, which, vehicle % LANES] = given


@inlined
def derivative(s: Scalars, command: Scalars, plant: Scalars, disturbance: Scalars, arms: Scalars) -> Scalars:
    """Time derivative of the 17 state numbers of one vehicle; `plant` holds the reciprocals of the two lags."""
    _, _, _, qx, qy, qz, qw, vx, vy, vz, wx, wy, wz, r0, r1, r2, r3 = s
    mass, jx, jy, jz, c0, c1, c2, torque, quick_up, quick_down, drag, angular_drag = plant
    fx, fy, fz, mx, my, mz = disturbance
    t0 = c0 + r0 * (c1 + r0 * c2)
    t1 = c0 + r1 * (c1 + r1 * c2)
    t2 = c0 + r2 * (c1 + r2 * c2)
    t3 = c0 + r3 * (c1 + r3 * c2)
    lift = (t0 + t1 + t2 + t3) / mass
    ax = _TWO * (qx * qz + qw * qy) * lift + (fx - drag * vx) / mass
    ay = _TWO * (qy * qz - qw * qx) * lift + (fy - drag * vy) / mass
    az = (_ONE - _TWO * (qx * qx + qy * qy)) * lift + (fz - drag * vz) / mass - GRAVITY_F32
    x0, x1, x2, x3, y0, y1, y2, y3, s0, s1, s2, s3 = arms
    tx = y0 * t0 + y1 * t1 + y2 * t2 + y3 * t3 + mx - angular_drag * wx
    ty = my - angular_drag * wy - (x0 * t0 + x1 * t1 + x2 * t2 + x3 * t3)
    tz = torque * (s0 * t0 + s1 * t1 + s2 * t2 + s3 * t3) + mz - angular_drag * wz
    d0, d1, d2, d3 = command[0] - r0, command[1] - r1, command[2] - r2, command[3] - r3
    return (
        vx, vy, vz,
        _HALF * (qw * wx + qy * wz - qz * wy),
        _HALF * (qw * wy + qz * wx - qx * wz),
        _HALF * (qw * wz + qx * wy - qy * wx),
        -_HALF * (qx * wx + qy * wy + qz * wz),
        ax, ay, az,
        (tx + (jy - jz) * wy * wz) / jx,
        (ty + (jz - jx) * wz * wx) / jy,
        (tz + (jx - jy) * wx * wy) / jz,
        d0 * (quick_up if d0 > _ZERO else quick_down),
        d1 * (quick_up if d1 > _ZERO else quick_down),
        d2 * (quick_up if d2 > _ZERO else quick_down),
        d3 * (quick_up if d3 > _ZERO else quick_down),
    )  # fmt: skip


@inlined
def plus(s: Scalars, k: Scalars, h: Number) -> Scalars:
    return (
        s[0] + h * k[0], s[1] + h * k[1], s[2] + h * k[2], s[3] + h * k[3], s[4] + h * k[4], s[5] + h * k[5],
        s[6] + h * k[6], s[7] + h * k[7], s[8] + h * k[8], s[9] + h * k[9], s[10] + h * k[10], s[11] + h * k[11],
        s[12] + h * k[12], s[13] + h * k[13], s[14] + h * k[14], s[15] + h * k[15], s[16] + h * k[16],
    )  # fmt: skip


@inlined
def unpack_lane(buffer: Floats, lane: Number) -> tuple[Scalars, Scalars, Scalars, Scalars]:
    """State, rotor commands, plant and disturbance of one vehicle as tuples, as `derivative` takes them."""
    s = (
        buffer[lane], buffer[lane + AT[1]], buffer[lane + AT[2]], buffer[lane + AT[3]], buffer[lane + AT[4]],
        buffer[lane + AT[5]], buffer[lane + AT[6]], buffer[lane + AT[7]], buffer[lane + AT[8]], buffer[lane + AT[9]],
        buffer[lane + AT[10]], buffer[lane + AT[11]], buffer[lane + AT[12]], buffer[lane + AT[13]],
        buffer[lane + AT[14]], buffer[lane + AT[15]], buffer[lane + AT[16]],
    )  # fmt: skip
    plant = (
        buffer[lane + AT[17]], buffer[lane + AT[18]], buffer[lane + AT[19]], buffer[lane + AT[20]],
        buffer[lane + AT[21]], buffer[lane + AT[22]], buffer[lane + AT[23]], buffer[lane + AT[24]],
        _ONE / buffer[lane + AT[25]], _ONE / buffer[lane + AT[26]], buffer[lane + AT[27]], buffer[lane + AT[28]],
    )  # fmt: skip
    disturbance = (
        buffer[lane + AT[29]], buffer[lane + AT[30]], buffer[lane + AT[31]],
        buffer[lane + AT[32]], buffer[lane + AT[33]], buffer[lane + AT[34]],
    )  # fmt: skip
    command = (buffer[lane + AT[40]], buffer[lane + AT[41]], buffer[lane + AT[42]], buffer[lane + AT[43]])
    return s, command, plant, disturbance


@inlined
def rk4_lane(buffer: Floats, lane: Number, dt: Number, arms: Scalars) -> None:
    """Advance one vehicle, whose rows start at the flat index `lane`, by `dt` seconds under its rotor commands."""
    s, command, plant, disturbance = unpack_lane(buffer, lane)
    k1 = derivative(s, command, plant, disturbance, arms)
    k2 = derivative(plus(s, k1, _HALF * dt), command, plant, disturbance, arms)
    k3 = derivative(plus(s, k2, _HALF * dt), command, plant, disturbance, arms)
    k4 = derivative(plus(s, k3, dt), command, plant, disturbance, arms)
    s = plus(plus(plus(plus(s, k1, dt / _SIX), k2, dt / _SIX * _TWO), k3, dt / _SIX * _TWO), k4, dt / _SIX)
    norm = _ONE / math.sqrt(s[3] * s[3] + s[4] * s[4] + s[5] * s[5] + s[6] * s[6])
    buffer[lane] = s[0]
    buffer[lane + AT[1]] = s[1]
    buffer[lane + AT[2]] = s[2]
    buffer[lane + AT[3]] = s[3] * norm
    buffer[lane + AT[4]] = s[4] * norm
    buffer[lane + AT[5]] = s[5] * norm
    buffer[lane + AT[6]] = s[6] * norm
    buffer[lane + AT[7]] = s[7]
    buffer[lane + AT[8]] = s[8]
    buffer[lane + AT[9]] = s[9]
    buffer[lane + AT[10]] = s[10]
    buffer[lane + AT[11]] = s[11]
    buffer[lane + AT[12]] = s[12]
    buffer[lane + AT[13]] = s[13]
    buffer[lane + AT[14]] = s[14]
    buffer[lane + AT[15]] = s[15]
    buffer[lane + AT[16]] = s[16]


@inlined
def unpack_arms(arms: Floats) -> Scalars:
    """The array of `geometry` as a tuple: scalars stay in registers, an array could alias the buffer."""
    return (
        arms[0], arms[1], arms[2], arms[3], arms[4], arms[5],
        arms[6], arms[7], arms[8], arms[9], arms[10], arms[11],
    )  # fmt: skip


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def step(buffer: Floats, dt: Number, arms: Floats) -> None:
    """Advance every vehicle by `dt` seconds (float32) with its rotor commands held; `arms` from `geometry`."""
    reach = unpack_arms(arms)
    for block in range(buffer.size // (ROWS * LANES)):
        base = np.uint64(block * ROWS * LANES)
        for lane in range(np.uint64(LANES)):
            rk4_lane(buffer, base + lane, dt, reach)
