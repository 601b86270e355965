"""Three tenths of a second of flight by crazyflow's cf21B_500, kept in `crazyflow_drone.npz`, and the same flight here.

The tests compare airframe `crazyflie_21b` with it. This writes it anew, where requirements/simulators.txt is installed:

    SCIPY_ARRAY_API=1 python tests/oracles/crazyflow_drone.py
"""

from pathlib import Path

import numpy as np

from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates

FILE = Path(__file__).with_name("crazyflow_drone.npz")
VEHICLES, STEPS, HOLD = 8, 30, 5  # commands change every HOLD steps


def commands(hover):
    """Motor commands u [T, N, 4] about that of the hover."""
    turns = np.random.default_rng(0).uniform(-0.1, 0.1, (STEPS // HOLD, VEHICLES, 4))
    return hover + np.repeat(turns, HOLD, axis=0)


def fly_here(airframe):
    """Velocity (m/s, ENU) and body rates (rad/s, FLU) [N, 6] at the end, from a hover."""
    hover = InitialStates(0.0, 0.0, 0.0, 0.0, 0.0, rotors_low=airframe.hover, rotors_high=airframe.hover)
    environment = Environment(airframe, VEHICLES, Task(box=10.0, start=hover))
    environment.reset(seed=0)
    for command in commands(airframe.hover):
        environment.step((2 * command - 1).astype(np.float32))
    return environment.read(dynamics.STATE_ROWS)[:, 7:13]


def fly_there():
    """The same in crazyflow."""
    from spike_ctrl_benchmark.crazyflow_simulator import CrazyflowSimulator
    from spike_ctrl_benchmark.other_simulators import FlownStates

    simulator, none = CrazyflowSimulator("cf21B_500", VEHICLES), np.zeros((VEHICLES, 3))
    high, level = np.tile([0.0, 0, 5], (VEHICLES, 1)), np.tile([0.0, 0, 0, 1], (VEHICLES, 1))
    simulator.begin(FlownStates(high, level, none, none))
    for command in commands(simulator.rotors.hover):
        states = simulator.step(command)
    return np.concatenate([states.velocity, states.rates], 1)


if __name__ == "__main__":
    np.savez(FILE, last=fly_there())
