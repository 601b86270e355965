"""Derivatives of the body-rate loop: the vector-Jacobian product of `rate_loop.rate_lane`, written by hand.

Where a limit is active (integral, mixer, rotor commands) the derivative is that of the active side, as in torch. The tests
compare it with automatic differentiation of the same equations.
"""

import math

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.dynamics import AT, GYRO, GYRO_SLOPE, RATE_INTEGRAL, RATE_SETPOINT, RATES
from spike_ctrl.sim.dynamics_vjp import APPLIED, LOOP, STATE
from spike_ctrl.sim.rate_loop import clip, own, share_out, wanted_thrust

_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_DIAGONAL = np.float32(math.sqrt(0.5))
_lift = inlined(action_mapping.lift)
# Rows of the adjoint in the order of the loop's state: set-point 4, integral 3, gyro 3, its slope 3
_SETPOINT, _INTEGRAL, _GYRO, _SLOPE = LOOP, LOOP + 4, LOOP + 7, LOOP + 10


@inlined
def _within(x: Number, low: Number, high: Number) -> Number:
    return _ONE if (x >= low) & (x <= high) else _ZERO


@inlined
def _torque(buffer: Floats, lane: Number, axis: int, c: Scalars) -> tuple[Number, Number]:
    """Torque of one axis of the PID, and its integral before the limits."""
    gyro, slope = buffer[lane + AT[GYRO + axis]], buffer[lane + AT[GYRO_SLOPE + axis]]
    change = c[16] * (buffer[lane + AT[RATES + axis]] - gyro)
    slope += c[17] * (change - slope)
    error = c[1 + axis] * buffer[lane + AT[RATE_SETPOINT + 1 + axis]] - (gyro + change)
    integral = buffer[lane + AT[RATE_INTEGRAL + axis]]
    return c[4 + axis] * error + integral - c[10 + axis] * slope, integral + c[7 + axis] * error


@inlined
def _sign(x: Number) -> Number:
    return _ONE if x > _ZERO else -_ONE


@inlined
def _share_out_vjp(
    g_thrust: Number, g_right: Number, g_back: Number, wanted: Number, right: Number, back: Number, airmode: Number
) -> tuple[Number, Number, Number]:
    """The gradients with respect to what goes into `share_out`, from those with respect to what comes out."""
    most = abs(right) + abs(back)
    if airmode > _ZERO:
        crowded = _ONE if _TWO * most > _ONE else _ZERO
        shrink = _ONE / (_TWO * most) if _TWO * most > _ONE else _ONE
        reach = shrink * most
        low, high = _ONE if wanted < reach else _ZERO, _ONE if wanted > _ONE - reach else _ZERO
        g_reach = (low - high) * g_thrust
        g_shrink = right * g_right + back * g_back + most * g_reach
        g_most = shrink * g_reach - crowded * _TWO * shrink * shrink * g_shrink
        g_thrust *= (_ONE - low) * (_ONE - high)
        return g_thrust, shrink * g_right + _sign(right) * g_most, shrink * g_back + _sign(back) * g_most
    room = _ONE - most if _ONE - most > _HALF else _HALF
    thrust = clip(wanted, _ZERO, room)
    for_roll = thrust - abs(back) if thrust > abs(back) else _ZERO
    kept = clip(right, -for_roll, for_roll)
    for_pitch = thrust - abs(kept) if thrust > abs(kept) else _ZERO
    # Backwards: pitch in the room that roll leaves it, roll in the room beside pitch, the thrust below its limit.
    g_kept = g_right
    g_in_back = g_back
    if abs(back) > for_pitch:
        g_in_back = _ZERO
        if thrust > abs(kept):
            g_thrust += _sign(back) * g_back
            g_kept -= _sign(kept) * _sign(back) * g_back
    g_in_right = g_kept
    if abs(right) > for_roll:
        g_in_right = _ZERO
        if thrust > abs(back):
            g_thrust += _sign(right) * g_kept
            g_in_back -= _sign(back) * _sign(right) * g_kept
    if wanted > room:
        if _ONE - most > _HALF:
            g_in_right -= _sign(right) * g_thrust
            g_in_back -= _sign(back) * g_thrust
        g_thrust = _ZERO
    return g_thrust, g_in_right, g_in_back


@inlined
def _torque_vjp(adjoint: Floats, at: Number, axis: int, g: Number, open: Number, c: Scalars) -> None:
    """Take the gradient `g` of one axis' torque, and those of the loop's state, to the beginning of the substep."""
    g_integral = open * adjoint[at + AT[_INTEGRAL + axis]]
    g_slope = adjoint[at + AT[_SLOPE + axis]] - c[10 + axis] * g
    g_error = c[4 + axis] * g + c[7 + axis] * g_integral
    g_gyro = adjoint[at + AT[_GYRO + axis]] - g_error
    g_change = c[16] * (g_gyro + c[17] * g_slope)
    adjoint[at + AT[_SETPOINT + 1 + axis]] += c[1 + axis] * g_error
    adjoint[at + AT[_INTEGRAL + axis]] = g + g_integral
    adjoint[at + AT[_SLOPE + axis]] = (_ONE - c[17]) * g_slope
    adjoint[at + AT[_GYRO + axis]] = g_gyro - g_change
    adjoint[at + AT[STATE + RATES + axis]] += g_change


@inlined
def rate_vjp_lane(buffer: Floats, lane: Number, adjoint: Floats, at: Number, c: Scalars, spin: Scalars) -> None:
    """Take the gradient in APPLIED and LOOP rows back over the substep that the buffer's state and loop begin.

    `lane`: flat index of the vehicle in the buffer, `at`: in the adjoint; c and spin as in `rate_loop.rate_lane`. Overwrites
    the LOOP rows and adds to the rates among the STATE rows.
    """
    c = own(buffer, lane, c)
    roll, roll_integral = _torque(buffer, lane, 0, c)
    pitch, pitch_integral = _torque(buffer, lane, 1, c)
    yaw, yaw_integral = _torque(buffer, lane, 2, c)
    hover, collective = c[0], buffer[lane + AT[RATE_SETPOINT]]
    wanted = wanted_thrust(collective, c)
    lift = _lift(collective, hover) if collective > c[19] else _ZERO
    right, back = _DIAGONAL * clip(roll, -_ONE, _ONE), _DIAGONAL * clip(pitch, -_ONE, _ONE)
    thrust, to_right, to_back = share_out(wanted, right, back, c[18])
    u0, u1 = thrust - to_right - to_back, thrust - to_right + to_back
    u2, u3 = thrust + to_right + to_back, thrust + to_right - to_back
    s0, s1, s2, s3 = spin
    v0, v1 = _ONE - u0 if s0 > _ZERO else u0, _ONE - u1 if s1 > _ZERO else u1
    v2, v3 = _ONE - u2 if s2 > _ZERO else u2, _ONE - u3 if s3 > _ZERO else u3
    least = min(min(v0, v1), min(v2, v3))
    greatest = max(max(v0, v1), max(v2, v3))
    turn = clip(yaw, greatest - _ONE, least)
    # Backwards: the rotors' limits, yaw in the room that is left, thrust in its own, roll and pitch.
    g0 = adjoint[at + AT[APPLIED]] * _within(u0 + s0 * turn, _ZERO, _ONE)
    g1 = adjoint[at + AT[APPLIED + 1]] * _within(u1 + s1 * turn, _ZERO, _ONE)
    g2 = adjoint[at + AT[APPLIED + 2]] * _within(u2 + s2 * turn, _ZERO, _ONE)
    g3 = adjoint[at + AT[APPLIED + 3]] * _within(u3 + s3 * turn, _ZERO, _ONE)
    g_turn = s0 * g0 + s1 * g1 + s2 * g2 + s3 * g3
    below, above = _ONE if yaw < greatest - _ONE else _ZERO, _ONE if yaw > least else _ZERO
    g_low, g_high = below * g_turn, above * g_turn
    # v_i moves against u_i where the rotor turns to the left.
    g0 -= s0 * ((g_low if v0 == greatest else _ZERO) + (g_high if v0 == least else _ZERO))
    g1 -= s1 * ((g_low if v1 == greatest else _ZERO) + (g_high if v1 == least else _ZERO))
    g2 -= s2 * ((g_low if v2 == greatest else _ZERO) + (g_high if v2 == least else _ZERO))
    g3 -= s3 * ((g_low if v3 == greatest else _ZERO) + (g_high if v3 == least else _ZERO))
    g_thrust, g_right, g_back = g0 + g1 + g2 + g3, -g0 - g1 + g2 + g3, -g0 + g1 + g2 - g3
    g_thrust, g_right, g_back = _share_out_vjp(g_thrust, g_right, g_back, wanted, right, back, c[18])
    g_roll, g_pitch = _DIAGONAL * _within(roll, -_ONE, _ONE) * g_right, _DIAGONAL * _within(pitch, -_ONE, _ONE) * g_back
    g_yaw = (_ONE - below) * (_ONE - above) * g_turn
    adjoint[at + AT[_SETPOINT]] += lift * g_thrust
    open0, open1 = _within(roll_integral, -c[13], c[13]), _within(pitch_integral, -c[14], c[14])
    open2 = _within(yaw_integral, -c[15], c[15])
    _torque_vjp(adjoint, at, 0, g_roll, open0, c)
    _torque_vjp(adjoint, at, 1, g_pitch, open1, c)
    _torque_vjp(adjoint, at, 2, g_yaw, open2, c)
