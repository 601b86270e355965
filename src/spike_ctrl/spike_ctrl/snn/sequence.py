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
        grad_beta, grad_theta = torch.zeros_like(beta), torch.zeros_like(theta)
        tensors = grad_spikes, grad_final, membranes, membrane, spike, beta, theta, grad_current, grad_beta, grad_theta
        arrays = _arrays(*tensors)
        _backward(*arrays, arrays[0].dtype.type(slope), hard, detach_reset)
        first = grad_current[0]
        if hard:
            grad_membrane, grad_spike = beta * (1 - spike) * first, -beta * membrane * first
        else:
            grad_membrane, grad_spike = beta * first, -theta * first
        return grad_current, grad_membrane, None if detach_reset else grad_spike, grad_beta, grad_theta, None, None, None


def _arrays(*tensors):
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


# The inner loops stay this short because the vectoriser gives up when a loop has more than eight pairs of arrays that
# might overlap. No fastmath in the forward scan: a fused multiply-add there would change spikes.
@njit(cache=True, nogil=True)
def _forward(current, membrane, spike, beta, theta, spikes, membranes, hard):
    steps, batch, width = current.shape
    zero, one = current.dtype.type(0), current.dtype.type(1)
    for b in range(batch):
        for t in range(steps):
            last_u = membranes[t - 1, b] if t > 0 else membrane[b]
            last_s = spikes[t - 1, b] if t > 0 else spike[b]
            u, s = membranes[t, b], spikes[t, b]
            if hard:
                for h in range(width):
                    u[h] = beta[h] * ((one - last_s[h]) * last_u[h]) + current[t, b, h]
            else:
                for h in range(width):
                    u[h] = beta[h] * last_u[h] + current[t, b, h] - last_s[h] * theta[h]
            for h in range(width):
                s[h] = one if u[h] > theta[h] else zero


@njit(cache=True, nogil=True, fastmath=True)
def _backward(
    grad_spikes, grad_final, membranes, membrane, spike, beta, theta, du, grad_beta, grad_theta, slope, hard, detach_reset
):
    """With dU_T = 0, g the surrogate derivative and G the incoming gradient of the spikes:

    soft:  ds_t = G_t - theta dU_{t+1},      dU_t = g_t ds_t + beta dU_{t+1}
    hard:  ds_t = G_t - beta U_t dU_{t+1},   dU_t = g_t ds_t + beta (1 - s_t) dU_{t+1}
    """
    steps, batch, width = du.shape
    zero, one = du.dtype.type(0), du.dtype.type(1)
    through_reset = zero if detach_reset else one
    nothing = np.zeros_like(theta)
    last_s = np.empty_like(theta)
    for b in range(batch):
        for t in range(steps - 1, -1, -1):
            later = du[t + 1, b] if t < steps - 1 else nothing
            last_u = membranes[t - 1, b] if t > 0 else membrane[b]
            u, now = membranes[t, b], du[t, b]
            if t > 0:
                for h in range(width):
                    last_s[h] = one if last_u[h] > theta[h] else zero
            else:
                last_s[:] = spike[b]
            if hard:
                for h in range(width):
                    slack = one + slope * abs(u[h] - theta[h])
                    ds = grad_spikes[t, b, h] - through_reset * beta[h] * u[h] * later[h]
                    grad_theta[h] -= ds / (slack * slack)
                for h in range(width):
                    slack = one + slope * abs(u[h] - theta[h])
                    ds = grad_spikes[t, b, h] - through_reset * beta[h] * u[h] * later[h]
                    kept = zero if u[h] > theta[h] else beta[h] * later[h]
                    now[h] = ds / (slack * slack) + kept
            else:
                for h in range(width):
                    slack = one + slope * abs(u[h] - theta[h])
                    ds = grad_spikes[t, b, h] - through_reset * theta[h] * later[h]
                    now[h] = ds / (slack * slack) + beta[h] * later[h]
                for h in range(width):
                    grad_theta[h] -= now[h] - beta[h] * later[h]
            if t == steps - 1:
                for h in range(width):
                    now[h] += grad_final[b, h]
            if hard:
                for h in range(width):
                    grad_beta[h] += (one - last_s[h]) * last_u[h] * now[h]
            else:
                for h in range(width):
                    grad_beta[h] += last_u[h] * now[h]
                for h in range(width):
                    grad_theta[h] -= last_s[h] * now[h]
