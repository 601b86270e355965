"""Networks without spikes, to compare a spiking one with: layers of tanh, and a gated recurrent unit.

A race recipe names them as `network: {class: spike_ctrl_racing.plain_networks:Dense, hidden: [128, 128]}`, or any torch
module with the methods of `spike_ctrl.learn.actor`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from spike_ctrl.snn.network_state import State


class Dense(nn.Module):
    """Layers of tanh of these widths, which remember nothing."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, hidden: Sequence[int] = (128, 128)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*widths) for widths in itertools.pairwise((inputs, *hidden, outputs)))
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def initial_state(self, batch: int) -> tuple[()]:
        return ()

    def step(self, observation: torch.Tensor, state: tuple[()]) -> tuple[torch.Tensor, tuple[()]]:
        """One control step: observation [B, in] to action [B, out] in [-1, 1]."""
        x = observation
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x, state


class Recurrent(nn.Module):
    """A layer of tanh, a gated recurrent unit and a readout; the state is what the unit remembers, [B, hidden]."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, hidden: int = 56):
        super().__init__()
        self.front, self.unit = nn.Linear(inputs, hidden), nn.GRUCell(hidden, hidden)
        self.readout = nn.Linear(hidden, outputs)
        nn.init.zeros_(self.readout.bias)

    def initial_state(self, batch: int) -> torch.Tensor:
        return torch.zeros(batch, self.unit.hidden_size)

    def step(self, observation: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One control step: observation [B, in] to action [B, out] in [-1, 1], and the next state."""
        state = self.unit(torch.tanh(self.front(observation)), state)
        return torch.tanh(self.readout(state)), state


class Scaled(nn.Module):
    """A trained network for observations as they are; the network itself takes them divided by `scale` [in]."""

    def __init__(self, network: nn.Module, scale: torch.Tensor):
        super().__init__()
        self.network: Any = network
        self.scale: torch.Tensor
        self.register_buffer("scale", scale)

    def initial_state(self, batch: int) -> State:
        return self.network.initial_state(batch)

    def step(self, observation: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """As of the network. ONNX Runtime's tanh exceeds 1 by a rounding, which no checkpoint may."""
        action, state = self.network.step(observation / self.scale, state)
        return action.clamp(-1.0, 1.0), state
