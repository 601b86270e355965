"""A multilayer perceptron that flies from the observation and from how it changed in the last step: no neuron spikes.

It sees position error and velocity in body axes, the rotation matrix, the body rates, and the change of velocity and rates
since the step before. That change tells thrust and torques, and so what the rotors do: a policy that knows nothing of them
cannot brake in time. In the first step of an episode nothing has changed yet.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import nn

from spike_ctrl.sim.observation import SIZE

UNIT = (*[0.5] * 3, *[1.0] * 3, *[0.2] * 3, *[1.0] * 9, *[5.0] * 3, *[2.0] * 3)
"""Of each input: .5 m, 1 m/s, .2 m/s in 10 ms, rotation, 5 rad/s, 2 rad/s in 10 ms."""
State: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""The observation before [B, 18], and 1 where there was one [B, 1]."""


class DenseNetwork(nn.Module):
    """Layers of tanh of these widths; see `learn.actor` for its methods. hover: the action to begin with."""

    def __init__(
        self, inputs: int, outputs: int, generator: torch.Generator, hidden: Sequence[int] = (64, 64), hover: float = 0.3
    ) -> None:
        super().__init__()
        if inputs != SIZE:
            raise ValueError(f"inputs: found {inputs}, wanted {SIZE}: the observation of a quadrotor")
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((len(UNIT), *hidden)):
            layers += [_linear(before, after, math.sqrt(2), 0.0, generator), nn.Tanh()]
        layers.append(_linear(hidden[-1], outputs, 0.01, math.atanh(hover), generator))
        self.layers = nn.Sequential(*layers)
        self.unit: torch.Tensor
        self.register_buffer("unit", torch.tensor(UNIT))

    def initial_state(self, batch: int) -> State:
        """Nothing was seen."""
        return torch.zeros(batch, SIZE), torch.zeros(batch, 1)

    def step(self, observation: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Actions [B, out] in [-1, 1] from the observation [B, 18]."""
        return self._action(observation, *state), (observation, torch.ones_like(state[1]))

    def unroll_episodes(
        self, observation: torch.Tensor, state: State, slope: float, first: torch.Tensor | None
    ) -> tuple[torch.Tensor, State, tuple[torch.Tensor, ...]]:
        """Many steps [T, B, 18] at once, as if one by one; first [T, B]: those that begin an episode."""
        before = torch.cat([state[0][None], observation[:-1]])
        known = torch.cat([state[1][None], torch.ones_like(observation[:-1, :, :1])])
        if first is not None:
            known = known * ~first[..., None]
        return self._action(observation, before, known), (observation[-1], torch.ones_like(state[1])), ()

    def _action(self, observation: torch.Tensor, before: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        change = known * (observation - before)
        vectors = torch.stack([observation[..., 0:3], observation[..., 12:15], change[..., 12:15]], -2)
        rotation = observation[..., 3:12].reshape(*observation.shape[:-1], 3, 3)
        in_body_axes = (vectors @ rotation).reshape(*observation.shape[:-1], 9)
        seen = torch.cat([in_body_axes, observation[..., 3:12], observation[..., 15:18], change[..., 15:18]], -1)
        return torch.tanh(self.layers(seen / self.unit))


def _linear(inputs: int, outputs: int, gain: float, bias: float, generator: torch.Generator) -> nn.Linear:
    """A layer that keeps the size of what it is given, times the gain (Saxe et al. 2014)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.constant_(layer.bias, bias)
    return layer
