"""The quadrotor dynamics: a batch of vehicles in one flat float32 buffer, advanced by a numba kernel.

The buffer has the shape (blocks, ROWS, LANES), flattened: vehicle n is lane n % 16 of block n // 16, and each row holds
one quantity of 16 vehicles side by side, so that the compiler turns the loop over lanes into vector instructions.

World frame ENU, body frame FLU, SI units, quaternion x, y, z, w (body to world). Equations: rigid body with diagonal
inertia, quadratic thrust curve, first-order rotors with separate lags for speeding up and slowing down, linear drag,
a steady force (world) and torque (body) as disturbance; classical Runge-Kutta, rotor set-points held over the step.

An airframe that says so also has what `aerodynamics` and `battery` describe, and a dead time of its commands; and its rotors
may fail, see `rotor_loss`. Its kernels are compiled with these terms; those of a plain airframe, whose `extension` is None,
without.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from spike_ctrl._files.arrays import Flags, Floats, Number, Scalars
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.kernel import FASTMATH, inlined, kernel, spliced
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.sim import battery
from spike_ctrl.sim.aerodynamics import in_air
from spike_ctrl.sim.battery import BatteryConstants, command_factor, drained, load_of
from spike_ctrl.sim.rotor_loss import in_force, lost_now, without

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
# Results of a step: observation, reward, terminated, truncated
OBSERVATION, REWARD, TERMINATED, TRUNCATED = 65, 83, 84, 85
# Control steps from an action to its effect
DELAY = 86
# True factors on the body-rate loop's P, I and D and on the shares of its filters, 1 where it is as the airframe says
LOOP_FACTORS = 87
# Of an extended airframe. Parameters: drag along the body's axes, velocity moment, dead time (s). State of the battery;
# commands of the last HISTORY steps, the latest first
BODY_DRAG, VELOCITY_MOMENT, DEAD_TIME, CHARGE, VOLTAGE, EARLIER, HISTORY = 91, 94, 96, 97, 98, 99, 4
# Throttle that the autopilot of the `rates` layout takes for that of the hover
HOVER = 115
# Rotors that fail: shares of their thrust that they lose, speeds at which they are stuck (-1: not), time of the failure and
# time in which the thrust falls (s), time of the flight (s)
LOST, STUCK, FAILS_AT, FALLS_OVER, CLOCK = 116, 120, 124, 125, 126
ROWS = 127

STATE_ROWS = slice(0, 17)
PLANT_ROWS = slice(MASS, FORCE)
DISTURBANCE_ROWS = slice(FORCE, TARGET)
ROTOR_ROWS = slice(ROTORS, MASS)
COMMAND_ROWS = slice(COMMAND, RATE_SETPOINT)
LOOP_ROWS = slice(RATE_SETPOINT, STEP)
BATTERY_ROWS = slice(CHARGE, EARLIER)
OBSERVATION_ROWS = slice(OBSERVATION, REWARD)
PLANT_SIZE = FORCE - MASS

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
    view[:, TARGET_COS] = view[:, LOOP_FACTORS:BODY_DRAG] = 1.0
    view[:, PLANT_ROWS] = nominal_plant(airframe)[None, :, None]
    view[:, MOMENT : MOMENT + 3] = np.array(airframe.trim_moment, np.float32)[None, :, None]
    view[:, BODY_DRAG:CHARGE] = nominal_extension(airframe)[None, :, None]
    view[:, CHARGE] = 1.0
    view[:, VOLTAGE] = airframe.battery.full if airframe.battery else 0.0
    view[:, EARLIER:LOST] = airframe.hover  # HOVER too
    view[:, STUCK:FAILS_AT] = -1.0
    return buffer


def nominal_plant(airframe: Airframe) -> Floats:
    """The parameter rows of the airframe as float32 (PLANT_SIZE,).

    Mass, inertia 3, thrust curve 3, yaw torque per thrust, lags up and down, linear and angular drag.
    """
    return np.array(
        [airframe.mass, *airframe.inertia, *airframe.thrust_curve, airframe.torque_per_thrust,
         airframe.lag_up, airframe.lag_down, airframe.linear_drag, airframe.angular_drag], np.float32)  # fmt: skip


def nominal_extension(airframe: Airframe) -> Floats:
    """Body drag 3, velocity moment 2 and dead time (s) of the airframe, float32 (6,)."""
    return np.array([*airframe.body_drag, *airframe.velocity_moment, airframe.dead_time], np.float32)


def extension(airframe: Airframe, dt: float, late: bool = False, fails: bool = False) -> BatteryConstants | None:
    """What the kernels of an extended airframe need, for steps of `dt` seconds: `battery.constants`; None for a plain one.

    late: commands may have a dead time although the airframe has none. fails: rotors may fail.
    """
    if fails:
        return battery.constants(airframe, dt)._replace(fails=True)
    if late or airframe.battery or nominal_extension(airframe).any():
        return battery.constants(airframe, dt)
    return None


def geometry(airframe: Airframe) -> Floats:
    """Twelve float32: rotor positions x forward (m), then y left (m), then the signs of the reaction torques about z."""
    return np.array([*airframe.rotor_x, *airframe.rotor_y, *airframe.rotor_spin], np.float32)


def lose_rotor(buffer: Floats, rotor: int, share: float, over: float = 0.0, stuck: float = -1.0) -> None:
    """Every vehicle's rotor number `rotor` loses this share of its thrust from now on, linearly over so many seconds.

    stuck: the speed, 0 to 1, that it keeps to from now on, whatever is commanded; negative: it obeys.
    """
    write(buffer, LOST + rotor, [share])
    write(buffer, STUCK + rotor, [stuck])
    write(buffer, FALLS_OVER, [over])
    write(buffer, CLOCK, [0.0])


def rows(buffer: Floats) -> Floats:
    """The buffer as a view (blocks, ROWS, LANES)."""
    return buffer.reshape(-1, ROWS, LANES)


def restore(buffer: Floats, kept: Floats) -> None:
    """Put back a buffer that was saved, also by a version that had fewer rows; the rows that it lacked keep their values."""
    blocks = buffer.size // (ROWS * LANES)
    before = kept.reshape(blocks, -1, LANES)
    rows(buffer)[:, : before.shape[1]] = before


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
def slope(
    s: Scalars,
    command: Scalars,
    plant: Scalars,
    disturbance: Scalars,
    arms: Scalars,
    air: Scalars,
    lost: Scalars,
    extension: BatteryConstants | None,
) -> Scalars:
    """`derivative`, with the forces of the air and without lost thrust where the airframe is an extended one."""
    if extension is not None:
        disturbance = in_air(disturbance, s, air)
        if extension.fails is not None:
            disturbance = without(disturbance, s, plant, arms, lost)
    change: Scalars = derivative(s, command, plant, disturbance, arms)
    return change


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
def unpack_air(buffer: Floats, lane: Number) -> Scalars:
    """Body drag and velocity moment of one vehicle, as `aerodynamics` takes them."""
    return (
        buffer[lane + AT[91]], buffer[lane + AT[92]], buffer[lane + AT[93]], buffer[lane + AT[94]], buffer[lane + AT[95]],
    )  # fmt: skip


@inlined
def unpack_failure(buffer: Floats, lane: Number) -> tuple[Scalars, Scalars, Number, Number]:
    """Shares of thrust lost now (4), speeds at which rotors are stuck (4), time of the flight and of the failure (s)."""
    clock, at = buffer[lane + AT[CLOCK]], buffer[lane + AT[FAILS_AT]]
    lost = (buffer[lane + AT[116]], buffer[lane + AT[117]], buffer[lane + AT[118]], buffer[lane + AT[119]])
    stuck = (buffer[lane + AT[120]], buffer[lane + AT[121]], buffer[lane + AT[122]], buffer[lane + AT[123]])
    return lost_now(lost, clock, at, buffer[lane + AT[FALLS_OVER]]), stuck, clock, at


@spliced
def rk4_lane(buffer: Floats, lane: Number, dt: Number, arms: Scalars, extension: BatteryConstants | None = None) -> None:
    """Advance one vehicle, whose rows start at the flat index `lane`, by `dt` seconds under its rotor commands."""
    s, command, plant, disturbance = unpack_lane(buffer, lane)
    air = unpack_air(buffer, lane)
    lost = (_ZERO, _ZERO, _ZERO, _ZERO)
    if extension is not None:
        factor = command_factor(buffer[lane + AT[VOLTAGE]], extension)
        command = (factor * command[0], factor * command[1], factor * command[2], factor * command[3])
        if extension.fails is not None:
            lost, stuck, clock, at = unpack_failure(buffer, lane)
            command = in_force(command, stuck, clock, at)
    k1 = slope(s, command, plant, disturbance, arms, air, lost, extension)
    k2 = slope(plus(s, k1, _HALF * dt), command, plant, disturbance, arms, air, lost, extension)
    k3 = slope(plus(s, k2, _HALF * dt), command, plant, disturbance, arms, air, lost, extension)
    k4 = slope(plus(s, k3, dt), command, plant, disturbance, arms, air, lost, extension)
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
    if extension is not None:
        left = drained(buffer[lane + AT[CHARGE]], buffer[lane + AT[VOLTAGE]], load_of(s[13], s[14], s[15], s[16]), extension)
        buffer[lane + AT[CHARGE]] = left[0]
        buffer[lane + AT[VOLTAGE]] = left[1]
        if extension.fails is not None:
            buffer[lane + AT[CLOCK]] += dt


@spliced
def _near(x: Number) -> Number:
    """1 - |x|, at least 0."""
    near = _ONE - abs(x)
    return near if near > _ZERO else _ZERO  # no max(): the loop over lanes would no longer be vectorised


@spliced
def delay_lane(buffer: Floats, lane: Number, rate: Number) -> None:
    """Replace the rotor commands, new in this control step, by those in force under the vehicle's dead time.

    A dead time between control steps, of which there are `rate` a second, takes the mean of two commands in its proportion.
    """
    late = buffer[lane + AT[DEAD_TIME]] * rate
    share0, share1, share2 = _near(late), _near(late - _ONE), _near(late - _TWO)
    share3, share4 = _near(late - np.float32(3.0)), _near(late - np.float32(4.0))
    for i in range(4):
        given, first = buffer[lane + AT[COMMAND + i]], buffer[lane + AT[EARLIER + i]]
        second, third = buffer[lane + AT[EARLIER + 4 + i]], buffer[lane + AT[EARLIER + 8 + i]]
        fourth = buffer[lane + AT[EARLIER + 12 + i]]
        buffer[lane + AT[COMMAND + i]] = share0 * given + share1 * first + share2 * second + share3 * third + share4 * fourth
        buffer[lane + AT[EARLIER + i]] = given
        buffer[lane + AT[EARLIER + 4 + i]] = first
        buffer[lane + AT[EARLIER + 8 + i]] = second
        buffer[lane + AT[EARLIER + 12 + i]] = third


@inlined
def begin_extension(buffer: Floats, lane: Number, hover: Number, extension: BatteryConstants) -> None:
    """Begin a flight: the voltage has settled at the charge and the rotors' speeds; before it the vehicle hovered."""
    rotors = (buffer[lane + AT[13]], buffer[lane + AT[14]], buffer[lane + AT[15]], buffer[lane + AT[16]])
    load = load_of(rotors[0], rotors[1], rotors[2], rotors[3])
    buffer[lane + AT[VOLTAGE]] = battery.settled(buffer[lane + AT[CHARGE]], load, extension)
    for i in range(4 * HISTORY):
        buffer[lane + AT[EARLIER + i]] = hover


@inlined
def unpack_arms(arms: Floats) -> Scalars:
    """The array of `geometry` as a tuple: scalars stay in registers, an array could alias the buffer."""
    return (
        arms[0], arms[1], arms[2], arms[3], arms[4], arms[5],
        arms[6], arms[7], arms[8], arms[9], arms[10], arms[11],
    )  # fmt: skip


@kernel(cache=True)
def begin_extension_some(buffer: Floats, who: Flags, hover: Number, extension: BatteryConstants) -> None:
    """`begin_extension` in each vehicle n with who[n]."""
    for n in range(len(who)):
        if who[n]:
            begin_extension(buffer, np.uint64(n // LANES * ROWS * LANES + n % LANES), hover, extension)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _delay(buffer: Floats, rate: Number) -> None:
    for block in range(buffer.size // (ROWS * LANES)):
        base = np.uint64(block * ROWS * LANES)
        for lane in range(np.uint64(LANES)):
            delay_lane(buffer, base + lane, rate)


def delay(buffer: Floats, rate_hz: float) -> None:
    """Replace new rotor commands by those in force under each vehicle's dead time; call it once a control step.

    Raises UsageError where the dead time is longer than HISTORY control steps.
    """
    late = float(rows(buffer)[:, DEAD_TIME].max()) * rate_hz
    if late > HISTORY + 1e-3:
        raise UsageError(f"dead_time: found {late:.1f} control steps at {rate_hz:g} Hz, wanted at most {HISTORY}")
    _delay(buffer, np.float32(rate_hz))


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def step(buffer: Floats, dt: Number, arms: Floats, extension: BatteryConstants | None = None) -> None:
    """Advance every vehicle by `dt` seconds (float32) with its rotor commands held and in force.

    arms: from `geometry`; extension: from the function of that name.
    """
    reach = unpack_arms(arms)
    for block in range(buffer.size // (ROWS * LANES)):
        base = np.uint64(block * ROWS * LANES)
        for lane in range(np.uint64(LANES)):
            rk4_lane(buffer, base + lane, dt, reach, extension)
