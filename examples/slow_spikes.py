"""The recurrent spiking network of `any_quad`, to which slow parts can be added one by one, to see what each buys.

    o_t = alpha o_{t-1} + (1 - alpha) (W s_t + b)        readout_leak: the output is a leaky integrator, not W s_t + b alone
    a_t = rho a_{t-1} + (1 - rho) s_{t-1}                adaptive: a neuron that fires often fires less readily,
    s_t = 1[U_t > theta + kappa a_t]                     as in examples/alif.py
    x_t = sum_k max(0, 1 - |k - d|) s_{t-k}              delays: the next layer hears each neuron d steps later, d learned
                                                         (Hammouamri et al. 2024, with one delay for each neuron)

In a recipe, on which examples/any_quad_slow.yaml is based:

    network: {class: "examples.slow_spikes:SlowSpikes", hidden: [256, 128], readout_leak: true, adaptive: false, delays: 0}
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from spike_ctrl.snn.surrogate import spike


class LayerState(NamedTuple):
    """Of one layer: membrane and adaptation, each [B, H]; its last spikes, newest first, [B, H, delays or 1]."""

    membrane: torch.Tensor
    adaptation: torch.Tensor
    spikes: torch.Tensor


class SlowLayer(nn.Module):
    """Weights and neurons of one layer. recurrent: it also hears its own last spikes."""

    def __init__(self, inputs: int, width: int, generator: torch.Generator, recurrent: bool, adaptive: bool, delays: int):
        super().__init__()
        self.recurrent, self.adaptive, self.delays = recurrent, adaptive, delays

        def drawn() -> nn.Parameter:
            return nn.Parameter(torch.rand(width, generator=generator))

        self.linear = _linear(inputs + width * recurrent, width, generator)
        self.beta, self.theta = drawn(), drawn()
        if adaptive:
            self.rho, self.kappa = drawn(), nn.Parameter(torch.full((width,), 0.5))
        if delays:
            self.delay = drawn()

    def initial_state(self, batch: int) -> LayerState:
        """Nothing charged, nothing fired."""
        width = len(self.theta)
        return LayerState(*torch.zeros(2, batch, width), torch.zeros(batch, width, max(self.delays, 1)))

    def step(self, signal: torch.Tensor, state: LayerState, slope: float) -> tuple[torch.Tensor, LayerState]:
        """One step: signal [B, in] to what the next layer hears, [B, H], and the layer's next state."""
        last = state.spikes[..., 0]
        heard = torch.cat([signal, last], -1) if self.recurrent else signal
        membrane = self.beta * state.membrane + self.linear(heard) - self.theta * last
        above, adaptation = membrane - self.theta, state.adaptation
        if self.adaptive:
            adaptation = self.rho * adaptation + (1 - self.rho) * last
            above = above - self.kappa * adaptation
        fired = spike(above, slope)
        if not self.delays:
            return fired, LayerState(membrane, adaptation, fired[..., None])
        known = torch.cat([fired[..., None], state.spikes], -1)
        share = torch.relu(1 - torch.abs(torch.arange(self.delays + 1) - self.delay[:, None]))
        return (known * share).sum(-1), LayerState(membrane, adaptation, known[..., :-1])


class SlowSpikes(nn.Module):
    """Spiking layers, the last of which hears itself, and a readout that does not spike. delays: the longest, in steps."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generator: torch.Generator,
        hidden: Sequence[int] = (256, 128),
        readout_leak: bool = False,
        adaptive: bool = False,
        delays: int = 0,
    ):
        super().__init__()
        self.slope = 2.0  # of the surrogate derivative; the learner sets it as the recipe's schedule says
        last = len(hidden) - 1
        self.layers = nn.ModuleList(
            SlowLayer(*sizes, generator, index == last, adaptive, delays)
            for index, sizes in enumerate(itertools.pairwise((inputs, *hidden)))
        )
        self.readout = _linear(hidden[-1], outputs, generator)
        self.leak = nn.Parameter(torch.full((outputs,), 0.5)) if readout_leak else None
        self.project_()

    def initial_state(self, batch: int) -> tuple[LayerState | torch.Tensor, ...]:
        """Of each layer, and the output before tanh, [B, out]."""
        layers = (layer.initial_state(batch) for layer in self.layers)
        return (*layers, torch.zeros(batch, self.readout.out_features))

    def step(
        self, observation: torch.Tensor, state: tuple[LayerState | torch.Tensor, ...]
    ) -> tuple[torch.Tensor, tuple[LayerState | torch.Tensor, ...]]:
        """One control step: observation [B, in] to action [B, out] in [-1, 1], and the next state."""
        signal, after = observation, []
        for layer, before in zip(self.layers, state[:-1], strict=True):
            signal, layer_state = layer.step(signal, before, self.slope)
            after.append(layer_state)
        output = self.readout(signal)
        if self.leak is not None:
            output = self.leak * state[-1] + (1 - self.leak) * output
        return torch.tanh(output), (*after, output)

    @torch.no_grad()
    def project_(self) -> None:
        """Bring the neurons' constants into their ranges."""
        for layer in self.layers:
            layer.beta.clamp_(0, 1)
            layer.theta.clamp_(min=0.05)
            if layer.adaptive:
                layer.rho.clamp_(0, 1)
                layer.kappa.clamp_(min=0)
            if layer.delays:
                layer.delay.clamp_(0, layer.delays)
        if self.leak is not None:
            self.leak.clamp_(0, 0.99)

    def spike_rates(self, state: tuple[LayerState | torch.Tensor, ...]) -> tuple[float, ...]:
        """Share of the neurons of each layer that fired in the last step."""
        return tuple(float(layer.spikes[..., 0].mean()) for layer in state[:-1])


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer as torch draws it, from a generator."""
    found, bound = nn.Linear(inputs, outputs), inputs**-0.5
    for parameter in (found.weight, found.bias):
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return found
