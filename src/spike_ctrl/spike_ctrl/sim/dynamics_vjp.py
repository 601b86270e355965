"""Derivatives of the dynamics: they take a gradient from the end of a control step to its beginning.

Vector-Jacobian products of `dynamics.rk4_lane`, `observation.observe` and the squared errors of `reward`, written by hand
and compared with automatic differentiation in the tests. The rotors' lag switches between up and down, and a command
is clipped: there the derivative is that of the side in use.
"""

import math

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined
from spike_ctrl.sim.aerodynamics import air_vjp, rotation_vjp
from spike_ctrl.sim.battery import BatteryConstants, command_factor, drained_vjp, factor_slope, load_of
from spike_ctrl.sim.dynamics import AT, CHARGE, VOLTAGE, plus, slope, unpack_air, unpack_failure, unpack_lane
from spike_ctrl.sim.reward import angle_between
from spike_ctrl.sim.rotor_loss import by_given, in_force, without_vjp

_ZERO, _HALF, _ONE, _TWO, _THREE, _SIX = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0, 3.0, 6.0))
_TINY = np.float32(1e-12)

# Rows of the adjoint, LANES numbers each: the gradient with respect to the state, the rotor commands, the observation, the
# state of the body-rate loop, and charge and voltage.
STATE, APPLIED, SEEN, LOOP, BATTERY = 0, 17, 21, 39, 52
ADJOINT_ROWS = 54


@inlined
def _derivative_vjp(s: Scalars, command: Scalars, plant: Scalars, arms: Scalars, g: Scalars) -> Scalars:
    """g^T df/d(state, command) of `dynamics.derivative`: 17 and 4 numbers, as one tuple of 21."""
    _, _, _, qx, qy, qz, qw, _, _, _, wx, wy, wz, r0, r1, r2, r3 = s
    mass, jx, jy, jz, c0, c1, c2, torque, quick_up, quick_down, drag, angular_drag = plant
    x0, x1, x2, x3, y0, y1, y2, y3, s0, s1, s2, s3 = arms
    gx, gy, gz = g[10] / jx, g[11] / jy, g[12] / jz
    h0, h1, h2, h3 = _HALF * g[3], _HALF * g[4], _HALF * g[5], _HALF * g[6]
    lift = (c0 * np.float32(4.0) + c1 * (r0 + r1 + r2 + r3) + c2 * (r0 * r0 + r1 * r1 + r2 * r2 + r3 * r3)) / mass
    g_lift = (
        g[7] * _TWO * (qx * qz + qw * qy) + g[8] * _TWO * (qy * qz - qw * qx) + g[9] * (_ONE - _TWO * (qx * qx + qy * qy))
    ) / mass
    l7, l8, l9 = _TWO * lift * g[7], _TWO * lift * g[8], _TWO * lift * g[9]
    u0 = quick_up if command[0] > r0 else quick_down
    u1 = quick_up if command[1] > r1 else quick_down
    u2 = quick_up if command[2] > r2 else quick_down
    u3 = quick_up if command[3] > r3 else quick_down
    m0, m1, m2, m3 = g[13] * u0, g[14] * u1, g[15] * u2, g[16] * u3
    t0 = g_lift + gx * y0 - gy * x0 + gz * torque * s0
    t1 = g_lift + gx * y1 - gy * x1 + gz * torque * s1
    t2 = g_lift + gx * y2 - gy * x2 + gz * torque * s2
    t3 = g_lift + gx * y3 - gy * x3 + gz * torque * s3
    slow = drag / mass
    return (
        _ZERO, _ZERO, _ZERO,
        -h1 * wz + h2 * wy - h3 * wx + l7 * qz - l8 * qw - _TWO * l9 * qx,
        h0 * wz - h2 * wx - h3 * wy + l7 * qw + l8 * qz - _TWO * l9 * qy,
        -h0 * wy + h1 * wx - h3 * wz + l7 * qx + l8 * qy,
        h0 * wx + h1 * wy + h2 * wz + l7 * qy - l8 * qx,
        g[0] - slow * g[7], g[1] - slow * g[8], g[2] - slow * g[9],
        h0 * qw + h1 * qz - h2 * qy - h3 * qx - angular_drag * gx + gy * (jz - jx) * wz + gz * (jx - jy) * wy,
        -h0 * qz + h1 * qw + h2 * qx - h3 * qy - angular_drag * gy + gx * (jy - jz) * wz + gz * (jx - jy) * wx,
        h0 * qy - h1 * qx + h2 * qw - h3 * qz - angular_drag * gz + gx * (jy - jz) * wy + gy * (jz - jx) * wx,
        t0 * (c1 + _TWO * c2 * r0) - m0, t1 * (c1 + _TWO * c2 * r1) - m1,
        t2 * (c1 + _TWO * c2 * r2) - m2, t3 * (c1 + _TWO * c2 * r3) - m3,
        m0, m1, m2, m3,
    )  # fmt: skip


@inlined
def _slope_vjp(
    s: Scalars, command: Scalars, plant: Scalars, arms: Scalars, g: Scalars, air: Scalars, lost: Scalars,
    extension: BatteryConstants | None,
) -> Scalars:  # fmt: skip
    """g^T df/d(state, command) of `dynamics.slope`, as `_derivative_vjp` gives it."""
    p: Scalars = _derivative_vjp(s, command, plant, arms, g)
    if extension is not None:
        by_force = (g[7] / plant[0], g[8] / plant[0], g[9] / plant[0])
        a = air_vjp(s, air, by_force, (g[10] / plant[1], g[11] / plant[2]))
        p = (
            p[0], p[1], p[2], p[3] + a[0], p[4] + a[1], p[5] + a[2], p[6] + a[3], p[7] + a[4], p[8] + a[5], p[9] + a[6],
            p[10], p[11], p[12], p[13], p[14], p[15], p[16], p[17], p[18], p[19], p[20],
        )  # fmt: skip
        if extension.fails is not None:
            b = without_vjp(s, plant, arms, lost, by_force, (g[10] / plant[1], g[11] / plant[2], g[12] / plant[3]))
            p = (
                p[0], p[1], p[2], p[3] + b[0], p[4] + b[1], p[5] + b[2], p[6] + b[3], p[7], p[8], p[9], p[10], p[11], p[12],
                p[13] + b[4], p[14] + b[5], p[15] + b[6], p[16] + b[7], p[17], p[18], p[19], p[20],
            )  # fmt: skip
    return p


@inlined
def _mix(a: Number, g: Scalars, b: Number, p: Scalars) -> Scalars:
    """a g + b p on the first 17 numbers."""
    return (
        a * g[0] + b * p[0], a * g[1] + b * p[1], a * g[2] + b * p[2], a * g[3] + b * p[3], a * g[4] + b * p[4],
        a * g[5] + b * p[5], a * g[6] + b * p[6], a * g[7] + b * p[7], a * g[8] + b * p[8], a * g[9] + b * p[9],
        a * g[10] + b * p[10], a * g[11] + b * p[11], a * g[12] + b * p[12], a * g[13] + b * p[13],
        a * g[14] + b * p[14], a * g[15] + b * p[15], a * g[16] + b * p[16],
    )  # fmt: skip


@inlined
def rk4_vjp_lane(
    buffer: Floats, lane: Number, adjoint: Floats, at: Number, dt: Number, arms: Scalars,
    extension: BatteryConstants | None = None,
) -> None:  # fmt: skip
    """Take the gradient in the adjoint's STATE rows back over the step that the buffer's state and commands begin.

    `lane`: flat index of the vehicle in the buffer, whose state is that before the step; `at`: in the adjoint. Overwrites
    STATE rows and, of an extended airframe, BATTERY rows. Sets APPLIED rows to the gradient with respect to the commands.
    """
    s, command, plant, disturbance = unpack_lane(buffer, lane)
    air = unpack_air(buffer, lane)
    lost = (_ZERO, _ZERO, _ZERO, _ZERO)
    if extension is not None:
        given, voltage = command, buffer[lane + AT[VOLTAGE]]
        factor = command_factor(voltage, extension)
        command = (factor * given[0], factor * given[1], factor * given[2], factor * given[3])
        if extension.fails is not None:
            lost, stuck, clock, fails = unpack_failure(buffer, lane)
            command = in_force(command, stuck, clock, fails)
    half = _HALF * dt
    k1 = slope(s, command, plant, disturbance, arms, air, lost, extension)
    b = plus(s, k1, half)
    k2 = slope(b, command, plant, disturbance, arms, air, lost, extension)
    c = plus(s, k2, half)
    k3 = slope(c, command, plant, disturbance, arms, air, lost, extension)
    d = plus(s, k3, dt)
    k4 = slope(d, command, plant, disturbance, arms, air, lost, extension)
    sixth, third = dt / _SIX, dt / _THREE
    # The quaternion's normalisation: g <- (g - q (q . g)) / |q|
    x = s[3] + sixth * (k1[3] + k4[3]) + third * (k2[3] + k3[3])
    y = s[4] + sixth * (k1[4] + k4[4]) + third * (k2[4] + k3[4])
    z = s[5] + sixth * (k1[5] + k4[5]) + third * (k2[5] + k3[5])
    w = s[6] + sixth * (k1[6] + k4[6]) + third * (k2[6] + k3[6])
    norm = _ONE / math.sqrt(x * x + y * y + z * z + w * w)
    x, y, z, w = x * norm, y * norm, z * norm, w * norm
    g3, g4, g5, g6 = adjoint[at + AT[3]], adjoint[at + AT[4]], adjoint[at + AT[5]], adjoint[at + AT[6]]
    dot = x * g3 + y * g4 + z * g5 + w * g6
    g = (
        adjoint[at], adjoint[at + AT[1]], adjoint[at + AT[2]],
        (g3 - x * dot) * norm, (g4 - y * dot) * norm, (g5 - z * dot) * norm, (g6 - w * dot) * norm,
        adjoint[at + AT[7]], adjoint[at + AT[8]], adjoint[at + AT[9]], adjoint[at + AT[10]], adjoint[at + AT[11]],
        adjoint[at + AT[12]], adjoint[at + AT[13]], adjoint[at + AT[14]], adjoint[at + AT[15]], adjoint[at + AT[16]],
    )  # fmt: skip
    if extension is not None:
        r0 = s[13] + sixth * (k1[13] + k4[13]) + third * (k2[13] + k3[13])
        r1 = s[14] + sixth * (k1[14] + k4[14]) + third * (k2[14] + k3[14])
        r2 = s[15] + sixth * (k1[15] + k4[15]) + third * (k2[15] + k3[15])
        r3 = s[16] + sixth * (k1[16] + k4[16]) + third * (k2[16] + k3[16])
        by_charge, by_voltage = adjoint[at + AT[BATTERY]], adjoint[at + AT[BATTERY + 1]]
        e = drained_vjp(buffer[lane + AT[CHARGE]], load_of(r0, r1, r2, r3), extension, by_charge, by_voltage)
        weight = np.float32(0.75) * e[2]
        g = (
            g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13] + weight * r0 * r0,
            g[14] + weight * r1 * r1, g[15] + weight * r2 * r2, g[16] + weight * r3 * r3,
        )  # fmt: skip
    p4 = _slope_vjp(d, command, plant, arms, _mix(sixth, g, _ZERO, g), air, lost, extension)
    p3 = _slope_vjp(c, command, plant, arms, _mix(third, g, dt, p4), air, lost, extension)
    p2 = _slope_vjp(b, command, plant, arms, _mix(third, g, half, p3), air, lost, extension)
    p1 = _slope_vjp(s, command, plant, arms, _mix(sixth, g, half, p2), air, lost, extension)
    total = _mix(_ONE, _mix(_ONE, g, _ONE, p1), _ONE, _mix(_ONE, _mix(_ONE, p2, _ONE, p3), _ONE, p4))
    adjoint[at] = total[0]
    adjoint[at + AT[1]] = total[1]
    adjoint[at + AT[2]] = total[2]
    adjoint[at + AT[3]] = total[3]
    adjoint[at + AT[4]] = total[4]
    adjoint[at + AT[5]] = total[5]
    adjoint[at + AT[6]] = total[6]
    adjoint[at + AT[7]] = total[7]
    adjoint[at + AT[8]] = total[8]
    adjoint[at + AT[9]] = total[9]
    adjoint[at + AT[10]] = total[10]
    adjoint[at + AT[11]] = total[11]
    adjoint[at + AT[12]] = total[12]
    adjoint[at + AT[13]] = total[13]
    adjoint[at + AT[14]] = total[14]
    adjoint[at + AT[15]] = total[15]
    adjoint[at + AT[16]] = total[16]
    a0, a1 = p1[17] + p2[17] + p3[17] + p4[17], p1[18] + p2[18] + p3[18] + p4[18]
    a2, a3 = p1[19] + p2[19] + p3[19] + p4[19], p1[20] + p2[20] + p3[20] + p4[20]
    if extension is not None:
        if extension.fails is not None:
            a0, a1, a2, a3 = by_given((a0, a1, a2, a3), stuck, clock, fails)
        by_factor = a0 * given[0] + a1 * given[1] + a2 * given[2] + a3 * given[3]
        adjoint[at + AT[BATTERY]] = e[0]
        adjoint[at + AT[BATTERY + 1]] = e[1] + by_factor * factor_slope(voltage, extension)
        a0, a1, a2, a3 = a0 * factor, a1 * factor, a2 * factor, a3 * factor
    adjoint[at + AT[APPLIED]] = a0
    adjoint[at + AT[APPLIED + 1]] = a1
    adjoint[at + AT[APPLIED + 2]] = a2
    adjoint[at + AT[APPLIED + 3]] = a3


@inlined
def observe_vjp_lane(buffer: Floats, lane: Number, adjoint: Floats, at: Number) -> None:
    """Take the gradient with respect to the observation, in the SEEN rows, back to the state and add it to the STATE rows.

    The buffer holds the state that was observed. The set-point is at the origin and has yaw 0.
    """
    q = buffer[lane + AT[3]], buffer[lane + AT[4]], buffer[lane + AT[5]], buffer[lane + AT[6]]
    rotation = (
        adjoint[at + AT[SEEN + 3]], adjoint[at + AT[SEEN + 4]], adjoint[at + AT[SEEN + 5]],
        adjoint[at + AT[SEEN + 6]], adjoint[at + AT[SEEN + 7]], adjoint[at + AT[SEEN + 8]],
        adjoint[at + AT[SEEN + 9]], adjoint[at + AT[SEEN + 10]], adjoint[at + AT[SEEN + 11]],
    )  # fmt: skip
    g3, g4, g5, g6 = rotation_vjp(q, rotation)
    adjoint[at] += adjoint[at + AT[SEEN]]
    adjoint[at + AT[1]] += adjoint[at + AT[SEEN + 1]]
    adjoint[at + AT[2]] += adjoint[at + AT[SEEN + 2]]
    adjoint[at + AT[3]] += g3
    adjoint[at + AT[4]] += g4
    adjoint[at + AT[5]] += g5
    adjoint[at + AT[6]] += g6
    adjoint[at + AT[7]] += adjoint[at + AT[SEEN + 12]]
    adjoint[at + AT[8]] += adjoint[at + AT[SEEN + 13]]
    adjoint[at + AT[9]] += adjoint[at + AT[SEEN + 14]]
    adjoint[at + AT[10]] += adjoint[at + AT[SEEN + 15]]
    adjoint[at + AT[11]] += adjoint[at + AT[SEEN + 16]]
    adjoint[at + AT[12]] += adjoint[at + AT[SEEN + 17]]


@inlined
def errors_vjp_lane(buffer: Floats, lane: Number, adjoint: Floats, at: Number, weights: Scalars) -> None:
    """Add to the STATE rows the gradient of weights[0..2] times the squared errors of position, velocity and attitude.

    With |v| the norm of the quaternion's vector part, the angle is 2 atan2(|v|, |w|).
    """
    position, velocity, attitude = weights
    qx, qy, qz, qw = buffer[lane + AT[3]], buffer[lane + AT[4]], buffer[lane + AT[5]], buffer[lane + AT[6]]
    adjoint[at] += _TWO * position * buffer[lane]
    adjoint[at + AT[1]] += _TWO * position * buffer[lane + AT[1]]
    adjoint[at + AT[2]] += _TWO * position * buffer[lane + AT[2]]
    adjoint[at + AT[7]] += _TWO * velocity * buffer[lane + AT[7]]
    adjoint[at + AT[8]] += _TWO * velocity * buffer[lane + AT[8]]
    adjoint[at + AT[9]] += _TWO * velocity * buffer[lane + AT[9]]
    sine = math.sqrt(qx * qx + qy * qy + qz * qz + _TINY)
    angle = _TWO * angle_between(sine, abs(qw))
    along = attitude * np.float32(4.0) * angle * abs(qw) / sine
    adjoint[at + AT[3]] += along * qx
    adjoint[at + AT[4]] += along * qy
    adjoint[at + AT[5]] += along * qz
    adjoint[at + AT[6]] -= attitude * np.float32(4.0) * angle * sine * (_ONE if qw > _ZERO else -_ONE)
