"""The body-rate loop and mixer of `spike_ctrl.sim.rate_loop` as functions of one vehicle; Warp derives their gradients."""

import math

import warp as wp

from spike_ctrl.sim import dynamics
from spike_ctrl_warp.vehicle_equations import Craft

LOOP_FACTORS, HOVER = dynamics.LOOP_FACTORS, dynamics.HOVER
DIAGONAL = math.sqrt(0.5)


@wp.func
def clip(x: float, low: float, high: float) -> float:
    """A limit is inside: there the gradient passes."""
    x = wp.where(x < low, low, x)
    return wp.where(x > high, high, x)


@wp.func
def room(u: float, spin: float) -> float:
    """By how much a rotor's command may change in the direction that yaws the vehicle to the left."""
    return wp.where(spin > 0.0, 1.0 - u, u)


@wp.func
def with_airmode(thrust: float, right: float, back: float) -> wp.vec3:
    most = wp.abs(right) + wp.abs(back)
    shrink = wp.float32(1.0)
    if 2.0 * most > 1.0:
        shrink = 1.0 / (2.0 * most)
    reach = shrink * most
    return wp.vec3(clip(thrust, reach, 1.0 - reach), shrink * right, shrink * back)


@wp.func
def without_airmode(wanted: float, right: float, back: float) -> wp.vec3:
    left = 1.0 - wp.abs(right) - wp.abs(back)
    thrust = clip(wanted, 0.0, wp.where(left > 0.5, left, 0.5))
    for_roll = wp.where(thrust > wp.abs(back), thrust - wp.abs(back), 0.0)
    kept = clip(right, -for_roll, for_roll)
    for_pitch = wp.where(thrust > wp.abs(kept), thrust - wp.abs(kept), 0.0)
    return wp.vec3(thrust, kept, clip(back, -for_pitch, for_pitch))


@wp.func
def mixed(torque: wp.vec3, wanted: float, c: Craft) -> wp.vec4:
    """Rotor commands of a normalised torque and thrust."""
    right = DIAGONAL * clip(torque[0], -1.0, 1.0)
    back = DIAGONAL * clip(torque[1], -1.0, 1.0)
    shared = without_airmode(wanted, right, back)
    if c.airmode > 0.0:
        shared = with_airmode(wanted, right, back)
    t = shared[0]
    u0 = t - shared[1] - shared[2]
    u1 = t - shared[1] + shared[2]
    u2 = t + shared[1] + shared[2]
    u3 = t + shared[1] - shared[2]
    v0 = room(u0, c.spin[0])
    v1 = room(u1, c.spin[1])
    v2 = room(u2, c.spin[2])
    v3 = room(u3, c.spin[3])
    greatest = wp.max(wp.max(v0, v1), wp.max(v2, v3))
    least = wp.min(wp.min(v0, v1), wp.min(v2, v3))
    yaw = clip(torque[2], greatest - 1.0, least)
    return wp.vec4(
        clip(u0 + c.spin[0] * yaw, 0.0, 1.0),
        clip(u1 + c.spin[1] * yaw, 0.0, 1.0),
        clip(u2 + c.spin[2] * yaw, 0.0, 1.0),
        clip(u3 + c.spin[3] * yaw, 0.0, 1.0),
    )


@wp.func
def thrust_of(collective: float, hover: float, c: Craft) -> float:
    asked = wp.where(collective > c.floor, collective, c.floor)
    return hover + asked * wp.where(asked < 0.0, hover, 1.0 - hover)


@wp.func
def turn(
    set_point: wp.vec4, integral: wp.vec3, gyro: wp.vec3, gyro_slope: wp.vec3, rates: wp.vec3,
    rows: wp.array2d(dtype=float), n: int, c: Craft,
) -> tuple[wp.vec4, wp.vec3, wp.vec3, wp.vec3]:  # fmt: skip
    """One substep: rotor commands (4), integral, filtered rates and their slope (3 each)."""
    share = rows[LOOP_FACTORS + 3, n]
    change = c.gyro_share * share * (rates - gyro)
    seen = gyro + change
    bent = gyro_slope + c.slope_share * share * (change - gyro_slope)
    error = wp.cw_mul(c.most, wp.vec3(set_point[1], set_point[2], set_point[3])) - seen
    torque = rows[LOOP_FACTORS, n] * wp.cw_mul(c.p, error) + integral - rows[LOOP_FACTORS + 2, n] * wp.cw_mul(c.d, bent)
    whole = integral + rows[LOOP_FACTORS + 1, n] * wp.cw_mul(c.i, error)
    most = c.i_limit
    kept = wp.vec3(clip(whole[0], -most[0], most[0]), clip(whole[1], -most[1], most[1]), clip(whole[2], -most[2], most[2]))
    return mixed(torque, thrust_of(set_point[0], rows[HOVER, n], c), c), kept, seen, bent
