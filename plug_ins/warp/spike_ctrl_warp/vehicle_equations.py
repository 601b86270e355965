"""The equations of `spike_ctrl.sim.dynamics`, with air, battery and failing rotors, as functions of one vehicle.

They are those of the numba kernels, term by term; Warp derives their gradients. A quaternion is a vec4 (x, y, z, w).
A vehicle's numbers lie in arrays [row, vehicle]: its plant in the rows of `sim.dynamics`, what moves in the rows below.
"""

from typing import Any

import warp as wp

from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.sim import battery, dynamics, rate_loop
from spike_ctrl.sim.block_step import Motion

# Rows of what moves
POSITION, QUATERNION, VELOCITY, RATES, ROTORS, CHARGE, VOLTAGE = 0, 3, 7, 10, 13, 17, 18
SETPOINT, INTEGRAL, GYRO, GYRO_SLOPE, CLOCK, SIZE = 19, 23, 26, 29, 32, 33
MOVING = [
    *range(dynamics.MASS), dynamics.CHARGE, dynamics.VOLTAGE, *range(dynamics.RATE_SETPOINT, dynamics.STEP), dynamics.CLOCK
]  # fmt: skip
"""The rows of `sim.dynamics` that these stand for."""

MASS, INERTIA, THRUST, TORQUE = dynamics.MASS, dynamics.INERTIA, dynamics.THRUST, dynamics.TORQUE
LAG_UP, LAG_DOWN, LINEAR_DRAG, ANGULAR_DRAG = (
    dynamics.LAG_UP, dynamics.LAG_DOWN, dynamics.LINEAR_DRAG, dynamics.ANGULAR_DRAG
)  # fmt: skip
FORCE, MOMENT, BODY_DRAG, VELOCITY_MOMENT = dynamics.FORCE, dynamics.MOMENT, dynamics.BODY_DRAG, dynamics.VELOCITY_MOMENT
LOST, STUCK, FAILS_AT, FALLS_OVER = dynamics.LOST, dynamics.STUCK, dynamics.FAILS_AT, dynamics.FALLS_OVER
INSTANT = 1e-6  # s
Vec6 = wp.types.vector(length=6, dtype=float)
DOWN = wp.constant(wp.vec3(0.0, 0.0, -GRAVITY))


@wp.struct
class Craft:
    """What all vehicles of an airframe share."""

    x: wp.vec4  # m, of the rotors, forward
    y: wp.vec4  # m, left
    spin: wp.vec4  # signs of the reaction torques
    dt: float  # s, of a substep
    fails: int  # 1: rotors may fail
    empty: float  # and so on: `battery.BatteryConstants`
    span: float
    sag: float
    share: float
    drain: float
    middle: float
    per_half_range: float
    factor: Vec6
    most: wp.vec3  # and so on: `rate_loop.constants`
    p: wp.vec3
    i: wp.vec3
    d: wp.vec3
    i_limit: wp.vec3
    gyro_share: float
    slope_share: float
    airmode: float
    floor: float
    late: int  # substeps


def craft(airframe: Airframe, motion: Motion) -> Any:
    """The constants of an airframe whose vehicles move so."""
    found = Craft()
    found.x, found.y, found.spin = (wp.vec4(*map(float, part)) for part in motion.arms.reshape(3, 4))
    found.dt, found.late = float(motion.dt), motion.late
    b = motion.extension or battery.BatteryConstants()
    found.fails = int(b.fails is not None)
    for name in ("empty", "span", "sag", "share", "drain", "middle", "per_half_range"):
        setattr(found, name, float(getattr(b, name)))
    found.factor = Vec6(*(float(getattr(b, f"factor{i}")) for i in range(6)))
    if len(motion.loop):
        c = [float(number) for number in motion.loop]
        found.most, found.p, found.i, found.d, found.i_limit = (wp.vec3(*c[at : at + 3]) for at in range(1, 16, 3))
        found.gyro_share, found.slope_share, found.airmode, found.floor = c[16:]
    return found


@wp.struct
class TruePlant:
    """The true parameters of one vehicle, and what disturbs it."""

    mass: float
    inertia: wp.vec3
    thrust: wp.vec3
    torque: float
    quick_up: float  # 1/s
    quick_down: float
    drag: float
    angular_drag: float
    force: wp.vec3
    moment: wp.vec3
    body_drag: wp.vec3
    velocity_moment: wp.vec2
    lost: wp.vec4  # shares of the thrust that are missing now


@wp.func
def vec3_at(rows: wp.array2d(dtype=float), first: int, n: int) -> wp.vec3:
    return wp.vec3(rows[first, n], rows[first + 1, n], rows[first + 2, n])


@wp.func
def vec4_at(rows: wp.array2d(dtype=float), first: int, n: int) -> wp.vec4:
    return wp.vec4(rows[first, n], rows[first + 1, n], rows[first + 2, n], rows[first + 3, n])


@wp.func
def put3(rows: wp.array2d(dtype=float), first: int, n: int, value: wp.vec3) -> None:
    rows[first, n] = value[0]
    rows[first + 1, n] = value[1]
    rows[first + 2, n] = value[2]


@wp.func
def put4(rows: wp.array2d(dtype=float), first: int, n: int, value: wp.vec4) -> None:
    rows[first, n] = value[0]
    rows[first + 1, n] = value[1]
    rows[first + 2, n] = value[2]
    rows[first + 3, n] = value[3]


@wp.func
def plant_of(rows: wp.array2d(dtype=float), n: int, clock: float, craft: Craft) -> TruePlant:
    """Of vehicle n, whose flight has lasted `clock` seconds."""
    p = TruePlant()
    p.mass = rows[MASS, n]
    p.inertia = vec3_at(rows, INERTIA, n)
    p.thrust = vec3_at(rows, THRUST, n)
    p.torque = rows[TORQUE, n]
    p.quick_up = 1.0 / rows[LAG_UP, n]
    p.quick_down = 1.0 / rows[LAG_DOWN, n]
    p.drag = rows[LINEAR_DRAG, n]
    p.angular_drag = rows[ANGULAR_DRAG, n]
    p.force = vec3_at(rows, FORCE, n)
    p.moment = vec3_at(rows, MOMENT, n)
    p.body_drag = vec3_at(rows, BODY_DRAG, n)
    p.velocity_moment = wp.vec2(rows[VELOCITY_MOMENT, n], rows[VELOCITY_MOMENT + 1, n])
    part = (clock - rows[FAILS_AT, n] + INSTANT) / (rows[FALLS_OVER, n] + INSTANT)
    p.lost = float(craft.fails) * wp.clamp(part, 0.0, 1.0) * vec4_at(rows, LOST, n)
    return p


@wp.func
def rotation(q: wp.vec4) -> wp.mat33:
    """Body to world; of a quaternion that need not have length 1, as in the numba kernels."""
    x = q[0]
    y = q[1]
    z = q[2]
    w = q[3]
    return wp.mat33(
        1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y),
        2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x),
        2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y),
    )  # fmt: skip


@wp.func
def turning(q: wp.vec4, w: wp.vec3) -> wp.vec4:
    """Derivative of the quaternion at body rates w (rad/s)."""
    return 0.5 * wp.vec4(
        q[3] * w[0] + q[1] * w[2] - q[2] * w[1],
        q[3] * w[1] + q[2] * w[0] - q[0] * w[2],
        q[3] * w[2] + q[0] * w[1] - q[1] * w[0],
        -(q[0] * w[0] + q[1] * w[1] + q[2] * w[2]),
    )


@wp.func
def rotor_change(target: float, r: float, p: TruePlant) -> float:
    change = target - r
    return change * wp.where(change > 0.0, p.quick_up, p.quick_down)


@wp.func
def slope(
    q: wp.vec4, v: wp.vec3, w: wp.vec3, r: wp.vec4, target: wp.vec4, p: TruePlant, c: Craft
) -> tuple[wp.vec4, wp.vec3, wp.vec3, wp.vec4]:
    """Derivatives of quaternion, velocity, body rates and rotor speeds."""
    turn = rotation(q)
    c0 = p.thrust[0]
    t = wp.vec4(c0, c0, c0, c0) + wp.cw_mul(r, wp.vec4(p.thrust[1], p.thrust[1], p.thrust[1], p.thrust[1]) + p.thrust[2] * r)
    t = t - wp.cw_mul(p.lost, t)
    through_air = wp.transpose(turn) * v
    lift = wp.vec3(turn[0, 2], turn[1, 2], turn[2, 2]) * ((t[0] + t[1] + t[2] + t[3]) / p.mass)
    force = p.force - p.drag * v - turn * wp.cw_mul(p.body_drag, through_air)
    m = p.moment - p.angular_drag * w
    mx = wp.dot(c.y, t) + m[0] + p.velocity_moment[0] * through_air[1]
    my = m[1] - wp.dot(c.x, t) - p.velocity_moment[1] * through_air[0]
    mz = p.torque * wp.dot(c.spin, t) + m[2]
    j = p.inertia
    spun = wp.vec3(
        (mx + (j[1] - j[2]) * w[1] * w[2]) / j[0],
        (my + (j[2] - j[0]) * w[2] * w[0]) / j[1],
        (mz + (j[0] - j[1]) * w[0] * w[1]) / j[2],
    )
    sped = wp.vec4(
        rotor_change(target[0], r[0], p),
        rotor_change(target[1], r[1], p),
        rotor_change(target[2], r[2], p),
        rotor_change(target[3], r[3], p),
    )
    return turning(q, w), lift + force / p.mass + DOWN, spun, sped


@wp.func
def advance(
    x: wp.vec3, q: wp.vec4, v: wp.vec3, w: wp.vec3, r: wp.vec4, target: wp.vec4, p: TruePlant, c: Craft
) -> tuple[wp.vec3, wp.vec4, wp.vec3, wp.vec3, wp.vec4]:
    """State after dt seconds (classical Runge-Kutta) in which the rotors' set-points stay."""
    h = 0.5 * c.dt
    q1, v1, w1, r1 = slope(q, v, w, r, target, p, c)
    qa = q + h * q1
    va = v + h * v1
    wa = w + h * w1
    ra = r + h * r1
    q2, v2, w2, r2 = slope(qa, va, wa, ra, target, p, c)
    qb = q + h * q2
    vb = v + h * v2
    wb = w + h * w2
    rb = r + h * r2
    q3, v3, w3, r3 = slope(qb, vb, wb, rb, target, p, c)
    qc = q + c.dt * q3
    vc = v + c.dt * v3
    wc = w + c.dt * w3
    rc = r + c.dt * r3
    q4, v4, w4, r4 = slope(qc, vc, wc, rc, target, p, c)
    s = c.dt / 6.0
    turned = q + s * (q1 + 2.0 * q2 + 2.0 * q3 + q4)
    return (
        x + s * (v + 2.0 * va + 2.0 * vb + vc),
        turned * (1.0 / wp.sqrt(wp.dot(turned, turned))),
        v + s * (v1 + 2.0 * v2 + 2.0 * v3 + v4),
        w + s * (w1 + 2.0 * w2 + 2.0 * w3 + w4),
        r + s * (r1 + 2.0 * r2 + 2.0 * r3 + r4),
    )


@wp.func
def command_factor(voltage: float, c: Craft) -> float:
    """Set-point of a rotor over its command, at this voltage."""
    z = (voltage - c.middle) * c.per_half_range
    f = c.factor
    return f[0] + z * (f[1] + z * (f[2] + z * (f[3] + z * (f[4] + z * f[5]))))


@wp.func
def load_of(r: wp.vec4) -> float:
    return 0.25 * (r[0] * r[0] * r[0] + r[1] * r[1] * r[1] + r[2] * r[2] * r[2] + r[3] * r[3] * r[3])


@wp.func
def drained(charge: float, voltage: float, load: float, c: Craft) -> tuple[float, float]:
    """Charge and voltage after a step with this load."""
    left = charge - c.drain * load
    left = wp.where(left > 0.0, left, 0.0)
    return left, voltage + c.share * (c.empty + c.span * left - c.sag * load - voltage)


@wp.func
def held(command: float, stuck: float, failed: bool) -> float:
    return wp.where(failed and stuck >= 0.0, stuck, command)


@wp.func
def set_points(command: wp.vec4, voltage: float, clock: float, rows: wp.array2d(dtype=float), n: int, c: Craft) -> wp.vec4:
    """Of the rotors: what the battery makes of their commands, or the speed at which one is stuck."""
    target = command_factor(voltage, c) * command
    failed = c.fails == 1 and clock >= rows[FAILS_AT, n]
    return wp.vec4(
        held(target[0], rows[STUCK, n], failed),
        held(target[1], rows[STUCK + 1, n], failed),
        held(target[2], rows[STUCK + 2, n], failed),
        held(target[3], rows[STUCK + 3, n], failed),
    )


assert rate_loop.SIZE == 20 and len(MOVING) == SIZE
