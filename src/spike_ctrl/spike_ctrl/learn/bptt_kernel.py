"""A segment of flight of policy and plant together, and the gradient of its cost with respect to the policy.

`fly_segment` runs T steps of B vehicles and keeps a tape; `segment_vjp` walks the tape backwards. Each is one compiled
function, for a tile of vehicles small enough that the tape stays near the processor; tiles can run on threads of their own.

Arrays have the vehicles last, [..., B], B a multiple of LANES, so that loops over vehicles become vector instructions.
Hidden neurons of all layers are stacked: N of them, layer after layer.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars, Sums
from spike_ctrl._files.kernel import FASTMATH, inlined, kernel
from spike_ctrl.learn import tile_network
from spike_ctrl.learn.objective import Objective, add_errors, add_gradient, command_gradient, restrain_lane
from spike_ctrl.learn.tile_network import OUTPUTS, NetworkArrays
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.block_step import (
    BLOCKWISE,
    SIZES,
    SUBSTEPS_OF,
    advance_motors,
    advance_rates,
    apply_motors,
    load,
    record,
    step_motors_vjp,
    step_rates_vjp,
)
from spike_ctrl.sim.dynamics import AT, LANES, ROWS, VOLTAGE, unpack_arms
from spike_ctrl.sim.dynamics_vjp import ADJOINT_ROWS, BATTERY, SEEN, observe_vjp_lane
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.observation import observe_lane
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.rate_loop import SUBSTEPS, unpack
from spike_ctrl.sim.sensor_noise import MAX_AGE
from spike_ctrl.snn.row_products import PANEL, WORD

_mapped = inlined(action_mapping.command)
NO_VOLTS = (np.float32(0), np.float32(0))
_LANES, _ZERO, _HALF, _ONE = np.uint64(LANES), np.float32(0), np.float32(0.5), np.float32(1)


class Tape(NamedTuple):
    """What a segment leaves behind. Entries "before" hold what was there before step t."""

    state: np.ndarray  # [T S + 1, B / LANES, rows * LANES] before each of S substeps a step, as `block_step` keeps it
    observation: np.ndarray  # [T, 18, B] what the network saw; [T, 19, B] with the voltage
    membrane: np.ndarray  # [T + 1, B, P] before, in rows of `tile_network`
    spike: np.ndarray  # [2, B, P] before the segment, and after it
    command: np.ndarray  # [T + MAX_DELAY, 4, B] u = (action + 1) / 2, those of the last MAX_DELAY steps first
    gain: np.ndarray  # [T, 4, B] du/dz, z the network's output before tanh
    column: np.ndarray  # [N] where in a row each hidden neuron stands

    def begin(self, membrane: np.ndarray, spike: np.ndarray, command: np.ndarray) -> None:
        """Set the network's state, [N, B] each, and the commands of the last MAX_DELAY steps, before a segment."""
        where = self._where()
        self.membrane[0][:, where], self.spike[0][:, where] = membrane.T, spike.T
        self.command[:MAX_DELAY] = command

    def membranes(self) -> np.ndarray:
        """The membranes [T + 1, N, B] before each step, and after the last."""
        return self.membrane[:, :, self._where()].transpose(0, 2, 1)

    def end(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same after the segment."""
        where = self._where()
        return self.membrane[-1][:, where].T, self.spike[1][:, where].T, self.command[-MAX_DELAY:]

    def _where(self) -> slice | np.ndarray:
        """`column`, or faster where no layer is filled up."""
        return slice(None) if len(self.column) == self.membrane.shape[2] else self.column


class Sight(NamedTuple):
    """How the policy sees what it flies: turned, and late. float32."""

    turn: np.ndarray  # [T, 3, B] rad, error of the attitude about the body's axes
    age: np.ndarray  # [T, B] control steps
    recent: np.ndarray  # [MAX_AGE + T, 18, B] true observations, those of the MAX_AGE steps before the segment first


PRESENT = Sight(*(np.zeros((0, *shape), np.float32) for shape in ((3, 0), (0,), (OBSERVATION_SIZE, 0))))
"""Seen as it is. It is no None, for which numba would compile each kernel once more."""


class SegmentConditions(NamedTuple):
    """What a segment of T steps of B vehicles meets; all float32."""

    noise: Floats  # [T, 4, B] of the actions
    sensor_noise: Floats  # [T, 18, B] of the observations, 19 with volts, and what is told of the set-point's velocity
    delay: Floats  # [B] control steps from a command to its effect
    course: Floats  # [T, 3, B] m, by how much the set-point moves in each step
    sight: Sight = PRESENT  # its last entries are set by the flight
    volts: tuple[np.float32, np.float32] | None = None  # of `fly_segment`


def sight(turn: np.ndarray, age: np.ndarray, before: np.ndarray) -> Sight:
    """Room for a segment that is seen so. before [MAX_AGE, 18, B]: true observations of the steps before it."""
    return Sight(turn, age, np.concatenate([before, np.zeros((len(age), *before.shape[1:]), np.float32)]))


def tape(steps: int, hidden: Sequence[int], vehicles: int, layout: str = "motors", inputs: int = OBSERVATION_SIZE) -> Tape:
    """Room for a segment of `steps` steps with actions of this layout and so many numbers in an observation.

    hidden: sizes of the network's hidden layers.
    """
    if vehicles % LANES or not 0 < vehicles <= WORD:
        raise ValueError(f"vehicles: found {vehicles}, wanted a multiple of {LANES}, at most {WORD}")
    *column, length = tile_network.columns(tuple(hidden))
    shapes: tuple[tuple[int, ...], ...] = (
        (steps * SUBSTEPS_OF[layout] + 1, vehicles // LANES, SIZES[layout] * LANES),
        (steps, inputs, vehicles),
        (steps + 1, vehicles, length),
        (2, vehicles, length),
        (steps + MAX_DELAY, 4, vehicles),
        (steps, 4, vehicles),
    )
    return Tape._make([*(np.zeros(shape, np.float32) for shape in shapes), np.array(column)])


@kernel(**BLOCKWISE)
def _see(buffer: Floats, block: int, noise: Floats, observation: Floats) -> None:
    base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
    for lane in range(_LANES):
        o = observe_lane(buffer, base + lane)
        for i in range(OBSERVATION_SIZE):
            observation[i, first + lane] = o[i] + noise[i, first + lane]


@kernel(**BLOCKWISE)
def _see_late(
    buffer: Floats, block: int, noise: Floats, observation: Floats, turn: Floats, age: Floats, recent: Floats
) -> None:
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
def _see_voltage(buffer: Floats, block: int, noise: Floats, observation: Floats, volts: Scalars) -> None:
    """The voltage as it is measured, last in the observation: at once, since it is no part of the state's estimate."""
    base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
    for lane in range(_LANES):
        seen = (buffer[base + AT[VOLTAGE] + lane] - volts[0]) * volts[1]
        observation[OBSERVATION_SIZE, first + lane] = seen + noise[OBSERVATION_SIZE, first + lane]


@kernel(**BLOCKWISE)
def _see_voltage_back(adjoint: Floats, block: int, by_input: Floats, volts: Scalars) -> None:
    at = np.uint64(block * ADJOINT_ROWS * LANES)
    for lane in range(_LANES):
        adjoint[at + AT[BATTERY + 1] + lane] += volts[1] * by_input[OBSERVATION_SIZE, block * LANES + lane]


@inlined
def _sample(age: Number) -> tuple[int, int, Number]:
    """Which two of the recent observations a sample of this age lies between, and the share of the older one."""
    whole = min(int(age), MAX_AGE)
    return MAX_AGE - whole, max(MAX_AGE - whole - 1, 0), age - np.float32(whole)


@kernel(**BLOCKWISE)
def _look_back(by_input: Floats, turn: Floats, age: Floats, by_recent: Floats) -> None:
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


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def fly_segment(
    buffer: Floats, arms: Floats, extension: BatteryConstants | None, dt: Number, rest: Number, loop: Floats,
    late: int, policy: NetworkArrays, tape: Tape, noise: Floats, sensor_noise: Floats, delay: Floats, course: Floats,
    sight: Sight, volts: Scalars,
) -> Sums:  # fmt: skip
    """Fly a segment from the buffer's states and the tape's first entries; the buffer is left at its end.

    buffer: vehicles of `dynamics`, in the frame of their set-points, whose yaw is 0. dt: s, of a substep. rest: u of
    hover. extension: `dynamics.extension`. loop, late: of the rate loop (`rate_loop.constants`, `delay_substeps`); loop
    empty: `motors`. noise, sensor_noise: of the actions [T, 4, B] and of the observations, of the tape's shape. delay [B]
    float32: control steps from a command to its effect. course [T, 3, B]: by how much (m) the set-point moves in each step;
    what the policy is told of its velocity is in `sensor_noise`.
    sight: PRESENT if the policy sees the present, but for `sensor_noise`. volts: (middle, 1 / span), float32, where
    observations end with the battery's voltage, see `voltage_input`.
    Returns the four squared errors and (change of u)^2, each summed over steps and vehicles.
    """
    reach, blocks = unpack_arms(arms), buffer.size // (ROWS * LANES)
    steps, vehicles = tape.gain.shape[0], tape.gain.shape[2]
    sums = np.zeros(5, np.float64)
    network = tile_network.tables(policy, tape.observation.shape[1])
    spike, current = tape.spike[0].copy(), np.empty(tape.spike.shape[1:], np.float32)
    output = np.empty((vehicles, OUTPUTS), np.float32)
    parts, tick = (1, dt) if len(loop) == 0 else (SUBSTEPS, dt * np.float32(SUBSTEPS))
    for t in range(steps):
        for block in range(blocks):
            if len(sight.age) == 0:
                _see(buffer, block, sensor_noise[t], tape.observation[t])
            else:
                recent = sight.recent[t : t + MAX_AGE + 1]
                _see_late(buffer, block, sensor_noise[t], tape.observation[t], sight.turn[t], sight.age[t], recent)
            if tape.observation.shape[1] > OBSERVATION_SIZE:
                _see_voltage(buffer, block, sensor_noise[t], tape.observation[t], volts)
        tile_network.step(
            network, policy.hard, tape.observation[t], tape.membrane[t], spike, tape.membrane[t + 1], current, output
        )  # fmt: skip
        _command(output, policy.readout_bias, noise[t], tape.command[t + MAX_DELAY], tape.gain[t])
        kept = tape.state[t * parts : (t + 1) * parts]
        for block in range(blocks):
            if len(loop) == 0:
                apply_motors(buffer, block, tape.command, t, delay)
                advance_motors(buffer, block, dt, reach, extension, kept)
            else:
                advance_rates(buffer, block, dt, reach, extension, unpack(loop), late, tape.command, t, delay, kept)
            _follow(buffer, block, course[t])
        add_errors(buffer, course[t], tick, tape.command[t + MAX_DELAY], tape.command[t + MAX_DELAY - 1], rest, sums)
    for block in range(blocks):
        record(buffer, block, tape.state[steps * parts, block])
    for b in range(vehicles):
        for n in range(spike.shape[1]):
            tape.spike[1, b, n] = spike[b, n]
    return sums


@inlined
def _follow(buffer: Floats, block: int, course: Floats) -> None:
    """Move the vehicles into the frame of the set-point where it is now."""
    base = np.uint64(block * ROWS * LANES)
    for i in range(3):
        for lane in range(LANES):
            buffer[base + AT[i] + lane] -= course[i, block * LANES + lane]


@inlined
def _command(output: Floats, bias: Floats, noise: Floats, command: Floats, gain: Floats) -> None:
    """u of the action clip(tanh z + noise), and du/dz."""
    for i in range(4):
        for b in range(len(output)):
            a = math.tanh(output[b, i] + bias[i])
            noisy = a + noise[i, b]
            open = _ONE if abs(noisy) < _ONE else _ZERO
            command[i, b] = _mapped(min(max(noisy, -_ONE), _ONE))
            gain[i, b] = open * _HALF * (_ONE - a * a)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def segment_vjp(
    buffer: Floats, arms: Floats, extension: BatteryConstants | None, dt: Number, rest: Number, loop: Floats,
    late: int, policy: NetworkArrays, tape: Tape, delay: Floats, course: Floats, objective: Objective, slope: np.float32,
    gradient: NetworkArrays, sight: Sight, volts: Scalars,
) -> None:  # fmt: skip
    """Add to `gradient` the derivative of the segment's cost; the buffer's plants are those that flew, its state is lost.

    The cost of step t is on the state it led to and on its command u_t. slope: k of the surrogate derivative.
    """
    reach, blocks = unpack_arms(arms), buffer.size // (ROWS * LANES)
    steps, vehicles, inputs = tape.gain.shape[0], tape.gain.shape[2], tape.observation.shape[1]
    adjoint = np.zeros(blocks * ADJOINT_ROWS * LANES, np.float32)
    by_command = np.zeros((steps + MAX_DELAY, 4, vehicles), np.float32)
    by_output = np.empty((4, vehicles), np.float32)
    by_input = np.empty((inputs, vehicles), np.float32)
    by_recent = np.zeros((MAX_AGE + len(sight.age), OBSERVATION_SIZE, vehicles), np.float32)
    network, backward = tile_network.tables(policy, inputs), tile_network.backward_tables(policy, inputs)
    found = tile_network.no_gradient(network)
    by_observation = np.empty((vehicles, backward[0].shape[0] * PANEL), np.float32)
    shape = tape.spike.shape[1:]
    later, incoming = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    spike, spiked = tape.spike[1].copy(), np.empty(shape, np.float32)
    marked, marked_before = np.empty(shape[1], np.uint64), np.empty(shape[1], np.uint64)
    tile_network.mark(spike, marked)
    parts, tick = (1, dt) if len(loop) == 0 else (SUBSTEPS, dt * np.float32(SUBSTEPS))
    for t in range(steps - 1, -1, -1):
        kept = tape.state[t * parts : (t + 1) * parts + 1]
        for block in range(blocks):
            load(buffer, block, kept[parts, block])
            add_gradient(buffer, block, adjoint, course[t], tick, objective)
            if len(loop) == 0:
                step_motors_vjp(buffer, block, dt, reach, extension, adjoint, tape.command, t, delay, kept, by_command)
            else:
                step_rates_vjp(buffer, block, dt, reach, extension, unpack(loop), late, adjoint, t, delay, kept, by_command)
        for i in range(4):
            for b in range(vehicles):
                u, before = tape.command[t + MAX_DELAY, i, b], tape.command[t + MAX_DELAY - 1, i, b]
                by_this, by_last = command_gradient(u, before, rest, objective)
                by_command[t + MAX_DELAY - 1, i, b] += by_last
                by_output[i, b] = (by_command[t + MAX_DELAY, i, b] + by_this) * tape.gain[t, i, b]
                gradient.readout_bias[i] += by_output[i, b]
        if t > 0:
            tile_network.spikes(tape.membrane[t], network.theta, spiked, marked_before)
        else:
            spiked = tape.spike[0].copy()
            tile_network.mark(spiked, marked_before)
        tile_network.step_vjp(
            network, backward, policy.hard, slope, tape.observation[t], tape.membrane[t], spiked, marked_before,
            tape.membrane[t + 1], spike, marked, by_output, incoming, later, found, by_observation,
        )  # fmt: skip
        spike, spiked, marked, marked_before = spiked, spike, marked_before, marked
        for i in range(inputs):
            for b in range(vehicles):
                by_input[i, b] = by_observation[b, i]
        if len(sight.age):
            _look_back(by_input, sight.turn[t], sight.age[t], by_recent[t : t + MAX_AGE + 1])
        for block in range(blocks):
            if tape.observation.shape[1] > OBSERVATION_SIZE:
                _see_voltage_back(adjoint, block, by_input, volts)
            _see_back(buffer, block, adjoint, by_input, objective)

    tile_network.add_gradient(found, gradient, inputs)


@kernel(**BLOCKWISE)
def _see_back(buffer: Floats, block: int, adjoint: Floats, by_input: Floats, objective: Objective) -> None:
    """Take the gradient with respect to the observation back to the state that was observed, and restrain the sum."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    for i in range(OBSERVATION_SIZE):
        for lane in range(_LANES):
            adjoint[at + AT[SEEN + i] + lane] = by_input[i, block * LANES + lane]
    for lane in range(_LANES):
        observe_vjp_lane(buffer, base + lane, adjoint, at + lane)
    for lane in range(_LANES):
        restrain_lane(adjoint, at + lane, objective)
