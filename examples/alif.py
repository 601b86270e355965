"""A spiking network whose thresholds adapt (ALIF; Bellec et al. 2018): a neuron that fires often fires less readily.

    a_t = rho a_{t-1} + (1 - rho) s_{t-1}                adaptation
    U_t = beta U_{t-1} + I_t - theta s_{t-1}             membrane, soft reset
    s_t = 1[U_t > theta + kappa a_t]                     spike

In a recipe, with any of the algorithms:

    network: {class: examples.alif:ALIF, hidden: [128, 64], slope: {kind: fixed, k: 5}}

    spike-ctrl train examples/alif.yaml
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from spike_ctrl.snn.surrogate import spike


class LayerState(NamedTuple):
    """Of one layer, each [B, H]."""

    membrane: torch.Tensor
    spike: torch.Tensor
    adaptation: torch.Tensor


class ALIFLayer(nn.Module):
    """Weights and neurons of one layer; leak, threshold, memory and strength of the adaptation are learned."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.beta, self.theta = nn.Parameter(torch.rand(width)), nn.Parameter(torch.rand(width))
        self.rho, self.kappa = nn.Parameter(torch.rand(width)), nn.Parameter(torch.full((width,), 0.5))

    def step(self, signal: torch.Tensor, state: LayerState, slope: float) -> LayerState:
        """One step: signal [B, in] to the layer's next state."""
        adaptation = self.rho * state.adaptation + (1 - self.rho) * state.spike
        membrane = self.beta * state.membrane + self.linear(signal) - self.theta * state.spike
        return LayerState(membrane, spike(membrane - self.theta - self.kappa * adaptation, slope), adaptation)


class ALIF(nn.Module):
    """Layers of adaptive neurons and a readout that does not spike."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, hidden: Sequence[int] = (128, 64)):
        super().__init__()
        self.slope = 2.0  # of the surrogate derivative; the learner sets it as the recipe's schedule says
        self.layers = nn.ModuleList(ALIFLayer(*sizes) for sizes in itertools.pairwise((inputs, *hidden)))
        self.readout = nn.Linear(hidden[-1], outputs)
        self.project_()

    def initial_state(self, batch: int) -> tuple[LayerState, ...]:
        """Nothing charged, nothing fired."""
        return tuple(LayerState(*torch.zeros(3, batch, len(layer.theta))) for layer in self.layers)

    def step(self, observation: torch.Tensor, state: tuple[LayerState, ...]) -> tuple[torch.Tensor, tuple[LayerState, ...]]:
        """One control step: observation [B, in] to action [B, out] in [-1, 1], and the next state."""
        signal, after = observation, []
        for layer, before in zip(self.layers, state, strict=True):
            after.append(layer.step(signal, before, self.slope))
            signal = after[-1].spike
        return torch.tanh(self.readout(signal)), tuple(after)

    @torch.no_grad()
    def project_(self) -> None:
        """Bring the neurons' constants into their ranges."""
        for layer in self.layers:
            layer.beta.clamp_(0, 1)
            layer.rho.clamp_(0, 1)
            layer.theta.clamp_(min=0.05)
            layer.kappa.clamp_(min=0)

    def spike_rates(self, state: tuple[LayerState, ...]) -> tuple[float, ...]:
        """Share of the neurons of each layer that fired in the last step."""
        return tuple(float(layer.spike.mean()) for layer in state)
