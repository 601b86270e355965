"""Twin critics of the asymmetric actor-critic: they see the privileged observation, the spiking actor does not."""

from __future__ import annotations

import math

import torch
from torch import nn

from spike_ctrl.learn.buffer import PRIVILEGED_SIZE


class TwinCritic(nn.Module):
    """Two independent networks Q(privileged observation, action), evaluated side by side.

    privileged [..., P] and action [..., 4] to values [2, ...]. All randomness comes from the generator.
    """

    def __init__(self, width: int, generator: torch.Generator, inputs: int = PRIVILEGED_SIZE + 4):
        super().__init__()
        sizes = (inputs, width, width, 1)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:]):
            bound = 1 / math.sqrt(fan_in)
            self.weights.append(torch.empty(2, fan_in, fan_out).uniform_(-bound, bound, generator=generator))
            self.biases.append(torch.empty(2, 1, fan_out).uniform_(-bound, bound, generator=generator))

    def forward(self, privileged: torch.Tensor, action: torch.Tensor, members: int = 2) -> torch.Tensor:
        """Values [members, ...] of the first `members` critics."""
        shape = action.shape[:-1]
        x = torch.cat([privileged, action], -1).reshape(1, -1, privileged.shape[-1] + action.shape[-1]).expand(members, -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias[:members], x, weight[:members])
            if index < len(self.weights) - 1:
                x = torch.relu(x)
        return x.reshape(members, *shape)
