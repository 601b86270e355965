"""A gated recurrent unit: the usual network with memory, to compare a spiking one with.

network: {class: examples.gru:GRU, hidden: 64}
"""

import torch
from torch import nn


class GRU(nn.Module):
    """One layer in front, one GRU cell, one readout; the state is what the cell remembers, [B, hidden]."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, hidden: int = 64):
        super().__init__()
        self.hidden = hidden
        self.encoder, self.cell = nn.Linear(inputs, hidden), nn.GRUCell(hidden, hidden)
        self.readout = nn.Linear(hidden, outputs)

    def initial_state(self, batch: int) -> torch.Tensor:
        """Nothing remembered."""
        return torch.zeros(batch, self.hidden)

    def step(self, observation: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One control step: observation [B, in] to action [B, out] in [-1, 1], and the next state."""
        state = self.cell(torch.relu(self.encoder(observation)), state)
        return torch.tanh(self.readout(state)), state
