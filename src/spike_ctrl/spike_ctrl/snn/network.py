"""The spiking policy network: Linear - LIF - ... - Linear - tanh, one network step per control step."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import linear

from spike_ctrl.snn.lif import LIFParameters, LIFState, initial_state, lif_step
from spike_ctrl.snn.lif_kernel import compiled_lif_step
from spike_ctrl.snn.network_state import restart
from spike_ctrl.snn.neuron import PAPER, Neuron
from spike_ctrl.snn.sequence_kernel import run_sequence
from spike_ctrl.snn.weight_shapes import fan_in

SIZES = (18, 256, 128, 4)
THETA_MIN = 0.05

State = tuple[LIFState, ...]


class SpikingLayer(nn.Module):
    """Weights and neurons of one layer: weight [H, in], bias [H], beta [H] and theta [H], all learnable."""

    def __init__(self, inputs: int, width: int, generator: torch.Generator):
        super().__init__()
        self.weight, self.bias = _linear(inputs, width, generator)
        self.beta = nn.Parameter(torch.rand(width, generator=generator))
        self.theta = nn.Parameter(torch.rand(width, generator=generator))

    def neurons(self) -> LIFParameters:
        return LIFParameters(self.beta, self.theta)


class Readout(nn.Module):
    """The last, non-spiking layer: weight [out, H] and bias [out]."""

    def __init__(self, inputs: int, width: int, generator: torch.Generator):
        super().__init__()
        self.weight, self.bias = _linear(inputs, width, generator)


class SpikingNetwork(nn.Module):
    """The policy network of arXiv 2510.24461. An observation goes in, tanh of the last layer comes out; the caller keeps the
    state.

    sizes: inputs, hidden widths, outputs. output_bias [out]: the outputs before tanh at which training starts, such as
    `atanh` of the hover action. All randomness comes from the generator.

    >>> network = SpikingNetwork((18, 64, 32, 4), generator=torch.Generator().manual_seed(0))
    >>> action, state = network.step(torch.zeros(32, 18), network.initial_state(batch=32), slope=2.0)
    >>> action.shape
    torch.Size([32, 4])
    """

    def __init__(
        self,
        sizes: Sequence[int] = SIZES,
        neuron: Neuron = PAPER,
        *,
        generator: torch.Generator,
        output_bias: Sequence[float] | None = None,
    ):
        super().__init__()
        if len(sizes) < 3 or any(size < 1 for size in sizes):
            raise ValueError(f"sizes: found {tuple(sizes)}, wanted inputs, at least one hidden width, outputs")
        self.sizes, self.neuron = tuple(sizes), neuron
        for index, (inputs, width) in enumerate(zip(fan_in(sizes, neuron.recurrent), sizes[1:-1], strict=True)):
            self.add_module(f"layer{index}", SpikingLayer(inputs, width, generator))
        self.output = Readout(sizes[-2], sizes[-1], generator)
        if output_bias is not None:
            bias = torch.as_tensor(output_bias, dtype=self.output.bias.dtype)
            if bias.shape != self.output.bias.shape:
                raise ValueError(f"output_bias: found shape {tuple(bias.shape)}, wanted ({sizes[-1]},)")
            self.output.bias.data.copy_(bias)
        self.project_()

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """The spiking layers, first to last."""
        return tuple(getattr(self, f"layer{index}") for index in range(len(self.sizes) - 2))

    def initial_state(self, batch: int) -> State:
        """Zero membranes and no spikes, [batch, H] per layer."""
        weight = self.output.weight
        return tuple(initial_state(batch, width, dtype=weight.dtype, device=weight.device) for width in self.sizes[1:-1])

    def step(self, observation: torch.Tensor, state: State, slope: float) -> tuple[torch.Tensor, State]:
        """One control step: observation [B, in] to action [B, out] in [-1, 1], and the new state."""
        signal, after = observation, []
        for layer, before in zip(self.layers, state, strict=True):
            if layer.weight.shape[1] > signal.shape[-1]:  # recurrent
                signal = torch.cat([signal, before.spike], -1)
            current = linear(signal, layer.weight, layer.bias)
            advance = compiled_lif_step if current.device.type == "cpu" else lif_step
            signal, new = advance(current, before, layer.neurons(), slope, self.neuron.reset, self.neuron.detach_reset)
            after.append(new)
        return torch.tanh(linear(signal, self.output.weight, self.output.bias)), tuple(after)

    def unroll(
        self, observation: torch.Tensor, state: State, slope: float, first: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State, tuple[torch.Tensor, ...]]:
        """T control steps at once, equal to T calls of `step`. first: bool [T, B], the steps that begin from the zero state.

        observation [T, B, in] to action [T, B, out], the state after the last step, and the spike rate of each layer
        (spikes per neuron and step, scalars without gradient).
        """
        if self.neuron.recurrent or observation.device.type != "cpu":  # the fused kernel has no recurrent layer
            return self._unroll_step_by_step(observation, state, slope, first)
        output, after, counts = run_sequence(observation, state, self.layers, self.output, slope, self.neuron, first)
        rows = observation.shape[0] * observation.shape[1]
        rates = tuple(count / (rows * width) for count, width in zip(counts, self.sizes[1:-1], strict=True))
        return torch.tanh(output), after, rates

    def _unroll_step_by_step(
        self, observation: torch.Tensor, state: State, slope: float, first: torch.Tensor | None
    ) -> tuple[torch.Tensor, State, tuple[torch.Tensor, ...]]:
        actions, spikes = [], []
        for t, row in enumerate(observation):
            if first is not None:
                state = restart(self, state, first[t])
            action, state = self.step(row, state, slope)
            actions.append(action)
            spikes.append(torch.stack([layer.spike.detach().mean() for layer in state]))
        return torch.stack(actions), state, tuple(torch.stack(spikes).mean(0))

    @torch.no_grad()
    def project_(self) -> None:
        """Bring beta into [0, 1] and theta above THETA_MIN; call it after each optimiser step."""
        for layer in self.layers:
            layer.beta.clamp_(0.0, 1.0)
            layer.theta.clamp_(min=THETA_MIN)

    def weights(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by flat name: layer0.weight, .bias, .beta, .theta, ..., output.weight, .bias."""
        return weights(self)

    def load_weights(self, given: Mapping[str, np.ndarray]) -> None:
        """Set all parameters from what `weights` returned. Raises ValueError as the function does."""
        load_weights(self, given)


def weights(module: nn.Module) -> dict[str, np.ndarray]:
    """Copies of all parameters and buffers by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


@torch.no_grad()
def load_weights(module: nn.Module, given: Mapping[str, np.ndarray]) -> None:
    """Set all parameters and buffers. Raises ValueError where names or shapes are of another network."""
    wanted = module.state_dict()
    if set(given) != set(wanted):
        raise ValueError(f"weights: found {sorted(given)}, wanted {sorted(wanted)}")
    for name, value in wanted.items():
        found = np.array(given[name])
        if found.shape != tuple(value.shape):
            raise ValueError(f"{name}: found shape {found.shape}, wanted {tuple(value.shape)}")
        value.copy_(torch.from_numpy(found))


@torch.no_grad()
def average_(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move the parameters of target towards those of source by a share `rate`, in place; buffers are copied."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), rate)
    for mine, its in zip(target.buffers(), source.buffers(), strict=True):
        mine.copy_(its)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    bound = 1 / math.sqrt(inputs)  # torch's own default for nn.Linear
    weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(outputs).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(weight), nn.Parameter(bias)
