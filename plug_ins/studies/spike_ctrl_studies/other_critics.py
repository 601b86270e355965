"""Critics of the literature in the place of `td3bc`'s own: REDQ, TQC and CrossQ, and a critic that begins as the guide's.

Each is an algorithm that a recipe names, with the blocks of `td3bc`:

    algorithm: {class: spike_ctrl_studies.other_critics:REDQ, members: 10}

The actor is updated as in TD3BC. None sees its critic's minimum: it follows the mean of all networks.
"""

from typing import Any

import torch
from torch.nn.functional import huber_loss

from spike_ctrl.learn import actor as actors
from spike_ctrl.learn.critics import CriticInputs, Ensemble
from spike_ctrl.learn.off_policy import OffPolicy
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.td3bc import TD3BC, Batch, lambda_returns
from spike_ctrl.snn.network import average_


class WideEnsemble(Ensemble):
    """Networks Q(privileged observation, action): [..., P], [..., A] to [members, ...], or [members, ..., outputs]."""

    def __init__(self, members: int, width: int, generator: torch.Generator, seen: CriticInputs, outputs: int = 1):
        super().__init__(members, width, generator, seen, with_action=True, outputs=outputs)
        self.members = members

    def forward(self, privileged: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Values of all networks."""
        return super().forward(torch.cat([privileged, action], -1), self.members)


class ManyCritics(TD3BC):
    """REDQ (Chen et al. 2021): the target is the least of a few networks that are drawn for each update."""

    drawn: int

    def next_value(self, batch: Batch, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        some = torch.randperm(self.critic_target.members, generator=generator)[: self.drawn]
        return self.critic_target(batch.privileged[1:], self.noisy(own, generator)[1:])[some].amin(0)

    def opinion(self, privileged: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.seen_critic(privileged, action).mean(0)


class REDQ(OffPolicy):
    """`members` networks, of which `drawn` make each target."""

    updates = ManyCritics

    def __init__(self, recipe: Recipe, *given: Any, members: int = 10, drawn: int = 2):
        self.members = members
        super().__init__(recipe, *given)
        self.algorithm.drawn = drawn

    def make_critic(self, seen: CriticInputs) -> WideEnsemble:
        return WideEnsemble(self.members, self.recipe.critic_width, self.generator, seen)


class QuantileCritics(TD3BC):
    """TQC (Kuznetsov et al. 2020): each network learns quantiles of the return; the target leaves out the highest of all.

    The target's mean is a lambda return as elsewhere, and its quantiles lie around it as those of the next state do.
    """

    left_out: int  # of each network's quantiles

    def update_critics(self, batch: Batch, slope: float, generator: torch.Generator) -> float:
        own = self.own_actions(batch, slope)
        target = self._atoms(batch, own, generator)[None, ..., None, :]
        found = self.critic(batch.privileged[:-1], batch.action)[..., None]
        levels = (torch.arange(self.critic.outputs) + 0.5) / self.critic.outputs
        wide = torch.broadcast_shapes(found.shape, target.shape)
        miss = huber_loss(found.expand(wide), target.expand(wide), reduction="none", delta=HUBER)
        tilt = (levels[:, None] - (target < found.detach()).float()).abs()
        error = (batch.weight * (tilt * miss).mean((-1, -2))).sum() / batch.weight.sum().clamp(min=1)
        actors.descend_(self.critic_optimiser, error)
        average_(self.critic_target, self.critic, self.settings.tau)
        return error.item()

    @torch.no_grad()
    def _atoms(self, batch: Batch, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Quantiles of the target, [L, B, M]."""
        s = self.settings
        found = self.critic_target(batch.privileged[1:], self.noisy(own, generator)[1:])
        kept = found.movedim(0, -2).flatten(-2).sort(-1).values[..., : -self.left_out * self.critic_target.members]
        mean = kept.mean(-1)
        target = lambda_returns(batch.reward, batch.terminated, mean, self._following(batch), s.gamma, s.td_lambda)
        around = s.gamma * (1 - batch.terminated)[..., None] * (kept - mean[..., None])
        return target[..., None] + around

    def opinion(self, privileged: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.seen_critic(privileged, action).mean((0, -1))


HUBER = 0.1  # where the quantiles' loss becomes linear; rewards are of the order of .3


class TQC(OffPolicy):
    """`members` networks of `quantiles` each, of which `left_out` are not believed."""

    updates = QuantileCritics

    def __init__(self, recipe: Recipe, *given: Any, members: int = 2, quantiles: int = 25, left_out: int = 2):
        self.members, self.quantiles = members, quantiles
        super().__init__(recipe, *given)
        self.algorithm.left_out = left_out

    def make_critic(self, seen: CriticInputs) -> WideEnsemble:
        return WideEnsemble(self.members, self.recipe.critic_width, self.generator, seen, self.quantiles)


class BatchNormalisedCritics(WideEnsemble):
    """Two networks whose hidden layers are normalised over the batch in training, and by its running moments elsewhere."""

    RATE = 0.01  # of the moments

    def __init__(self, width: int, generator: torch.Generator, seen: CriticInputs):
        super().__init__(2, width, generator, seen)
        self.mean: torch.Tensor
        self.variance: torch.Tensor
        self.register_buffer("mean", torch.zeros(2, self.members, 1, width))
        self.register_buffer("variance", torch.ones(2, self.members, 1, width))

    def normalise(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        mean, variance = self.mean[layer], self.variance[layer]
        if self.training:
            mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True)
            self.mean[layer].lerp_(mean.detach(), self.RATE)
            self.variance[layer].lerp_(variance.detach(), self.RATE)
        return (x - mean) / (variance + 1e-5).sqrt()


class WithoutTargets(TD3BC):
    """CrossQ (Bhatt et al. 2024): no target networks; states and next states pass one batch-normalised critic at once."""

    def update_critics(self, batch: Batch, slope: float, generator: torch.Generator) -> float:
        s = self.settings
        state = self.actor.initial_state(batch.observation.shape[1])
        with torch.no_grad():
            own = actors.unroll(self.actor, batch.observation, state, slope)[0]
        both = torch.cat([batch.privileged[:-1], batch.privileged[1:]])
        self.critic.train()
        found = self.critic(both, torch.cat([batch.action, self.noisy(own, generator)[1:]]))
        self.critic.eval()
        value, following = found.chunk(2, 1)
        least = following.detach().amin(0)
        target = lambda_returns(batch.reward, batch.terminated, least, self._following(batch), s.gamma, s.td_lambda)
        error = (batch.weight * (value - target).square()).sum() / batch.weight.sum().clamp(min=1)
        actors.descend_(self.critic_optimiser, error)
        return error.item() / 2

    def opinion(self, privileged: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.seen_critic(privileged, action).mean(0)


class CrossQ(OffPolicy):
    """Twin critics of `width` without targets."""

    updates = WithoutTargets

    def __init__(self, recipe: Recipe, *given: Any, width: int = 256):
        self.width = width
        super().__init__(recipe, *given)

    def make_critic(self, seen: CriticInputs) -> WideEnsemble:
        return BatchNormalisedCritics(self.width, self.generator, seen).eval()


class GuideFirst(TD3BC):
    """A critic by advantages whose V is the value of what was flown, by the guide at first, until `of_guide` is false."""

    of_guide = True

    @torch.no_grad()
    def own_actions(self, batch: Batch, slope: float) -> torch.Tensor:
        if not self.of_guide:
            return super().own_actions(batch, slope)
        return torch.cat([batch.label, batch.label[-1:]])


class GuidesValue(OffPolicy):
    """The critic learns the guide's value until the actor begins to ask it (`q_from`), and goes on from there."""

    updates = GuideFirst

    def update(self, progress: float, k: float, average: Any) -> dict[str, float]:
        self.algorithm.of_guide = progress < self.recipe.td3bc.q_from
        return super().update(progress, k, average)
