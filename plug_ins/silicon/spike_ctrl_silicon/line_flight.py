"""Flights whose actions come over a serial line, step by step beside the integer network that the line should hold."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.benchmark import EPISODE_STEPS, EVALUATION_SEED
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl_silicon.integer_network import IntegerNetwork, IntegerRuntime
from spike_ctrl_silicon.serial_policy import SerialPolicy


class LineFlight(NamedTuple):
    """A flight: mean distance to the set-point in its last second (m), and times from request to reply (s)."""

    hover: float
    took: tuple[float, ...]


def fly_line(
    found: Checkpoint, network: IntegerNetwork, line: SerialPolicy, flights: int, clock: Callable[[], float]
) -> list[LineFlight]:
    """Fly 5 s from so many random starts. Raises UsageError at the first action that is not the network's, bit by bit."""
    craft, runtime = found.airframe(), IntegerRuntime(network)
    done = []
    for flight in range(flights):
        environment = Environment(craft, 1, Task(box=100.0, episode_steps=EPISODE_STEPS + 1))
        observation, _ = environment.reset(seed=EVALUATION_SEED + flight)
        place, state = line.initial_state(1), runtime.initial_state(1)
        took, distance = [], []
        for step in range(EPISODE_STEPS):
            seen = complete_of(runtime, observation, environment).astype(np.float32)
            begun = clock()
            action, place = line.step(seen, place)
            took.append(clock() - begun)
            wanted, state = runtime.step(seen, state)
            if not np.array_equal(action, wanted):
                raise UsageError(f"{line.port}: flight {flight}, step {step}: found {action[0]}, wanted {wanted[0]}")
            observation = environment.step(action)[0]
            distance.append(float(np.linalg.norm(environment.true_observation[0, :3])))
        done.append(LineFlight(float(np.mean(distance[-100:])), tuple(took)))
    return done
