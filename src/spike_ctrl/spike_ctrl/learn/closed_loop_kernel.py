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

from spike_ctrl._files.kernel import FASTMATH, inlined, kernel
from spike_ctrl.learn.objective import add_errors, add_gradient, command_gradient, restrain_lane
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.block_step import (
    BLOCKWISE,
    SIZES,
    SUBSTEPS_OF,
    advance_motors,
    advance_rates,
    apply_motors,
    load,
    record,
    retreat_motors,
    retreat_rates,
)
from spike_ctrl.sim.dynamics import AT, LANES, ROWS, VOLTAGE, unpack_arms
from spike_ctrl.sim.dynamics_adjoint import ADJOINT_ROWS, BATTERY, SEEN, observe_adjoint_lane
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.observation import observe_lane
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.rate_loop import SUBSTEPS, unpack
from spike_ctrl.sim.sensor_errors import MAX_AGE
from spike_ctrl.snn.membrane import adjoint, fires, remainder, subtracted
from spike_ctrl.snn.surrogate import derivative

_remainder, _subtracted, _fires = inlined(remainder), inlined(subtracted), inlined(fires)
_adjoint, _derivative, _mapped = inlined(adjoint), inlined(derivative), inlined(action_mapping.command)
NO_VOLTS = (np.float32(0), np.float32(0))
_LANES, _ZERO, _HALF, _ONE = np.uint64(LANES), np.float32(0), np.float32(0.5), np.float32(1)


class NetworkArrays(NamedTuple):
    """Views of a spiking network's parameters, or of their gradients."""

    weights: tuple[np.ndarray, ...]  # [H, in] of each hidden layer; [H, in + H] where it also hears its own last spikes
    bias: tuple[np.ndarray, ...]  # [H] of each
    beta: tuple[np.ndarray, ...]
    theta: tuple[np.ndarray, ...]
    readout: np.ndarray  # [4, H]
    readout_bias: np.ndarray  # [4]
    hard: bool  # a spike forgets the membrane, else it subtracts the threshold


class Tape(NamedTuple):
    """What a segment leaves behind. Entries "before" hold what was there before step t."""

    state: np.ndarray  # [T S + 1, B / LANES, rows * LANES] before each of S substeps a step, as `block_step` keeps it
    observation: np.ndarray  # [T, 18, B] what the network saw; [T, 19, B] with the voltage
    membrane: np.ndarray  # [T + 1, N, B] before
    spike: np.ndarray  # [T + 1, N, B] before
    command: np.ndarray  # [T + MAX_DELAY, 4, B] u = (action + 1) / 2, those of the last MAX_DELAY steps first
    gain: np.ndarray  # [T, 4, B] du/dz, z the network's output before tanh


class Sight(NamedTuple):
    """How the policy sees what it flies: turned, and late. float32."""

    turn: np.ndarray  # [T, 3, B] rad, error of the attitude about the body's axes
    age: np.ndarray  # [T, B] control steps
    recent: np.ndarray  # [MAX_AGE + T, 18, B] true observations, those of the MAX_AGE steps before the segment first


def sight(turn: np.ndarray, age: np.ndarray, before: np.ndarray) -> Sight:
    """Room for a segment that is seen so. before [MAX_AGE, 18, B]: true observations of the steps before it."""
    return Sight(turn, age, np.concatenate([before, np.zeros((len(age), *before.shape[1:]), np.float32)]))


def tape(steps: int, neurons: int, vehicles: int, layout: str = "motors", inputs: int = OBSERVATION_SIZE) -> Tape:
    """Room for a segment of `steps` steps with actions of this layout and so many numbers in an observation."""
    if vehicles % LANES:
        raise ValueError(f"vehicles: found {vehicles}, wanted a multiple of {LANES}")
    shapes = (
        (steps * SUBSTEPS_OF[layout] + 1, vehicles // LANES, SIZES[layout] * LANES),
        (steps, inputs, vehicles),
        (steps + 1, neurons, vehicles),
        (steps + 1, neurons, vehicles),
        (steps + MAX_DELAY, 4, vehicles),
        (steps, 4, vehicles),
    )
    return Tape(*(np.zeros(shape, np.float32) for shape in shapes))


@kernel(**BLOCKWISE)
def _see(buffer, block, noise, observation):
    base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
    for lane in range(_LANES):
        o = observe_lane(buffer, base + lane)
        for i in range(OBSERVATION_SIZE):
            observation[i, first + lane] = o[i] + noise[i, first + lane]


@kernel(**BLOCKWISE)
def _see_late(buffer, block, noise, observation, turn, age, recent):
    """`_see` with late samples and errors of the attitude; recent [MAX_AGE + 1, 18, B] ends with the newest, set here."""
    base = np.uint64(block * ROWS * LANES)
    for lane in range(LANES):
        b = block * LANES + lane
        o = observe_lane(buffer, base + np.uint64(lane))
        for i in range(OBSERVATION_SIZE):
            recent[MAX_AGE, i, b] = o[i]
        at, before, part = _sample(age[b])
        for i in range(OBSERVATION_SIZE):
            observation[i, b] = (_ONE - part) * recent[at, i, b] + part * recent[before, i, b]
        for row in range(3, 12, 3):
            x, y, z = observation[row, b], observation[row + 1, b], observation[row + 2, b]
            observation[row, b] += y * turn[2, b] - z * turn[1, b]
            observation[row + 1, b] += z * turn[0, b] - x * turn[2, b]
            observation[row + 2, b] += x * turn[1, b] - y * turn[0, b]
        for i in range(OBSERVATION_SIZE):
            observation[i, b] += noise[i, b]


@kernel(**BLOCKWISE)
def _see_voltage(buffer, block, noise, observation, volts):
    """The voltage as it is measured, last in the observation: at once, since it is no part of the state's estimate."""
    base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
    for lane in range(_LANES):
        seen = (buffer[base + AT[VOLTAGE] + lane] - volts[0]) * volts[1]
        observation[OBSERVATION_SIZE, first + lane] = seen + noise[OBSERVATION_SIZE, first + lane]


@kernel(**BLOCKWISE)
def _see_voltage_back(adjoint, block, by_input, volts):
    at = np.uint64(block * ADJOINT_ROWS * LANES)
    for lane in range(_LANES):
        adjoint[at + AT[BATTERY + 1] + lane] += volts[1] * by_input[OBSERVATION_SIZE, block * LANES + lane]


@inlined
def _sample(age):
    """Which two of the recent observations a sample of this age lies between, and the share of the older one."""
    whole = min(int(age), MAX_AGE)
    return MAX_AGE - whole, max(MAX_AGE - whole - 1, 0), age - np.float32(whole)


@kernel(**BLOCKWISE)
def _look_back(by_input, turn, age, by_recent):
    """Take the gradient with respect to what was seen to the recent observations [MAX_AGE + 1, 18, B], and the newest's."""
    for b in range(by_input.shape[1]):
        at, before, part = _sample(age[b])
        for row in range(3, 12, 3):
            x, y, z = by_input[row, b], by_input[row + 1, b], by_input[row + 2, b]
            by_input[row, b] += turn[1, b] * z - turn[2, b] * y
            by_input[row + 1, b] += turn[2, b] * x - turn[0, b] * z
            by_input[row + 2, b] += turn[0, b] * y - turn[1, b] * x
        for i in range(OBSERVATION_SIZE):
            by_recent[at, i, b] += (_ONE - part) * by_input[i, b]
            by_recent[before, i, b] += part * by_input[i, b]
            by_input[i, b] = by_recent[MAX_AGE, i, b]


@inlined
def _fire(current, before, spiked, membrane, spike, bias, beta, theta, hard):
    """One layer's step of `lif.lif_step`: current [H, B] and the state before it to the state after.

    Each vehicle's arithmetic is that of `snn.membrane`.
    """
    for n in range(len(bias)):
        b, leak, threshold = bias[n], beta[n], theta[n]
        inflow, u0, s0, u, s = current[n], before[n], spiked[n], membrane[n], spike[n]
        for k in range(np.uint64(len(u))):
            x = _remainder(u0[k], s0[k], leak, hard) + (inflow[k] + b) - _subtracted(s0[k], threshold, hard)
            u[k] = x
            s[k] = _ONE if _fires(x, threshold) else _ZERO


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def fly(
    buffer, arms, extension, dt, rest, loop, late, policy, tape, noise, sensor_noise, delay, course, sight=None,
    volts=NO_VOLTS,
):  # fmt: skip
    """Fly a segment from the buffer's states and the tape's first entries; the buffer is left at its end.

    buffer: vehicles of `dynamics`, in the frame of their set-points, whose yaw is 0. dt: s, of a substep. rest: u of
    hover. extension: `dynamics.extension`. loop, late: of the rate loop (`rate_loop.constants`, `delay_substeps`); loop
    None: `motors`. noise, sensor_noise: of the actions [T, 4, B] and of the observations, of the tape's shape. delay [B]
    float32: control steps from a command to its effect. course [T, 3, B]: by how much (m) the set-point moves in each step;
    what the policy is told of its velocity is in `sensor_noise`.
    sight: None if the policy sees the present, but for `sensor_noise`. volts: (middle, 1 / span), float32, for observations
    that end with the battery's voltage, see `voltage_input`.
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
            if sight is None:
                _see(buffer, block, sensor_noise[t], tape.observation[t])
            else:
                recent = sight.recent[t : t + MAX_AGE + 1]
                _see_late(buffer, block, sensor_noise[t], tape.observation[t], sight.turn[t], sight.age[t], recent)
            if tape.observation.shape[1] > OBSERVATION_SIZE:
                _see_voltage(buffer, block, sensor_noise[t], tape.observation[t], volts)
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
                advance_motors(buffer, block, dt, reach, extension, kept)
            else:
                advance_rates(
                    buffer, block, dt, reach, extension, unpack(loop), late, tape.command, t, delay, kept
                )  # fmt: skip
            _follow(buffer, block, course[t])
        add_errors(buffer, course[t], tick, tape.command[t + MAX_DELAY], tape.command[t + MAX_DELAY - 1], rest, sums)
    for block in range(blocks):
        record(buffer, block, tape.state[steps * parts, block])
    return sums


@inlined
def _follow(buffer, block, course):
    """Move the vehicles into the frame of the set-point where it is now."""
    base = np.uint64(block * ROWS * LANES)
    for i in range(3):
        for lane in range(LANES):
            buffer[base + AT[i] + lane] -= course[i, block * LANES + lane]


@inlined
def _command(output, bias, noise, command, gain):
    """u of the action clip(tanh z + noise), and du/dz."""
    for i in range(4):
        for b in range(output.shape[1]):
            a = math.tanh(output[i, b] + bias[i])
            noisy = a + noise[i, b]
            open = _ONE if abs(noisy) < _ONE else _ZERO
            command[i, b] = _mapped(min(max(noisy, -_ONE), _ONE))
            gain[i, b] = open * _HALF * (_ONE - a * a)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def pull(
    buffer, arms, extension, dt, rest, loop, late, policy, tape, delay, course, objective, slope, gradient, sight=None,
    volts=NO_VOLTS,
):  # fmt: skip
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
    by_input = np.empty((tape.observation.shape[1], vehicles), np.float32)
    by_recent = np.zeros((MAX_AGE + (steps if sight is not None else 0), OBSERVATION_SIZE, vehicles), np.float32)
    incoming = [np.empty((len(bias), vehicles), np.float32) for bias in policy.bias]
    by_last_spike = np.zeros((len(policy.bias[layers - 1]), vehicles), np.float32)  # of the last layer, if it is recurrent
    by_weight = [np.empty(weight.shape, np.float32) for weight in policy.weights]
    by_readout = np.empty(policy.readout.shape, np.float32)
    parts, tick = (1, dt) if loop is None else (SUBSTEPS, dt * np.float32(SUBSTEPS))
    for t in range(steps - 1, -1, -1):
        kept = tape.state[t * parts : (t + 1) * parts + 1]
        for block in range(blocks):
            load(buffer, block, kept[parts, block])
            add_gradient(buffer, block, adjoint, course[t], tick, objective)
            if loop is None:
                retreat_motors(
                    buffer, block, dt, reach, extension, adjoint, tape.command, t, delay, kept, by_command
                )  # fmt: skip
            else:
                retreat_rates(
                    buffer, block, dt, reach, extension, unpack(loop), late, adjoint, t, delay, kept, by_command
                )  # fmt: skip
        for i in range(4):
            for b in range(vehicles):
                u, before = tape.command[t + MAX_DELAY, i, b], tape.command[t + MAX_DELAY - 1, i, b]
                by_this, by_last = command_gradient(u, before, rest, objective)
                by_command[t + MAX_DELAY - 1, i, b] += by_last
                by_output[i, b] = (by_command[t + MAX_DELAY, i, b] + by_this) * tape.gain[t, i, b]
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
        if sight is not None:
            _look_back(by_input, sight.turn[t], sight.age[t], by_recent[t : t + MAX_AGE + 1])
        for block in range(blocks):
            if tape.observation.shape[1] > OBSERVATION_SIZE:
                _see_voltage_back(adjoint, block, by_input, volts)
            _see_back(buffer, block, adjoint, by_input, objective)


@kernel(**BLOCKWISE)
def _see_back(buffer, block, adjoint, by_input, objective):
    """Take the gradient with respect to the observation back to the state that was observed, and restrain the sum."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    for i in range(OBSERVATION_SIZE):
        for lane in range(_LANES):
            adjoint[at + AT[SEEN + i] + lane] = by_input[i, block * LANES + lane]
    for lane in range(_LANES):
        observe_adjoint_lane(buffer, base + lane, adjoint, at + lane)
    for lane in range(_LANES):
        restrain_lane(adjoint, at + lane, objective)


@inlined
def _unfire(incoming, later, before, spiked, membrane, beta, theta, hard, slope, by_bias, by_beta, by_theta):
    """One layer's step backwards: with G_t = `incoming` the gradient of s_t, `later` goes from dU_{t+1} to dU_t.

    with ds_t = G_t + (ds_t of the next step's reset):  dU_t = surrogate'(U_t - theta) ds_t + (dU_t of the next step's leak)
    """
    for n in range(len(beta)):
        leak, threshold = beta[n], theta[n]
        g, after, u0, s0, u = incoming[n], later[n], before[n], spiked[n], membrane[n]
        sum_bias, sum_beta, sum_theta = _ZERO, _ZERO, _ZERO
        for k in range(np.uint64(len(u))):
            fired = _ONE if _fires(u[k], threshold) else _ZERO
            to_membrane, to_spike, _, _ = _adjoint(after[k], u[k], fired, leak, threshold, hard)
            through = (g[k] + to_spike) * _derivative(u[k] - threshold, slope)
            du = through + to_membrane
            _, _, to_beta, to_theta = _adjoint(du, u0[k], s0[k], leak, threshold, hard)
            after[k] = du
            sum_bias += du
            sum_beta += to_beta
            sum_theta += to_theta - through
        by_bias[n] += sum_bias
        by_beta[n] += sum_beta
        by_theta[n] += sum_theta
