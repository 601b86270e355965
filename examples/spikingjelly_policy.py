"""A policy that is written in spikingjelly (pip install spikingjelly) enters the benchmark, with a shipped model's numbers.

    spike-ctrl benchmark crazyflie_hard_reset examples.spikingjelly_policy:policy -o result.json

It flies as `crazyflie_hard_reset` does. spikingjelly's own LIFNode has one leak for a layer; a node of one's own has one for
each neuron. Its soft reset leaks with the membrane, and ours does not: with the soft reset the two differ.
"""

import torch
from spikingjelly.activation_based import neuron
from torch import nn

from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint
from spike_ctrl_networks.module_policy import ModulePolicy

State = tuple[torch.Tensor, ...]


class LeakyNode(neuron.SimpleBaseNode):
    """v = beta v + x with a leak for each neuron; a spike at 1 resets v to 0."""

    def __init__(self, beta: torch.Tensor):
        super().__init__(v_threshold=1.0, v_reset=0.0)
        self.register_buffer("beta", beta)

    def neuronal_charge(self, x: torch.Tensor) -> None:
        """One step of the membrane."""
        self.v = self.beta * self.v + x


class LeakyNodes(nn.Module):
    """Linear and LeakyNode, twice, and a readout; the state is the membranes of both layers, [B, neurons] each."""

    def __init__(self, weights):
        super().__init__()
        self.linears, self.neurons = nn.ModuleList(), nn.ModuleList()
        for layer in ("layer0", "layer1"):
            weight, bias, beta, theta = (
                torch.from_numpy(weights[f"{layer}.{name}"]) for name in ("weight", "bias", "beta", "theta")
            )
            made = nn.Linear(*weight.T.shape)
            made.load_state_dict({"weight": weight / theta[:, None], "bias": bias / theta})  # so that thresholds are 1
            self.linears.append(made)
            self.neurons.append(LeakyNode(beta))
        self.readout = nn.Linear(*weights["output.weight"].T.shape)
        self.readout.load_state_dict({name: torch.from_numpy(weights[f"output.{name}"]) for name in ("weight", "bias")})

    def initial_state(self, batch: int) -> State:
        """Membranes at rest."""
        return tuple(torch.zeros(batch, len(neurons.beta)) for neurons in self.neurons)

    def step(self, observation: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One control step: observation [B, 18] to action [B, 4] in [-1, 1], and the next state."""
        signal, membranes = observation, []
        for linear, neurons, membrane in zip(self.linears, self.neurons, state, strict=True):
            neurons.v = membrane
            signal = neurons(linear(signal))
            membranes.append(neurons.v)
        return torch.tanh(self.readout(signal)), tuple(membranes)


def policy() -> ModulePolicy:
    """The entry: what the benchmark calls."""
    found = checkpoint.load(resources.find("models", "crazyflie_hard_reset.safetensors"))
    return ModulePolicy(LeakyNodes(found.weights), 18, 4)
