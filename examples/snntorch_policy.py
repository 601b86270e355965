"""A policy that is written in snnTorch (pip install snntorch) enters the benchmark, with the numbers of a shipped model.

    spike-ctrl benchmark crazyflie examples.snntorch_policy:policy -o result.json

It flies as `crazyflie` does: snnTorch's Leaky takes the threshold away in the step after a spike, and so does ours.
"""

import snntorch
import torch
from torch import nn

from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint
from spike_ctrl_networks.module_policy import ModulePolicy

State = tuple[torch.Tensor, ...]


class LeakyLayers(nn.Module):
    """Linear and Leaky, twice, and a readout; the state is the membranes of both layers, [B, neurons] each."""

    def __init__(self, weights):
        super().__init__()
        self.linears, self.neurons = nn.ModuleList(), nn.ModuleList()
        for layer in ("layer0", "layer1"):
            self.linears.append(linear(weights, layer))
            beta, theta = (torch.from_numpy(weights[f"{layer}.{name}"]) for name in ("beta", "theta"))
            self.neurons.append(snntorch.Leaky(beta=beta, threshold=theta, reset_mechanism="subtract"))
        self.readout = linear(weights, "output")

    def initial_state(self, batch: int) -> State:
        """Membranes at rest."""
        return tuple(torch.zeros(batch, len(neurons.beta)) for neurons in self.neurons)

    def step(self, observation: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One control step: observation [B, 18] to action [B, 4] in [-1, 1], and the next state."""
        signal, membranes = observation, []
        for linear_, neurons, membrane in zip(self.linears, self.neurons, state, strict=True):
            signal, membrane = neurons(linear_(signal), membrane)
            membranes.append(membrane)
        return torch.tanh(self.readout(signal)), tuple(membranes)


def linear(weights, layer: str) -> nn.Linear:
    """The weights and biases of a layer as torch's module."""
    made = nn.Linear(*weights[f"{layer}.weight"].shape[::-1])
    made.load_state_dict({name: torch.from_numpy(weights[f"{layer}.{name}"]) for name in ("weight", "bias")})
    return made


def policy() -> ModulePolicy:
    """The entry: what the benchmark calls."""
    found = checkpoint.load(resources.find("models", "crazyflie.safetensors"))
    return ModulePolicy(LeakyLayers(found.weights), 18, 4)
