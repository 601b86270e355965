"""Proximal policy optimisation (Schulman et al. 2017) for any actor: no guide, no labels, only the reward.

Each iteration: all vehicles fly some steps with the actor's actions and Gaussian noise, whose deviation is learned or
falls as the recipe says; generalised advantage estimation (Schulman et al. 2016) says which actions were better than
expected; a few passes over the flight in minibatches of whole sequences move actor and critic. The actor is unrolled from
the state that it had in flight. The critic also sees the rotor speeds.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import device
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.adam import Adam
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl.snn.network_state import State, each


class OnPolicy:
    """What algorithms share that learn from the flight since their last update: the ticks of it, and a critic of returns."""

    def __init__(
        self, recipe: Recipe, exponent: float, airframe: Airframe, vehicles: int, actor: Any, generator: torch.Generator
    ) -> None:
        self.schedule, self.actor, self.generator, self.vehicles = recipe.schedule, actor, generator, vehicles
        self.step_worth = recipe.task.floored(airframe.hover, exponent)
        with actors.seeded(generator):
            self.critic = Critic(recipe.critic_width).to(device.of(actor))
        self.hidden: State = actor.initial_state(vehicles)
        self.ticks: list[tuple[torch.Tensor, ...]] = []

    def keep(self, rows: Rows, *more: torch.Tensor) -> None:
        """Keep the tick: what was seen, the flags, what the step was worth, and these columns."""
        seen = torch.from_numpy(np.concatenate([rows.observation, rows.rotor_speed], 1))
        flags = [torch.from_numpy((rows.flags & mask) > 0) for mask in (FIRST, TERMINATED, TERMINATED | TRUNCATED)]
        self.ticks.append((seen, *flags, torch.from_numpy(self.step_worth(rows.reward)), *more))

    def minibatches(self, epochs: int, sequences: int) -> Iterator[tuple[torch.Tensor, State]]:
        """Some passes over the vehicles in random order: which are in each batch, and the states that they had in flight."""
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(self.vehicles, generator=self.generator), sequences):
                yield rows, each(lambda part, rows=rows: part[rows], self.hidden)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Nothing but modules and optimisers: a resumed run begins with new episodes."""
        return {}, {}

    def restore(self, arrays: dict[str, np.ndarray], info: dict[str, Any]) -> None:
        """Nothing was kept."""


class PPO(OnPolicy):
    """An `Exploring` algorithm, see `spike_ctrl.learn.algorithm`; its constants are the block `ppo` of the recipe."""

    def __init__(
        self, recipe: Recipe, airframe: Airframe, vehicles: int, seed: int, actor: Any, generator: torch.Generator
    ) -> None:
        if recipe.jump_start.horizon or recipe.jump_start.rest:
            raise UsageError("jump_start.horizon and rest: found a guide's share, wanted 0: PPO learns from its own flight")
        super().__init__(recipe, recipe.ppo.exponent, airframe, vehicles, actor, generator)
        self.settings = recipe.ppo
        self.noise = nn.ParameterList([torch.full((4,), math.log(recipe.ppo.deviation))]).to(device.of(actor))
        learned = [] if recipe.ppo.deviation_end else list(self.noise)
        self.optimiser = Adam([*actor.parameters(), *self.critic.parameters(), *learned])
        self.samples: list[tuple[torch.Tensor, torch.Tensor]] = []

    # --- flying ---

    def explore(self, observation: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The actions with noise; kept with their log-probability, since the rows hold them clipped."""
        mean = torch.from_numpy(action).to(self.noise[0].device)
        with torch.no_grad():
            sample = mean + self.noise[0].exp() * torch.randn(mean.shape, generator=self.generator).to(mean.device)
            self.samples.append((sample, self._log_probability(mean, sample)))
        noisy: np.ndarray = sample.cpu().numpy()
        return noisy

    def receive(self, rows: Rows) -> None:
        """Keep the tick; the action that belongs to it was explored before."""
        self.keep(rows, *self.samples.pop())

    # --- learning ---

    def update(self, progress: float, slope: float, average: AveragedNetwork) -> dict[str, float]:
        """Some passes over the flight since the last update; its last tick stays, as the first of the next flight."""
        if len(self.ticks) < 2:
            return {}
        s = self.settings
        rate = self.schedule.learning_rate + progress * (self.schedule.learning_rate_end - self.schedule.learning_rate)
        self.optimiser.param_groups[0]["lr"] = rate
        seen, first, crashed, ended, reward, sample, before = columns(self.ticks, self.critic)
        observation, begins = seen[:-1, :, :-4].contiguous(), first[:-1]
        flown = (~ended[:-1]).float()  # the action of a final state does nothing
        with torch.no_grad():
            values = self.critic(seen)
            advantage = generalised_advantages(reward, values, crashed, ended, first, s.gamma, s.gae)
            target = advantage + values[:-1]
            self.critic.follow(target[flown > 0])
            after = actors.unroll(self.actor, observation, self.hidden, slope, begins)[1]
            mean, spread = advantage[flown > 0].mean(), advantage[flown > 0].std() + 1e-6
        found: list[tuple[float, ...]] = []
        for rows, state in self.minibatches(s.epochs, s.sequences):
            action = actors.unroll(self.actor, observation[:, rows].contiguous(), state, slope, begins[:, rows])[0]
            ratio = (self._log_probability(action, sample[:-1, rows]) - before[:-1, rows]).exp()
            gain, weight = (advantage[:, rows] - mean) / spread, flown[:, rows]
            kept = torch.minimum(ratio * gain, ratio.clamp(1 - s.clip, 1 + s.clip) * gain)
            error = (self.critic(seen[:-1, rows]) - target[:, rows]).square() / self.critic.spread**2
            losses = [(weight * part).sum() / weight.sum().clamp(min=1) for part in (-kept, error)]
            actors.descend_(self.optimiser, losses[0] + 0.5 * losses[1], self.actor, self.critic)
            average.follow(self.actor)
            found.append((losses[0].item(), losses[1].item()))
        self.hidden, self.ticks = after, self.ticks[-1:]
        if s.deviation_end:
            self.noise[0].data.fill_(math.log(s.deviation) + progress * math.log(s.deviation_end / s.deviation))
        loss, critic = np.mean(found, axis=0)
        deviation = self.noise[0].exp().mean().item()
        return {"actor_loss": loss, "critic_loss": critic, "deviation": deviation, "learning_rate": rate}

    def _log_probability(self, mean: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """Of samples [..., 4] under a Gaussian around the mean, but for a constant."""
        found: torch.Tensor = -(0.5 * ((sample - mean) / self.noise[0].exp()).square() + self.noise[0]).sum(-1)
        return found

    # --- resuming ---

    def modules(self) -> dict[str, nn.Module]:
        return {"critic": self.critic, "noise": self.noise}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimiser": self.optimiser}


def columns(ticks: list[tuple[torch.Tensor, ...]], module: nn.Module) -> list[torch.Tensor]:
    """What ticks hold, one tensor [T, ...] for each of their parts, where the module is."""
    return [torch.stack(column).to(device.of(module)) for column in zip(*ticks, strict=True)]


def generalised_advantages(
    reward: torch.Tensor,
    values: torch.Tensor,
    crashed: torch.Tensor,
    ended: torch.Tensor,
    first: torch.Tensor,
    gamma: float,
    gae: float,
) -> torch.Tensor:
    """By how much each action [T, N] was better than expected; nothing reaches back over the end of an episode.

    All arguments are [T + 1, N]: the reward of the action, and of the state before it the value, and whether it is one after
    a crash, the last or the first of an episode.
    """
    found, later = torch.zeros_like(values[:-1]), torch.zeros_like(values[0])
    for t in reversed(range(len(found))):
        surprise = reward[t] + gamma * values[t + 1] * ~crashed[t + 1] - values[t]
        later = surprise + gamma * gae * later * ~(ended[t + 1] | first[t + 1])
        found[t] = later = later * ~ended[t]
    return found


class Critic(nn.Module):
    """The value [...] of what is seen [..., 18 + 4], in units of the mean and spread of past returns."""

    def __init__(self, width: int):
        super().__init__()
        layers = [nn.Linear(*sizes) for sizes in itertools.pairwise((22, width, width, 1))]
        self.output = layers[2]
        self.layers = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), self.output)
        self.mean: torch.Tensor
        self.spread: torch.Tensor
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.mean + self.spread * self.layers(seen)[..., 0]
        return found

    @torch.no_grad()
    def follow(self, returns: torch.Tensor, rate: float = 0.1) -> None:
        """Move mean and spread towards those of some returns; the values stay as they are (Hessel et al. 2019)."""
        before, output = (self.mean.clone(), self.spread.clone()), self.output
        self.mean.lerp_(returns.mean(), rate)
        self.spread.lerp_(returns.std().clamp(min=1e-3), rate)
        output.weight.mul_(before[1] / self.spread)
        output.bias.copy_((before[1] * output.bias + before[0] - self.mean) / self.spread)
