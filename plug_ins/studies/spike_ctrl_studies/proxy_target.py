"""A target actor that does not spike, after the proxy targets of arXiv 2505.24161.

A spiking target actor jumps where its weights move evenly, because spikes come and go, and so do the critics' targets. A
dense network that imitates the spiking actor follows it evenly, and takes the target actor's place in the targets.

    algorithm: spike_ctrl_studies.proxy_target:ProxyTarget
"""

import itertools
from typing import Any

import torch
from torch import nn

from spike_ctrl.learn import actor as actors
from spike_ctrl.learn.adam import Adam
from spike_ctrl.learn.critics import CriticInputs
from spike_ctrl.learn.off_policy import OffPolicy
from spike_ctrl.learn.replay_buffer import privileged_size
from spike_ctrl.learn.td3bc import TD3BC, Batch
from spike_ctrl.sim.reward_shaping import ShapedReward

STEPS = 3  # of the proxy for each update of the critics
RATE = 1e-3
WIDTH = 64


class ProxyUpdates(TD3BC):
    """TD3BC whose targets ask a dense network of the privileged observation, which knows the rotors."""

    def __init__(self, *given: Any, inputs: int, outputs: int, generator: torch.Generator):
        super().__init__(*given)
        layers: list[nn.Module] = []
        with actors.seeded(generator):
            for sizes in itertools.pairwise((inputs, WIDTH, WIDTH, outputs)):
                layers += [nn.Linear(*sizes), nn.Tanh()]
        self.proxy = nn.Sequential(*layers)
        self.proxy_optimiser = Adam(self.proxy.parameters(), lr=RATE)

    def own_actions(self, batch: Batch, slope: float) -> torch.Tensor:
        """What the proxy does, after some steps towards what the actor itself does."""
        state = self.actor.initial_state(batch.observation.shape[1])
        with torch.no_grad():
            wanted = actors.unroll(self.actor, batch.observation, state, slope)[0]
        for _ in range(STEPS):
            actors.descend_(self.proxy_optimiser, (self.proxy(batch.privileged) - wanted).square().mean())
        with torch.no_grad():
            found: torch.Tensor = self.proxy(batch.privileged)
        return found


class ProxyTarget(OffPolicy):
    """`td3bc` with a proxy for its target actor."""

    def make_algorithm(self, actor: nn.Module, seen: CriticInputs, floored: ShapedReward | None) -> TD3BC:
        plain = super().make_algorithm(actor, seen, floored)
        sizes = {"inputs": privileged_size(seen.history, seen.widths), "outputs": seen.widths.action}
        how = (actor, plain.critic, self.recipe.td3bc, self.recipe.schedule.learning_rate, floored)
        return ProxyUpdates(*how, **sizes, generator=self.generator)

    def modules(self) -> dict[str, nn.Module]:
        return super().modules() | {"proxy": self.algorithm.proxy}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return super().optimisers() | {"proxy_optimiser": self.algorithm.proxy_optimiser}
