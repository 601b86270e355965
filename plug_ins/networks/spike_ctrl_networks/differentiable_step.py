"""The simulated control step and its gradient on torch tensors, for policies that are plain torch modules.

The state of B vehicles is one float32 tensor [B, S]: position, quaternion, velocity, body rates and rotor speeds, S = 17;
with `rates` actions also what the rate loop keeps (set-point 4, integral 3, filtered rates 3, their derivative 3), S = 30.
An extended airframe (see `dynamics`) adds the battery's charge and voltage, S = 19 or 32. Its dead time is the caller's.
Positions are relative to the set-point, whose yaw is 0. Forward and backward are the kernels of `block_step`.
"""

from typing import Any

import numpy as np
import torch

from spike_ctrl._files.arrays import Floats, Integers, Number
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.block_step import (
    SIZES,
    SUBSTEPS_OF,
    Motion,
    advance_motors,
    advance_rates,
    apply_motors,
    record,
    step_motors_vjp,
    step_rates_vjp,
)
from spike_ctrl.sim.dynamics import AT, BATTERY_ROWS, LANES, LOOP_ROWS, ROWS, STATE_ROWS, unpack_arms
from spike_ctrl.sim.dynamics_vjp import ADJOINT_ROWS, BATTERY, LOOP, SEEN, observe_vjp_lane
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.observation import observe_lane
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.rate_loop import unpack

NOW: Any = np.int64(0)  # step of a tape of one step; no literal, for which numba would compile it anew


class Vehicles:
    """B vehicles with their true plants, which do not change; their states go through `advance` as tensors.

    buffer: of `dynamics`, read for plants and states, then left alone. motion: of their airframe. vehicles: B.
    """

    def __init__(self, buffer: Floats, motion: Motion, vehicles: int):
        if not 0 < vehicles <= buffer.size // ROWS:
            raise ValueError(f"vehicles: found {vehicles}, wanted 1 to {buffer.size // ROWS}, as the buffer has")
        self.buffer, self.motion, self.vehicles = buffer.copy(), motion, vehicles
        parts = [STATE_ROWS], [STATE_ROWS]
        if motion.layout == "rates":
            parts[0].append(LOOP_ROWS)
            parts[1].append(slice(LOOP, BATTERY))
        if motion.extension is not None:
            parts[0].append(BATTERY_ROWS)
            parts[1].append(slice(BATTERY, ADJOINT_ROWS))
        self._rows, self._adjoint_rows = (np.concatenate([np.r_[part] for part in some]) for some in parts)

    @property
    def size(self) -> int:
        """S, the numbers of one vehicle's state."""
        return len(self._rows)

    def state(self) -> torch.Tensor:
        """The states [B, S] that the buffer holds."""
        state = np.empty((self.vehicles, self.size), np.float32)
        _from_rows(self.buffer, state, ROWS, self._rows)
        return torch.from_numpy(state)

    def put(self, state: torch.Tensor) -> None:
        """Write states [B, S] to the buffer."""
        _to_rows(_array(state), self.buffer, ROWS, self._rows)

    def adjoint(self, gradient: torch.Tensor) -> Floats:
        """A gradient with respect to states [B, S], in the rows of `dynamics_adjoint`."""
        adjoint = np.zeros(self.buffer.size // ROWS * ADJOINT_ROWS, np.float32)
        _to_rows(_array(gradient), adjoint, ADJOINT_ROWS, self._adjoint_rows)
        return adjoint

    def gradient(self, adjoint: Floats) -> torch.Tensor:
        """The same back: [B, S]."""
        gradient = np.empty((self.vehicles, self.size), np.float32)
        _from_rows(adjoint, gradient, ADJOINT_ROWS, self._adjoint_rows)
        return torch.from_numpy(gradient)

    def observation(self) -> torch.Tensor:
        """The observations [B, 18] of the states that the buffer holds."""
        seen = np.empty((self.vehicles, OBSERVATION_SIZE), np.float32)
        _see(self.buffer, seen)
        return torch.from_numpy(seen)

    def observe_back(self, gradient: torch.Tensor, adjoint: Floats) -> None:
        """Add a gradient with respect to the observations [B, 18] of the buffer's states to the adjoint of these states."""
        _see_back(self.buffer, _array(gradient), adjoint)

    def advance(self, u: torch.Tensor) -> tuple[Floats, Floats]:
        """Move the buffer's states by one control step with commands u [B, 4]; returns what `step_vjp` needs."""
        motion, blocks = self.motion, self.buffer.size // (ROWS * LANES)
        kept = np.empty((SUBSTEPS_OF[motion.layout] + 1, blocks, SIZES[motion.layout] * LANES), np.float32)
        in_force = np.zeros((1, 4, blocks * LANES), np.float32)
        in_force[0, :, : len(u)] = _array(u).T
        _advance(self.buffer, motion.arms, motion.extension, motion.dt, motion.loop, motion.late, in_force, kept)
        return in_force, kept

    def step_vjp(self, in_force: Floats, kept: Floats, adjoint: Floats) -> torch.Tensor:
        """Take the adjoint to the beginning of the step; returns the gradient of the commands [B, 4]."""
        motion, by_u = self.motion, np.zeros_like(in_force)
        constants = motion.arms, motion.extension, motion.dt, motion.loop, motion.late
        _step_vjp(self.buffer, *constants, in_force, kept, adjoint, by_u)
        return torch.from_numpy(by_u[0, :, : self.vehicles].T.copy())


def _array(tensor: torch.Tensor) -> Floats:
    array: Floats = tensor.detach().contiguous().numpy()
    return array


@kernel(cache=True)
def _to_rows(values: Floats, flat: Floats, rows: int, which: Integers) -> None:
    """Columns of `values` [B, S] to the rows which[S] of a flat buffer with so many rows."""
    for b in range(len(values)):
        first = b // LANES * rows * LANES + b % LANES
        for i in range(values.shape[1]):
            flat[first + LANES * which[i]] = values[b, i]


@kernel(cache=True)
def _from_rows(flat: Floats, values: Floats, rows: int, which: Integers) -> None:
    for b in range(len(values)):
        first = b // LANES * rows * LANES + b % LANES
        for i in range(values.shape[1]):
            values[b, i] = flat[first + LANES * which[i]]


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _advance(
    buffer: Floats,
    arms: Floats,
    extension: BatteryConstants | None,
    dt: Number,
    loop: Floats,
    late: int,
    command: Floats,
    kept: Floats,
) -> None:
    """One control step of every block; `kept` as `block_step` fills it, last the states after the step."""
    reach = unpack_arms(arms)
    delay = np.full(command.shape[2], np.float32(MAX_DELAY))  # entry 0 of the commands takes effect
    for block in range(buffer.size // (ROWS * LANES)):
        if len(loop) == 0:
            apply_motors(buffer, block, command, NOW, delay)
            advance_motors(buffer, block, dt, reach, extension, kept)
        else:
            advance_rates(buffer, block, dt, reach, extension, unpack(loop), late, command, NOW, delay, kept)
        record(buffer, block, kept[len(kept) - 1, block])


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _step_vjp(
    buffer: Floats,
    arms: Floats,
    extension: BatteryConstants | None,
    dt: Number,
    loop: Floats,
    late: int,
    command: Floats,
    kept: Floats,
    adjoint: Floats,
    by_command: Floats,
) -> None:
    """From the gradient at the end of the step, in the adjoint's rows, to that at its beginning."""
    reach = unpack_arms(arms)
    delay = np.full(command.shape[2], np.float32(MAX_DELAY))
    for block in range(buffer.size // (ROWS * LANES)):
        if len(loop) == 0:
            step_motors_vjp(buffer, block, dt, reach, extension, adjoint, command, NOW, delay, kept, by_command)
        else:
            step_rates_vjp(buffer, block, dt, reach, extension, unpack(loop), late, adjoint, NOW, delay, kept, by_command)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _see(buffer: Floats, seen: Floats) -> None:
    for b in range(len(seen)):
        o = observe_lane(buffer, np.uint64(b // LANES * ROWS * LANES + b % LANES))
        for i in range(OBSERVATION_SIZE):
            seen[b, i] = o[i]


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _see_back(buffer: Floats, by_seen: Floats, adjoint: Floats) -> None:
    for b in range(len(by_seen)):
        at = np.uint64(b // LANES * ADJOINT_ROWS * LANES + b % LANES)
        for i in range(OBSERVATION_SIZE):
            adjoint[at + AT[SEEN + i]] = by_seen[b, i]
        observe_vjp_lane(buffer, np.uint64(b // LANES * ROWS * LANES + b % LANES), adjoint, at)
