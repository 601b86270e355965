"""Critics of the asymmetric actor-critic: they see the privileged observation, the spiking actor does not.

`TwinCritic` is the paper's: Q(s, a) as one network. It has a fault at 100 Hz: one action of 10 ms moves the return by a
few per cent of what the state does, and where a policy answers bad states with large actions, the network explains bad
returns by large actions. Its gradient then points away from what helps. `AdvantageCritic` cannot do so: the action
counts in it only by its difference from what the policy itself does in that state.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import layer_norm

from spike_ctrl.learn.replay_buffer import HISTORY, QUADROTOR, Widths, privileged_size

VELOCITY_SCALE, RATES_SCALE = 0.5, 0.1  # 1 / (m/s), 1 / (rad/s)
VECTORS = (slice(0, 3), slice(9, 11), slice(12, 15), slice(15, 18))  # position error, tilt (of R), velocity, rates


class CriticInputs(NamedTuple):
    """What a critic sees: the privileged observation of rows of these widths, with the last `history` actions.

    sizes: how large a quadrotor's position error, tilt, velocity and rates are stands beside them, for the reward depends on
    these alone.
    """

    history: int = HISTORY
    widths: Widths = QUADROTOR
    sizes: bool = False


class Ensemble(nn.Module):
    """Independent networks of the same inputs, evaluated side by side: [..., P] to [members, ...], P + A with an action.
    With several outputs each gives [members, ..., outputs].

    Each hidden layer is normalised (Ba et al. 2016), which keeps values of unseen inputs bounded; velocities and body
    rates of a quadrotor's observation are brought to order 1. All randomness comes from the generator.
    """

    scale: torch.Tensor
    __call__: Callable[..., torch.Tensor]

    def __init__(
        self, members: int, width: int, generator: torch.Generator, seen: CriticInputs, with_action: bool, outputs: int = 1
    ):
        super().__init__()
        if seen.sizes and seen.widths != QUADROTOR:
            raise ValueError(f"sizes: found {seen.widths}, wanted the observation of a quadrotor")
        inputs = privileged_size(seen.history, seen.widths) + with_action * seen.widths.action
        self.outputs, self.width, self.sized = outputs, width, VECTORS if seen.sizes else ()
        layers = (inputs + len(self.sized), width, width, outputs)
        scale = torch.ones(inputs)
        if seen.widths == QUADROTOR:
            scale[12:15], scale[15:18] = VELOCITY_SCALE, RATES_SCALE
        self.register_buffer("scale", scale)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(layers):
            bound = 1 / math.sqrt(fan_in)
            self.weights.append(torch.empty(members, fan_in, fan_out).uniform_(-bound, bound, generator=generator))
            self.biases.append(torch.empty(members, 1, fan_out).uniform_(-bound, bound, generator=generator))

    def forward(self, inputs: torch.Tensor, members: int) -> torch.Tensor:
        """Values [members, ...] of the first `members` networks."""
        x = inputs * self.scale
        x = torch.cat([x, *(x[..., vector].norm(dim=-1, keepdim=True) for vector in self.sized)], -1)
        x = x.reshape(1, -1, x.shape[-1]).expand(members, -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias[:members], x, weight[:members])
            if index < len(self.weights) - 1:
                x = torch.relu_(self.normalise(x, index))
        return x.reshape(members, *inputs.shape[:-1], *([self.outputs] if self.outputs > 1 else []))

    def normalise(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        """What a hidden layer adds up to, [members, N, width], brought to order 1."""
        return layer_norm(x, (self.width,))


class TwinCritic(Ensemble):
    """Two networks Q(privileged observation, action): privileged [..., P], action [..., A] to values [2, ...]."""

    def __init__(self, width: int, generator: torch.Generator, seen: CriticInputs = CriticInputs()):
        super().__init__(2, width, generator, seen, with_action=True)

    def forward(  # type: ignore[override]  # it joins the two
        self, privileged: torch.Tensor, action: torch.Tensor, members: int = 2
    ) -> torch.Tensor:
        """Values [members, ...] of the first `members` critics."""
        return super().forward(torch.cat([privileged, action], -1), members)


class AdvantageCritic(nn.Module):
    """Q(s, a) = V(s) + A(s, a) - A(s, own) with two networks, V and A; own: the policy's action in that state.

    At a = own nothing but V explains the return, so that A and its gradient come from deviations alone (after Baird's
    advantages, 1993, and the compatible critic of Silver et al., 2014, which has a - own as its only input).
    """

    def __init__(self, width: int, generator: torch.Generator, seen: CriticInputs = CriticInputs()):
        super().__init__()
        self.state = Ensemble(1, width, generator, seen, with_action=False)
        self.deviation = Ensemble(1, width, generator, seen, with_action=True)

    def value(self, privileged: torch.Tensor) -> torch.Tensor:
        """V [...] of states [..., P]: what the policy itself gets from there."""
        return self.state(privileged, 1)[0]

    def advantage(self, privileged: torch.Tensor, action: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """What `action` [..., A] gets more than `own` [..., A], [...]."""
        both = torch.stack([action, own])
        found = self.deviation(torch.cat([privileged.expand(2, *privileged.shape), both], -1), 1)[0]
        return found[0] - found[1]

    def gain(self, privileged: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """`advantage` of the policy's own action over itself, [...]: nothing, with the gradient that improves it."""
        found = self.deviation(torch.cat([privileged, action], -1), 1)[0]
        return found - found.detach()
