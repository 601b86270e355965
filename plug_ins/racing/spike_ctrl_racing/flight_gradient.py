"""A segment of races that torch can differentiate: the network by autograd, gates and vehicle by kernels.

Arrays are [B, ...], a segment's [T, B, ...]. States are those of `spike_ctrl_networks.differentiable_step`, positions in the
world, m. The gate that a vehicle flies to is found from the detached flight, as in the kernels of the task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from spike_ctrl._files.arrays import Flags, Floats, Integers, Number
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.snn.network_state import State, detach
from spike_ctrl_networks.differentiable_step import Vehicles
from spike_ctrl_racing.gate_crossing import BACKWARDS, HIT, PASSED, crossing
from spike_ctrl_racing.race_kernels import SIZE

Step = Callable[[torch.Tensor, Floats, State], tuple[torch.Tensor, State]]
"""One step of a policy: true observations [B, 30], the gates that they see next [B, 16] and its state to actions [B, 4] and
the new state."""
WIDTH = 1.5  # m, of the gates for which CLOSE, LEAD and NEAR hold; they grow with a gate's width
CLOSE = 3.0  # m: a way that crosses a gate's plane within this distance of its centre is a try to pass it
LEAD, NEAR, BEND, STEEP = 1.5, 0.5, 3.0, 4.0  # m, m, 1, m/s; see `course_direction` and `cost`
BRAKING = 10.0  # m/s^2; see `asked_speed`


@dataclass(frozen=True)
class Weights:
    """What a step of the gradient's flight costs; see `cost`."""

    speed: float = setting(4.0, unwritten=True)  # m/s, the highest that is asked for, which a training sets
    lateral: float = within(25.0, 1.0, 100.0, "Acceleration towards the side by which turns limit the speed.", "m/s^2")
    least: float = within(0.7, 0.0, 10.0, "Least time from gate to gate.", "s")
    velocity: float = within(0.02, 0.0, 10.0, "Cost of the squared difference of the velocity.", "s^2/m^2")
    centre: float = within(6.0, 0.0, 1000.0, "Cost of a crossing's squared distance from the gate's centre.", "1/m^2")
    edge: float = within(100.0, 0.0, 10000.0, "Cost of the square of that distance beyond `inside`.", "1/m^2")
    inside: float = within(0.3, 0.0, 5.0, "Distance to the side and upwards from which `edge` counts.", "m")
    most: float = within(20.0, 0.0, 10000.0, "Largest cost of a crossing; beyond it a tenth counts.")
    frames: float = within(
        0.0, 0.0, 10000.0, "Cost of the squared depth of a way through the frame of another gate.", "1/m^2"
    )
    clear: float = within(0.1, 0.0, 5.0, "By so much these frames count as larger, the vehicle's radius included.", "m")
    rates: float = within(0.0004, 0.0, 10.0, "Cost of squared body rates.", "s^2/rad^2")
    action_rate: float = within(0.05, 0.0, 10.0, "Cost of squared changes of the action.")
    floor: float = within(0.3, 0.0, 100.0, "Cost of the squared height below `low`.", "1/m^2")
    low: float = within(0.7, 0.0, 10.0, "Height below which flight costs.", "m")


class FlownRaces(NamedTuple):
    """What a segment leaves behind: the states [T + 1, B, S] and actions [T, B, 4] with history, the rest without."""

    states: torch.Tensor
    actions: torch.Tensor
    legs: torch.Tensor  # [T, B, 3, 16], the gate before the one that each step flew to, that one, and the one after it
    crossed: torch.Tensor  # [T, B], whether the step tried to pass it
    alive: torch.Tensor  # [T, B], whether the flight went on before the step
    lost: Flags  # [B], who had touched something at the end
    memory: State
    given: torch.Tensor  # [MAX_DELAY, B, 4], the last actions, which late commands may still follow
    gates: torch.Tensor  # [B, G, 16], of each course; beyond its end 0


class _Move(torch.autograd.Function):
    """One control step of vehicles: states [B, S], actions and their noise [B, 4] to the next states.

    All is in one function, since each costs autograd some 30 us a step. decay: of the gradient with respect to the state.
    Who is lost (not alive [B]) stays where it is: a vehicle that tumbles on would exceed all numbers.
    """

    @staticmethod
    def forward(
        ctx: Any, state: torch.Tensor, action: torch.Tensor, noise: torch.Tensor, vehicles: Vehicles, decay: float,
        alive: Flags,
    ) -> torch.Tensor:  # fmt: skip
        vehicles.put(state)
        u = (action + noise) * 0.5 + 0.5
        ctx.tape, ctx.vehicles, ctx.decay = vehicles.advance(u.clamp(0.0, 1.0)), vehicles, decay
        ctx.free = ((u >= 0.0) & (u <= 1.0)).float() * 0.5
        after, lost = vehicles.state(), torch.from_numpy(~alive)
        after[lost] = state[lost]
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_after: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        adjoint = ctx.vehicles.adjoint(by_after)
        by_u = ctx.vehicles.step_vjp(*ctx.tape, adjoint)
        return ctx.vehicles.gradient(adjoint) * ctx.decay, by_u * ctx.free, None, None, None, None


class _Observe(torch.autograd.Function):
    """`observe` and its gradient."""

    @staticmethod
    def forward(ctx: Any, state: torch.Tensor, first: Floats, second: Floats) -> torch.Tensor:
        ctx.given = state.detach().numpy(), first, second
        seen = np.empty((len(first), SIZE), np.float32)
        _see(state.detach().numpy(), first, second, seen)
        return torch.from_numpy(seen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_seen: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        by_state = np.zeros_like(ctx.given[0])
        state, first, second = ctx.given
        _see_back(state, first, second, by_seen.contiguous().numpy(), by_state)
        return torch.from_numpy(by_state), None, None


_move: Callable[..., torch.Tensor] = _Move.apply
observe: Callable[[torch.Tensor, Floats, Floats], torch.Tensor] = _Observe.apply
"""The observation [B, 30] of states [B, S] that fly to gates `first`, then `second` [B, 16]; see `RacingEnvironment`."""


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _rotation(x: Number, y: Number, z: Number, w: Number) -> Floats:
    """Body to world, (3, 3)."""
    one, two, turn = np.float32(1), np.float32(2), np.empty((3, 3), np.float32)
    turn[0, 0], turn[0, 1], turn[0, 2] = one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)
    turn[1, 0], turn[1, 1], turn[1, 2] = two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)
    turn[2, 0], turn[2, 1], turn[2, 2] = two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)
    return turn


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _heading(row: Floats) -> tuple[Number, Number]:
    """Cosine and sine of the yaw of a gate's normal."""
    level = np.sqrt(row[3] * row[3] + row[4] * row[4])
    if level > np.float32(1e-6):
        return row[3] / level, row[4] / level
    return np.float32(1), np.float32(0)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _see(state: Floats, first: Floats, second: Floats, seen: Floats) -> None:
    for b in range(len(first)):
        s, o = state[b], seen[b]
        turn = _rotation(s[3], s[4], s[5], s[6])
        c, n = _heading(first[b])
        x, y = s[0] - first[b, 0], s[1] - first[b, 1]
        o[0], o[1], o[2] = c * x + n * y, c * y - n * x, s[2] - first[b, 2]
        o[12], o[13], o[14] = c * s[7] + n * s[8], c * s[8] - n * s[7], s[9]
        for j in range(3):
            o[3 + j], o[6 + j] = c * turn[0, j] + n * turn[1, j], c * turn[1, j] - n * turn[0, j]
            o[9 + j], o[15 + j] = turn[2, j], s[10 + j]
            o[18 + j] = o[21 + j] = o[24 + j] = o[27 + j] = np.float32(0)
            for i in range(3):
                o[18 + j] += turn[i, j] * (first[b, i] - s[i])
                o[21 + j] += turn[i, j] * first[b, 3 + i]
                o[24 + j] += turn[i, j] * (second[b, i] - s[i])
                o[27 + j] += turn[i, j] * second[b, 3 + i]


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _see_back(state: Floats, first: Floats, second: Floats, by_seen: Floats, by_state: Floats) -> None:
    two, by_turn = np.float32(2), np.empty((3, 3), np.float32)
    for b in range(len(first)):
        s, o, to = state[b], by_seen[b], by_state[b]
        x, y, z, w = s[3], s[4], s[5], s[6]
        turn = _rotation(x, y, z, w)
        c, n = _heading(first[b])
        to[0], to[1], to[2] = c * o[0] - n * o[1], n * o[0] + c * o[1], o[2]
        to[7], to[8], to[9] = c * o[12] - n * o[13], n * o[12] + c * o[13], o[14]
        for j in range(3):
            to[10 + j] = o[15 + j]
            by_turn[0, j], by_turn[1, j] = c * o[3 + j] - n * o[6 + j], n * o[3 + j] + c * o[6 + j]
            by_turn[2, j] = o[9 + j]
        for i in range(3):
            for j in range(3):
                to[i] -= turn[i, j] * (o[18 + j] + o[24 + j])
                by_turn[i, j] += (
                    (first[b, i] - s[i]) * o[18 + j] + first[b, 3 + i] * o[21 + j]
                    + (second[b, i] - s[i]) * o[24 + j] + second[b, 3 + i] * o[27 + j]
                )  # fmt: skip
        g = by_turn
        xy, xz, yz = g[0, 1] + g[1, 0], g[0, 2] + g[2, 0], g[1, 2] + g[2, 1]
        wx, wy, wz = g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1]
        to[3] = two * (y * xy + z * xz - two * x * (g[1, 1] + g[2, 2]) + w * wx)
        to[4] = two * (x * xy + z * yz - two * y * (g[0, 0] + g[2, 2]) + w * wy)
        to[5] = two * (x * xz + y * yz - two * z * (g[0, 0] + g[1, 1]) + w * wz)
        to[6] = two * (x * wx + y * wy + z * wz)


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
                close = np.float32(CLOSE) * gates[b, g, 12] / np.float32(WIDTH / 2)
                crossed[b] = side and left * left + up * up < close * close
                if what == PASSED:
                    gate[b] = (g + 1) % counts[b]
            if what == HIT:
                alive[b] = False
        if not new[2] > low or not abs(new[0]) + abs(new[1]) + abs(new[2]) < np.float32(1e3):
            alive[b] = False


def fly_gates(
    step: Step, memory: State, vehicles: Vehicles, gates: Floats, counts: Integers, gate: Integers, radius: float,
    steps: int, noise: torch.Tensor, decay: float, given: torch.Tensor, late: Integers,
) -> FlownRaces:  # fmt: skip
    """Fly so many steps from the states in the vehicles' buffer; `gate` [B] moves on. noise [T, B, 4]: of the actions.

    decay: by this the gradient with respect to the state gets smaller in each step. given [MAX_DELAY, B, 4]: the actions
    before. late [B]: steps by which each vehicle's commands are late.
    """
    state, everyone = vehicles.state(), np.arange(len(gate))
    alive, crossed = np.ones(len(gate), np.bool_), np.zeros(len(gate), np.bool_)
    states, sent, legs, tries, lives, delayed = [state], list(given), [], [], [], late.any()
    for t in range(steps):
        leg = np.stack([gates[everyone, (gate + n) % counts] for n in (-1, 0, 1)], 1)
        action, memory = step(observe(state, leg[:, 1], leg[:, 2]), leg[:, 1], memory)
        sent.append(action)
        acting = torch.stack(sent[-MAX_DELAY - 1 :])[MAX_DELAY - late, everyone] if delayed else action
        before = state
        state = _move(state, acting, noise[t], vehicles, decay, alive)
        lives.append(torch.from_numpy(alive.copy()))
        follow(
            before[:, :3].detach().numpy(), state[:, :3].detach().numpy(), gates, counts, gate, np.float32(radius),
            np.float32(radius), alive, crossed,
        )  # fmt: skip
        states.append(state)
        legs.append(torch.from_numpy(leg))
        tries.append(torch.from_numpy(crossed.copy()))
    vehicles.put(state)
    return FlownRaces(
        torch.stack(states),
        torch.stack(sent[MAX_DELAY:]),
        torch.stack(legs),
        torch.stack(tries),
        torch.stack(lives),
        ~alive,
        detach(memory),
        torch.stack(sent[-MAX_DELAY:]).detach(),
        torch.from_numpy(np.where((np.arange(gates.shape[1]) < counts[:, None])[..., None], gates, np.float32(0))),
    )


def course_direction(position: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The unit vector [..., 3] along which a vehicle at `position` [..., 3] shall fly to the gate of `rows` [..., 16].

    In front of the gate it leads through its centre and on: sideways BEND times as steep as to a point LEAD behind it.
    Beside and behind the gate it leads back to its front. It has no zero, so that no place before a gate is one to stay at.
    Of a narrower gate all distances are shorter.
    """
    way, normal, scale = rows[..., :3] - position, rows[..., 3:6], rows[..., 12:13] / (WIDTH / 2)
    ahead = (way * normal).sum(-1, keepdim=True)
    r = (way.square().sum(-1, keepdim=True) + 1e-4).sqrt()
    through = normal * (ahead.clamp(min=0) + LEAD * scale) + BEND * (way - normal * ahead)
    around = way / r - normal
    near = NEAR * scale
    front = torch.sigmoid(12.0 * ((ahead + near) / (r + near) - 0.6))  # near the gate's plane it is in front, too
    towards = front * through / through.norm(dim=-1, keepdim=True) + (1 - front) * around
    direction: torch.Tensor = towards / (towards.square().sum(-1, keepdim=True) + 1e-6).sqrt()
    return direction


def allowed_speed(first: torch.Tensor, second: torch.Tensor, lateral: float, least: float) -> torch.Tensor:
    """The highest speed [...], m/s, of the way between two gates [..., 16].

    It takes the time `least` at least, and the sharper of two circles `lateral` at most as acceleration. Both lead through
    both centres, one along the first normal, one along the second. What leads back from a gate counts as leading sideways.
    """
    way = second[..., :3] - first[..., :3]
    square = way.square().sum(-1)
    ahead = torch.minimum((way * first[..., 3:6]).sum(-1), (way * second[..., 3:6]).sum(-1)).clamp(min=0)
    aside = (square - ahead.square()).clamp(min=1e-4).sqrt()
    return torch.minimum(lateral * square / (2 * aside), square / max(least, 1e-3) ** 2).sqrt()


def asked_speed(position: torch.Tensor, legs: torch.Tensor, weights: Weights) -> torch.Tensor:
    """The speed [...], m/s, that is asked for at `position` [..., 3] on the way from gate to gate, legs [..., 3, 16].

    At most `weights.speed`, what the way to the gate allows, and what braking by BRAKING leaves of what the next way allows.
    """
    before, gate, after = legs.unbind(-2)
    now, then = (allowed_speed(*ends, weights.lateral, weights.least) for ends in ((before, gate), (gate, after)))
    far = ((gate[..., :3] - position).square().sum(-1) + 1e-4).sqrt()
    braked = (then.square() + 2 * BRAKING * far).sqrt()
    return torch.minimum(now, braked).clamp(max=weights.speed)


def _beyond(place: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """How far, m, places [..., 3] are beyond the planes of the gates of `rows` [..., 16]."""
    return ((place - rows[..., :3]) * rows[..., 3:6]).sum(-1)


def _off(a: torch.Tensor, b: torch.Tensor, share: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """How far, m, a way from a to b is beside a gate's centre and above or below it [..., 2], after a share of the way."""
    at = a + share[..., None] * (b - a) - rows[..., :3]
    return torch.stack([(at * rows[..., 6:9]).sum(-1), (at * rows[..., 9:12]).sum(-1)], -1).abs()


def struck(flown: FlownRaces, clear: float) -> torch.Tensor:
    """The squared depths, m^2, in the frames of gates that a vehicle does not fly to, summed over a segment.

    A frame counts as a full rectangle, larger by `clear` on each side: what is inside leaves to the nearest of them.
    """
    states, gates = flown.states[..., :3], flown.gates
    with torch.no_grad():
        side = _beyond(states[:, :, None], gates) > 0
        other = (gates[:, :, :3] != flown.legs[:, :, 1, None, :3]).any(-1)
        step, who, gate = ((side[1:] != side[:-1]) & other & flown.alive[..., None]).nonzero(as_tuple=True)
    a, b, rows = states[step, who], states[step + 1, who], gates[who, gate]
    d0, d1 = _beyond(a, rows), _beyond(b, rows)
    off = _off(a, b, d0 / (d0 - d1), rows)
    return (rows[:, 12:14] + rows[:, 14:15] + clear - off).amin(-1).clamp(min=0).square().sum()


def cost(flown: FlownRaces, before: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, dict[str, float]]:
    """What a segment costs, mean over steps and vehicles; before [B, 4]: the last actions before it. Figures to show.

    The difference d of the velocity from `asked_speed` along `course_direction`: d^2 / 2, beyond STEEP its tangent; a
    crossing of the gate's plane off the centre; the same beyond `inside`; body rates; changes of the action; flight near the
    ground.
    """
    a, b, velocity = flown.states[:-1, :, :3], flown.states[1:, :, :3], flown.states[1:, :, 7:10]
    rows = flown.legs[..., 1, :]
    live, tried = flown.alive.float(), (flown.crossed & flown.alive).float()
    asked = asked_speed(b, flown.legs, weights)
    wrong = ((velocity - asked[..., None] * course_direction(b, rows)).square().sum(-1) + 1e-6).sqrt()
    d0, d1 = _beyond(a, rows), _beyond(b, rows)
    off = _off(a, b, torch.where(flown.crossed, d0 / (d0 - d1 - 1e-9), torch.zeros(())), rows)
    # A crossing is one step, so that it weighs as much at any speed.
    miss = off.square().sum(-1) * weights.centre + ((off - weights.inside).clamp(min=0).square() * weights.edge).sum(-1)
    miss = torch.where(miss < weights.most, miss, weights.most + (miss - weights.most) * 0.1)
    roughness = (flown.actions - torch.cat([before[None], flown.actions[:-1]])).square().sum(-1)
    rates = flown.states[1:, :, 10:13].square().sum(-1)
    ground = (weights.low - b[..., 2]).clamp(min=0).square()
    each = (
        weights.velocity * torch.where(wrong < STEEP, wrong.square() / 2, STEEP * (wrong - STEEP / 2))
        + weights.rates * rates + weights.action_rate * roughness + weights.floor * ground
    )  # fmt: skip
    total = (live * each + tried * miss).sum() / live.numel()
    if weights.frames:
        total = total + weights.frames * struck(flown, weights.clear) / live.numel()
    with torch.no_grad():
        passes = tried.sum().clamp(min=1)
        return total, {
            "speed": float((live * velocity.norm(dim=-1)).sum() / live.sum()),
            "crossings": float(tried.sum() / tried.shape[1]),
            "off": float((tried * off.norm(dim=-1)).sum() / passes),
            "inside": float((tried * (off.amax(-1) < 0.55)).sum() / passes),
        }
