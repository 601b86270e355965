"""The model gradient for networks that are plain torch modules: a segment of flight whose cost torch can differentiate.

The same flight, cost and restraint of the gradient as in `bptt_kernel`, which is the fast path for the spiking
network: here torch's autograd goes through the policy, and `differentiable_step` through the vehicles.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from spike_ctrl._files.arrays import Floats, Number, Sums
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl.learn.bptt_kernel import SegmentConditions
from spike_ctrl.learn.objective import Objective, add_errors, add_gradient, command_gradient, restrain_lane
from spike_ctrl.sim import action_mapping, dynamics
from spike_ctrl.sim.block_step import Motion
from spike_ctrl.sim.dynamics import LANES, ROWS
from spike_ctrl.sim.dynamics_vjp import ADJOINT_ROWS
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.sensor_noise import MAX_AGE
from spike_ctrl.snn.network_state import State, detach
from spike_ctrl_networks.differentiable_step import Vehicles
from spike_ctrl_networks.step_cost import cost

Step = Callable[[torch.Tensor, State], tuple[torch.Tensor, State]]
"""One step of a policy: observations [B, 18] and its state to actions [B, 4] and the new state."""


class FlownSegment(NamedTuple):
    """What a segment leaves behind."""

    cost: torch.Tensor  # summed over steps and vehicles; its gradient is that of `bptt_kernel.segment_vjp`
    errors: np.ndarray  # [5] as `bptt_kernel.fly_segment` returns them
    command: Floats  # [MAX_DELAY, 4, B] u of the last steps
    state: Any  # what the policy remembers, without history


def fly_module(
    step: Step, state: State, buffer: Floats, motion: Motion, rest: float, command: Floats, flight: SegmentConditions,
    objective: Objective, beyond: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> FlownSegment:  # fmt: skip
    """Fly a segment with a policy, from the states in the buffer, which is left at the segment's end.

    step, state: of the policy, and what it remembers. buffer: vehicles of `dynamics` in the frame of their set-points,
    whose yaw is 0. rest: u of hover. command [MAX_DELAY, 4, B]: u of the steps before. beyond: what comes after the segment
    costs, [B], by the last observation [B, 18]; nothing where it is None.
    """
    steps, _, batch = flight.noise.shape
    if batch % LANES or len(dynamics.rows(buffer)) * LANES != batch:
        raise ValueError(f"vehicles: found {batch}, wanted a multiple of {LANES}, as many as the buffer has")
    vehicles, sums = Vehicles(buffer, motion, batch), np.zeros(5)
    noise, seen_noise = (
        torch.from_numpy(array).transpose(1, 2).contiguous() for array in (flight.noise, flight.sensor_noise)
    )
    commands = [torch.from_numpy(u.T.copy()) for u in command]
    flown, total = vehicles.state(), torch.zeros(())
    seen, past = vehicles.observation(), []
    if len(flight.sight.age):
        past = [torch.from_numpy(before.T.copy()) for before in flight.sight.recent[:MAX_AGE]]
    for t in range(steps):
        if len(flight.sight.age):
            past.append(seen)
            seen = _late(past[-MAX_AGE - 1 :], flight.sight.turn[t], flight.sight.age[t])
        if flight.volts is not None:
            middle, gain = flight.volts
            seen = torch.cat(
                [seen, (flown[:, -1:] - float(middle)) * float(gain)], 1
            )  # the battery's voltage is the last of a state
        action, state = step(seen + seen_noise[t], state)
        if action.shape != (batch, 4):
            raise ValueError(f"action: found shape {tuple(action.shape)}, wanted ({batch}, 4)")
        commands.append(action_mapping.command((action + noise[t]).clamp(-1.0, 1.0)))
        given = commands[-1], commands[-2], _in_force(commands, flight.delay)
        flown, seen, cost = _moved(flown, *given, vehicles, flight.course[t], np.float32(rest), objective, sums)
        total = total + cost
    if beyond is not None:
        total = total + beyond(seen).sum()
    if len(flight.sight.age):
        for t, newest in enumerate(past[MAX_AGE:]):
            flight.sight.recent[MAX_AGE + t] = newest.detach().numpy().T
    vehicles.put(flown)
    buffer[:] = vehicles.buffer
    last = np.stack([u.detach().numpy().T for u in commands[-MAX_DELAY:]])
    return FlownSegment(total, sums, last, detach(state))


def _in_force(commands: list[torch.Tensor], delay: Floats) -> torch.Tensor:
    """The commands [B, 4] that take effect now, of which some were given up to MAX_DELAY steps ago."""
    if not delay.any():
        return commands[-1]
    whole = delay.astype(np.int64)
    recent, everyone, part = torch.stack(commands[-1 - MAX_DELAY :]), torch.arange(len(delay)), delay - whole
    given = recent[torch.from_numpy(MAX_DELAY - whole), everyone]
    if not part.any():
        return given
    share = torch.from_numpy(part)[:, None]
    return (1 - share) * given + share * recent[torch.from_numpy(np.maximum(MAX_DELAY - whole - 1, 0)), everyone]


def _late(past: list[torch.Tensor], turn: Floats, age: Floats) -> torch.Tensor:
    """What is seen of the observations of the last steps, MAX_AGE + 1 times [B, 18], as `bptt_kernel` sees it."""
    whole = np.minimum(age.astype(np.int64), MAX_AGE)
    recent, everyone, share = torch.stack(past), torch.arange(len(age)), torch.from_numpy(age - whole)[:, None].float()
    at, before = (torch.from_numpy(index) for index in (MAX_AGE - whole, np.maximum(MAX_AGE - whole - 1, 0)))
    seen = (1 - share) * recent[at, everyone] + share * recent[before, everyone]
    attitude = seen[:, 3:12].reshape(-1, 3, 3)
    turned = attitude + torch.linalg.cross(attitude, torch.from_numpy(turn.T.copy())[:, None])
    return torch.cat([seen[:, :3], turned.reshape(-1, 9), seen[:, 12:]], 1)


class _Step(torch.autograd.Function):
    """One control step: states [B, S] to the next states, their observations [B, 18] and what the step costs.

    u, before [B, 4]: the commands of this step and of the one before, which cost; in_force [B, 4]: those that take effect.
    The gradient with respect to the states is restrained before that of the cost is added, as in `bptt_kernel`.
    All is in one function, since each costs autograd some 30 us a step.
    """

    @staticmethod
    def forward(
        ctx: Any, state: torch.Tensor, u: torch.Tensor, before: torch.Tensor, in_force: torch.Tensor, vehicles: Vehicles,
        course: Floats, rest: np.float32, objective: Objective, sums: Sums,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        ctx.vehicles, ctx.course, ctx.rest, ctx.objective = vehicles, course, rest, objective
        ctx.commands, buffer = (u.numpy().T.copy(), before.numpy().T.copy()), vehicles.buffer
        vehicles.put(state)
        ctx.in_force, ctx.kept = vehicles.advance(in_force)
        dynamics.rows(buffer)[:, :3] -= course.reshape(3, -1, LANES).swapaxes(0, 1)
        ctx.after = vehicles.state()
        cost = _judge(buffer, course, vehicles.motion.tick, ctx.commands[0], ctx.commands[1], rest, objective, sums)
        return ctx.after.clone(), vehicles.observation(), torch.tensor(cost, dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, by_after: torch.Tensor, by_seen: torch.Tensor, by_cost: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        vehicles, tick = ctx.vehicles, ctx.vehicles.motion.tick
        vehicles.put(ctx.after)
        adjoint, judged = vehicles.adjoint(by_after), np.zeros(vehicles.buffer.size // ROWS * ADJOINT_ROWS, np.float32)
        vehicles.observe_back(by_seen, adjoint)
        _restrain(adjoint, ctx.objective)
        (u, before), (by_u, by_before) = ctx.commands, (np.empty_like(u) for u in ctx.commands)
        _judge_back(vehicles.buffer, ctx.course, tick, u, before, ctx.rest, ctx.objective, judged, by_u, by_before)
        adjoint += by_cost.item() * judged
        by_in_force = vehicles.step_vjp(ctx.in_force, ctx.kept, adjoint)
        by_commands = by_cost * torch.from_numpy(by_u.T), by_cost * torch.from_numpy(by_before.T)
        return vehicles.gradient(adjoint), *by_commands, by_in_force, None, None, None, None, None


_moved: Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = _Step.apply


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _restrain(adjoint: Floats, objective: Objective) -> None:
    for block in range(adjoint.size // (ADJOINT_ROWS * LANES)):
        for lane in range(LANES):
            restrain_lane(adjoint, np.uint64(block * ADJOINT_ROWS * LANES + lane), objective)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _judge(
    buffer: Floats,
    course: Floats,
    tick: Number,
    command: Floats,
    before: Floats,
    rest: Number,
    objective: Objective,
    sums: Sums,
) -> Number:
    add_errors(buffer, course, tick, command, before, rest, sums)
    return cost(buffer, course, tick, command, before, rest, objective)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _judge_back(
    buffer: Floats,
    course: Floats,
    tick: Number,
    command: Floats,
    before: Floats,
    rest: Number,
    objective: Objective,
    adjoint: Floats,
    by_command: Floats,
    by_before: Floats,
) -> None:
    for block in range(buffer.size // (ROWS * LANES)):
        add_gradient(buffer, block, adjoint, course, tick, objective)
    for i in range(4):
        for b in range(command.shape[1]):
            by_command[i, b], by_before[i, b] = command_gradient(command[i, b], before[i, b], rest, objective)
