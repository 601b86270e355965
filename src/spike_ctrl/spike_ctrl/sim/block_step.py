"""What a command does to one block of vehicles in a control step, for either action layout, and the same backwards.

A tape keeps the state before each substep. With `motors` a step is one substep, and u are the rotors' commands. With
`rates` it is rate_loop.SUBSTEPS substeps: the actions, 2 u - 1, are the set-points of the body-rate loop from substep
`late` on, and the tape keeps the loop's own state too.

Each function here is compiled by itself, for one block: inlined into a whole segment they take minutes to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim.action_mapping import action
from spike_ctrl.sim.dynamics import (
    AT,
    COMMAND,
    FASTMATH,
    LANES,
    RATE_SETPOINT,
    ROWS,
    STEP,
    geometry,
    rk4_lane,
)
from spike_ctrl.sim.dynamics_adjoint import ADJOINT_ROWS, APPLIED, LOOP, rk4_adjoint_lane
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.rate_loop import SUBSTEPS, constants, delay_substeps, rate_lane
from spike_ctrl.sim.rate_loop_adjoint import rate_adjoint_lane

STATE_SIZE, LOOP_SIZE = 17, STEP - COMMAND  # rows kept of the dynamics, and of the rate loop with its rotor commands
SIZES = {"motors": STATE_SIZE, "rates": STATE_SIZE + LOOP_SIZE}
SUBSTEPS_OF = {"motors": 1, "rates": SUBSTEPS}
BLOCKWISE = {"fastmath": FASTMATH, "error_model": "numpy"}
_LANES, _TWO, _action = np.uint64(LANES), np.float32(2), inlined(action)
_STATE_END, _LOOP_BEGIN, _LOOP_END = STATE_SIZE * LANES, COMMAND * LANES, STEP * LANES


class Motion(NamedTuple):
    """What of an airframe the kernels move vehicles by."""

    layout: str  # of its actions
    arms: Floats  # `dynamics.geometry`
    dt: np.float32  # s, of a substep
    loop: Floats | None  # `rate_loop.constants`; None: `motors`
    late: int  # substeps from a command to its effect on the rate loop

    @property
    def tick(self) -> np.float32:
        """s, of a control step."""
        return self.dt * np.float32(SUBSTEPS_OF[self.layout])


def motion(airframe: Airframe, tick: float) -> Motion:
    """How an airframe moves in control steps of `tick` seconds."""
    layout = airframe.action_layout
    dt, arms = tick / SUBSTEPS_OF[layout], geometry(airframe)
    if layout == "motors":
        return Motion(layout, arms, np.float32(dt), None, 0)
    return Motion(layout, arms, np.float32(dt), constants(airframe, dt), delay_substeps(airframe, dt))


@kernel(**BLOCKWISE)
def record(buffer, block, kept):
    """Keep the state of one block, and that of its rate loop where there is room for it."""
    base = block * ROWS * LANES
    kept[:_STATE_END] = buffer[base : base + _STATE_END]
    if len(kept) > _STATE_END:
        kept[_STATE_END:] = buffer[base + _LOOP_BEGIN : base + _LOOP_END]


@kernel(**BLOCKWISE)
def load(buffer, block, kept):
    base = block * ROWS * LANES
    buffer[base : base + _STATE_END] = kept[:_STATE_END]
    if len(kept) > _STATE_END:
        buffer[base + _LOOP_BEGIN : base + _LOOP_END] = kept[_STATE_END:]


@kernel(**BLOCKWISE)
def apply_motors(buffer, block, command, t, delay):
    """Give the rotors the commands that take effect at step t."""
    base = np.uint64(block * ROWS * LANES)
    for i in range(4):
        for lane in range(LANES):
            b = block * LANES + lane
            buffer[base + AT[COMMAND + i] + lane] = command[t + MAX_DELAY - delay[b], i, b]


@kernel(**BLOCKWISE)
def _apply_rates(buffer, block, command, t, delay):
    base = np.uint64(block * ROWS * LANES)
    for i in range(4):
        for lane in range(LANES):
            b = block * LANES + lane
            buffer[base + AT[RATE_SETPOINT + i] + lane] = _action(command[t + MAX_DELAY - delay[b], i, b])


@kernel(**BLOCKWISE)
def _move(buffer, base, dt, reach):
    for lane in range(_LANES):
        rk4_lane(buffer, base + lane, dt, reach)


@kernel(**BLOCKWISE)
def _move_back(buffer, base, adjoint, at, dt, reach):
    for lane in range(_LANES):
        rk4_adjoint_lane(buffer, base + lane, adjoint, at + lane, dt, reach)


@kernel(**BLOCKWISE)
def _turn(buffer, base, loop, spin):
    for lane in range(_LANES):
        rate_lane(buffer, base + lane, loop, spin)


@kernel(**BLOCKWISE)
def _turn_back(buffer, base, adjoint, at, loop, spin):
    for lane in range(_LANES):
        rate_adjoint_lane(buffer, base + lane, adjoint, at + lane, loop, spin)


@kernel(**BLOCKWISE)
def advance_motors(buffer, block, dt, reach, kept):
    base = np.uint64(block * ROWS * LANES)
    record(buffer, block, kept[0, block])
    _move(buffer, base, dt, reach)


@kernel(**BLOCKWISE)
def advance_rates(buffer, block, dt, reach, loop, late, command, t, delay, kept):
    """kept [SUBSTEPS, blocks, rows]: the state before each substep, with the set-point that is in force in it."""
    base, spin = np.uint64(block * ROWS * LANES), (reach[8], reach[9], reach[10], reach[11])
    for substep in range(SUBSTEPS + 1):
        if substep == late:
            _apply_rates(buffer, block, command, t, delay)
        if substep < SUBSTEPS:
            record(buffer, block, kept[substep, block])
            _turn(buffer, base, loop, spin)
            _move(buffer, base, dt, reach)


@kernel(**BLOCKWISE)
def retreat_motors(buffer, block, dt, reach, adjoint, command, t, delay, kept, by_command):
    """Take the gradient at the end of step t to its beginning, and add that of the commands; likewise below."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    load(buffer, block, kept[0, block])
    apply_motors(buffer, block, command, t, delay)
    _move_back(buffer, base, adjoint, at, dt, reach)
    for i in range(4):
        for lane in range(LANES):
            b = block * LANES + lane
            by_command[t + MAX_DELAY - delay[b], i, b] += adjoint[at + AT[APPLIED + i] + lane]


@kernel(**BLOCKWISE)
def retreat_rates(buffer, block, dt, reach, loop, late, adjoint, t, delay, kept, by_command):
    """kept [SUBSTEPS + 1, blocks, rows]: also the state after the step."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    spin = (reach[8], reach[9], reach[10], reach[11])
    for substep in range(SUBSTEPS, -1, -1):
        if substep < SUBSTEPS:
            load(buffer, block, kept[substep, block])
            first = base + AT[COMMAND]  # what the loop made of this state stands in the next record
            buffer[first : first + 4 * _LANES] = kept[substep + 1, block, _STATE_END : _STATE_END + 4 * LANES]
            _move_back(buffer, base, adjoint, at, dt, reach)
            _turn_back(buffer, base, adjoint, at, loop, spin)
        if substep == late:
            for i in range(4):
                for lane in range(LANES):
                    b = block * LANES + lane
                    by_command[t + MAX_DELAY - delay[b], i, b] += _TWO * adjoint[at + AT[LOOP + i] + lane]
                    adjoint[at + AT[LOOP + i] + lane] = np.float32(0)
