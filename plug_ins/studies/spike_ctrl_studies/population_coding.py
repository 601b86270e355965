"""A spiking network that sees each number of the observation as the activity of a population of receptive fields.

After the population-coded actors of Tang et al. (2020): each input x has `fields` Gaussian fields of learned centre and
width, whose activities exp(-((x - centre) / width)^2 / 2) are what the network is given. They stand closer together around
0, where a hover takes place.

    network: {class: spike_ctrl_studies.population_coding:PopulationCoded, fields: 9, hover: 0.3}
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import linear

from spike_ctrl.sim.observation import SIZE
from spike_ctrl.snn.lif import lif_step
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.network_state import State

REACH = torch.tensor([1.5] * 3 + [1.0] * 9 + [2.0] * 3 + [5.0] * 3)  # m, rotation, m/s, rad/s: where the outer fields stand


class PopulationCoded(nn.Module):
    """Receptive fields and the spiking network behind them; see `learn.actor` for its methods.

    hover: the action to begin with.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generator: torch.Generator,
        hidden: Sequence[int] = (256, 128),
        fields: int = 9,
        hover: float = 0.3,
    ):
        super().__init__()
        if inputs != SIZE:
            raise ValueError(f"inputs: found {inputs}, wanted {SIZE}: the observation of a quadrotor")
        self.slope = 5.0
        share = torch.linspace(-1, 1, fields)
        share = share * share.abs()
        gap = share.diff()
        beside = torch.cat([gap[:1], (gap[1:] + gap[:-1]) / 2, gap[-1:]])  # the mean distance to the neighbours
        self.centre = nn.Parameter(REACH[:, None] * share)
        self.width = nn.Parameter(REACH[:, None] * beside)
        bias = [math.atanh(hover)] * outputs
        self.network = SpikingNetwork((inputs * fields, *hidden, outputs), generator=generator, output_bias=bias)

    def initial_state(self, batch: int) -> State:
        """Of the network."""
        return self.network.initial_state(batch)

    def step(self, observation: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One control step: observation [B, 18] to action [B, out] in [-1, 1], and the next state."""
        signal, after, neuron = self.activity(observation), [], self.network.neuron
        for layer, before in zip(self.network.layers, state, strict=True):  # the network's own step is no ONNX graph
            current = linear(signal, layer.weight, layer.bias)
            signal, new = lif_step(current, before, layer.neurons(), self.slope, neuron.reset, neuron.detach_reset)
            after.append(new)
        return torch.tanh(linear(signal, self.network.output.weight, self.network.output.bias)), tuple(after)

    def unroll(
        self, observation: torch.Tensor, state: State, slope: float
    ) -> tuple[torch.Tensor, State, tuple[torch.Tensor, ...]]:
        """Many steps [T, B, 18] at once."""
        return self.network.unroll(self.activity(observation), state, slope)

    def activity(self, observation: torch.Tensor) -> torch.Tensor:
        """Of all fields, [..., 18] to [..., 18 x fields], each in (0, 1]."""
        return torch.exp(-(((observation[..., None] - self.centre) / self.width).square()) / 2).flatten(-2)

    @torch.no_grad()
    def project_(self) -> None:
        """Bring the neurons' constants into their ranges; no field gets narrower than a hundredth of its reach."""
        self.network.project_()
        self.width.copy_(torch.maximum(self.width, REACH[:, None] / 100))

    def spike_rates(self, state: State) -> tuple[float, ...]:
        """Share of the neurons of each layer that fired in the last step."""
        return tuple(float(layer.spike.mean()) for layer in state)
