"""Short-horizon actor-critic on the model (SHAC; Xu et al. 2022): what a segment leaves to come, a critic tells.

The model gradient goes through segments of flight and forgets what comes after them, so its segments are long. Here a
critic V learns the cost to come from the flown segments, and the last state of a segment costs V of it. Segments can then
be short, and so their gradients smooth.

    algorithm: {class: spike_ctrl_studies.short_horizon:ShortHorizon, gamma: 0.99}
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from spike_ctrl.learn import actor as actors
from spike_ctrl.learn.adam import Adam
from spike_ctrl.learn.bptt import Job
from spike_ctrl.learn.critics import CriticInputs, Ensemble
from spike_ctrl.learn.objective import Objective
from spike_ctrl.learn.replay_buffer import Widths
from spike_ctrl.learn.td3bc import lambda_returns
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.reward import squared_errors
from spike_ctrl.snn.network import average_
from spike_ctrl.snn.network_state import State
from spike_ctrl_networks.module_bptt import ModuleGradient

SEEN = CriticInputs(0, Widths(rotor_speed=0, disturbance=0))
UNIT = 10.0  # of the critic's output: what a few steps far from the set-point cost
MOST = 2.0  # that a step costs to the critic, so that vehicles that tumble do not teach it alone


class ShortHorizon(ModuleGradient):
    """The model gradient with a critic of the observation behind each segment.

    gamma, td_lambda: of the critic, per step. epochs: the critic's updates for each segment. width: of its two layers.
    """

    def __init__(
        self,
        *given: Any,
        gamma: float = 0.99,
        td_lambda: float = 0.95,
        epochs: int = 2,
        width: int = 128,
        rate: float = 1e-3,
    ):
        super().__init__(*given)
        self.gamma, self.td_lambda, self.epochs = gamma, td_lambda, epochs
        self.critic = Ensemble(1, width, given[-1], SEEN, with_action=False)
        self.critic_target = copy.deepcopy(self.critic).requires_grad_(False)
        self.critic_optimiser = Adam(self.critic.parameters(), lr=rate)
        self._seen: list[torch.Tensor] = []
        self._given: list[torch.Tensor] = []

    def step_worth(self, reward: np.ndarray) -> np.ndarray:
        """Nothing is gained or lost by an early end: on the model a crash ends nothing."""
        return np.zeros_like(reward)

    def beyond(self, seen: torch.Tensor) -> torch.Tensor:
        """What is to come, [B], after the last observation of a segment [B, 18]."""
        self._seen.append(seen.detach())
        return self.gamma * self._value(self.critic_target, seen)

    def _value(self, critic: Ensemble, seen: torch.Tensor) -> torch.Tensor:
        """The cost to come of observations [..., 18]."""
        found: torch.Tensor = UNIT * critic(seen, 1)[0]
        return found

    def _fly(self, jobs: list[Job], objective: Objective, k: float) -> np.ndarray:
        self._seen, self._given = [], []
        errors = super()._fly(jobs, objective, k)
        self._learn(objective)
        return errors

    def step(self, observation: torch.Tensor, state: State, k: float) -> tuple[torch.Tensor, State]:
        """One step of the actor, which the critic learns from."""
        action, after = super().step(observation, state, k)
        self._seen.append(observation.detach())
        self._given.append(action.detach())
        return action, after

    def _learn(self, objective: Objective) -> None:
        seen, given = torch.stack(self._seen), torch.stack(self._given)
        cost = torch.from_numpy(self._cost(seen[1:].numpy(), action_mapping.command(given).numpy(), objective))
        ended, following = torch.zeros_like(cost), torch.ones_like(cost)
        following[-1] = 0
        for _ in range(self.epochs):
            with torch.no_grad():
                after = self._value(self.critic_target, seen[1:])
            target = lambda_returns(cost, ended, after, following, self.gamma, self.td_lambda)
            error = ((self._value(self.critic, seen[:-1]) - target) / UNIT).square().mean()
            actors.descend_(self.critic_optimiser, error)
            average_(self.critic_target, self.critic, 0.05)

    def _cost(self, seen: np.ndarray, command: np.ndarray, objective: Objective) -> np.ndarray:
        """Of each step, [T, B], but for the change of the command and what counts beyond the wall only."""
        weights = np.array([objective.position, objective.velocity, objective.attitude, objective.action], np.float32)
        errors = squared_errors(seen.reshape(-1, 18), command.reshape(-1, 4), self._rest) @ weights
        return np.minimum(errors, MOST).reshape(seen.shape[:2]).astype(np.float32)

    def modules(self) -> dict[str, nn.Module]:
        return super().modules() | {"critic": self.critic, "critic_target": self.critic_target}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return super().optimisers() | {"critic_optimiser": self.critic_optimiser}
