"""One step of leaky integrate-and-fire neurons on the processor, compiled: equal to `lif.lif_step` up to rounding.

Torch makes some twenty passes over the neurons for one step and its derivative, the kernels here one for each. They inline
the neuron's arithmetic (`membrane`) and the surrogate (`surrogate.derivative`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from spike_ctrl._files.arrays import Number
from spike_ctrl._files.kernel import kernel, spliced
from spike_ctrl.snn.lif import LIFParameters, LIFState
from spike_ctrl.snn.membrane import fires, membrane_vjp, remainder, subtracted
from spike_ctrl.snn.neuron import Reset
from spike_ctrl.snn.surrogate import derivative

_remainder, _subtracted, _fires = spliced(remainder), spliced(subtracted), spliced(fires)
_membrane_vjp, _derivative = spliced(membrane_vjp), spliced(derivative)


def compiled_lif_step(
    current: torch.Tensor,
    state: LIFState,
    parameters: LIFParameters,
    slope: float,
    reset: Reset = Reset.SOFT,
    detach_reset: bool = False,
) -> tuple[torch.Tensor, LIFState]:
    """`lif.lif_step` for currents [B, H] in the processor's memory."""
    membrane, spike = _step(current, *state, *parameters, slope, reset is Reset.HARD, detach_reset)
    return spike, LIFState(membrane, spike)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: torch.Tensor, membrane: torch.Tensor, spike: torch.Tensor, beta: torch.Tensor,
        theta: torch.Tensor, slope: float, hard: bool, detach_reset: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        before = _array(membrane), _array(spike), _array(beta), _array(theta)
        after, fired = np.empty_like(before[0]), np.empty_like(before[0])
        _forward(_array(current), *before, hard, after, fired)
        ctx.before, ctx.after = before, after
        ctx.slope, ctx.hard, ctx.detach_reset = slope, hard, detach_reset
        return torch.from_numpy(after), torch.from_numpy(fired)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_after: torch.Tensor, by_fired: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        membrane, spike, beta, theta = ctx.before
        by_current, by_membrane, by_spike = (np.empty_like(membrane) for _ in range(3))
        by_beta, by_theta = np.zeros_like(beta), np.zeros_like(beta)
        slope = membrane.dtype.type(ctx.slope)
        _vjp(
            _array(by_after), _array(by_fired), membrane, spike, beta, theta, ctx.after, slope, ctx.hard,
            by_current, by_membrane, by_spike, by_beta, by_theta,
        )  # fmt: skip
        parts = (torch.from_numpy(part) for part in (by_current, by_membrane, by_spike, by_beta, by_theta))
        of_current, of_membrane, of_spike, of_beta, of_theta = parts
        return of_current, of_membrane, None if ctx.detach_reset else of_spike, of_beta, of_theta, None, None, None


_step: Callable[..., tuple[torch.Tensor, torch.Tensor]] = _Step.apply


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


@kernel(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _forward(current: Any, membrane: Any, spike: Any, beta: Any, theta: Any, hard: bool, after: Any, fired: Any) -> None:
    for b in range(len(current)):
        inflow, u, s, next_u, next_s = current[b], membrane[b], spike[b], after[b], fired[b]
        for h in range(np.uint64(len(beta))):
            x = _remainder(u[h], s[h], beta[h], hard) + inflow[h] - _subtracted(s[h], theta[h], hard)
            next_u[h] = x
            next_s[h] = _fires(x, theta[h])


@kernel(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _vjp(
    by_after: Any, by_fired: Any, membrane: Any, spike: Any, beta: Any, theta: Any, after: Any, slope: Number, hard: bool,
    by_current: Any, by_membrane: Any, by_spike: Any, by_beta: Any, by_theta: Any,
) -> None:  # fmt: skip
    for b in range(len(by_after)):
        u, s, x, of_after, of_fired = membrane[b], spike[b], after[b], by_after[b], by_fired[b]
        to_current, to_u, to_s = by_current[b], by_membrane[b], by_spike[b]
        for h in range(np.uint64(len(beta))):
            through = of_fired[h] * _derivative(x[h] - theta[h], slope)
            gradient = of_after[h] + through
            g_u, g_s, g_beta, g_theta = _membrane_vjp(gradient, u[h], s[h], beta[h], theta[h], hard)
            to_current[h], to_u[h], to_s[h] = gradient, g_u, g_s
            by_beta[h] += g_beta
            by_theta[h] += g_theta - through
