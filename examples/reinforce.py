"""A method of learning of your own: REINFORCE (Williams 1992), the shortest that learns from rewards alone.

    spike-ctrl train examples/reinforce.yaml --vehicles 256

It flies some steps with noise, and makes those actions more likely after which more reward came than usual. The library's
PPO (`spike_ctrl.learn.ppo`) is the same idea with a critic, several passes over each flight, and bounds on each step.
"""

from typing import Any

import numpy as np
import torch

from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl.snn.network_state import State, detach


class Reinforce:
    """An `Exploring` algorithm, see `spike_ctrl.learn.algorithm`; the keywords at the end come from the recipe."""

    def __init__(
        self, recipe: Recipe, airframe: Airframe, vehicles: int, seed: int, actor: Any, generator: torch.Generator, *,
        noise: float = 0.4, gamma: float = 0.97,
    ):  # fmt: skip
        self.actor, self.generator, self.noise, self.gamma = actor, generator, noise, gamma
        self.step_worth = recipe.task.floored(airframe.hover)  # what it learns of the reward: never less than nothing
        self.optimiser = torch.optim.Adam(actor.parameters(), lr=recipe.schedule.learning_rate)
        self.hidden: State = actor.initial_state(vehicles)
        self.flight: list[tuple[np.ndarray, ...]] = []

    def explore(self, observation: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The actions to fly: the actor's with noise."""
        return action + self.noise * torch.randn(action.shape, generator=self.generator).numpy()

    def receive(self, rows: Rows) -> None:
        """Keep what was flown at one tick."""
        flags = (rows.flags & mask > 0 for mask in (FIRST, TERMINATED | TRUNCATED))
        self.flight.append((rows.observation, rows.action, self.step_worth(rows.reward), *flags))

    def update(self, progress: float, slope: float, average: AveragedNetwork) -> dict[str, float]:
        """One step on what was flown since the last."""
        columns = zip(*self.flight, strict=True)
        observation, action, reward, first, ended = (torch.from_numpy(np.stack(column)) for column in columns)
        later, returns = torch.zeros_like(reward[0]), torch.empty_like(reward)
        for t in reversed(range(len(reward))):
            returns[t] = later = torch.where(ended[t], 0.0, reward[t] + self.gamma * later)
        better = returns - returns.mean(1, keepdim=True)  # than the other vehicles at the same tick
        mean, self.hidden, _ = actors.unroll(self.actor, observation, self.hidden, slope, first)
        self.hidden = detach(self.hidden)
        unlikely = (action - mean).square().sum(-1) / (2 * self.noise**2)
        loss = (~ended * better * unlikely).mean() / better.std().clamp(min=1e-6)
        actors.descend_(self.optimiser, loss, self.actor)
        average.follow(self.actor)
        self.flight.clear()
        return {"actor_loss": loss.item(), "mean_reward": reward.mean().item()}

    # --- resuming ---

    def modules(self) -> dict[str, torch.nn.Module]:
        return {}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimiser": self.optimiser}

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Nothing else: a resumed run begins with new episodes."""
        return {}, {}

    def restore(self, arrays: dict[str, np.ndarray], info: dict[str, Any]) -> None:
        """Nothing was kept."""
