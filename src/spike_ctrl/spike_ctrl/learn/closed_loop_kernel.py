"""A segment of flight of policy and plant together, and the gradient of its cost with respect to the policy.

`fly` runs T steps of B vehicles and keeps a tape; `pull` walks the tape backwards. Both are one compiled function each,
for a tile of vehicles small enough that the tape stays near the processor; tiles can run on threads of their own.

Arrays have the vehicles last, [..., B], B a multiple of LANES, so that loops over vehicles become vector instructions.
Hidden neurons of all layers are stacked: N of them, layer after layer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from spike_ctrl.sim.block_step import (
    BLOCKWISE,
    SIZES,
    STATE_SIZE,
    SUBSTEPS_OF,
    advance_motors,
    advance_rates,
    apply_motors,
    load,
    record,
    retreat_motors,
    retreat_rates,
)
from spike_ctrl.sim.dynamics import AT, FASTMATH, LANES, QUATERNION, ROWS, VELOCITY, unpack_arms
from spike_ctrl.sim.dynamics_adjoint import ADJOINT_ROWS, LOOP, SEEN, errors_adjoint_lane, observe_adjoint_lane
from spike_ctrl.sim.environment import observe_lane
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.rate_loop import SUBSTEPS, unpack
from spike_ctrl.sim.reward import costs

_LANES, _ZERO, _HALF, _ONE, _TWO = np.uint64(LANES), np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)


class Policy(NamedTuple):
    """Views of a spiking network's parameters, or of their gradients."""

    weights: tuple[np.ndarray, ...]  # [H, in] of each hidden layer; [H, in + H] where it also hears its own last spikes
    bias: tuple[np.ndarray, ...]  # [H] of each
    beta: tuple[np.ndarray, ...]
    theta: tuple[np.ndarray, ...]
    readout: np.ndarray  # [4, H]
    readout_bias: np.ndarray  # [4]
    hard: np.float32  # reset: 0 subtracts the threshold, 1 forgets the membrane


class Tape(NamedTuple):
    """What a segment leaves behind. Entries "before" hold what was there before step t."""

    state: np.ndarray  # [T S + 1, B / LANES, rows * LANES] before each of S substeps a step, as `block_step` keeps it
    observation: np.ndarray  # [T, 18, B] what the network saw
    membrane: np.ndarray  # [T + 1, N, B] before
    spike: np.ndarray  # [T + 1, N, B] before
    command: np.ndarray  # [T + MAX_DELAY, 4, B] u = (action + 1) / 2, those of the last MAX_DELAY steps first
    gain: np.ndarray  # [T, 4, B] du/dz, z the network's output before tanh


class Objective(NamedTuple):
    """Cost of a step, a sum over vehicles: weights of the squared errors, of the walls and of the change of u.

    Position and velocity are relative to the set-point's. From a distance `far` on, the error of position counts linearly.
    """

    position: float
    velocity: float
    attitude: float
    action: float
    far: float  # m
    wall: float  # weight of max(0, |p_i| - wall_at)^2
    wall_at: float  # m
    haste: float  # weight of max(0, |v| - haste_at)^2
    haste_at: float  # m/s
    lean: float  # weight of max(0, upright - z)^2, z the cosine of the tilt
    upright: float
    change: float  # weight of |u_t - u_{t-1}|^2
    decay: float  # of the gradient with respect to the state, per step
    limit: float  # of its norm, vehicle by vehicle


def tape(steps: int, neurons: int, vehicles: int, layout: str = "motors") -> Tape:
    """Room for a segment of `steps` steps with actions of this layout."""
    if vehicles % LANES:
        raise ValueError(f"vehicles: found {vehicles}, wanted a multiple of {LANES}")
    shapes = (
        (steps * SUBSTEPS_OF[layout] + 1, vehicles // LANES, SIZES[layout] * LANES),
        (steps, OBSERVATION_SIZE, vehicles),
        (steps + 1, neurons, vehicles),
        (steps + 1, neurons, vehicles),
        (steps + MAX_DELAY, 4, vehicles),
        (steps, 4, vehicles),
    )
    return Tape(*(np.zeros(shape, np.float32) for shape in shapes))


@njit(**BLOCKWISE)
def _see(buffer, block, noise, observation):
    base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
    for lane in range(_LANES):
        o = observe_lane(buffer, base + lane)
        for i in range(OBSERVATION_SIZE):
            observation[i, first + lane] = o[i] + noise[i, first + lane]


@njit(inline="always")
def _fire(current, before, spiked, membrane, spike, bias, beta, theta, hard):
    """One layer's step of `lif.lif_step`: current [H, B] and the state before it to the state after.

    U_t = beta (1 - hard s_{t-1}) U_{t-1} + I_t - (1 - hard) s_{t-1} theta
    """
    for n in range(len(bias)):
        b, leak, threshold = bias[n], beta[n], theta[n]
        cut = (_ONE - hard) * threshold
        inflow, u0, s0, u, s = current[n], before[n], spiked[n], membrane[n], spike[n]
        for k in range(np.uint64(len(u))):
            x = leak * ((_ONE - hard * s0[k]) * u0[k]) + (inflow[k] + b) - s0[k] * cut
            u[k] = x
            s[k] = _ONE if x > threshold else _ZERO


@njit(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def fly(buffer, arms, dt, rest, loop, late, policy, tape, noise, sensor_noise, delay, course):
    """Fly a segment from the buffer's states and the tape's first entries; the buffer is left at its end.

    buffer: vehicles of `dynamics`, in the frame of their set-points, whose yaw is 0. dt: s, of a substep. rest: u of
    hover. loop, late: of the rate loop (`rate_loop.constants`, `delay_substeps`); loop None: `motors`. noise: of the
    actions [T, 4, B] and of the observations [T, 18, B]. delay [B]: steps from a command to its effect. course [T, 3, B]:
    by how much (m) the set-point moves in each step; what the policy is told of its velocity is in `sensor_noise`.
    Returns the four squared errors and (change of u)^2, each summed over steps and vehicles.
    """
    reach, blocks = unpack_arms(arms), buffer.size // (ROWS * LANES)
    steps, vehicles = tape.gain.shape[0], tape.gain.shape[2]
    layers = len(policy.weights)
    sums = np.zeros(5, np.float64)
    current = [np.empty((len(bias), vehicles), np.float32) for bias in policy.bias]
    output = np.empty((4, vehicles), np.float32)
    parts, tick = (1, dt) if loop is None else (SUBSTEPS, dt * np.float32(SUBSTEPS))
    for t in range(steps):
        for block in range(blocks):
            _see(buffer, block, sensor_noise[t], tape.observation[t])
        start = 0
        signal = tape.observation[t]
        for layer in range(layers):
            end = start + len(policy.bias[layer])
            if policy.weights[layer].shape[1] > len(signal):
                np.dot(policy.weights[layer], np.concatenate((signal, tape.spike[t, start:end])), current[layer])
            else:
                np.dot(policy.weights[layer], signal, current[layer])
            _fire(
                current[layer], tape.membrane[t, start:end], tape.spike[t, start:end],
                tape.membrane[t + 1, start:end], tape.spike[t + 1, start:end],
                policy.bias[layer], policy.beta[layer], policy.theta[layer], policy.hard,
            )  # fmt: skip
            signal = tape.spike[t + 1, start:end]
            start = end
        np.dot(policy.readout, signal, output)
        _command(output, policy.readout_bias, noise[t], tape.command[t + MAX_DELAY], tape.gain[t])
        kept = tape.state[t * parts : (t + 1) * parts]
        for block in range(blocks):
            if loop is None:
                apply_motors(buffer, block, tape.command, t, delay)
                advance_motors(buffer, block, dt, reach, kept)
            else:
                advance_rates(buffer, block, dt, reach, unpack(loop), late, tape.command, t, delay, kept)
            _follow(buffer, block, course[t])
        _add_costs(buffer, course[t], tick, tape.command[t + MAX_DELAY], tape.command[t + MAX_DELAY - 1], rest, sums)
    for block in range(blocks):
        record(buffer, block, tape.state[steps * parts, block])
    return sums


@njit(inline="always")
def _follow(buffer, block, course):
    """Into the frame of the set-point where it is now."""
    base = np.uint64(block * ROWS * LANES)
    for i in range(3):
        for lane in range(LANES):
            buffer[base + AT[i] + lane] -= course[i, block * LANES + lane]


@njit(inline="always")
def _command(output, bias, noise, command, gain):
    """u = (clip(tanh z + noise) + 1) / 2 and du/dz."""
    for i in range(4):
        for b in range(output.shape[1]):
            a = math.tanh(output[i, b] + bias[i])
            noisy = a + noise[i, b]
            open = _ONE if abs(noisy) < _ONE else _ZERO
            command[i, b] = _HALF + _HALF * min(max(noisy, -_ONE), _ONE)
            gain[i, b] = open * _HALF * (_ONE - a * a)


@njit(**BLOCKWISE)
def _add_costs(buffer, course, tick, command, before, rest, sums):
    for b in range(command.shape[1]):
        lane = np.uint64(b // LANES * ROWS * LANES + b % LANES)
        u = (command[0, b], command[1, b], command[2, b], command[3, b])
        o = observe_lane(buffer, lane)
        v = (o[12] - course[0, b] / tick, o[13] - course[1, b] / tick, o[14] - course[2, b] / tick)
        c = costs((*o[:12], *v, *o[15:]), u, rest)
        for i in range(4):
            sums[i] += c[i]
            sums[4] += (command[i, b] - before[i, b]) ** 2


@njit(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def pull(buffer, arms, dt, rest, loop, late, policy, tape, delay, course, objective, slope, gradient):
    """Add to `gradient` the derivative of the segment's cost; the buffer's plants are those that flew, its state is lost.

    The cost of step t is on the state it led to and on its command u_t. slope: k of the surrogate derivative.
    """
    reach, blocks = unpack_arms(arms), buffer.size // (ROWS * LANES)
    steps, vehicles, neurons = tape.gain.shape[0], tape.gain.shape[2], tape.membrane.shape[1]
    layers = len(policy.weights)
    adjoint = np.zeros(blocks * ADJOINT_ROWS * LANES, np.float32)
    by_command = np.zeros((steps + MAX_DELAY, 4, vehicles), np.float32)
    later = np.zeros((neurons, vehicles), np.float32)
    by_output = np.empty((4, vehicles), np.float32)
    by_input = np.empty((OBSERVATION_SIZE, vehicles), np.float32)
    incoming = [np.empty((len(bias), vehicles), np.float32) for bias in policy.bias]
    by_last_spike = np.zeros((len(policy.bias[layers - 1]), vehicles), np.float32)  # of the last layer, if it is recurrent
    by_weight = [np.empty(weight.shape, np.float32) for weight in policy.weights]
    by_readout = np.empty(policy.readout.shape, np.float32)
    parts, tick = (1, dt) if loop is None else (SUBSTEPS, dt * np.float32(SUBSTEPS))
    for t in range(steps - 1, -1, -1):
        kept = tape.state[t * parts : (t + 1) * parts + 1]
        for block in range(blocks):
            load(buffer, block, kept[parts, block])
            _cost(buffer, block, adjoint, course[t], tick, objective)
            if loop is None:
                retreat_motors(buffer, block, dt, reach, adjoint, tape.command, t, delay, kept, by_command)
            else:
                retreat_rates(buffer, block, dt, reach, unpack(loop), late, adjoint, t, delay, kept, by_command)
        for i in range(4):
            for b in range(vehicles):
                u, before = tape.command[t + MAX_DELAY, i, b], tape.command[t + MAX_DELAY - 1, i, b]
                change = _TWO * objective.change * (u - before)
                by_command[t + MAX_DELAY - 1, i, b] -= change
                g = by_command[t + MAX_DELAY, i, b] + change + _TWO * objective.action * (u - rest)
                by_output[i, b] = g * tape.gain[t, i, b]
                gradient.readout_bias[i] += by_output[i, b]
        end = neurons
        np.dot(by_output, tape.spike[t + 1, end - len(policy.bias[layers - 1]) : end].T, by_readout)
        gradient.readout[:] += by_readout
        np.dot(policy.readout.T, by_output, incoming[layers - 1])
        incoming[layers - 1][:] += by_last_spike
        for layer in range(layers - 1, -1, -1):
            start = end - len(policy.bias[layer])
            _unfire(
                incoming[layer], later[start:end], tape.membrane[t, start:end], tape.spike[t, start:end],
                tape.membrane[t + 1, start:end], policy.beta[layer], policy.theta[layer], policy.hard, slope,
                gradient.bias[layer], gradient.beta[layer], gradient.theta[layer],
            )  # fmt: skip
            before = start - len(policy.bias[layer - 1]) if layer > 0 else 0
            signal = tape.spike[t + 1, before:start] if layer > 0 else tape.observation[t]
            into = incoming[layer - 1] if layer > 0 else by_input
            if policy.weights[layer].shape[1] > len(signal):
                np.dot(later[start:end], np.concatenate((signal, tape.spike[t, start:end])).T, by_weight[layer])
                heard = np.dot(policy.weights[layer].T, later[start:end])
                into[:], by_last_spike[:] = heard[: len(signal)], heard[len(signal) :]
            else:
                np.dot(later[start:end], signal.T, by_weight[layer])
                np.dot(policy.weights[layer].T, later[start:end], into)
            gradient.weights[layer][:] += by_weight[layer]
            end = start
        for block in range(blocks):
            _see_back(buffer, block, adjoint, by_input, objective)


@njit(**BLOCKWISE)
def _see_back(buffer, block, adjoint, by_input, objective):
    """Add what the observation of the step was worth to the gradient of its state, and restrain that."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    for i in range(OBSERVATION_SIZE):
        for lane in range(_LANES):
            adjoint[at + AT[SEEN + i] + lane] = by_input[i, block * LANES + lane]
    for lane in range(_LANES):
        observe_adjoint_lane(buffer, base + lane, adjoint, at + lane)
    for lane in range(_LANES):
        _restrain_lane(adjoint, at + lane, objective)


@njit(inline="always")
def _cost_lane(buffer, lane, adjoint, at, objective):
    x, y, z = buffer[lane], buffer[lane + AT[1]], buffer[lane + AT[2]]
    distance = math.sqrt(x * x + y * y + z * z)
    position = objective.position * (objective.far / distance if distance > objective.far else _ONE)
    errors_adjoint_lane(buffer, lane, adjoint, at, (position, _ZERO, objective.attitude))
    for i in range(3):
        p = buffer[lane + AT[i]]
        over = abs(p) - objective.wall_at
        over = over if over > _ZERO else _ZERO
        adjoint[at + AT[i]] += _TWO * objective.wall * over * (_ONE if p > _ZERO else -_ONE)
    qx, qy = buffer[lane + AT[QUATERNION]], buffer[lane + AT[QUATERNION + 1]]
    over = objective.upright - _ONE + _TWO * (qx * qx + qy * qy)
    weight = np.float32(8.0) * objective.lean * (over if over > _ZERO else _ZERO)
    adjoint[at + AT[QUATERNION]] += weight * qx
    adjoint[at + AT[QUATERNION + 1]] += weight * qy


@njit(**BLOCKWISE)
def _cost(buffer, block, adjoint, course, tick, objective):
    """Add the gradient of what the state after a step costs, its velocity against that of the set-point."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    for lane in range(_LANES):
        _cost_lane(buffer, base + lane, adjoint, at + lane, objective)
    for lane in range(LANES):
        b = block * LANES + lane
        vx, vy, vz = (
            buffer[base + AT[VELOCITY] + lane] - course[0, b] / tick,
            buffer[base + AT[VELOCITY + 1] + lane] - course[1, b] / tick,
            buffer[base + AT[VELOCITY + 2] + lane] - course[2, b] / tick,
        )
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        over = objective.haste * (_ONE - objective.haste_at / speed) if speed > objective.haste_at else _ZERO
        weight = _TWO * (objective.velocity + over)
        adjoint[at + AT[VELOCITY] + lane] += weight * vx
        adjoint[at + AT[VELOCITY + 1] + lane] += weight * vy
        adjoint[at + AT[VELOCITY + 2] + lane] += weight * vz


@njit(inline="always")
def _restrain_lane(adjoint, at, objective):
    """Decay the gradient of one vehicle's state and keep its norm within the limit: a tumble must not drown the rest."""
    square = _ZERO
    for i in range(STATE_SIZE):
        square += adjoint[at + AT[i]] * adjoint[at + AT[i]]
    norm = math.sqrt(square)
    factor = objective.decay * (objective.limit / norm if norm > objective.limit else _ONE)
    for i in range(STATE_SIZE):
        adjoint[at + AT[i]] *= factor
    for i in range(LOOP, ADJOINT_ROWS):
        adjoint[at + AT[i]] *= factor


@njit(inline="always")
def _unfire(incoming, later, before, spiked, membrane, beta, theta, hard, slope, by_bias, by_beta, by_theta):
    """One layer's step backwards: with G_t = `incoming` the gradient of s_t, `later` goes from dU_{t+1} to dU_t.

    soft:  dU_t = (G_t - theta dU_{t+1}) / (1 + k |U_t - theta|)^2 + beta dU_{t+1}
    hard:  dU_t = (G_t - beta U_t dU_{t+1}) / (1 + k |U_t - theta|)^2 + beta (1 - s_t) dU_{t+1}
    """
    soft = _ONE - hard
    for n in range(len(beta)):
        leak, threshold = beta[n], theta[n]
        cut, forgotten = soft * threshold, hard * leak
        g, after, u0, s0, u = incoming[n], later[n], before[n], spiked[n], membrane[n]
        sum_bias, sum_beta, sum_theta = _ZERO, _ZERO, _ZERO
        for k in range(np.uint64(len(u))):
            slack = _ONE + slope * abs(u[k] - threshold)
            through = (g[k] - (cut + forgotten * u[k]) * after[k]) / (slack * slack)
            du = through + (leak - forgotten * (_ONE if u[k] > threshold else _ZERO)) * after[k]
            after[k] = du
            sum_bias += du
            sum_beta += du * ((_ONE - hard * s0[k]) * u0[k])
            sum_theta -= through + soft * s0[k] * du
        by_bias[n] += sum_bias
        by_beta[n] += sum_beta
        by_theta[n] += sum_theta
