"""What the core's dynamics lack of a race, as kernels: gates, reward, end and restart of each flight."""

import math
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats, Integers, Number, Scalars
from spike_ctrl._files.kernel import FASTMATH, inlined, kernel
from spike_ctrl.sim import rate_loop
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.dynamics import (
    AT,
    EPISODE,
    LANES,
    POSITION,
    QUATERNION,
    RATES,
    ROWS,
    TARGET,
    TARGET_COS,
    TARGET_SIN,
    VELOCITY,
    begin_extension,
)
from spike_ctrl.sim.observation import SIZE as STATE_NUMBERS
from spike_ctrl.sim.observation import observe_lane
from spike_ctrl.sim.randomisation import draw, mix
from spike_ctrl_racing import track_sampler
from spike_ctrl_racing.gate_crossing import HIT, PASSED, crossing
from spike_ctrl_racing.race_reward import way_left
from spike_ctrl_racing.track_sampler import draw_rows

AHEAD, GATE_NUMBERS = 2, 6
SIZE = STATE_NUMBERS + AHEAD * GATE_NUMBERS
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)

# What is kept of a vehicle's flight: next gate, gates passed, steps, way left, last action, 1 once it has ended; then sums
# over the flight: return, way flown (m), squared distances from the centres of passed gates (m^2), highest speed (m/s)
GATE, PASSES, STEPS, LEFT, ACTION, ENDED, RETURN, FLOWN, OFF_CENTRE, FASTEST = 0, 1, 2, 3, 4, 8, 9, 10, 11, 12
KEPT = 16
# How a flight ended
FLYING, FINISHED, TOUCHED, OUTSIDE, LATE = 0, 1, 2, 3, 4


class RaceField(NamedTuple):
    """The courses: gates [tracks, most gates, GATE_ROWS], counts [tracks], arena [tracks, 6] (low 3, high 3, m)."""

    gates: Floats
    counts: Integers
    arenas: Floats
    of: Integers  # [N], the course of each vehicle


class Rules(NamedTuple):
    """The rules of a race, as numbers of a kernel."""

    rounds: int
    steps: int  # most of a flight
    radius: Number  # m, of a vehicle
    margin: Number  # m, of the arena around drawn courses
    above: Number  # m, of the arena above them
    anywhere: Number  # share of flights that begin before a gate drawn at random
    back: Number  # m, from the start to its gate
    speed: Number  # m/s, highest at the start, along the gate's normal


class Results(NamedTuple):
    """Where a step leaves its results."""

    observation: Floats  # flat, SIZE of each vehicle
    reward: Floats
    ends: Flags  # [2, N]
    outcome: Integers  # [N], how the flight ended
    flight: Floats  # [N, KEPT] of flights that ended


@inlined
def _position(buffer: Floats, lane: Number) -> Scalars:
    return buffer[lane + AT[POSITION]], buffer[lane + AT[POSITION + 1]], buffer[lane + AT[POSITION + 2]]


@inlined
def _aim(buffer: Floats, lane: Number, row: Floats) -> None:
    """Make a gate the vehicle's set-point: its centre, and the yaw of its normal."""
    level = math.sqrt(row[3] * row[3] + row[4] * row[4])
    for i in range(3):
        buffer[lane + AT[TARGET + i]] = row[i]
    buffer[lane + AT[TARGET_COS]] = row[3] / level if level > np.float32(1e-6) else _ONE
    buffer[lane + AT[TARGET_SIN]] = row[4] / level if level > np.float32(1e-6) else _ZERO


@inlined
def _observe(buffer: Floats, lane: Number, gates: Floats, count: int, gate: int, out: Floats, at: Number) -> None:
    """The observation of one vehicle at `out[at:]`, see `RacingEnvironment`."""
    o = observe_lane(buffer, lane)
    for i in range(STATE_NUMBERS):
        out[at + np.uint64(i)] = o[i]
    qx, qy = buffer[lane + AT[QUATERNION]], buffer[lane + AT[QUATERNION + 1]]
    qz, qw = buffer[lane + AT[QUATERNION + 2]], buffer[lane + AT[QUATERNION + 3]]
    r00, r01, r02 = _ONE - _TWO * (qy * qy + qz * qz), _TWO * (qx * qy - qw * qz), _TWO * (qx * qz + qw * qy)
    r10, r11, r12 = _TWO * (qx * qy + qw * qz), _ONE - _TWO * (qx * qx + qz * qz), _TWO * (qy * qz - qw * qx)
    r20, r21, r22 = _TWO * (qx * qz - qw * qy), _TWO * (qy * qz + qw * qx), _ONE - _TWO * (qx * qx + qy * qy)
    x, y, z = _position(buffer, lane)
    for k in range(AHEAD):
        row, first = gates[(gate + k) % count], at + np.uint64(STATE_NUMBERS + k * GATE_NUMBERS)
        dx, dy, dz = row[0] - x, row[1] - y, row[2] - z
        out[first] = r00 * dx + r10 * dy + r20 * dz
        out[first + np.uint64(1)] = r01 * dx + r11 * dy + r21 * dz
        out[first + np.uint64(2)] = r02 * dx + r12 * dy + r22 * dz
        out[first + np.uint64(3)] = r00 * row[3] + r10 * row[4] + r20 * row[5]
        out[first + np.uint64(4)] = r01 * row[3] + r11 * row[4] + r21 * row[5]
        out[first + np.uint64(5)] = r02 * row[3] + r12 * row[4] + r22 * row[5]


@inlined
def _enclose(gates: Floats, count: int, rules: Rules, arena: Floats) -> None:
    """The arena around a course, whose floor is the ground."""
    for axis in range(3):
        low, high = gates[0, axis], gates[0, axis]
        for i in range(1, count):
            low, high = min(low, gates[i, axis]), max(high, gates[i, axis])
        arena[axis], arena[3 + axis] = low - rules.margin, high + rules.margin
    arena[2], arena[5] = rules.radius, arena[5] - rules.margin + rules.above


@kernel(cache=True)
def begin(
    buffer: Floats,
    lane: Number,
    vehicle: int,
    seed: int,
    draws: tuple[Floats, Floats, Floats],
    hover: Number,
    extension: BatteryConstants | None,
    kept: Floats,
    field: RaceField,
    ranges: Floats,
    rules: Rules,
) -> None:
    """Begin a flight of one vehicle: a new course where courses are drawn (ranges not empty), a start before a gate."""
    buffer[lane + AT[EPISODE]] += _ONE
    draw(buffer, lane, seed, np.uint64(vehicle), draws[0], draws[1], draws[2])
    episode, course = np.uint64(buffer[lane + AT[EPISODE]]), field.of[vehicle]
    gates = field.gates[course]
    if len(ranges):
        field.counts[course] = draw_rows(seed, vehicle + (int(episode) << 24), ranges, gates)
        _enclose(gates, field.counts[course], rules, field.arenas[course])
    key = mix(mix(np.uint64(seed) + np.uint64(vehicle)) + (episode << np.uint64(32)))
    gate = 0
    if track_sampler._uniform(key, 0, 0.0, 1.0) < rules.anywhere:
        gate = int(track_sampler._uniform(key, 1, 0.0, field.counts[course] - 1e-6))
    row = gates[gate]
    back = np.float32(track_sampler._uniform(key, 2, 0.7, 1.0)) * rules.back
    speed = np.float32(track_sampler._uniform(key, 3, 0.0, 1.0)) * rules.speed
    for i in range(3):
        buffer[lane + AT[POSITION + i]] += row[i] - back * row[3 + i]
        buffer[lane + AT[VELOCITY + i]] += speed * row[3 + i]
    half = _HALF * math.atan2(row[4], row[3])
    c, s = math.cos(half), math.sin(half)
    x, y = buffer[lane + AT[QUATERNION]], buffer[lane + AT[QUATERNION + 1]]
    z, w = buffer[lane + AT[QUATERNION + 2]], buffer[lane + AT[QUATERNION + 3]]
    buffer[lane + AT[QUATERNION]], buffer[lane + AT[QUATERNION + 1]] = c * x - s * y, c * y + s * x
    buffer[lane + AT[QUATERNION + 2]], buffer[lane + AT[QUATERNION + 3]] = c * z + s * w, c * w - s * z
    rate_loop.begin(buffer, lane)
    if extension is not None:
        begin_extension(buffer, lane, hover, extension)
    _aim(buffer, lane, row)
    kept[:] = _ZERO
    kept[GATE], kept[LEFT] = np.float32(gate), way_left(_position(buffer, lane), row)


@inlined
def _score(
    buffer: Floats, lane: Number, vehicle: int, before: Scalars, action: Floats, weights: Floats, kept: Floats,
    field: RaceField, rules: Rules,
) -> tuple[Number, int]:  # fmt: skip
    """Gates, reward and end of a flight, after the dynamics have moved it from `before`; returns reward and outcome."""
    course = field.of[vehicle]
    gates, count, arena = field.gates[course], field.counts[course], field.arenas[course]
    after = _position(buffer, lane)
    next_gate, outcome, reward = int(kept[GATE]), FLYING, _ZERO
    for g in range(count):
        row = gates[g]
        # A step of 10 ms is far shorter than 2 m; the frames that are farther away need no look.
        x, y, z = after[0] - row[0], after[1] - row[1], after[2] - row[2]
        reach = row[12] + row[13] + row[14] + rules.radius + _TWO
        if x * x + y * y + z * z > reach * reach:
            continue
        what, left, up = crossing(before, after, row, rules.radius)
        if what == HIT:
            outcome = TOUCHED
        elif what == PASSED and g == next_gate and outcome != TOUCHED:
            reward += weights[0] * kept[LEFT] + weights[1]
            kept[PASSES] += _ONE
            kept[OFF_CENTRE] += left * left + up * up
            next_gate = (g + 1) % count
            kept[GATE] = np.float32(next_gate)
            _aim(buffer, lane, gates[next_gate])
            kept[LEFT] = way_left(after, gates[next_gate])
            break
    now = way_left(after, gates[next_gate])
    reward += weights[0] * (kept[LEFT] - now)
    kept[LEFT] = now
    turning = _ZERO
    for i in range(3):
        turning += buffer[lane + AT[RATES + i]] ** 2
    rough = _ZERO
    for i in range(4):
        a = min(max(action[i], -_ONE), _ONE)
        rough += (a - kept[ACTION + i]) ** 2
        kept[ACTION + i] = a
    reward -= weights[2] * turning + weights[3] * rough
    kept[STEPS] += _ONE
    way, speed = _ZERO, _ZERO
    for i in range(3):
        way += (after[i] - before[i]) ** 2
        speed += buffer[lane + AT[VELOCITY + i]] ** 2
    kept[FLOWN] += math.sqrt(way)
    kept[FASTEST] = max(kept[FASTEST], math.sqrt(speed))
    inside = True
    for i in range(3):
        inside = inside and after[i] >= arena[i] and after[i] <= arena[3 + i]  # NaN is outside
    if not inside and outcome == FLYING:
        outcome = OUTSIDE
    if outcome != FLYING:
        reward = -weights[4] if not inside else reward - weights[4]  # no sum: after a NaN it would be one
    elif kept[PASSES] >= np.float32(rules.rounds * count):
        outcome = FINISHED
    elif kept[STEPS] >= np.float32(rules.steps):
        outcome = LATE
    kept[RETURN] += reward
    return reward, outcome


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def finish(
    buffer: Floats, before: Floats, action: Floats, weights: Floats, seed: int, draws: tuple[Floats, Floats, Floats],
    hover: Number, kept: Floats, field: RaceField, ranges: Floats, rules: Rules, results: Results,
    extension: BatteryConstants | None,
) -> int:  # fmt: skip
    """Score vehicles that were moved from positions `before` (N, 3), restart those that had ended, write the results.

    Returns how many flights ended.
    """
    finished = 0
    for vehicle in range(len(action)):
        lane, ended = np.uint64(vehicle // LANES * ROWS * LANES + vehicle % LANES), False
        results.outcome[vehicle] = FLYING
        if kept[vehicle, ENDED] > _ZERO:
            begin(buffer, lane, vehicle, seed, draws, hover, extension, kept[vehicle], field, ranges, rules)
            results.reward[vehicle] = _ZERO
            results.ends[0, vehicle] = results.ends[1, vehicle] = False
        else:
            old = before[vehicle, 0], before[vehicle, 1], before[vehicle, 2]
            reward, outcome = _score(buffer, lane, vehicle, old, action[vehicle], weights, kept[vehicle], field, rules)
            ended = outcome != FLYING
            results.reward[vehicle] = reward
            results.ends[0, vehicle] = ended and outcome != LATE
            results.ends[1, vehicle] = outcome == LATE
            results.outcome[vehicle] = outcome
        if ended:
            finished += 1
            kept[vehicle, ENDED] = _ONE
            for i in range(KEPT):
                results.flight[vehicle, i] = kept[vehicle, i]
        course = field.of[vehicle]
        _observe(
            buffer, lane, field.gates[course], field.counts[course], int(kept[vehicle, GATE]), results.observation,
            np.uint64(vehicle * SIZE),
        )  # fmt: skip
    return finished


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def start(
    buffer: Floats, who: Flags, seed: int, draws: tuple[Floats, Floats, Floats], hover: Number, kept: Floats,
    field: RaceField, ranges: Floats, rules: Rules, observation: Floats, extension: BatteryConstants | None,
) -> None:  # fmt: skip
    """Begin a flight in each vehicle n with who[n], and write the observations (flat) of all."""
    for vehicle in range(len(who)):
        lane = np.uint64(vehicle // LANES * ROWS * LANES + vehicle % LANES)
        if who[vehicle]:
            begin(buffer, lane, vehicle, seed, draws, hover, extension, kept[vehicle], field, ranges, rules)
        course = field.of[vehicle]
        gate = int(kept[vehicle, GATE])
        _observe(buffer, lane, field.gates[course], field.counts[course], gate, observation, np.uint64(vehicle * SIZE))


@kernel(cache=True)
def enclose(field: RaceField, rules: Rules) -> None:
    """Set the arenas of given courses."""
    for course in range(len(field.counts)):
        _enclose(field.gates[course], field.counts[course], rules, field.arenas[course])
