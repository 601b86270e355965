"""Flights of the guide as data for supervised learning: its observations and its actions."""

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
from spike_ctrl.sim.environment import Environment, Task


def flights(
    airframe: Airframe, vehicles: int, steps: int, seed: int, gains: Gains = Gains()
) -> tuple[np.ndarray, np.ndarray]:
    """Fly one episode per vehicle in a box of 4 m.

    Gives observations (steps, vehicles, 18) and actions (steps, vehicles, 4).
    """
    environment = Environment(airframe, vehicles, Task(box=4.0, episode_steps=steps + 1))
    guide = GeometricGuide(airframe, gains)
    state = guide.initial_state(vehicles)
    seen, _ = environment.reset(seed=seed)
    observations, actions = np.empty((steps, vehicles, 18), np.float32), np.empty((steps, vehicles, 4), np.float32)
    for step in range(steps):
        action, state = guide.act(seen, state, environment.rotor_speed, environment.disturbance)
        observations[step], actions[step] = seen, action
        seen, *_ = environment.step(action)
    return observations, actions
