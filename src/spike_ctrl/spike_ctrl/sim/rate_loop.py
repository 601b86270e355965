"""PX4's body-rate loop and normalised mixer, for the `rates` action layout.

An action is (collective, roll rate, pitch rate, yaw rate), each in [-1, 1]; `action_mapping` says what it commands. The
controller is a PID on the filtered gyro with the derivative on the measurement, in normalised torque (PX4 v1.17,
MulticopterRateControl). Both filters are of first order. The mixer is PX4's sequential desaturation, MC_AIRMODE 0 or 1,
without the .15 by which PX4 lets yaw exceed full thrust. The loop runs SUBSTEPS times per control step; an action takes
effect after the airframe's delay.
"""

import math

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats, Number, Scalars
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl.airframe import Airframe, RateLoop
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.dynamics import (
    AT,
    COMMAND,
    GYRO,
    GYRO_SLOPE,
    HOVER,
    LANES,
    LOOP_FACTORS,
    RATE_INTEGRAL,
    RATE_SETPOINT,
    RATES,
    ROWS,
)

SUBSTEPS = 4
SIZE, AIRMODE = 20, 18  # of `constants`; place of the airmode in it
_thrust = inlined(action_mapping.thrust)
_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_DIAGONAL = np.float32(math.sqrt(0.5))


def constants(airframe: Airframe, dt: float, floor: float = action_mapping.LEAST_COLLECTIVE) -> Floats:
    """The loop for substeps of `dt` seconds as SIZE float32. floor: the least collective; a smaller one counts as that.

    Hover throttle; for roll, pitch and yaw each: rate limits, P, I dt, D / dt, limits of the integral; then the shares
    of the new value in the two filters (gyro, its derivative), whether the mixer adds thrust for torques, and the floor.
    """
    loop = _of(airframe)
    filters = [1 - math.exp(-2 * math.pi * cutoff * dt) for cutoff in (loop.gyro_cutoff, loop.derivative_cutoff)]
    integral, derivative = np.multiply(loop.integral, dt), np.divide(loop.derivative, dt)
    gains = [*airframe.max_rates, *loop.proportional, *integral, *derivative, *loop.integral_limit]
    return np.array([airframe.hover, *gains, *filters, float(loop.airmode == "roll_pitch"), floor], np.float32)


def _of(airframe: Airframe) -> RateLoop:
    if airframe.rate_loop is None:
        raise UsageError(f"airframe {airframe.name}: rate_loop: found none, wanted one")
    return airframe.rate_loop


def delay_substeps(airframe: Airframe, dt: float) -> int:
    """After how many substeps of `dt` seconds an action takes effect."""
    return round(_of(airframe).delay / dt)


@inlined
def unpack(c: Floats) -> Scalars:
    """The array of `constants` as a tuple, which stays in registers."""
    return (
        c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8],
        c[9], c[10], c[11], c[12], c[13], c[14], c[15], c[16], c[17], c[18], c[19],
    )  # fmt: skip


@inlined
def own(buffer: Floats, lane: Number, c: Scalars) -> Scalars:
    """The constants of one vehicle: its own hover throttle, and those of the airframe times the vehicle's own factors."""
    p, i = buffer[lane + AT[LOOP_FACTORS]], buffer[lane + AT[LOOP_FACTORS + 1]]
    d, f = buffer[lane + AT[LOOP_FACTORS + 2]], buffer[lane + AT[LOOP_FACTORS + 3]]
    return (
        buffer[lane + AT[HOVER]], c[1], c[2], c[3], p * c[4], p * c[5], p * c[6], i * c[7], i * c[8], i * c[9],
        d * c[10], d * c[11], d * c[12], c[13], c[14], c[15], f * c[16], f * c[17], c[18], c[19],
    )  # fmt: skip


@inlined
def clip(x: Number, low: Number, high: Number) -> Number:
    x = low if x < low else x
    return high if x > high else x


@inlined
def _least(a: Number, b: Number, c: Number, d: Number) -> Number:
    e, f = a if a < b else b, c if c < d else d
    return e if e < f else f


@inlined
def _greatest(a: Number, b: Number, c: Number, d: Number) -> Number:
    return -_least(-a, -b, -c, -d)


@inlined
def _room(u: Number, spin: Number) -> Number:
    """By how much a rotor's command may change in the direction that yaws the vehicle to the left."""
    return _ONE - u if spin > _ZERO else u


@inlined
def _torque(buffer: Floats, lane: Number, axis: int, c: Scalars) -> Number:
    """One axis of the PID: moves filters and integral, and returns the normalised torque. c: `constants`, as a tuple."""
    gyro, slope, integral = lane + AT[GYRO + axis], lane + AT[GYRO_SLOPE + axis], lane + AT[RATE_INTEGRAL + axis]
    change = c[16] * (buffer[lane + AT[RATES + axis]] - buffer[gyro])
    buffer[gyro] += change
    buffer[slope] += c[17] * (change - buffer[slope])
    error = c[1 + axis] * buffer[lane + AT[RATE_SETPOINT + 1 + axis]] - buffer[gyro]
    torque = c[4 + axis] * error + buffer[integral] - c[10 + axis] * buffer[slope]
    buffer[integral] = clip(buffer[integral] + c[7 + axis] * error, -c[13 + axis], c[13 + axis])
    return torque


@inlined
def wanted_thrust(collective: Number, c: Scalars) -> Number:
    """The thrust that a collective asks for, which is not below the floor. c: `constants`, as a tuple."""
    return _thrust(collective if collective > c[19] else c[19], c[0])


@inlined
def share_out(thrust: Number, right: Number, back: Number, airmode: Number) -> tuple[Number, Number, Number]:
    """Thrust, roll and pitch as the mixer lets them through; yaw gets the room that they leave.

    right, back: what roll and pitch add to two rotors and take from the other two. With airmode the thrust gives way, up
    and down, and both torques shrink alike only where there is no room at all. Without, the thrust is only ever lowered,
    down to a half; then roll, then pitch give way. This is what PX4's three desaturations come to for four rotors in an
    X.
    """
    most = abs(right) + abs(back)
    if airmode > _ZERO:
        shrink = _ONE / (_TWO * most) if _TWO * most > _ONE else _ONE
        reach = shrink * most
        return clip(thrust, reach, _ONE - reach), shrink * right, shrink * back
    room = _ONE - most if _ONE - most > _HALF else _HALF
    thrust = clip(thrust, _ZERO, room)
    for_roll = thrust - abs(back) if thrust > abs(back) else _ZERO
    right = clip(right, -for_roll, for_roll)
    for_pitch = thrust - abs(right) if thrust > abs(right) else _ZERO
    return thrust, right, clip(back, -for_pitch, for_pitch)


@inlined
def rate_lane(buffer: Floats, lane: Number, c: Scalars, spin: Scalars) -> None:
    """One substep of one vehicle: from its set-point and rates to its rotor commands.

    c: `constants`, as a tuple; spin: signs of the yaw torques.
    """
    c = own(buffer, lane, c)
    roll, pitch, yaw = _torque(buffer, lane, 0, c), _torque(buffer, lane, 1, c), _torque(buffer, lane, 2, c)
    thrust = wanted_thrust(buffer[lane + AT[RATE_SETPOINT]], c)
    # Body FLU, order of the rotors: front-right, back-right, back-left, front-left.
    right, back = _DIAGONAL * clip(roll, -_ONE, _ONE), _DIAGONAL * clip(pitch, -_ONE, _ONE)
    thrust, right, back = share_out(thrust, right, back, c[18])
    u0, u1, u2, u3 = thrust - right - back, thrust - right + back, thrust + right + back, thrust + right - back
    s0, s1, s2, s3 = spin
    v0, v1, v2, v3 = _room(u0, s0), _room(u1, s1), _room(u2, s2), _room(u3, s3)
    yaw = clip(yaw, _greatest(v0, v1, v2, v3) - _ONE, _least(v0, v1, v2, v3))
    buffer[lane + AT[COMMAND]] = clip(u0 + s0 * yaw, _ZERO, _ONE)
    buffer[lane + AT[COMMAND + 1]] = clip(u1 + s1 * yaw, _ZERO, _ONE)
    buffer[lane + AT[COMMAND + 2]] = clip(u2 + s2 * yaw, _ZERO, _ONE)
    buffer[lane + AT[COMMAND + 3]] = clip(u3 + s3 * yaw, _ZERO, _ONE)


@inlined
def begin(buffer: Floats, lane: Number) -> None:
    """Reset the loop: set-point at hover, integral 0, filtered rates equal to the true ones."""
    for i in range(4):
        buffer[lane + AT[RATE_SETPOINT + i]] = _ZERO
    for i in range(3):
        buffer[lane + AT[RATE_INTEGRAL + i]] = _ZERO
        buffer[lane + AT[GYRO + i]] = buffer[lane + AT[RATES + i]]
        buffer[lane + AT[GYRO_SLOPE + i]] = _ZERO


@kernel(cache=True)
def begin_some(buffer: Floats, who: Flags) -> None:
    """`begin` in each vehicle n with who[n]."""
    for n in range(len(who)):
        if who[n]:
            begin(buffer, np.uint64(n // LANES * ROWS * LANES + n % LANES))
