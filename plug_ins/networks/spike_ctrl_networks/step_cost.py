"""What a step of flight costs under the model gradient, as a number: `objective` of the core holds its gradient."""

import math

import numpy as np

from spike_ctrl._files.arrays import Floats, Number
from spike_ctrl._files.kernel import kernel
from spike_ctrl.learn.objective import Objective, beyond, body_rate, over, squared_errors, tilt_over
from spike_ctrl.sim.block_step import BLOCKWISE
from spike_ctrl.sim.dynamics import AT, LANES, ROWS

_TWO = np.float32(2)


@kernel(**BLOCKWISE)
def cost(
    buffer: Floats, course: Floats, tick: Number, command: Floats, before: Floats, rest: Number, objective: Objective
) -> Number:
    """The cost of a step, summed over the vehicles; arguments as of `add_errors`."""
    total = np.float64(0.0)
    for b in range(command.shape[1]):
        lane = np.uint64(b // LANES * ROWS * LANES + b % LANES)
        position, velocity, attitude, action = squared_errors(buffer, lane, course, b, tick, command, rest)
        distance, speed, far = math.sqrt(position), math.sqrt(velocity), objective.far
        total += objective.position * (far * (_TWO * distance - far) if distance > far else position)
        total += objective.velocity * velocity + objective.attitude * attitude + objective.action * action
        total += objective.speed * over(speed, objective.speed_at) ** 2
        total += objective.tilt * tilt_over(buffer, lane, objective.upright) ** 2
        total += objective.body_rate * over(body_rate(buffer, lane), objective.body_rate_at) ** 2
        for i in range(3):
            total += objective.boundary * beyond(buffer[lane + AT[i]], objective.boundary_at) ** 2
        for i in range(4):
            total += objective.action_rate * (command[i, b] - before[i, b]) ** 2
    return total
