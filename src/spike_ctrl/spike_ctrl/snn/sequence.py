"""A whole sequence of LIF steps at once: the recurrence of `lif.lif_step` and its derivative as two compiled scans.

Only the recurrence is sequential, so a layer is one GEMM over all T * B rows followed by an element-wise scan over T.
The scans keep one vehicle's row of neurons in the first-level cache while they walk through time.
"""

import numpy as np
import torch
from numba import njit
from torch.autograd.function import once_differentiable

from spike_ctrl.snn.lif import LIFParameters, LIFState
from spike_ctrl.snn.neuron import Reset


def lif_sequence(
    current: torch.Tensor,
    state: LIFState,
    parameters: LIFParameters,
    slope: float,
    reset: Reset = Reset.SOFT,
    detach_reset: bool = False,
) -> tuple[torch.Tensor, LIFState]:
    """Advance one layer of neurons by T steps: T calls of `lif_step`, to the last bit forward.

    current: I [T, B, H], float32 or float64 on the CPU. state: U and s before the first step, [B, H]. Gradients flow
    to the current, beta, theta and the initial state. Returns the spikes [T, B, H] and the state after the last step.

        spikes, state = lif_sequence(current, initial_state(32, 256), LIFParameters(beta, theta), slope=2.0)
    """
    if current.ndim != 3:
        raise ValueError(f"current: found shape {tuple(current.shape)}, wanted [T, B, H]")
    if current.shape[1:] != state.membrane.shape:
        raise ValueError(f"state: found shape {tuple(state.membrane.shape)}, wanted {tuple(current.shape[1:])}")
    spikes, membrane = _Sequence.apply(
        current, state.membrane, state.spike, parameters.beta, parameters.theta, slope, reset is Reset.HARD, detach_reset
    )
    return spikes, LIFState(membrane, spikes[-1])


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, current, membrane, spike, beta, theta, slope, hard, detach_reset):
        current = current.contiguous()
        spikes, membranes = torch.empty_like(current), torch.empty_like(current)
        _forward(*_arrays(current, membrane, spike, beta, theta, spikes, membranes), hard)
        ctx.save_for_backward(membrane, spike, beta, theta, membranes)
        ctx.options = slope, hard, detach_reset
        ctx.set_materialize_grads(False)
        return spikes, membranes[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_spikes, grad_final):
        membrane, spike, beta, theta, membranes = ctx.saved_tensors
        slope, hard, detach_reset = ctx.options
        if grad_spikes is None:
            grad_spikes = torch.zeros_like(membranes)
        if grad_final is None:
            grad_final = torch.zeros_like(membrane)
        grad_current = torch.empty_like(membranes)
        grad_beta, grad_theta = torch.empty_like(beta), torch.empty_like(theta)
        arrays = _arrays(grad_spikes, grad_final, membranes, beta, theta, grad_current, grad_beta, grad_theta)
        _backward(*arrays, arrays[0].dtype.type(slope), hard, detach_reset)
        # The reset before the first step belongs to the initial state, which is not among the membranes.
        first = grad_current[0]
        if hard:
            grad_membrane, grad_spike = beta * (1 - spike) * first, -beta * membrane * first
            grad_beta += ((1 - spike) * membrane * first).sum(0)
        else:
            grad_membrane, grad_spike = beta * first, -theta * first
            grad_beta += (membrane * first).sum(0)
            grad_theta -= (spike * first).sum(0)
        grad_spike = None if detach_reset else grad_spike
        return grad_current, grad_membrane, grad_spike, grad_beta, grad_theta, None, None, None


def _arrays(*tensors):
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


# Both scans copy what belongs to a neuron into arrays of their own: the compiler knows that those overlap with nothing,
# so that it vectorises the loop over h. Unsigned indices, no branches and no ZeroDivisionError are for the same end.
# The two resets differ in `survives` only: the share of its membrane that a neuron keeps after a spike.


@njit(cache=True, nogil=True)  # no fastmath: a fused multiply-add would change spikes
def _forward(current, membrane, spike, beta, theta, spikes, membranes, hard):
    steps, batch, width = current.shape
    zero, one = current.dtype.type(0), current.dtype.type(1)
    survives = zero if hard else one
    beta, theta, subtracted = beta.copy(), theta.copy(), survives * theta
    leaked, drop = np.empty_like(beta), np.empty_like(beta)
    for b in range(batch):
        for h in range(width):
            leaked[h] = beta[h] * (membrane[b, h] * (one - spike[b, h] * (one - survives)))
            drop[h] = subtracted[h] * spike[b, h]
        for t in range(steps):
            inflow, u, s = current[t, b], membranes[t, b], spikes[t, b]
            for h in range(np.uint64(width)):
                x = leaked[h] + inflow[h] - drop[h]
                fired = one if x > theta[h] else zero
                u[h] = x
                s[h] = fired
                leaked[h] = beta[h] * x * (one - fired * (one - survives))
                drop[h] = subtracted[h] * fired


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _backward(grad_spikes, grad_final, membranes, beta, theta, du, grad_beta, grad_theta, slope, hard, detach_reset):
    """With G_t the incoming gradient of s_t, g_t the surrogate derivative and dU_T = 0:

    soft:  ds_t = G_t - theta dU_{t+1},      dU_t = g_t ds_t + beta dU_{t+1}
    hard:  ds_t = G_t - beta U_t dU_{t+1},   dU_t = g_t ds_t + beta (1 - s_t) dU_{t+1}
    """
    steps, batch, width = du.shape
    zero, one = du.dtype.type(0), du.dtype.type(1)
    survives = zero if hard else one
    push = np.zeros_like(theta) if hard or detach_reset else theta.copy()
    pull = beta.copy() if hard and not detach_reset else np.zeros_like(beta)
    beta, theta = beta.copy(), theta.copy()
    sum_beta, sum_theta = np.zeros_like(beta), np.zeros_like(theta)
    later, final = np.empty_like(beta), np.empty_like(beta)
    for b in range(batch):
        later[:] = zero
        final[:] = grad_final[b]
        for t in range(steps - 1, -1, -1):
            incoming, u, now = grad_spikes[t, b], membranes[t, b], du[t, b]
            for h in range(np.uint64(width)):
                x = u[h] - theta[h]
                fired = one if x > zero else zero
                after = later[h]
                kept = after * (one - fired * (one - survives))
                slack = one + slope * abs(x)
                through = (incoming[h] - (push[h] + pull[h] * u[h]) * after) / (slack * slack)
                sum_beta[h] += u[h] * kept
                sum_theta[h] -= through + fired * survives * after
                later[h] = through + beta[h] * kept + final[h]
                now[h] = later[h]
            if t == steps - 1:
                final[:] = zero
    grad_beta[:] = sum_beta
    grad_theta[:] = sum_theta
