"""On-policy distillation: the guide tells what it would do in every state that the policy visits, and rewards say where that
matters (DAgger, Ross et al. 2011, on what was flown last).

    loss = mean over steps of importance D(label, action) / mean importance,    importance = 1 - V / best

D is the divergence of two shares of full power, see `divergence`. V is what the policy itself earns from a state on, learned
from its rewards; best is what a perfect hover earns for ever. Most steps are flown near the set-point, where little can be
lost. A flight is lost in the few tenths of a second that follow a bad start, and there the label counts most. The policy is
unrolled from the state that it had in flight.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy as cross_entropy

from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.adam import Adam
from spike_ctrl.learn.off_policy import geometric
from spike_ctrl.learn.ppo import OnPolicy, columns, generalised_advantages
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows


class Dagger(OnPolicy):
    """An `Algorithm`, see `spike_ctrl.learn.algorithm`; its constants are the block `dagger` of the recipe."""

    def __init__(
        self, recipe: Recipe, airframe: Airframe, vehicles: int, seed: int, actor: Any, generator: torch.Generator
    ) -> None:
        super().__init__(recipe, recipe.dagger.exponent, airframe, vehicles, actor, generator)
        self.settings = recipe.dagger
        self.best = self.step_worth.scale / (1 - self.settings.gamma)
        self.actor_optimiser = Adam(actor.parameters(), foreach=True)
        self.critic_optimiser = Adam(self.critic.parameters(), lr=self.settings.critic_rate, foreach=True)

    def receive(self, rows: Rows) -> None:
        """Keep the tick."""
        self.keep(rows, torch.from_numpy(rows.guide_action))

    def update(self, progress: float, slope: float, average: AveragedNetwork) -> dict[str, float]:
        """Some passes over the flight since the last update; its last tick stays, as the first of the next flight."""
        if len(self.ticks) < 2:
            return {}
        rate = geometric(self.schedule.learning_rate, self.schedule.learning_rate_end, progress)
        self.actor_optimiser.param_groups[0]["lr"] = rate
        seen, first, crashed, ended, reward, label = columns(self.ticks, self.critic)
        observation, begins, label = seen[:-1, :, :-4].contiguous(), first[:-1], label[:-1]
        flown = (~ended[:-1]).float()  # the action of a final state does nothing
        with torch.no_grad():
            values = self.critic(seen)
            s = self.settings
            target = values[:-1] + generalised_advantages(reward, values, crashed, ended, first, s.gamma, s.td_lambda)
            self.critic.follow(target[flown > 0])
            importance = self.importance(values[:-1], flown)
            after = actors.unroll(self.actor, observation, self.hidden, slope, begins)[1]
        found: list[tuple[float, float]] = []
        for rows, state in self.minibatches(s.epochs, s.sequences):
            action, _, rates = actors.unroll(self.actor, observation[:, rows].contiguous(), state, slope, begins[:, rows])
            weight, kept = importance[:, rows], flown[:, rows]
            miss = (weight * divergence(action, label[:, rows])).sum() / kept.sum().clamp(min=1)
            actors.descend_(self.actor_optimiser, miss, self.actor)
            average.follow(self.actor)
            error = (self.critic(seen[:-1, rows]) - target[:, rows]).square() / self.critic.spread**2
            error = (kept * error).sum() / kept.sum().clamp(min=1)
            actors.descend_(self.critic_optimiser, error, self.critic)
            found.append((miss.item(), error.item()))
        self.hidden, self.ticks = after, self.ticks[-1:]
        imitation, critic = np.mean(found, axis=0)
        spikes = {f"spike_rate_{i}": float(share) for i, share in enumerate(rates)}
        return {"imitation_loss": imitation, "critic_loss": critic, "learning_rate": rate} | spikes

    def importance(self, values: torch.Tensor, flown: torch.Tensor) -> torch.Tensor:
        """What the label weighs in states [T, N] of these values: 1 on average, 0 in states in which nothing was flown."""
        importance: torch.Tensor = flown * (1 - values / self.best).clamp(min=self.settings.least_importance)
        return importance * flown.sum() / importance.sum().clamp(min=1e-6)

    # --- resuming ---

    def modules(self) -> dict[str, nn.Module]:
        return {"critic": self.critic}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"actor_optimiser": self.actor_optimiser, "critic_optimiser": self.critic_optimiser}


def divergence(action: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Twice the Kullback-Leibler divergence of actions from labels in [-1, 1], summed over the last axis, the rotors.

    An action u stands for the probability (1 + u) / 2. For u = tanh(z) the derivative with respect to z is 2 (u - label);
    that of the squared error has the factor 1 - u^2 too, and so it vanishes where a vehicle that falls needs all its thrust.
    What a network without a tanh has beyond [-1, 1] counts by its square.
    """
    inside = action.clamp(-1, 1)
    share, wanted = (1 + inside) / 2, (1 + label) / 2
    found = cross_entropy(share, wanted, reduction="none") - cross_entropy(wanted, wanted, reduction="none")
    return (2 * found + (action - inside).square()).sum(-1)
