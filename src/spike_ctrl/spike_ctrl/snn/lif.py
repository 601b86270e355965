"""One step of leaky integrate-and-fire neurons as a pure function."""

from typing import NamedTuple

import torch

from spike_ctrl.snn.membrane import remainder, subtracted
from spike_ctrl.snn.neuron import Reset
from spike_ctrl.snn.surrogate import spike as fire


class LIFState(NamedTuple):
    """Membrane U and spike s of the last step, both [..., H]."""

    membrane: torch.Tensor
    spike: torch.Tensor


class LIFParameters(NamedTuple):
    """Leak beta in [0, 1] and threshold theta > 0 of each neuron, both [H]."""

    beta: torch.Tensor
    theta: torch.Tensor


def initial_state(*shape: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> LIFState:
    """Zero membrane and no spike, both of the given shape."""
    return LIFState(torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device))


def lif_step(
    current: torch.Tensor,
    state: LIFState,
    parameters: LIFParameters,
    slope: float,
    reset: Reset = Reset.SOFT,
    detach_reset: bool = False,
) -> tuple[torch.Tensor, LIFState]:
    """Advance neurons by one step.

        soft:  U_t = beta U_{t-1} + I_t - s_{t-1} theta
        hard:  U_t = beta (1 - s_{t-1}) U_{t-1} + I_t
               s_t = 1[U_t > theta]

    current: I_t, [..., H]; the input is not filtered. state: U_{t-1} and s_{t-1}. slope: k of the surrogate
    derivative. detach_reset: treat s_{t-1} in the reset as a constant, which makes this snnTorch's Leaky.
    Returns s_t and the new state.

        state = initial_state(32, 256)
        spike, state = lif_step(current, state, LIFParameters(beta, theta), slope=2.0)
    """
    beta, theta = parameters
    last = state.spike.detach() if detach_reset else state.spike
    hard = reset is Reset.HARD
    membrane = remainder(state.membrane, last, beta, hard) + current - subtracted(last, theta, hard)
    spike = fire(membrane - theta, slope)
    return spike, LIFState(membrane, spike)
