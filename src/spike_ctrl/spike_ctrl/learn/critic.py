"""Twin critics of the asymmetric actor-critic: they see the privileged observation, the spiking actor does not."""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn
from torch.nn.functional import layer_norm

from spike_ctrl.learn.buffer import PRIVILEGED_SIZE

VELOCITY_SCALE, RATES_SCALE = 0.5, 0.1  # 1 / (m/s), 1 / (rad/s)


class TwinCritic(nn.Module):
    """Two independent networks Q(privileged observation, action), evaluated side by side.

    privileged [..., P] and action [..., 4] to values [2, ...]. Each hidden layer is normalised (Ba et al. 2016), which
    keeps values of unseen actions bounded; inputs are brought to order 1. All randomness comes from the generator.
    """

    def __init__(self, width: int, generator: torch.Generator, inputs: int = PRIVILEGED_SIZE + 4):
        super().__init__()
        sizes = (inputs, width, width, 1)
        self.width = width
        scale = torch.ones(inputs)
        scale[12:15], scale[15:18] = VELOCITY_SCALE, RATES_SCALE
        self.register_buffer("scale", scale)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(fan_in)
            self.weights.append(torch.empty(2, fan_in, fan_out).uniform_(-bound, bound, generator=generator))
            self.biases.append(torch.empty(2, 1, fan_out).uniform_(-bound, bound, generator=generator))

    def forward(self, privileged: torch.Tensor, action: torch.Tensor, members: int = 2) -> torch.Tensor:
        """Values [members, ...] of the first `members` critics."""
        shape = action.shape[:-1]
        x = (torch.cat([privileged, action], -1) * self.scale).reshape(1, -1, len(self.scale)).expand(members, -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias[:members], x, weight[:members])
            if index < len(self.weights) - 1:
                x = torch.relu(layer_norm(x, (self.width,)))
        return x.reshape(members, *shape)
