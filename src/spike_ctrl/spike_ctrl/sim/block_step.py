"""One control step of one block of vehicles, forwards and backwards, for either action layout.

A tape keeps the state before each substep. With `motors` a step is one substep, and u are the rotors' commands. With
`rates` it is rate_loop.SUBSTEPS substeps: the actions, 2 u - 1, are the set-points of the body-rate loop from substep
`late` on, and the tape keeps the loop's own state too. Last it keeps charge, voltage and
the time of the flight.

Delays are control steps [B]; between two steps, the mean of two commands in its proportion takes effect.

Each function becomes part of the kernel that calls it, whether that is compiled now or was kept: else one seed would give
two trainings.
"""

from typing import NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import FASTMATH, inlined, kernel
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim.action_mapping import action
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.dynamics import (
    AT,
    CHARGE,
    CLOCK,
    COMMAND,
    EARLIER,
    LANES,
    RATE_SETPOINT,
    ROWS,
    STEP,
    extension,
    geometry,
    rk4_lane,
)
from spike_ctrl.sim.dynamics_vjp import ADJOINT_ROWS, APPLIED, LOOP, rk4_vjp_lane
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.rate_loop import SUBSTEPS, constants, delay_substeps, rate_lane
from spike_ctrl.sim.rate_loop_vjp import rate_vjp_lane

# Rows kept of the dynamics, of the rate loop with its rotor commands, and of the battery, with the time of the flight last
STATE_SIZE, LOOP_SIZE, BATTERY_SIZE = 17, STEP - COMMAND, EARLIER - CHARGE + 1
SIZES = {"motors": STATE_SIZE + BATTERY_SIZE, "rates": STATE_SIZE + LOOP_SIZE + BATTERY_SIZE}
SUBSTEPS_OF = {"motors": 1, "rates": SUBSTEPS}
BLOCKWISE = {"fastmath": FASTMATH, "error_model": "numpy", "forceinline": True}
_LANES, _ONE, _TWO, _action = np.uint64(LANES), np.float32(1), np.float32(2), inlined(action)
# Places in a record. As np.uint64 they are no literals, for each of which numba would compile anew.
_BEGIN, _STATE, _BATTERY = np.uint64(0), np.uint64(STATE_SIZE * LANES), np.uint64(BATTERY_SIZE * LANES)


class Motion(NamedTuple):
    """The constants of an airframe that move its vehicles."""

    layout: str  # of its actions
    arms: Floats  # `dynamics.geometry`
    dt: np.float32  # s, of a substep
    loop: Floats  # `rate_loop.constants`; empty: `motors`
    late: int  # substeps from a command to its effect on the rate loop
    extension: BatteryConstants | None = None  # `dynamics.extension`

    @property
    def tick(self) -> np.float32:
        """s, of a control step."""
        return self.dt * np.float32(SUBSTEPS_OF[self.layout])


def motion(airframe: Airframe, tick: float, fails: bool = False, late: bool = False) -> Motion:
    """The constants of an airframe for control steps of `tick` seconds. fails, late: as of `dynamics.extension`."""
    layout = airframe.action_layout
    dt, arms = tick / SUBSTEPS_OF[layout], geometry(airframe)
    loop, behind = (
        (np.zeros(0, np.float32), 0) if layout == "motors" else (constants(airframe, dt), delay_substeps(airframe, dt))
    )
    return Motion(layout, arms, np.float32(dt), loop, behind, extension(airframe, dt, late, fails))


@inlined
def _copy(to: Floats, at: Number, source: Floats, first: Number, count: Number) -> None:
    # No assignment of slices: numba compiles the words of its errors with each one.
    for i in range(count):
        to[at + i] = source[first + i]


@kernel(**BLOCKWISE)
def record(buffer: Floats, block: int, kept: Floats) -> None:
    """Copy the state of one block and its battery to `kept`, and that of its rate loop if `kept` has room for it."""
    base, end = np.uint64(block * ROWS * LANES), np.uint64(len(kept)) - _BATTERY
    _copy(kept, _BEGIN, buffer, base, _STATE)
    _copy(kept, end, buffer, base + AT[CHARGE], _BATTERY - _LANES)
    _copy(kept, end + _BATTERY - _LANES, buffer, base + AT[CLOCK], _LANES)
    if end > _STATE:
        _copy(kept, _STATE, buffer, base + AT[COMMAND], end - _STATE)


@kernel(**BLOCKWISE)
def load(buffer: Floats, block: int, kept: Floats) -> None:
    """Put back what `record` kept."""
    base, end = np.uint64(block * ROWS * LANES), np.uint64(len(kept)) - _BATTERY
    _copy(buffer, base, kept, _BEGIN, _STATE)
    _copy(buffer, base + AT[CHARGE], kept, end, _BATTERY - _LANES)
    _copy(buffer, base + AT[CLOCK], kept, end + _BATTERY - _LANES, _LANES)
    if end > _STATE:
        _copy(buffer, base + AT[COMMAND], kept, _STATE, end - _STATE)


@inlined
def _in_force(command: Floats, t: int, delay: Floats, i: int, b: int) -> Number:
    """The command i that takes effect in vehicle b at step t: it was given delay[b] steps before."""
    whole = int(delay[b])
    part, at = delay[b] - np.float32(whole), t + MAX_DELAY - whole
    return (_ONE - part) * command[at, i, b] + part * command[max(at - 1, 0), i, b]


@inlined
def _add_in_force(by_command: Floats, t: int, delay: Floats, i: int, b: int, gradient: Number) -> None:
    """Add a gradient with respect to `_in_force` to that of the commands."""
    whole = int(delay[b])
    part, at = delay[b] - np.float32(whole), t + MAX_DELAY - whole
    by_command[at, i, b] += (_ONE - part) * gradient
    by_command[max(at - 1, 0), i, b] += part * gradient


@kernel(**BLOCKWISE)
def apply_motors(buffer: Floats, block: int, command: Floats, t: int, delay: Floats) -> None:
    """Set the rotor commands to those that take effect at step t: b's was given delay[b] steps before."""
    base = np.uint64(block * ROWS * LANES)
    for i in range(4):
        for lane in range(LANES):
            b = block * LANES + lane
            buffer[base + AT[COMMAND + i] + lane] = _in_force(command, t, delay, i, b)


@kernel(**BLOCKWISE)
def _apply_rates(buffer: Floats, block: int, command: Floats, t: int, delay: Floats) -> None:
    base = np.uint64(block * ROWS * LANES)
    for i in range(4):
        for lane in range(LANES):
            b = block * LANES + lane
            buffer[base + AT[RATE_SETPOINT + i] + lane] = _action(_in_force(command, t, delay, i, b))


@kernel(**BLOCKWISE)
def _move(buffer: Floats, base: Number, dt: Number, reach: Scalars, extension: BatteryConstants | None) -> None:
    for lane in range(_LANES):
        rk4_lane(buffer, base + lane, dt, reach, extension)


@kernel(**BLOCKWISE)
def _move_back(
    buffer: Floats, base: Number, adjoint: Floats, at: Number, dt: Number, reach: Scalars, extension: BatteryConstants | None
) -> None:
    for lane in range(_LANES):
        rk4_vjp_lane(buffer, base + lane, adjoint, at + lane, dt, reach, extension)


@kernel(**BLOCKWISE)
def _turn(buffer: Floats, base: Number, loop: Scalars, spin: Scalars) -> None:
    for lane in range(_LANES):
        rate_lane(buffer, base + lane, loop, spin)


@kernel(**BLOCKWISE)
def _turn_back(buffer: Floats, base: Number, adjoint: Floats, at: Number, loop: Scalars, spin: Scalars) -> None:
    for lane in range(_LANES):
        rate_vjp_lane(buffer, base + lane, adjoint, at + lane, loop, spin)


@kernel(**BLOCKWISE)
def advance_motors(
    buffer: Floats, block: int, dt: Number, reach: Scalars, extension: BatteryConstants | None, kept: Floats
) -> None:
    """Move the block by one step, with its rotor commands held; kept [1, blocks, rows]: the state before."""
    base = np.uint64(block * ROWS * LANES)
    record(buffer, block, kept[0, block])
    _move(buffer, base, dt, reach, extension)


@kernel(**BLOCKWISE)
def advance_rates(
    buffer: Floats,
    block: int,
    dt: Number,
    reach: Scalars,
    extension: BatteryConstants | None,
    loop: Scalars,
    late: int,
    command: Floats,
    t: int,
    delay: Floats,
    kept: Floats,
) -> None:
    """Move the block by one step, in which the commands of step t become set-points of the rate loop after `late` substeps.

    kept [SUBSTEPS, blocks, rows]: the state before each substep, with the set-point that is in force in it.
    """
    base, spin = np.uint64(block * ROWS * LANES), (reach[8], reach[9], reach[10], reach[11])
    for substep in range(SUBSTEPS + 1):
        if substep == late:
            _apply_rates(buffer, block, command, t, delay)
        if substep < SUBSTEPS:
            record(buffer, block, kept[substep, block])
            _turn(buffer, base, loop, spin)
            _move(buffer, base, dt, reach, extension)


@kernel(**BLOCKWISE)
def step_motors_vjp(
    buffer: Floats,
    block: int,
    dt: Number,
    reach: Scalars,
    extension: BatteryConstants | None,
    adjoint: Floats,
    command: Floats,
    t: int,
    delay: Floats,
    kept: Floats,
    by_command: Floats,
) -> None:
    """Take the gradient with respect to the state from the end of step t to its beginning, and add that of the commands."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    load(buffer, block, kept[0, block])
    apply_motors(buffer, block, command, t, delay)
    _move_back(buffer, base, adjoint, at, dt, reach, extension)
    for i in range(4):
        for lane in range(LANES):
            b = block * LANES + lane
            _add_in_force(by_command, t, delay, i, b, adjoint[at + AT[APPLIED + i] + lane])


@kernel(**BLOCKWISE)
def step_rates_vjp(
    buffer: Floats,
    block: int,
    dt: Number,
    reach: Scalars,
    extension: BatteryConstants | None,
    loop: Scalars,
    late: int,
    adjoint: Floats,
    t: int,
    delay: Floats,
    kept: Floats,
    by_command: Floats,
) -> None:
    """As `step_motors_vjp`. kept [SUBSTEPS + 1, blocks, rows] also holds the state after the step."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    spin = (reach[8], reach[9], reach[10], reach[11])
    for substep in range(SUBSTEPS, -1, -1):
        if substep < SUBSTEPS:
            load(buffer, block, kept[substep, block])
            # What the loop made of this state stands in the next record.
            _copy(buffer, base + AT[COMMAND], kept[substep + 1, block], _STATE, np.uint64(4) * _LANES)
            _move_back(buffer, base, adjoint, at, dt, reach, extension)
            _turn_back(buffer, base, adjoint, at, loop, spin)
        if substep == late:
            for i in range(4):
                for lane in range(LANES):
                    b = block * LANES + lane
                    _add_in_force(by_command, t, delay, i, b, _TWO * adjoint[at + AT[LOOP + i] + lane])
                    adjoint[at + AT[LOOP + i] + lane] = np.float32(0)
