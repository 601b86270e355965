"""TD3BC on sequences, as the paper means it: one actor, two critics that know more, targets of all three.

    critics   y = r + gamma (1 - terminated) V'(s'),  V'(s) = min_j Q'_j(s, pi'(s) + clipped noise)
              with lambda > 0: y = r + gamma (1 - terminated) ((1 - lambda) V'(s') + lambda y')   along the window
    actor     -alpha Q_1(s, pi(s)) / unit + bc |label - pi(s)|^2 + action_rate |pi(s) - pi(s_before)|^2

r is the reward above a floor, see `reward_shaping`. unit is mean |Q_1|, or the deviation of Q_1 over the batch. With
`critic: advantage` there is one critic, Q(s, a) = V(s) + A(s, a) - A(s, pi'(s)), and V'(s') its own.

The network is unrolled from the zero state at the window's start. The first `burn_in` steps let its membranes settle
and carry no loss, unless the window begins with the episode, where the zero state is the true one.
"""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch

from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import device
from spike_ctrl.learn.adam import Adam
from spike_ctrl.learn.algorithm_settings import TD3BCSettings
from spike_ctrl.learn.critics import AdvantageCritic, TwinCritic
from spike_ctrl.learn.replay_buffer import Sequences
from spike_ctrl.sim.reward_shaping import ShapedReward
from spike_ctrl.snn.network import average_

Critic = TwinCritic | AdvantageCritic


class Batch(NamedTuple):
    """Sequences as tensors, with the reward that the critics learn and the steps that carry a loss."""

    observation: torch.Tensor
    privileged: torch.Tensor
    action: torch.Tensor
    label: torch.Tensor
    label_weight: torch.Tensor  # [L, B]
    reward: torch.Tensor
    terminated: torch.Tensor
    weight: torch.Tensor  # [L, B] 1 where the step carries a loss
    carrying: torch.Tensor  # [n] int64: the places of these steps, l B + b

    def carried(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows [L, B, ...] of the steps that carry a loss, [n, ...]."""
        return rows.flatten(0, 1)[self.carrying]


class TD3BC:
    """Actor, critics, their targets and optimisers; `update_critics` and `update_actor` each take one step.

    actor: a spiking network or any module that `actor` describes, of any numbers of inputs O and outputs A. floored: what
    the critics learn of the reward; None where the settings shift it.
    """

    def __init__(
        self, actor: Any, critic: Critic, settings: TD3BCSettings, learning_rate: float, floored: ShapedReward | None = None
    ):
        self.settings, self.floored = settings, floored
        self.actor, self.actor_target = actor, copy.deepcopy(actor).requires_grad_(False)
        self.critic, self.critic_target = critic, copy.deepcopy(critic).requires_grad_(False)
        # What critics and actor see of each other where they are updated at once.
        self.shown = (copy.deepcopy(self.actor_target), copy.deepcopy(critic)) if settings.at_once else None
        self.actor_optimiser = Adam(actor.parameters(), lr=learning_rate, foreach=True)
        self.critic_optimiser = Adam(critic.parameters(), lr=learning_rate, foreach=True)

    def set_learning_rate(self, rate: float) -> None:
        for optimiser in (self.actor_optimiser, self.critic_optimiser):
            optimiser.param_groups[0]["lr"] = rate

    def exchange(self) -> None:
        """Show critics and actor each other as they are now, where they are updated at once."""
        if self.shown:
            average_(self.shown[0], self.actor_target, 1.0)
            average_(self.shown[1], self.critic, 1.0)

    @property
    def seen_critic(self) -> Critic:
        """The critics, as the actor sees them."""
        return self.shown[1] if self.shown else self.critic

    def batch(self, sequences: Sequences) -> Batch:
        """Tensors of a sample; the sample itself is not changed."""
        s = self.settings
        steps = np.arange(len(sequences.action))[:, None]
        settled = (steps >= s.burn_in) | (sequences.age[None] == 0)
        label, label_weight = sequences.guide_action, np.ones_like(sequences.reward)
        if s.label == "buffer":
            label, label_weight = sequences.action, np.where(sequences.by_guide, 1.0, s.bc_own)
        weight = sequences.mask & settled
        given = {
            "observation": sequences.observation,
            "privileged": sequences.privileged,
            "action": sequences.action,
            "label": label,
            "label_weight": label_weight.astype(np.float32),
            "reward": self.learned(sequences.reward, sequences.terminated),
            "terminated": sequences.terminated.astype(np.float32),
            "weight": weight.astype(np.float32),
            "carrying": np.flatnonzero(weight),
        }
        place = device.of(self.actor)
        return Batch(**{name: torch.from_numpy(array).to(place) for name, array in given.items()})

    def learned(self, reward: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        """What the critics learn of rewards, of any shape, and of the crashes that ended some steps."""
        if self.floored:
            return self.floored(reward)
        s = self.settings
        shifted = s.reward_scale * (reward - s.reward_shift) + s.crash_reward * terminated
        return shifted.astype(np.float32)

    @torch.no_grad()
    def own_actions(self, batch: Batch, slope: float) -> torch.Tensor:
        """What the target actor does in each state of the windows, [L + 1, B, A]."""
        seen = self.shown[0] if self.shown else self.actor_target  # as the critics see it
        return actors.unroll(seen, batch.observation, seen.initial_state(batch.observation.shape[1]), slope)[0]

    @torch.no_grad()
    def targets(self, batch: Batch, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Values [L, B] that the critics are drawn to, from the target actor's actions; the batch is not changed."""
        s, value = self.settings, self.next_value(batch, own, generator)
        return lambda_returns(batch.reward, batch.terminated, value, self._following(batch), s.gamma, s.td_lambda)

    def next_value(self, batch: Batch, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """What the target critics say of the states that the steps led to, [L, B]."""
        if isinstance(self.critic_target, AdvantageCritic):
            return self.critic_target.value(batch.privileged[1:])
        return self.critic_target(batch.privileged[1:], self.noisy(own, generator)[1:]).amin(0)

    def noisy(self, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The target actor's actions with the clipped noise of TD3."""
        s = self.settings
        noise = torch.randn(own.shape, generator=generator).mul_(s.policy_noise).clamp_(-s.noise_clip, s.noise_clip)
        return (own + noise.to(own.device)).clamp_(-1, 1)

    @staticmethod
    def _following(batch: Batch) -> torch.Tensor:
        """[L, B] 1 where the next step of the window belongs to the same episode, and so may hand its return back."""
        following = torch.zeros_like(batch.weight)
        following[:-1] = batch.weight[1:]
        return following

    def update_critics(self, batch: Batch, slope: float, generator: torch.Generator) -> float:
        """One step on both critics; returns the mean squared error."""
        own = self.own_actions(batch, slope)
        target = batch.carried(self.targets(batch, own, generator))
        privileged, action = batch.carried(batch.privileged[:-1]), batch.carried(batch.action)
        if isinstance(self.critic, AdvantageCritic):
            value = self.critic.value(privileged) + self.critic.advantage(privileged, action, batch.carried(own[:-1]))
        else:
            value = self.critic(privileged, action)
        miss = (value - target).square()
        error = miss.sum() / max(1, len(target))
        actors.descend_(self.critic_optimiser, error)
        average_(self.critic_target, self.critic, self.settings.tau)
        return error.item() * len(target) / max(1, miss.numel())

    def update_actor(self, batch: Batch, bc: float, q: float, slope: float) -> tuple[dict[str, float], tuple[float, ...]]:
        """One step on the actor and its target: `bc` weighs the label, `q` in [0, 1] the critic's opinion.

        Returns the terms of the loss and the spike rate of each layer.
        """
        state = self.actor.initial_state(batch.action.shape[1])
        action, _, rates = actors.unroll(self.actor, batch.observation[:-1], state, slope)
        imitation, opinion = self.actor_losses(batch, action)
        loss = bc * imitation + q * opinion + self.settings.action_rate * self._change(batch, action)
        actors.descend_(self.actor_optimiser, loss, self.actor, clip=self.settings.gradient_clip)
        average_(self.actor_target, self.actor, self.settings.tau)
        losses = {"actor_loss": loss.item(), "imitation_loss": imitation.item(), "q_loss": opinion.item()}
        return losses, tuple(rate.item() for rate in rates)

    @staticmethod
    def _change(batch: Batch, action: torch.Tensor) -> torch.Tensor:
        """Mean squared change of the actions [L, B, A] between steps that both carry a loss."""
        both = batch.weight[1:] * batch.weight[:-1]
        return (both * (action[1:] - action[:-1]).square().sum(-1)).sum() / both.sum().clamp(min=1)

    def actor_losses(self, batch: Batch, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """|label - action|^2 and -alpha Q_1(s, action) / unit for the actor's own actions [L, B, A]."""
        total = batch.weight.sum().clamp(min=1)
        miss = (action - batch.label).square().sum(-1)
        if self.settings.bc_unit == "deviation":
            miss = in_deviations(action - batch.label, batch.label, batch.weight).square().mean(-1)
        imitation = (batch.weight * batch.label_weight * miss).sum() / total
        critic = self.seen_critic.requires_grad_(False)
        value = self.opinion(batch.carried(batch.privileged[:-1]), batch.carried(action))
        critic.requires_grad_(True)
        mean, size = value.sum() / total, value.detach().abs().sum() / total
        if self.settings.q_unit == "deviation":
            size = ((value.detach() - mean.detach()).square().sum() / total).sqrt()
        return imitation, -self.settings.alpha * mean / size.clamp(min=1e-6)

    def opinion(self, privileged: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """What the actor's own actions [n, A] in states [n, P] are worth to the actor's update, [n]."""
        critic = self.seen_critic
        if isinstance(critic, AdvantageCritic):
            return critic.value(privileged) + critic.gain(privileged, action)
        return critic(privileged, action, members=1)[0]


def in_deviations(error: torch.Tensor, label: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Errors [L, B, A] in units in which the labels, weighed by [L, B], have the unit matrix as their covariance."""
    total = weight.sum().clamp(min=1)
    centred = label - (weight[..., None] * label).sum((0, 1)) / total
    covariance = torch.einsum("lb,lbi,lbj->ij", weight, centred, centred) / total
    floor = (1e-6 * covariance.trace() + 1e-12) * torch.eye(label.shape[-1]).to(label)  # labels that never change
    root = torch.linalg.cholesky(covariance + floor)
    found: torch.Tensor = torch.linalg.solve_triangular(root, error[..., None], upper=False)[..., 0]
    return found


def lambda_returns(
    reward: torch.Tensor, terminated: torch.Tensor, next_value: torch.Tensor, following: torch.Tensor, gamma: float,
    td_lambda: float,
) -> torch.Tensor:  # fmt: skip
    """Returns [L, B] mixed from bootstrapped values: lambda 0 is the one-step target.

    `following` [L, B] is 1 where the return of the next step may be used; elsewhere the value alone bootstraps.
    """
    mix = td_lambda * following
    discount = gamma * (1 - terminated)
    targets = reward + discount * (1 - mix) * next_value
    handed = discount * mix
    targets[-1] += handed[-1] * next_value[-1]
    for t in range(len(reward) - 2, -1, -1):
        targets[t].addcmul_(handed[t], targets[t + 1])
    return targets
