"""One control step of the position task as kernels: the dynamics, then reward, end and restart of each episode.

Autoreset is Gymnasium's NEXT_STEP, see `environment`.
"""

from typing import Any, TypeAlias

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats, Number, Scalars
from spike_ctrl._files.kernel import FASTMATH, inlined, kernel
from spike_ctrl.sim import rate_loop
from spike_ctrl.sim.action_mapping import command
from spike_ctrl.sim.battery import BatteryConstants, unpack_constants
from spike_ctrl.sim.dynamics import (
    AT,
    COMMAND,
    ENDED,
    EPISODE,
    LANES,
    OBSERVATION,
    RATE_SETPOINT,
    REWARD,
    ROWS,
    STEP,
    SUMS,
    TERMINATED,
    TRUNCATED,
    begin_extension,
    delay_lane,
    rk4_lane,
    unpack_arms,
)  # fmt: skip
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.observation import observe_lane
from spike_ctrl.sim.randomisation import draw
from spike_ctrl.sim.rate_loop import SUBSTEPS
from spike_ctrl.sim.reward import costs

_LANES, _SIZE, _command = np.uint64(LANES), np.uint64(OBSERVATION_SIZE), inlined(command)

Draws: TypeAlias = tuple[Floats, Floats, Floats]
"""What `randomisation.draw` takes: start, nominal plant, spread of the plants."""
Results: TypeAlias = tuple[Floats, Floats, Flags, Floats]
"""Where a step leaves its results: observations (flat), rewards, ends [2, N], statistics of episodes that ended."""


@inlined
def _score_lane(buffer: Floats, lane: Number, weights: Scalars, box: Number, limit: Number, hover: Number) -> None:
    """Observation, reward, sums over the episode and end of the episode, after the dynamics have moved the vehicle."""
    zero, one = np.float32(0.0), np.float32(1.0)
    o = observe_lane(buffer, lane)
    u = (buffer[lane + AT[COMMAND]], buffer[lane + AT[COMMAND + 1]], buffer[lane + AT[COMMAND + 2]],
         buffer[lane + AT[COMMAND + 3]])  # fmt: skip
    flying = one - buffer[lane + AT[ENDED]]
    c = costs(o, u, hover)
    reward = weights[0] - weights[1] * c[0] - weights[2] * c[1] - weights[3] * c[2] - weights[4] * c[3]
    reward = reward if flying > zero else zero  # no product: after an ended flight it may be NaN
    step = buffer[lane + AT[STEP]] + flying
    # A NaN position is outside. Neither max() nor `and` here: the loop over lanes would no longer be vectorised.
    inside = one if (abs(o[0]) <= box) & (abs(o[1]) <= box) & (abs(o[2]) <= box) else zero
    terminated = flying * (one - inside)
    truncated = flying * inside * (one if step >= limit else zero)
    buffer[lane + AT[STEP]] = step
    buffer[lane + AT[REWARD]] = reward
    buffer[lane + AT[TERMINATED]] = terminated
    buffer[lane + AT[TRUNCATED]] = truncated
    buffer[lane + AT[SUMS]] += reward
    buffer[lane + AT[SUMS + 1]] += flying * c[0]
    buffer[lane + AT[SUMS + 2]] += flying * c[1]
    buffer[lane + AT[SUMS + 3]] += flying * c[2]
    buffer[lane + AT[SUMS + 4]] += flying * c[3]
    _store_observation(buffer, lane, o)


@inlined
def _store_observation(buffer: Floats, lane: Number, o: Scalars) -> None:
    buffer[lane + AT[OBSERVATION]] = o[0]
    buffer[lane + AT[OBSERVATION + 1]] = o[1]
    buffer[lane + AT[OBSERVATION + 2]] = o[2]
    buffer[lane + AT[OBSERVATION + 3]] = o[3]
    buffer[lane + AT[OBSERVATION + 4]] = o[4]
    buffer[lane + AT[OBSERVATION + 5]] = o[5]
    buffer[lane + AT[OBSERVATION + 6]] = o[6]
    buffer[lane + AT[OBSERVATION + 7]] = o[7]
    buffer[lane + AT[OBSERVATION + 8]] = o[8]
    buffer[lane + AT[OBSERVATION + 9]] = o[9]
    buffer[lane + AT[OBSERVATION + 10]] = o[10]
    buffer[lane + AT[OBSERVATION + 11]] = o[11]
    buffer[lane + AT[OBSERVATION + 12]] = o[12]
    buffer[lane + AT[OBSERVATION + 13]] = o[13]
    buffer[lane + AT[OBSERVATION + 14]] = o[14]
    buffer[lane + AT[OBSERVATION + 15]] = o[15]
    buffer[lane + AT[OBSERVATION + 16]] = o[16]
    buffer[lane + AT[OBSERVATION + 17]] = o[17]


@inlined
def _start_lane(
    buffer: Floats, lane: Number, seed: int, vehicle: Number, draws: Draws, hover: Number, extension: BatteryConstants | None
) -> None:
    buffer[lane + AT[EPISODE]] += np.float32(1.0)
    buffer[lane + AT[ENDED]] = np.float32(0.0)
    buffer[lane + AT[STEP]] = np.float32(0.0)
    for row in range(5):
        buffer[lane + AT[SUMS + row]] = np.float32(0.0)
    draw(buffer, lane, seed, vehicle, draws[0], draws[1], draws[2])
    rate_loop.begin(buffer, lane)
    if extension is not None:
        begin_extension(buffer, lane, hover, extension)
    _store_observation(buffer, lane, observe_lane(buffer, lane))


@inlined
def _copy_observation(buffer: Floats, lane: Number, observation: Floats, vehicle: Number) -> None:
    # Flat and unsigned, which is seven times as fast as observation[vehicle, i].
    for i in range(_SIZE):
        observation[vehicle * _SIZE + i] = buffer[lane + AT[OBSERVATION] + i * _LANES]


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def start(
    buffer: Floats,
    who: Flags,
    seed: int,
    draws: Draws,
    observation: Floats,
    hover: Number,
    extension: BatteryConstants | None,
) -> None:
    """Begin an episode in each vehicle n with who[n], and copy the observations of all."""
    for vehicle in range(len(who)):
        lane = np.uint64(vehicle // LANES * ROWS * LANES + vehicle % LANES)
        if who[vehicle]:
            _start_lane(buffer, lane, seed, np.uint64(vehicle), draws, hover, extension)
        _copy_observation(buffer, lane, observation, np.uint64(vehicle))


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def observe(buffer: Floats, observation: Floats, vehicles: int) -> None:
    """Copy the observations (flat) of states that something else has moved; the buffer keeps them too."""
    for vehicle in range(vehicles):
        lane = np.uint64(vehicle // LANES * ROWS * LANES + vehicle % LANES)
        _store_observation(buffer, lane, observe_lane(buffer, lane))
        _copy_observation(buffer, lane, observation, np.uint64(vehicle))


@inlined
def _finish_block(
    buffer: Floats,
    base: Number,
    first: Number,
    used: Number,
    weights: Scalars,
    rules: Scalars,
    seed: int,
    draws: Draws,
    results: Results,
    extension: BatteryConstants | None,
) -> int:
    """Score one block after its dynamics, restart what had ended before, and copy the results; returns how many ended."""
    zero, finished = np.float32(0.0), 0
    box, limit, hover = rules
    observation, reward, ends, episode = results
    for lane in range(_LANES):
        _score_lane(buffer, base + lane, weights, box, limit, hover)
    for k in range(used):
        lane = base + k
        if buffer[lane + AT[ENDED]] > zero:
            _start_lane(buffer, lane, seed, first + k, draws, hover, extension)
        else:
            buffer[lane + AT[ENDED]] = buffer[lane + AT[TERMINATED]] + buffer[lane + AT[TRUNCATED]]
            if buffer[lane + AT[ENDED]] > zero:
                finished += 1
                episode[5, first + k] = buffer[lane + AT[STEP]]
                for i in range(5):
                    episode[i, first + k] = buffer[lane + AT[SUMS + i]]
    for k in range(used):
        lane = base + k
        _copy_observation(buffer, lane, observation, first + k)
        reward[first + k] = buffer[lane + AT[REWARD]]
        ends[0, first + k] = buffer[lane + AT[TERMINATED]] > zero
        ends[1, first + k] = buffer[lane + AT[TRUNCATED]] > zero
    return finished


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def step_motors(
    buffer: Floats,
    action: Floats,
    dt: Number,
    arms: Floats,
    weights: Floats,
    rules: Scalars,
    seed: int,
    draws: Draws,
    results: Results | None,
    extension: BatteryConstants | None,
) -> int:
    """One control step of `motors` actions; returns how many episodes ended. results: None only moves the vehicles."""
    reach, w = unpack_arms(arms), (weights[0], weights[1], weights[2], weights[3], weights[4])
    finished = 0
    for block in range(buffer.size // (ROWS * LANES)):
        base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
        used = np.uint64(min(LANES, len(action) - block * LANES))
        for k in range(used):
            for j in range(4):
                u = _command(action[first + k, j])
                buffer[base + k + AT[COMMAND + j]] = min(max(u, np.float32(0.0)), np.float32(1.0))
        if extension is not None:
            for lane in range(_LANES):
                delay_lane(buffer, base + lane, np.float32(1.0) / dt)
        for lane in range(_LANES):
            rk4_lane(buffer, base + lane, dt, reach, extension)
        if results is not None:
            finished += _finish_block(buffer, base, first, used, w, rules, seed, draws, results, extension)
    return finished


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def step_rates(
    buffer: Floats,
    action: Floats,
    dt: Number,
    arms: Floats,
    loop: Floats,
    late: int,
    weights: Floats,
    rules: Scalars,
    seed: int,
    draws: Draws,
    results: Results | None,
    extension: BatteryConstants | None,
) -> int:
    """One control step of `rates` actions, in force after `late` substeps of `dt`; as `step_motors`."""
    reach, w = unpack_arms(arms), (weights[0], weights[1], weights[2], weights[3], weights[4])
    c, spin = rate_loop.unpack(loop), (arms[8], arms[9], arms[10], arms[11])
    finished = 0
    for block in range(buffer.size // (ROWS * LANES)):
        base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
        used = np.uint64(min(LANES, len(action) - block * LANES))
        for substep in range(SUBSTEPS + 1):
            if substep == late:
                for k in range(used):
                    for j in range(4):
                        a = min(max(action[first + k, j], np.float32(-1.0)), np.float32(1.0))
                        buffer[base + k + AT[RATE_SETPOINT + j]] = a
            if substep < SUBSTEPS:
                for lane in range(_LANES):
                    rate_loop.rate_lane(buffer, base + lane, c, spin)
                for lane in range(_LANES):
                    rk4_lane(buffer, base + lane, dt, reach, extension)
        if results is not None:
            finished += _finish_block(buffer, base, first, used, w, rules, seed, draws, results, extension)
    return finished


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def finish(
    buffer: Floats,
    weights: Floats,
    rules: Scalars,
    seed: int,
    draws: Draws,
    results: Results,
    extension: BatteryConstants | None,
) -> int:
    """The rest of a control step whose vehicles have been moved; returns how many episodes ended."""
    w, finished = (weights[0], weights[1], weights[2], weights[3], weights[4]), 0
    for block in range(buffer.size // (ROWS * LANES)):
        base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
        used = np.uint64(min(LANES, len(results[1]) - block * LANES))
        finished += _finish_block(buffer, base, first, used, w, rules, seed, draws, results, extension)
    return finished


# A call with an array of thirteen numbers takes .5 us less than one with a tuple: a twentieth of a step of 256 vehicles.


@kernel(cache=True, nogil=True)
def step_extended_motors(constants: Floats, fails: bool | None, *given: Any) -> int:
    """`step_motors` of an extended airframe, whose extension comes first, as for `unpack_constants`."""
    finished: int = step_motors(*given, unpack_constants(constants, fails))  # type: ignore[call-arg]  # all but its last
    return finished


@kernel(cache=True, nogil=True)
def step_extended_rates(constants: Floats, fails: bool | None, *given: Any) -> int:
    """`step_rates` of an extended airframe, whose extension comes first, as for `unpack_constants`."""
    finished: int = step_rates(*given, unpack_constants(constants, fails))  # type: ignore[call-arg]  # all but its last
    return finished
