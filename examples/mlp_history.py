"""A feed-forward network that also sees its own last actions, from which it can tell how fast the rotors turn.

network: {class: examples.mlp_history:MLPWithHistory, hidden: 64, history: 16}
"""

import torch
from torch import nn


class MLPWithHistory(nn.Module):
    """Two hidden layers over the observation and the last actions; the state is those, newest last: [B, history, out]."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, hidden: int = 64, history: int = 16):
        super().__init__()
        self.history, self.outputs = history, outputs
        sizes = inputs + history * outputs
        self.layers = nn.Sequential(
            nn.Linear(sizes, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs), nn.Tanh()
        )

    def initial_state(self, batch: int) -> torch.Tensor:
        """No action yet."""
        return torch.zeros(batch, self.history, self.outputs)

    def step(self, observation: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One control step: observation [B, in] to action [B, out] in [-1, 1], and the next state."""
        action = self.layers(torch.cat([observation, state.flatten(1)], 1))
        return action, torch.cat([state[:, 1:], action[:, None]], 1)
