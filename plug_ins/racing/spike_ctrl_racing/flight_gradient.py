"""A segment of races that torch can differentiate: the network and the view of the gates by autograd, the vehicle by the core.

Arrays are [B, ...], a segment's [T, B, ...]. States are those of `spike_ctrl_networks.differentiable_step`, positions in the
world, m. The gate that a vehicle flies to is found from the detached flight, as in the kernels of the task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from spike_ctrl._files.arrays import Flags, Floats, Integers, Number
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl.snn.network_state import State, detach
from spike_ctrl_networks.differentiable_step import Vehicles
from spike_ctrl_racing.gate_crossing import BACKWARDS, HIT, PASSED, crossing
from spike_ctrl_racing.race_reward import DETOUR

Step = Callable[[torch.Tensor, State], tuple[torch.Tensor, State]]
"""One step of a policy: observations [B, 30] and its state to actions [B, 4] and the new state."""
CLOSE = 3.0  # m: a way that crosses a gate's plane within this distance of its centre is a try to pass it


class Weights(NamedTuple):
    """What a step of the gradient's flight costs; see `cost`."""

    speed: float = 4.0  # m/s, by which the way to the gate shall get shorter
    progress: float = 0.02
    centre: float = 4.0  # 1/m^2, of a crossing
    edge: float = 60.0  # 1/m^2, of a crossing beyond `inside`
    inside: float = 0.35  # m
    rates: float = 0.0004
    action_rate: float = 0.05
    floor: float = 0.3  # 1/m^2, below `low`
    low: float = 0.7  # m


class Segment(NamedTuple):
    """What a segment leaves behind: the states [T + 1, B, S] and actions [T, B, 4] with history, the rest without."""

    states: torch.Tensor
    actions: torch.Tensor
    rows: torch.Tensor  # [T, B, 16], the gate that each step flew to
    crossed: torch.Tensor  # [T, B], whether the step tried to pass it
    alive: torch.Tensor  # [T, B]
    memory: State


class _Move(torch.autograd.Function):
    """One control step of vehicles: states [B, S] and commands [B, 4] in 0..1 to the next states."""

    @staticmethod
    def forward(ctx: Any, state: torch.Tensor, u: torch.Tensor, vehicles: Vehicles) -> torch.Tensor:
        vehicles.put(state)
        ctx.tape, ctx.vehicles = vehicles.advance(u), vehicles
        return vehicles.state()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        adjoint = ctx.vehicles.adjoint(by_after)
        by_u = ctx.vehicles.retreat(*ctx.tape, adjoint)
        return ctx.vehicles.gradient(adjoint), by_u, None


_move: Callable[..., torch.Tensor] = _Move.apply


def observe(state: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The observation [B, 30] of states [B, S] that fly to gates `first`, then `second` [B, 16]; see `RacingEnvironment`."""
    p, v, w = state[:, :3], state[:, 7:10], state[:, 10:13]
    x, y, z, r = state[:, 3:7].unbind(1)
    turn = torch.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - r * z), 2 * (x * z + r * y),
         2 * (x * y + r * z), 1 - 2 * (x * x + z * z), 2 * (y * z - r * x),
         2 * (x * z - r * y), 2 * (y * z + r * x), 1 - 2 * (x * x + y * y)], 1).view(-1, 3, 3)  # fmt: skip
    level = first[:, 3:5] / first[:, 3:5].norm(dim=1, keepdim=True).clamp(min=1e-6)
    frame = torch.zeros(len(p), 3, 3)
    frame[:, 0, :2], frame[:, 2, 2] = level, 1.0
    frame[:, 1, 0], frame[:, 1, 1] = -level[:, 1], level[:, 0]
    seen = torch.bmm(frame, torch.cat([(p - first[:, :3])[:, :, None], turn, v[:, :, None]], 2))
    ways = torch.stack([first[:, :3] - p, first[:, 3:6], second[:, :3] - p, second[:, 3:6]], 1)
    view = torch.bmm(ways, turn).flatten(1)  # each row times R is R^T times it
    return torch.cat([seen[:, :, 0], seen[:, :, 1:4].flatten(1), seen[:, :, 4], w, view], 1)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def follow(
    before: Floats, after: Floats, gates: Floats, counts: Integers, gate: Integers, radius: Number, low: Number,
    alive: Flags, crossed: Flags,
) -> None:  # fmt: skip
    """Move each vehicle's gate on where it is passed, and mark who tried to pass and who is lost (not alive)."""
    for b in range(len(before)):
        old, new = (before[b, 0], before[b, 1], before[b, 2]), (after[b, 0], after[b, 1], after[b, 2])
        crossed[b] = False
        tried = gate[b]
        for g in range(counts[b]):
            what, left, up = crossing(old, new, gates[b, g], radius)
            if g == tried and alive[b]:
                side = what != BACKWARDS and (left != 0 or up != 0)
                crossed[b] = side and left * left + up * up < np.float32(CLOSE * CLOSE)
                if what == PASSED:
                    gate[b] = (g + 1) % counts[b]
            if what == HIT:
                alive[b] = False
        if not new[2] > low or not abs(new[0]) + abs(new[1]) + abs(new[2]) < np.float32(1e3):
            alive[b] = False


def fly(
    step: Step, memory: State, vehicles: Vehicles, gates: Floats, counts: Integers, gate: Integers, radius: float,
    steps: int, noise: torch.Tensor, decay: float,
) -> Segment:  # fmt: skip
    """Fly so many steps from the states in the vehicles' buffer; `gate` [B] moves on. noise [T, B, 4]: of the actions.

    decay: by this the gradient with respect to the state gets smaller in each step.
    """
    state, everyone = vehicles.state(), np.arange(len(gate))
    alive, crossed = np.ones(len(gate), np.bool_), np.zeros(len(gate), np.bool_)
    states, actions, rows, tries, lives = [state], [], [], [], []
    for t in range(steps):
        first = torch.from_numpy(gates[everyone, gate])
        second = torch.from_numpy(gates[everyone, (gate + 1) % counts])
        action, memory = step(observe(state, first, second), memory)
        u = (action + noise[t]).clamp(-1.0, 1.0) * 0.5 + 0.5
        before = state
        state = _move(torch.lerp(state.detach(), state, decay), u, vehicles)
        lives.append(torch.from_numpy(alive.copy()))
        follow(
            before[:, :3].detach().numpy(), state[:, :3].detach().numpy(), gates, counts, gate, np.float32(radius),
            np.float32(radius), alive, crossed,
        )  # fmt: skip
        states.append(state)
        actions.append(action)
        rows.append(first)
        tries.append(torch.from_numpy(crossed.copy()))
    vehicles.put(state)
    return Segment(
        torch.stack(states), torch.stack(actions), torch.stack(rows), torch.stack(tries), torch.stack(lives), detach(memory)
    )


def cost(flown: Segment, before: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, dict[str, float]]:
    """What a segment costs, mean over steps and vehicles; before [B, 4]: the last actions before it. Figures to show.

    Too little progress: max(0, V - progress per second)^2; a crossing off the centre; a crossing beyond the inside;
    body rates; changes of the action; flight near the ground.
    """
    a, b = flown.states[:-1, :, :3], flown.states[1:, :, :3]
    centre, normal = flown.rows[..., :3], flown.rows[..., 3:6]
    live = flown.alive.float()

    def left(position: torch.Tensor) -> torch.Tensor:
        way = centre - position
        r = (way.square().sum(-1) + 1e-4).sqrt()
        return r + float(DETOUR) * (0.5 * r - (way * normal).sum(-1)).clamp(min=0)

    speed = (left(a) - left(b)) * 100.0
    slow = (weights.speed - speed).clamp(min=0)
    d0, d1 = ((a - centre) * normal).sum(-1), ((b - centre) * normal).sum(-1)
    share = torch.where(flown.crossed, d0 / (d0 - d1 - 1e-9), torch.zeros(()))
    at = a + share[..., None] * (b - a) - centre
    off = torch.stack([(at * flown.rows[..., 6:9]).sum(-1), (at * flown.rows[..., 9:12]).sum(-1)], -1).abs()
    tried = (flown.crossed & flown.alive).float()
    # A crossing is one step, so that it weighs as much at any speed
    miss = off.square().sum(-1).clamp(max=4.0) * weights.centre
    edge = ((off - weights.inside).clamp(min=0, max=1.5).square() * weights.edge).sum(-1)
    roughness = (flown.actions - torch.cat([before[None], flown.actions[:-1]])).square().sum(-1)
    rates = flown.states[1:, :, 10:13].square().sum(-1)
    ground = (weights.low - b[..., 2]).clamp(min=0).square()
    each = (
        weights.progress * torch.where(slow < 4, slow.square() / 2, 4 * slow - 8) + weights.rates * rates
        + weights.action_rate * roughness + weights.floor * ground
    )  # fmt: skip
    total = (live * each + tried * (miss + edge)).sum() / live.numel()
    passes = tried.sum().clamp(min=1)
    return total, {
        "speed": float((live * flown.states[1:, :, 7:10].norm(dim=-1)).sum() / live.sum()),
        "off": float((tried * off.norm(dim=-1)).sum() / passes),
        "inside": float((tried * (off.amax(-1) < 0.55)).sum() / passes),
    }
