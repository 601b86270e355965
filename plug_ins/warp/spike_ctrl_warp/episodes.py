"""Starts, dead times and observations of one vehicle as functions: `sim.randomisation` and `sim.episode_kernels`.

rows [ROWS, vehicle]: the rows of `sim.dynamics`. A start is the same as that of the processor's simulator, since it is a
hash of the same counters.
"""

import math
from typing import Any

import numpy as np
import warp as wp

from spike_ctrl.airframe import MAX_DEAD_TIME
from spike_ctrl.sim import dynamics, observation, randomisation
from spike_ctrl_warp import vehicle_equations as vehicle
from spike_ctrl_warp.vehicle_equations import Craft, vec3_at, vec4_at

Rows = wp.array2d(dtype=float)
Each = wp.array(dtype=float)
POSITION, QUATERNION, VELOCITY, RATES, ROTORS = (
    dynamics.POSITION, dynamics.QUATERNION, dynamics.VELOCITY, dynamics.RATES, dynamics.ROTORS
)  # fmt: skip
MASS, FORCE, MOMENT, TARGET, TARGET_COS, TARGET_SIN = (
    dynamics.MASS, dynamics.FORCE, dynamics.MOMENT, dynamics.TARGET, dynamics.TARGET_COS, dynamics.TARGET_SIN
)  # fmt: skip
COMMAND, RATE_SETPOINT, RATE_INTEGRAL, GYRO, GYRO_SLOPE = (
    dynamics.COMMAND, dynamics.RATE_SETPOINT, dynamics.RATE_INTEGRAL, dynamics.GYRO, dynamics.GYRO_SLOPE
)  # fmt: skip
STEP, EPISODE, ENDED, SUMS, DELAY = dynamics.STEP, dynamics.EPISODE, dynamics.ENDED, dynamics.SUMS, dynamics.DELAY
LOOP_FACTORS, BODY_DRAG, VELOCITY_MOMENT = dynamics.LOOP_FACTORS, dynamics.BODY_DRAG, dynamics.VELOCITY_MOMENT
DEAD_TIME, CHARGE, VOLTAGE, EARLIER = dynamics.DEAD_TIME, dynamics.CHARGE, dynamics.VOLTAGE, dynamics.EARLIER
LOST, STUCK, FAILS_AT, FALLS_OVER, CLOCK = (
    dynamics.LOST, dynamics.STUCK, dynamics.FAILS_AT, dynamics.FALLS_OVER, dynamics.CLOCK
)  # fmt: skip
PLANT_SIZE, SEEN, REMEMBERED = dynamics.PLANT_SIZE, observation.SIZE, 4 * dynamics.HISTORY
JOINT_FIRST, JOINT_LAST = randomisation._FIRST, randomisation._LAST
JOINT = len(JOINT_FIRST)
TWO_PI, ROOT, LATEST = 2.0 * math.pi, math.sqrt(1.5), MAX_DEAD_TIME
FIRST_FACTOR = wp.constant(wp.uint64(0xBF58476D1CE4E5B9))
SECOND_FACTOR = wp.constant(wp.uint64(0x94D049BB133111EB))
STRIDE = wp.constant(wp.uint64(0x9E3779B97F4A7C15))
SHIFT_30, SHIFT_27, SHIFT_31, SHIFT_40 = (wp.constant(wp.uint64(bits)) for bits in (30, 27, 31, 40))
UNIT = 1.0 / (1 << 24)


@wp.struct
class Draws:
    """What `randomisation.draw` takes, and where its joint factors act."""

    seed: wp.uint64
    start: Each
    nominal: Each
    spread: Each
    first: wp.array(dtype=int)
    last: wp.array(dtype=int)


def draws(seed: int, start: np.ndarray, nominal: np.ndarray, spread: np.ndarray, device: str) -> Any:
    """The same, on a device."""
    found = Draws()
    found.seed = wp.uint64(seed)
    for name, array in {"start": start, "nominal": nominal, "spread": spread}.items():
        setattr(found, name, wp.array(array, dtype=float, device=device))
    for name, array in {"first": JOINT_FIRST, "last": JOINT_LAST}.items():
        setattr(found, name, wp.array(array, dtype=int, device=device))
    return found


@wp.func
def mixed(z: wp.uint64) -> wp.uint64:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    a = (z ^ (z >> SHIFT_30)) * FIRST_FACTOR
    b = (a ^ (a >> SHIFT_27)) * SECOND_FACTOR
    return b ^ (b >> SHIFT_31)


@wp.func
def uniform(key: wp.uint64, index: int, low: float, high: float) -> float:
    bits = mixed(key + wp.uint64(index) * STRIDE)
    return low + (high - low) * float(bits >> SHIFT_40) * UNIT


@wp.func
def times(rows: Rows, row: int, n: int, factor: float) -> None:
    rows[row, n] = rows[row, n] * factor


@wp.func
def around(key: wp.uint64, index: int, spread: float) -> float:
    return uniform(key, index, 1.0 - spread, 1.0 + spread)


@wp.func
def draw_state(rows: Rows, n: int, key: wp.uint64, s: Each) -> None:
    free = wp.where(uniform(key, 0, 0.0, 1.0) < s[0], 0.0, 1.0)
    for i in range(3):
        rows[POSITION + i, n] = free * uniform(key, 1 + i, -s[1], s[1])
        rows[VELOCITY + i, n] = free * uniform(key, 4 + i, -s[3], s[3])
        rows[RATES + i, n] = free * uniform(key, 7 + i, -s[4], s[4])
    half = 0.5 * free * wp.acos(uniform(key, 10, wp.cos(s[2]), 1.0))
    azimuth = uniform(key, 11, 0.0, TWO_PI)
    x = wp.sin(half) * wp.cos(azimuth)
    y = wp.sin(half) * wp.sin(azimuth)
    w = wp.cos(half)
    turn = 0.5 * free * uniform(key, 12, -s[7], s[7])
    rows[QUATERNION, n] = x * wp.cos(turn) + y * wp.sin(turn)
    rows[QUATERNION + 1, n] = y * wp.cos(turn) - x * wp.sin(turn)
    rows[QUATERNION + 2, n] = w * wp.sin(turn)
    rows[QUATERNION + 3, n] = w * wp.cos(turn)
    for i in range(4):
        rows[ROTORS + i, n] = uniform(key, 13 + i, s[5], s[6])


@wp.func
def draw_plant(rows: Rows, n: int, key: wp.uint64, nominal: Each, s: Each) -> None:
    for i in range(PLANT_SIZE):
        rows[MASS + i, n] = nominal[i]
    for i in range(6):
        rows[BODY_DRAG + i, n] = nominal[PLANT_SIZE + i]
    times(rows, MASS, n, around(key, 20, s[0]))
    for i in range(3):
        times(rows, MASS + 1 + i, n, around(key, 21 + i, s[1]))
        rows[FORCE + i, n] = uniform(key, 30 + i, -s[5], s[5])
        about = wp.where(i == 2, s[6] * s[15], s[6])
        rows[MOMENT + i, n] = nominal[PLANT_SIZE + 6 + i] + uniform(key, 33 + i, -about, about)
        times(rows, BODY_DRAG + i, n, around(key, 50 + i, s[10]))
    thrust = around(key, 24, s[2])
    for i in range(3):
        times(rows, MASS + 4 + i, n, thrust)
    times(rows, MASS + 7, n, around(key, 25, s[3]))
    lag = around(key, 26, s[4])
    times(rows, MASS + 8, n, lag)
    times(rows, MASS + 9, n, lag)
    rows[DELAY, n] = wp.floor(uniform(key, 40, 0.0, s[7] + 1.0))
    for i in range(3):
        rows[LOOP_FACTORS + i, n] = around(key, 41 + i, s[8])
    rows[LOOP_FACTORS + 3, n] = around(key, 44, s[9])
    for i in range(2):
        times(rows, VELOCITY_MOMENT + i, n, around(key, 53 + i, s[11]))
    rows[DEAD_TIME, n] = rows[DEAD_TIME, n] + uniform(key, 55, 0.0, s[12])
    rows[CHARGE, n] = uniform(key, 56, s[13], s[14])
    times(rows, MASS + 11, n, uniform(key, 57, 1.0 - s[16], 1.0))


@wp.func
def draw_failure(rows: Rows, n: int, key: wp.uint64, s: Each) -> None:
    """s: the spread, whose numbers from the 18th on are those of `RotorLoss`."""
    fails = uniform(key, 90, 0.0, 1.0) < s[18]
    sticks = uniform(key, 91, 0.0, 1.0) < s[22]
    lost = wp.where(uniform(key, 92, 0.0, 1.0) < s[21], s[20], uniform(key, 93, s[19], s[20]))
    rotor = int(uniform(key, 94, 0.0, s[23]))
    for i in range(4):
        rows[LOST + i, n] = wp.where(fails and not sticks and i == rotor, lost, 0.0)
        rows[STUCK + i, n] = wp.where(fails and sticks and i == rotor, uniform(key, 95, 0.0, 1.0), -1.0)
    rows[FAILS_AT, n] = uniform(key, 96, s[24], s[25])
    rows[FALLS_OVER, n] = uniform(key, 97, 0.0, s[26])
    rows[CLOCK, n] = 0.0


@wp.func
def draw_joint(rows: Rows, n: int, key: wp.uint64, d: Draws) -> None:
    joint = d.spread[17]
    at = int(PLANT_SIZE + 9)
    for i in range(JOINT):
        change = wp.float32(0.0)
        for j in range(i + 1):
            both = uniform(key, 60 + 2 * j, -ROOT, ROOT) + uniform(key, 61 + 2 * j, -ROOT, ROOT)
            change += d.nominal[at + j] * both
        at += i + 1
        for row in range(d.first[i], d.last[i]):
            times(rows, row, n, wp.exp(joint * change))
    rows[DEAD_TIME, n] = wp.min(rows[DEAD_TIME, n], LATEST - rows[DELAY, n] * 0.01)


@wp.func
def begin(rows: Rows, n: int, d: Draws, hover: float, extended: int, c: Craft) -> None:
    """The next episode of vehicle n."""
    rows[EPISODE, n] = rows[EPISODE, n] + 1.0
    rows[ENDED, n] = 0.0
    rows[STEP, n] = 0.0
    for i in range(5):
        rows[SUMS + i, n] = 0.0
    key = mixed(mixed(mixed(d.seed) + wp.uint64(n)) + wp.uint64(rows[EPISODE, n]))
    draw_state(rows, n, key, d.start)
    draw_plant(rows, n, key, d.nominal, d.spread)
    if d.spread[18] > 0.0:
        draw_failure(rows, n, key, d.spread)
    if d.spread[17] > 0.0:
        draw_joint(rows, n, key, d)
    for i in range(4):
        rows[RATE_SETPOINT + i, n] = 0.0
    for i in range(3):
        rows[RATE_INTEGRAL + i, n] = 0.0
        rows[GYRO + i, n] = rows[RATES + i, n]
        rows[GYRO_SLOPE + i, n] = 0.0
    if extended == 1:
        load = vehicle.load_of(vec4_at(rows, ROTORS, n))
        rows[VOLTAGE, n] = c.empty + c.span * rows[CHARGE, n] - c.sag * load
        for i in range(REMEMBERED):
            rows[EARLIER + i, n] = hover


@wp.func
def observe(rows: Rows, n: int, seen: Rows) -> None:
    """The observation of vehicle n: seen [vehicle, 18]."""
    cos = rows[TARGET_COS, n]
    sin = rows[TARGET_SIN, n]
    x = vec3_at(rows, POSITION, n) - vec3_at(rows, TARGET, n)
    v = vec3_at(rows, VELOCITY, n)
    turn = vehicle.rotation(vec4_at(rows, QUATERNION, n))
    seen[n, 0] = cos * x[0] + sin * x[1]
    seen[n, 1] = cos * x[1] - sin * x[0]
    seen[n, 2] = x[2]
    for i in range(3):
        seen[n, 3 + i] = cos * turn[0, i] + sin * turn[1, i]
        seen[n, 6 + i] = cos * turn[1, i] - sin * turn[0, i]
        seen[n, 9 + i] = turn[2, i]
        seen[n, 15 + i] = rows[RATES + i, n]
    seen[n, 12] = cos * v[0] + sin * v[1]
    seen[n, 13] = cos * v[1] - sin * v[0]
    seen[n, 14] = v[2]


@wp.func
def near(x: float) -> float:
    return wp.max(1.0 - wp.abs(x), 0.0)


@wp.func
def delay(rows: Rows, n: int, rate: float) -> None:
    """Replace the rotor commands, new in this control step, by those in force under the vehicle's dead time."""
    late = rows[DEAD_TIME, n] * rate
    for i in range(4):
        given = rows[COMMAND + i, n]
        total = near(late) * given
        for back in range(4):
            total += near(late - float(back + 1)) * rows[EARLIER + 4 * back + i, n]
        for back in range(3):
            older = 3 - back
            rows[EARLIER + 4 * older + i, n] = rows[EARLIER + 4 * (older - 1) + i, n]
        rows[EARLIER + i, n] = given
        rows[COMMAND + i, n] = total
