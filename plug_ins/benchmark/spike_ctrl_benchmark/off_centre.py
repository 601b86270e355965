"""A centre of mass beside the middle of the rotors: their thrust then turns the vehicle, and the more the more they give."""

from collections.abc import Callable
from typing import Any

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import airframe_sampler
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.step_view import StepView


def displaced(share: float) -> Callable[[Airframe, int, Task], Environment]:
    """Makes vehicles whose centre of mass lies this share of an arm beside the middle, each in a direction of its own."""

    def simulator(carrier: Airframe, vehicles: int, task: Task) -> Environment:
        environment = Environment(carrier, vehicles, task)
        environment.insert("wind", lambda step: {"torque": step.torque + torque(step, share)})
        return environment

    return simulator


def torque(step: StepView, share: float) -> Any:
    """N m, body FLU, (N, 3): of the rotors' thrust T about a centre of mass at (x, y), m: -(x, y, 0) x (0, 0, T).

    A drawn vehicle flies with the carrier's arms, and its inertia for them: so the carrier's arm counts. The inertia is that
    about the middle.
    """
    if "angle" not in step.memory:
        step.memory["angle"] = step.random.uniform(-np.pi, np.pi, len(step.mass))
    angle = step.memory["angle"]
    speed = np.asarray(step.rotors, float)
    curve = np.asarray(step.thrust_curve, float)[:, None, :]
    thrust = (curve[..., 0] + curve[..., 1] * speed + curve[..., 2] * speed**2).sum(1)
    lever = share * airframe_sampler.arm(step.airframe) * thrust
    return np.stack([-np.sin(angle) * lever, np.cos(angle) * lever, 0 * lever], 1)
