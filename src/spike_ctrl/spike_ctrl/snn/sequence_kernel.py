"""T steps of the spiking network in one compiled function, and their derivative.

A layer processes all steps of one vehicle before the next vehicle, so that its data stay in the nearest caches. Spikes are
rare: in the forward pass and in the gradient of the weights, a product with them is a sum of a few rows
(`sparse_products`). The gradient from a layer to the one before is dense: a GEMM for some vehicles at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from spike_ctrl._files.arrays import Number
from spike_ctrl._files.kernel import kernel, spliced
from spike_ctrl.snn.lif import LIFState
from spike_ctrl.snn.membrane import fires, membrane_vjp, remainder, subtracted
from spike_ctrl.snn.neuron import Neuron, Reset
from spike_ctrl.snn.sparse_products import Rows, Table, add_outer, add_rows, list_marked
from spike_ctrl.snn.surrogate import derivative

_remainder, _subtracted, _fires = spliced(remainder), spliced(subtracted), spliced(fires)
_membrane_vjp, _derivative = spliced(membrane_vjp), spliced(derivative)

Tables: TypeAlias = tuple[Table, ...]
TILE_ROWS = 1600  # steps times vehicles that go backwards at once; their data stay in the second-level cache


class Linear(Protocol):
    @property
    def weight(self) -> torch.Tensor: ...  # [H, in]
    @property
    def bias(self) -> torch.Tensor: ...  # [H]


class Layer(Linear, Protocol):
    @property
    def beta(self) -> torch.Tensor: ...  # [H]
    @property
    def theta(self) -> torch.Tensor: ...  # [H]


def run_sequence(
    observation: torch.Tensor,
    state: Sequence[LIFState],
    layers: Sequence[Layer],
    readout: Linear,
    slope: float,
    neuron: Neuron,
    first: torch.Tensor | None = None,
) -> tuple[torch.Tensor, tuple[LIFState, ...], torch.Tensor]:
    """Advance all layers by T steps, as T times `linear` and `lif.lif_step` for each.

    observation: [T, B, in], float32 or float64 on the CPU. state: U and s of each layer before the first step, [B, H].
    first: bool [T, B], the steps before which the state goes back to zero.
    Gradients flow to observation, initial state and all parameters. Returns the output of the readout [T, B, out], the
    state after the last step and the number of spikes of each layer.
    """
    inputs = layers[0].weight.shape[1]
    if observation.ndim != 3 or observation.shape[2] != inputs:
        raise ValueError(f"observation: found shape {tuple(observation.shape)}, wanted [T, B, {inputs}]")
    if observation.dtype != readout.weight.dtype:
        raise ValueError(f"observation: found {observation.dtype}, wanted {readout.weight.dtype}")
    for layer, (membrane, spike) in zip(layers, state, strict=True):
        wanted = (observation.shape[1], len(layer.bias))
        for found in (membrane.shape, spike.shape):
            if found != wanted:
                raise ValueError(f"state: found shape {tuple(found)}, wanted {wanted}")
    if first is None:
        first = torch.zeros(observation.shape[:2], dtype=torch.bool)
    elif first.shape != observation.shape[:2]:
        raise ValueError(f"first: found shape {tuple(first.shape)}, wanted {tuple(observation.shape[:2])}")
    columns = ([getattr(layer, name) for layer in layers] for name in ("weight", "bias", "beta", "theta"))
    parts = [*columns, [before.membrane for before in state], [before.spike for before in state]]
    options = float(slope), neuron.reset is Reset.HARD, neuron.detach_reset, torch.is_grad_enabled()
    output, counts, *after = _sequence(
        options, observation, first, readout.weight, readout.bias, *(tensor for part in parts for tensor in part)
    )
    return output, tuple(map(LIFState, after[: len(layers)], after[len(layers) :])), counts


class _Sequence(torch.autograd.Function):
    """`parts`: the weights of all layers, then their biases, and so on. The membranes of all steps are [B, T, H]."""

    @staticmethod
    def forward(
        ctx: Any, options: tuple[float, bool, bool, bool], observation: torch.Tensor, first: torch.Tensor,
        weight: torch.Tensor, bias: torch.Tensor, *parts: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:  # fmt: skip
        steps, batch, _ = observation.shape
        keep = options[-1]
        weights, biases, betas, thetas, membranes, spikes = _sixths(parts)
        observation, first = observation.transpose(0, 1).contiguous(), first.t().contiguous()
        tape = [observation.new_empty(batch if keep else 1, steps, len(beta)) for beta in betas]
        output = observation.new_empty(steps, batch, len(bias))
        after = [torch.empty_like(membrane, memory_format=torch.contiguous_format) for membrane in membranes]
        fired = [torch.empty_like(membrane) for membrane in after]
        counts = observation.new_zeros(len(weights))
        _forward(  # type: ignore[call-arg]  # a star fills as many as there are
            _array(observation), _array(first),
            *map(_arrays, ([w.t() for w in weights], biases, betas, thetas, membranes, spikes, tape)),  # type: ignore[arg-type]
            _array(weight.t()), _array(bias), _array(output), _arrays(after), _arrays(fired), _array(counts), options[1],
        )  # fmt: skip
        ctx.save_for_backward(observation, first, weight, *parts, *(tape if keep else ()))
        ctx.options = options
        ctx.mark_non_differentiable(counts)
        return output, counts, *after, *fired

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_output: torch.Tensor, _counts: None, *grad_after: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        slope, hard, detach_reset, _ = ctx.options
        observation, restarts, weight, *saved = ctx.saved_tensors
        layers = len(grad_after) // 2
        tape = saved[6 * layers :]
        hidden, _, betas, thetas, membranes, spikes = _sixths(saved[: 6 * layers])
        weights = [*hidden, weight]
        batch, steps, inputs = observation.shape
        by_weight = [torch.zeros_like(w.t(), memory_format=torch.contiguous_format) for w in weights]  # transposed
        by_neuron = [torch.zeros_like(beta) for _ in range(3) for beta in betas]  # bias, beta, theta
        by_state = [torch.empty_like(m, memory_format=torch.contiguous_format) for m in (*membranes, *spikes)]
        by_input = torch.empty_like(observation) if ctx.needs_input_grad[1] else None
        grad_output = grad_output.transpose(0, 1).contiguous()
        tile = max(1, TILE_ROWS // steps)
        for first in range(0, batch, tile):
            part = slice(first, first + tile)
            later = grad_output[part].flatten(0, 1)
            for layer in reversed(range(layers)):
                u = tape[layer][part]
                add_outer(_array(u.flatten(0, 1)), _array(thetas[layer]), _array(later), _array(by_weight[layer + 1]))
                later = torch.mm(later, weights[layer + 1])
                _vjp(  # type: ignore[call-arg]  # as above
                    *map(_array, (restarts[part], later.view_as(u), u, membranes[layer][part], spikes[layer][part])),  # type: ignore[arg-type]
                    *(_array(after[part]) for after in grad_after[layer::layers]),
                    *map(_array, (betas[layer], thetas[layer], *by_neuron[layer::layers])),
                    *(_array(by[part]) for by in by_state[layer::layers]), slope, hard, detach_reset,
                )  # fmt: skip
            by_weight[0].addmm_(observation[part].flatten(0, 1).t(), later)
            if by_input is not None:
                by_input[part] = torch.mm(later, weights[0]).view(-1, steps, inputs)
        *by_weight, by_readout = [by.t() for by in by_weight]
        by_input = None if by_input is None else by_input.transpose(0, 1)
        by_spike = [None] * layers if detach_reset else by_state[layers:]
        by_arguments = None, by_input, None, by_readout, grad_output.sum((0, 1))
        return (*by_arguments, *by_weight, *by_neuron, *by_state[:layers], *by_spike)


_sequence: Callable[..., tuple[torch.Tensor, ...]] = _Sequence.apply


def _sixths(parts: Sequence[torch.Tensor]) -> list[Sequence[torch.Tensor]]:
    size = len(parts) // 6
    return [parts[first : first + size] for first in range(0, len(parts), size)]


def _array(tensor: torch.Tensor) -> Table:
    array: Table = tensor.detach().contiguous().numpy()
    return array


def _arrays(tensors: Iterable[torch.Tensor]) -> Tables:
    return tuple(map(_array, tensors))


# The scans copy what belongs to a neuron into arrays of their own: the compiler knows that those overlap with nothing,
# so that it vectorises the loop over h. Unsigned indices and no ZeroDivisionError are for the same end.


@kernel(cache=True, nogil=True, error_model="numpy")
def _forward(
    observation: Table, first: Table, tables: Tables, biases: Tables, betas: Tables, thetas: Tables, membranes: Tables,
    spikes: Tables, tape: Tables, readout: Table, bias: Table, output: Table, after: Tables, fired: Tables,
    counts: Table, hard: bool,
) -> None:  # fmt: skip
    batch, steps, inputs = observation.shape
    most = inputs
    for beta in betas:
        most = max(most, len(beta))
    index, factor = np.zeros((steps, most), np.uint16), np.ones((steps, most), observation.dtype)
    size = np.empty(steps, np.uint64)
    for b in range(batch):
        for t in range(steps):
            for i in range(inputs):
                index[t, i], factor[t, i] = i, observation[b, t, i]
            size[t] = inputs
        for n in range(len(tables)):
            _layer(
                index, factor, size, first[b], tables[n], biases[n], betas[n], thetas[n], membranes[n][b], spikes[n][b],
                tape[n][b % len(tape[n])], after[n][b], fired[n][b], hard,
            )  # fmt: skip
            counts[n] += size.sum()
        for t in range(steps):
            for i in range(len(bias)):
                output[t, b, i] = bias[i]
            add_rows(output[t, b], readout, index[t], factor[t], size[t])


@kernel(cache=True, nogil=True, error_model="numpy")  # no fastmath: a fused multiply-add would change spikes
def _layer(
    index: Rows, factor: Table, size: Rows, first: Table, table: Table, bias: Table, beta: Table, theta: Table,
    membrane: Table, spike: Table, membranes: Table, after: Table, fired: Table, hard: bool,
) -> None:  # fmt: skip
    """All steps of one layer and vehicle.

    index, factor, size: of the inputs that are not zero, at each step; on return of the spikes. first: the steps before
    which the state goes back to zero. membrane, spike: the state
    before the first step; after, fired: after the last.
    """
    zero, one = bias.dtype.type(0), bias.dtype.type(1)
    bias, beta, theta, before, spiked = bias.copy(), beta.copy(), theta.copy(), membrane.copy(), spike.copy()
    u, marked = np.empty_like(bias), np.empty(len(bias), np.uint8)
    width = np.uint64(len(bias))
    for t in range(len(size)):
        if first[t]:
            before[:] = zero
            spiked[:] = zero
        for h in range(width):
            u[h] = bias[h]
        add_rows(u, table, index[t], factor[t], size[t])
        kept = membranes[t]
        for h in range(width):
            x = _remainder(before[h], spiked[h], beta[h], hard) + u[h] - _subtracted(spiked[h], theta[h], hard)
            kept[h] = x
            before[h] = x
            marked[h] = _fires(x, theta[h])
            spiked[h] = one if _fires(x, theta[h]) else zero
        factor[t, : size[t]] = one
        size[t] = list_marked(marked, index[t])
    for h in range(width):
        after[h], fired[h] = membranes[len(size) - 1, h], marked[h]


@kernel(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _vjp(
    first: Table, du: Table, membranes: Table, membrane: Table, spike: Table, grad_after: Table, grad_fired: Table,
    beta: Table, theta: Table, by_bias: Table, by_beta: Table, by_theta: Table, by_membrane: Table, by_spike: Table,
    slope: Number,
    hard: bool, detach_reset: bool,
) -> None:  # fmt: skip
    """From the incoming gradient G_t of s_t in `du` [B, T, H] to dU_t in the same place, with dU_T = 0:

    ds_t = G_t + (what the reset of step t + 1 takes back to s_t, without `detach_reset`)
    dU_t = g_t ds_t + (what the leak of step t + 1 takes back to U_t)

    g_t is the surrogate derivative, the rest is `membrane_vjp`. Gradients of the neurons' constants are added to,
    those of the state are set.
    """
    batch, steps, width = du.shape
    zero, one, slope = du.dtype.type(0), du.dtype.type(1), du.dtype.type(slope)
    through_reset = zero if detach_reset else one
    beta, theta = beta.copy(), theta.copy()
    sum_bias, sum_beta, sum_theta = np.zeros_like(beta), np.zeros_like(beta), np.zeros_like(beta)
    later, final = np.empty_like(beta), np.empty_like(beta)
    for b in range(batch):
        later[:] = zero
        for h in range(width):
            final[h] = grad_after[b, h]
            du[b, steps - 1, h] += grad_fired[b, h]
        for t in range(steps - 1, -1, -1):
            u, now = membranes[b, t], du[b, t]
            if t < steps - 1 and first[b, t + 1]:  # the next step began from zero, whatever came of this one
                later[:] = zero
            for h in range(np.uint64(width)):
                fired = one if _fires(u[h], theta[h]) else zero
                to_membrane, to_spike, to_beta, to_theta = _membrane_vjp(later[h], u[h], fired, beta[h], theta[h], hard)
                at_spike = (now[h] + through_reset * to_spike) * _derivative(u[h] - theta[h], slope)
                sum_beta[h] += to_beta
                sum_theta[h] += to_theta - at_spike
                later[h] = at_spike + to_membrane + final[h]
                sum_bias[h] += later[h]
                now[h] = later[h]
            if t == steps - 1:
                final[:] = zero
        if first[b, 0]:
            later[:] = zero
        for h in range(width):
            to_membrane, to_spike, to_beta, to_theta = _membrane_vjp(
                later[h], membrane[b, h], spike[b, h], beta[h], theta[h], hard
            )
            by_membrane[b, h], by_spike[b, h] = to_membrane, to_spike
            sum_beta[h] += to_beta
            sum_theta[h] += to_theta
    by_bias += sum_bias
    by_beta += sum_beta
    by_theta += sum_theta
