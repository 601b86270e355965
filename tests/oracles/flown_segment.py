"""What the tests of gradients through the model share: a segment of flight with all that it meets, and a plain module."""

import numpy as np
import torch
from torch import nn

from spike_ctrl import airframe
from spike_ctrl.learn.bptt_kernel import SegmentConditions
from spike_ctrl.learn.objective import Objective
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.dynamics import LANES, STATE_ROWS
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.randomisation import MAX_DELAY, Randomisation
from spike_ctrl_networks import module_gradient

SLOPE, STEPS = 2.0, 8
OBJECTIVE = Objective(
    *map(np.float32, (1.0, 0.1, 0.25, 0.14)),
    far=np.float32(0.5), boundary=np.float32(2.0), boundary_at=np.float32(0.3), speed=np.float32(0.5),
    speed_at=np.float32(0.7), tilt=np.float32(1.0), upright=np.float32(0.8), body_rate=np.float32(0.2),
    body_rate_at=np.float32(1.5), action_rate=np.float32(0.3), decay=np.float32(0.98), limit=np.float32(5.0),
)  # fmt: skip
WILD = Randomisation(mass=0.2, inertia=0.2, thrust=0.2, torque=0.2, lag=0.2, gains=0.3, filters=0.3)


class Situation:
    """Vehicles with plants of their own, late commands and moving set-points, at the beginning of a segment."""

    def __init__(self, name, seed, steps=STEPS):
        rng = np.random.default_rng(seed)
        self.craft = airframe.load(name)
        self.motion = motion(self.craft, 1 / RATE_HZ)
        self.rest = np.float32(self.craft.hover if self.motion.layout == "motors" else 0.5)
        environment = Environment(self.craft, LANES, Task(randomisation=WILD))
        environment.reset(seed=seed)
        self.buffer = environment.buffer
        self.command = rng.uniform(0, 1, (MAX_DELAY, 4, LANES)).astype(np.float32)
        self.flight = SegmentConditions(
            noise=rng.normal(0, 0.1, (steps, 4, LANES)).astype(np.float32),
            sensor_noise=rng.normal(0, 0.02, (steps, 18, LANES)).astype(np.float32),
            delay=np.resize([0, 1, 2], LANES).astype(np.float32),
            course=rng.normal(0, 0.005, (steps, 3, LANES)).astype(np.float32),
        )

    def fly(self, step, state, objective=OBJECTIVE, beyond=None):
        buffer = self.buffer.copy()
        flown = module_gradient.fly_module(
            step, state, buffer, self.motion, self.rest, self.command, self.flight, objective, beyond
        )
        return flown, dynamics.read(buffer, STATE_ROWS, LANES)


class Remembering(nn.Module):
    """A GRU with a nested state, as anyone would write it."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRUCell(18, 8), nn.Linear(8, 4)

    def initial_state(self, batch):
        return torch.zeros(batch, 8), (torch.zeros(batch, 4),)

    def step(self, observation, state):
        hidden, (before,) = self.cell(observation, state[0]), state[1]
        action = torch.tanh(self.out(hidden) + 0.1 * before)
        return action, (hidden, (action,))
