"""A multilayer perceptron that flies from the observation and from how velocity and rates changed of late: no neuron spikes.

What it remembers is the leaky mean of velocity and rates. Their distance from it tells thrust and torques, and so what the
rotors do: a policy that knows nothing of them cannot brake in time. The mean reaches back over some hundredths of a second,
as the membranes of a spiking network do, so that a student can know what this teacher knows. In the first step of an episode
nothing has changed yet.
"""

import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import nn

from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim.observation import SIZE

UNIT = (*[1.0] * 3, *[1.0] * 9, *[2.0] * 3, *[5.0] * 3, *[0.5] * 3, *[3.0] * 3)
"""Of each input: 1 m, rotation, 2 m/s, 5 rad/s; of the changes .5 m/s, 3 rad/s."""
MOTION = slice(12, 18)  # velocity and rates
State: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""The mean before [B, 6], and 1 where there was one [B, 1]."""


class DenseNetwork(nn.Module):
    """Layers of tanh of these widths; see `learn.actor` for its methods.

    hover: the action to begin with. rate: by how much of its distance to what it sees the mean moves in a step.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generator: torch.Generator,
        hidden: Sequence[int] = (64, 64),
        hover: float = 0.3,
        rate: float = 0.2,
    ) -> None:
        super().__init__()
        if inputs != SIZE:
            raise UsageError(f"inputs: found {inputs}, wanted {SIZE}: the observation of a quadrotor")
        self.rate = rate
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((len(UNIT), *hidden)):
            layers += [_linear(before, after, math.sqrt(2), 0.0, generator), nn.Tanh()]
        layers.append(_linear(hidden[-1], outputs, 0.01, math.atanh(hover), generator))
        self.layers = nn.Sequential(*layers)
        self.unit: torch.Tensor
        self.register_buffer("unit", torch.tensor(UNIT))

    def initial_state(self, batch: int) -> State:
        """Nothing was seen."""
        return torch.zeros(batch, 6), torch.zeros(batch, 1)

    def step(self, observation: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Actions [B, out] in [-1, 1] from the observation [B, 18]."""
        change, after = self._change(observation, state)
        return self._action(observation, change), after

    def unroll_episodes(
        self, observation: torch.Tensor, state: State, slope: float, first: torch.Tensor | None
    ) -> tuple[torch.Tensor, State, tuple[torch.Tensor, ...]]:
        """Many steps [T, B, 18] at once, as if one by one; first [T, B]: those that begin an episode."""
        changes = []
        for t, row in enumerate(observation):
            if first is not None:
                state = state[0], state[1] * ~first[t, :, None]
            change, state = self._change(row, state)
            changes.append(change)
        return self._action(observation, torch.stack(changes)), state, ()

    def _change(self, observation: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """How far velocity and rates [B, 6] are from their mean, and the next state."""
        mean, known = state
        motion = observation[:, MOTION]
        change = known * (motion - mean)
        return change, (motion - (1 - self.rate) * change, torch.ones_like(known))

    def _action(self, observation: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layers(torch.cat([observation, change], -1) / self.unit))


def _linear(inputs: int, outputs: int, gain: float, bias: float, generator: torch.Generator) -> nn.Linear:
    """A layer that keeps the size of what it is given, times the gain (Saxe et al. 2014)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.constant_(layer.bias, bias)
    return layer
