"""What the adapter learns from where no model explains what it sees: the transitions of the flight itself.

    memory.add(tick, observation, action)           # for each state that the policy answered
    weights = learn(memory.rows(craft), parent, craft, seed)

The rewards follow from the states. TD3BC, as recipe `td3bc` has it, begins from the weights in command, holds them to the
actions that flew, and follows its critic's opinion of what is better. The critic knows neither rotor speeds nor forces.
"""

from collections import deque
from dataclasses import replace

import numpy as np
import torch

from spike_ctrl._files.arrays import Floats
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.off_policy import OffPolicy
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.recordings import recorded_transitions
from spike_ctrl.recordings.recorded_transitions import Recorded
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl.sim.reward import reward
from spike_ctrl.snn import network as networks
from spike_ctrl.snn.network import SpikingNetwork

KEPT = 6000  # steps, a minute
LEAST = 1000  # steps to learn from
ITERATIONS = 80
BOX = 1.0  # m: reward and critic tell distances apart up to there


class TransitionMemory:
    """The last KEPT steps of a flight: what the policy observed, and the action upon it."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, Floats, tuple[float, ...]]] = deque(maxlen=KEPT)

    def add(self, tick: int, observation: Floats, action: tuple[float, ...]) -> None:
        """One step: observation (18,) and action (4,). What is not finite is left out, and cuts the sequence."""
        if np.isfinite(observation).all() and np.isfinite(action).all():
            self._steps.append((tick, observation, action))

    def __len__(self) -> int:
        return len(self._steps)

    def rows(self, craft: Airframe) -> Rows:
        """The steps as rows of one vehicle; the reward of an action is that of the state it led to."""
        ticks, seen, acted = zip(*self._steps, strict=True)
        observation, action = np.array(seen, np.float32), np.array(acted, np.float32)
        flags = np.zeros(len(ticks), np.uint8)
        flags[0] = FIRST
        flags[1:][np.diff(ticks) != 1] = FIRST
        plan, earned = recipe(), np.zeros(len(ticks), np.float32)
        weights = plan.task.coefficients(plan.task.stage(0.0))
        throttle = recorded_transitions.throttle(action[:-1], craft)
        earned[:-1] = reward(observation[1:], throttle, craft.hover, weights)
        blank, none = np.zeros((len(ticks), 4), np.float32), np.zeros((len(ticks), 6), np.float32)
        return Rows(flags, observation, blank, none, action, action.copy(), earned)


def learn(rows: Rows, parent: Checkpoint, craft: Airframe, seed: int) -> dict[str, np.ndarray]:
    """The parent's weights after ITERATIONS of TD3BC on these rows."""
    plan, contract = recipe(), parent.manifest.contract
    network = SpikingNetwork(contract.sizes, contract.neuron, generator=torch.Generator().manual_seed(seed))
    network.load_weights(parent.weights)
    method = OffPolicy(plan, craft, 1, seed, network, torch.Generator().manual_seed(seed))
    held = recorded_transitions.buffer(Recorded(rows, True, ()), plan.replay.window, plan.td3bc.history)
    method.learn_from(held, blind=True)
    average, slope = AveragedNetwork(network, 1.0), float(recipes.find("rates").network.slope["k"])
    for step in range(ITERATIONS):
        method.update(step / ITERATIONS, slope, average)
    return networks.weights(network)


def recipe() -> Recipe:
    """Recipe `td3bc`, for seconds of one flight near its set-point."""
    found = recipes.find("td3bc")
    return replace(
        found,
        task=replace(found.task, reward="end", box=BOX),
        replay=replace(found.replay, window=60, critic_batch=24, actor_batch=16),
        td3bc=replace(
            found.td3bc, burn_in=20, bc=1.0, bc_end=1.0, exponent=0.5, alpha=10.0, gamma=0.98, critic_updates=4,
            actor_updates=2, q_full=0.4, q_from=0.3,
        ),
        schedule=replace(found.schedule, learning_rate=3e-4, learning_rate_end=3e-5, averaging=1.0),
    )  # fmt: skip
