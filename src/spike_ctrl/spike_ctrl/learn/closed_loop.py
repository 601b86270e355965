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

from spike_ctrl.dynamics import (
    AT,
    COMMAND,
    FASTMATH,
    LANES,
    ROWS,
    rk4_lane,
    unpack_arms,
)
from spike_ctrl.dynamics_adjoint import (
    ADJOINT_ROWS,
    APPLIED,
    SEEN,
    errors_adjoint_lane,
    observe_adjoint_lane,
    rk4_adjoint_lane,
)
from spike_ctrl.environment import observe_lane
from spike_ctrl.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.reward import costs
from spike_ctrl.starts import MAX_DELAY

STATE_SIZE = 17
_LANES, _ZERO, _HALF, _ONE, _TWO = np.uint64(LANES), np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)


class Policy(NamedTuple):
    """Views of a spiking network's parameters, or of their gradients."""

    weights: tuple[np.ndarray, ...]  # [H, in] of each hidden layer
    bias: tuple[np.ndarray, ...]  # [H] of each
    beta: tuple[np.ndarray, ...]
    theta: tuple[np.ndarray, ...]
    readout: np.ndarray  # [4, H]
    readout_bias: np.ndarray  # [4]
    hard: np.float32  # reset: 0 subtracts the threshold, 1 forgets the membrane


class Tape(NamedTuple):
    """What a segment leaves behind. Entries "before" hold what was there before step t."""

    state: np.ndarray  # [T + 1, B / LANES, STATE_SIZE * LANES] before
    observation: np.ndarray  # [T, 18, B] what the network saw
    membrane: np.ndarray  # [T + 1, N, B] before
    spike: np.ndarray  # [T + 1, N, B] before
    command: np.ndarray  # [T + MAX_DELAY, 4, B] u, those of the last MAX_DELAY steps first
    gain: np.ndarray  # [T, 4, B] du/dz, z the network's output before tanh


class Objective(NamedTuple):
    """Cost of a step, a sum over vehicles: weights of the squared errors, of the wall and of the change of u."""

    position: float
    velocity: float
    attitude: float
    action: float
    wall: float  # weight of max(0, |p_i| - wall_at)^2
    wall_at: float  # m
    change: float  # weight of |u_t - u_{t-1}|^2
    decay: float  # of the gradient with respect to the state, per step
    limit: float  # of its norm, vehicle by vehicle


def tape(steps: int, neurons: int, vehicles: int) -> Tape:
    """Room for a segment of `steps` steps."""
    if vehicles % LANES:
        raise ValueError(f"vehicles: found {vehicles}, wanted a multiple of {LANES}")
    shapes = (
        (steps + 1, vehicles // LANES, STATE_SIZE * LANES),
        (steps, OBSERVATION_SIZE, vehicles),
        (steps + 1, neurons, vehicles),
        (steps + 1, neurons, vehicles),
        (steps + MAX_DELAY, 4, vehicles),
        (steps, 4, vehicles),
    )
    return Tape(*(np.zeros(shape, np.float32) for shape in shapes))


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
def fly(buffer, arms, dt, hover, policy, tape, noise, sensor_noise, delay):
    """Fly a segment from the buffer's states and the tape's first entries; the buffer is left at its end.

    buffer: vehicles of `dynamics`, set-points at the origin. noise: of the actions [T, 4, B] and of the observations
    [T, 18, B]. delay [B]: steps from a command to its effect. Returns the four squared errors and (change of u)^2, each
    summed over steps and vehicles.
    """
    reach, blocks = unpack_arms(arms), buffer.size // (ROWS * LANES)
    steps, vehicles = tape.gain.shape[0], tape.gain.shape[2]
    layers = len(policy.weights)
    sums = np.zeros(5, np.float64)
    current = [np.empty((len(bias), vehicles), np.float32) for bias in policy.bias]
    output = np.empty((4, vehicles), np.float32)
    for t in range(steps):
        _record(buffer, tape.state[t])
        for block in range(blocks):
            base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
            for lane in range(_LANES):
                o = observe_lane(buffer, base + lane)
                for i in range(OBSERVATION_SIZE):
                    tape.observation[t, i, first + lane] = o[i] + sensor_noise[t, i, first + lane]
        start = 0
        signal = tape.observation[t]
        for layer in range(layers):
            end = start + len(policy.bias[layer])
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
        for block in range(blocks):
            base = np.uint64(block * ROWS * LANES)
            _apply(buffer, base, block, tape.command, t, delay)
            for lane in range(_LANES):
                rk4_lane(buffer, base + lane, dt, reach)
        _add_costs(buffer, tape.command[t + MAX_DELAY], tape.command[t + MAX_DELAY - 1], hover, sums)
    _record(buffer, tape.state[steps])
    return sums


@njit(inline="always")
def _record(buffer, state):
    for block in range(len(state)):
        state[block] = buffer[block * ROWS * LANES : block * ROWS * LANES + STATE_SIZE * LANES]


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


@njit(inline="always")
def _apply(buffer, base, block, command, t, delay):
    """Give the vehicles of one block the commands that take effect at step t."""
    for i in range(4):
        for lane in range(LANES):
            b = block * LANES + lane
            buffer[base + AT[COMMAND + i] + lane] = command[t + MAX_DELAY - delay[b], i, b]


@njit(inline="always")
def _add_costs(buffer, command, before, hover, sums):
    for b in range(command.shape[1]):
        lane = np.uint64(b // LANES * ROWS * LANES + b % LANES)
        u = (command[0, b], command[1, b], command[2, b], command[3, b])
        c = costs(observe_lane(buffer, lane), u, hover)
        for i in range(4):
            sums[i] += c[i]
            sums[4] += (command[i, b] - before[i, b]) ** 2


@njit(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def pull(buffer, arms, dt, hover, policy, tape, delay, objective, slope, gradient):
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
    by_weight = [np.empty(weight.shape, np.float32) for weight in policy.weights]
    by_readout = np.empty(policy.readout.shape, np.float32)
    for t in range(steps - 1, -1, -1):
        _load(buffer, tape.state[t + 1])
        for block in range(blocks):
            base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
            for lane in range(_LANES):
                _cost_lane(buffer, base + lane, adjoint, at + lane, objective)
        _load(buffer, tape.state[t])
        for block in range(blocks):
            base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
            _apply(buffer, base, block, tape.command, t, delay)
            for lane in range(_LANES):
                rk4_adjoint_lane(buffer, base + lane, adjoint, at + lane, dt, reach)
            for i in range(4):
                for lane in range(LANES):
                    b = block * LANES + lane
                    by_command[t + MAX_DELAY - delay[b], i, b] += adjoint[at + AT[APPLIED + i] + lane]
        for i in range(4):
            for b in range(vehicles):
                u, before = tape.command[t + MAX_DELAY, i, b], tape.command[t + MAX_DELAY - 1, i, b]
                change = _TWO * objective.change * (u - before)
                by_command[t + MAX_DELAY - 1, i, b] -= change
                g = by_command[t + MAX_DELAY, i, b] + change + _TWO * objective.action * (u - hover)
                by_output[i, b] = g * tape.gain[t, i, b]
                gradient.readout_bias[i] += by_output[i, b]
        end = neurons
        np.dot(by_output, tape.spike[t + 1, end - len(policy.bias[layers - 1]) : end].T, by_readout)
        gradient.readout[:] += by_readout
        np.dot(policy.readout.T, by_output, incoming[layers - 1])
        for layer in range(layers - 1, -1, -1):
            start = end - len(policy.bias[layer])
            _unfire(
                incoming[layer], later[start:end], tape.membrane[t, start:end], tape.spike[t, start:end],
                tape.membrane[t + 1, start:end], policy.beta[layer], policy.theta[layer], policy.hard, slope,
                gradient.bias[layer], gradient.beta[layer], gradient.theta[layer],
            )  # fmt: skip
            if layer > 0:
                before = start - len(policy.bias[layer - 1])
                np.dot(later[start:end], tape.spike[t + 1, before:start].T, by_weight[layer])
                np.dot(policy.weights[layer].T, later[start:end], incoming[layer - 1])
            else:
                np.dot(later[start:end], tape.observation[t].T, by_weight[layer])
                np.dot(policy.weights[layer].T, later[start:end], by_input)
            gradient.weights[layer][:] += by_weight[layer]
            end = start
        for block in range(blocks):
            base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
            for i in range(OBSERVATION_SIZE):
                for lane in range(LANES):
                    adjoint[at + AT[SEEN + i] + lane] = by_input[i, block * LANES + lane]
            for lane in range(_LANES):
                observe_adjoint_lane(buffer, base + lane, adjoint, at + lane)
            for lane in range(_LANES):
                _restrain_lane(adjoint, at + lane, objective)


@njit(inline="always")
def _load(buffer, state):
    for block in range(len(state)):
        buffer[block * ROWS * LANES : block * ROWS * LANES + STATE_SIZE * LANES] = state[block]


@njit(inline="always")
def _cost_lane(buffer, lane, adjoint, at, objective):
    errors_adjoint_lane(buffer, lane, adjoint, at, (objective.position, objective.velocity, objective.attitude))
    for i in range(3):
        p = buffer[lane + AT[i]]
        over = abs(p) - objective.wall_at
        over = over if over > _ZERO else _ZERO
        adjoint[at + AT[i]] += _TWO * objective.wall * over * (_ONE if p > _ZERO else -_ONE)


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
