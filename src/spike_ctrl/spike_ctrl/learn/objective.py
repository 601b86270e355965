"""What a step of flight costs under the model gradient, and the gradient of that cost.

The cost of step t is that of the state it led to and of its command u_t:

    position |p|^2 (linear in |p| from `far` on) + velocity |v|^2 + attitude |angle|^2 + action |u - rest|^2
    + boundary sum_i max(0, |p_i| - boundary_at)^2 + speed max(0, |v| - speed_at)^2 + tilt max(0, upright - z)^2
    + body_rate max(0, |rates| - body_rate_at)^2 + action_rate |u_t - u_{t-1}|^2

p and v are relative to the set-point, which may move; z is the cosine of the tilt. On its way back through the flight
the gradient with respect to a vehicle's state is restrained at each step (`decay`, `limit`).
"""

import math
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars, Sums
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl.sim.block_step import BLOCKWISE, STATE_SIZE
from spike_ctrl.sim.dynamics import AT, LANES, QUATERNION, RATES, ROWS, VELOCITY
from spike_ctrl.sim.dynamics_vjp import ADJOINT_ROWS, LOOP, errors_vjp_lane
from spike_ctrl.sim.observation import observe_lane
from spike_ctrl.sim.reward import costs

_LANES, _ZERO, _ONE, _TWO = np.uint64(LANES), np.float32(0), np.float32(1), np.float32(2)


class Objective(NamedTuple):
    """Weights of the terms of the cost, and how far they reach; float32 where kernels take it."""

    position: float
    velocity: float
    attitude: float
    action: float
    far: float  # m
    boundary: float
    boundary_at: float  # m
    speed: float
    speed_at: float  # m/s
    tilt: float
    upright: float
    body_rate: float
    body_rate_at: float  # rad/s
    action_rate: float
    decay: float  # of the gradient with respect to the state, per step
    limit: float  # of its norm, vehicle by vehicle


@inlined
def squared_errors(
    buffer: Floats, lane: Number, course: Floats, b: int, tick: Number, command: Floats, rest: Number
) -> Scalars:
    """Of position, velocity relative to the set-point's, attitude and command of vehicle b."""
    u = (command[0, b], command[1, b], command[2, b], command[3, b])
    o = observe_lane(buffer, lane)
    v = (o[12] - course[0, b] / tick, o[13] - course[1, b] / tick, o[14] - course[2, b] / tick)
    found: Scalars = costs((*o[:12], *v, *o[15:]), u, rest)
    return found


@kernel(**BLOCKWISE)
def add_errors(
    buffer: Floats, course: Floats, tick: Number, command: Floats, before: Floats, rest: Number, sums: Sums
) -> None:
    """Add the errors of a step to `sums`: the four squared errors and (change of u)^2, each summed over the vehicles.

    buffer: the states that the step led to. course [3, B]: by how much (m) the set-points moved in this step of `tick`
    seconds. command, before [4, B]: u of this step and of the one before.
    """
    for b in range(command.shape[1]):
        lane = np.uint64(b // LANES * ROWS * LANES + b % LANES)
        c = squared_errors(buffer, lane, course, b, tick, command, rest)
        for i in range(4):
            sums[i] += c[i]
            sums[4] += (command[i, b] - before[i, b]) ** 2


@inlined
def over(value: Number, threshold: Number) -> Number:
    return value - threshold if value > threshold else _ZERO


@inlined
def beyond(p: Number, boundary: Number) -> Number:
    """How far (m) outside of the walls, with the sign of the side."""
    return over(abs(p), boundary) * (_ONE if p > _ZERO else -_ONE)


@inlined
def tilt_over(buffer: Floats, lane: Number, upright: Number) -> Number:
    """By how much the cosine of the tilt is below `upright`."""
    qx, qy = buffer[lane + AT[QUATERNION]], buffer[lane + AT[QUATERNION + 1]]
    return over(upright - _ONE + _TWO * (qx * qx + qy * qy), _ZERO)


@inlined
def body_rate(buffer: Floats, lane: Number) -> Number:
    """Norm of the body rates, rad/s."""
    x, y, z = buffer[lane + AT[RATES]], buffer[lane + AT[RATES + 1]], buffer[lane + AT[RATES + 2]]
    return math.sqrt(x * x + y * y + z * z)


@inlined
def _add_gradient_lane(buffer: Floats, lane: Number, adjoint: Floats, at: Number, objective: Objective) -> None:
    x, y, z = buffer[lane], buffer[lane + AT[1]], buffer[lane + AT[2]]
    distance = math.sqrt(x * x + y * y + z * z)
    position = objective.position * (objective.far / distance if distance > objective.far else _ONE)
    errors_vjp_lane(buffer, lane, adjoint, at, (position, _ZERO, objective.attitude))
    for i in range(3):
        adjoint[at + AT[i]] += _TWO * objective.boundary * beyond(buffer[lane + AT[i]], objective.boundary_at)
    weight = np.float32(8.0) * objective.tilt * tilt_over(buffer, lane, objective.upright)
    adjoint[at + AT[QUATERNION]] += weight * buffer[lane + AT[QUATERNION]]
    adjoint[at + AT[QUATERNION + 1]] += weight * buffer[lane + AT[QUATERNION + 1]]
    rate = body_rate(buffer, lane)
    by_rate = _TWO * objective.body_rate * (_ONE - objective.body_rate_at / rate) if rate > objective.body_rate_at else _ZERO
    for i in range(3):
        adjoint[at + AT[RATES + i]] += by_rate * buffer[lane + AT[RATES + i]]


@kernel(**BLOCKWISE)
def add_gradient(buffer: Floats, block: int, adjoint: Floats, course: Floats, tick: Number, objective: Objective) -> None:
    """Add to the adjoint of one block the gradient of what the states after a step cost."""
    base, at = np.uint64(block * ROWS * LANES), np.uint64(block * ADJOINT_ROWS * LANES)
    for lane in range(_LANES):
        _add_gradient_lane(buffer, base + lane, adjoint, at + lane, objective)
    for lane in range(LANES):
        b = block * LANES + lane
        vx, vy, vz = (
            buffer[base + AT[VELOCITY] + lane] - course[0, b] / tick,
            buffer[base + AT[VELOCITY + 1] + lane] - course[1, b] / tick,
            buffer[base + AT[VELOCITY + 2] + lane] - course[2, b] / tick,
        )
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        excess = objective.speed * (_ONE - objective.speed_at / speed) if speed > objective.speed_at else _ZERO
        weight = _TWO * (objective.velocity + excess)
        adjoint[at + AT[VELOCITY] + lane] += weight * vx
        adjoint[at + AT[VELOCITY + 1] + lane] += weight * vy
        adjoint[at + AT[VELOCITY + 2] + lane] += weight * vz


@inlined
def command_gradient(u: Number, before: Number, rest: Number, objective: Objective) -> tuple[Number, Number]:
    """The gradient of what a command u costs, with respect to it and to the command before it."""
    by_change = _TWO * objective.action_rate * (u - before)
    return by_change + _TWO * objective.action * (u - rest), -by_change


@inlined
def restrain_lane(adjoint: Floats, at: Number, objective: Objective) -> None:
    """Decay the gradient of one vehicle's state and keep its norm within the limit: a tumble must not drown the rest."""
    square = _ZERO
    for i in range(STATE_SIZE):
        square += adjoint[at + AT[i]] * adjoint[at + AT[i]]
    norm = math.sqrt(square)
    factor = objective.decay * (objective.limit / norm if norm > objective.limit else _ONE)
    for i in range(STATE_SIZE):
        adjoint[at + AT[i]] *= factor
    for i in range(LOOP, ADJOINT_ROWS):  # of rate loop and battery
        adjoint[at + AT[i]] *= factor
