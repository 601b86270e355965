"""The spike with a surrogate derivative (fast sigmoid, Zenke and Ganguli 2018)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from spike_ctrl._files.arrays import Numbers

_ONE = np.float32(1)  # keeps a kernel in the precision of its arrays


def derivative(x: Numbers, slope: Numbers) -> Numbers:
    """Surrogate derivative 1 / (1 + k |x|)^2 with k = slope, of the membrane x above threshold.

    This is the only place that knows its shape: autograd calls it, the kernels inline it.
    """
    slack = slope * abs(x) + _ONE
    return _ONE / (slack * slack)


def spike(x: torch.Tensor, slope: float) -> torch.Tensor:
    """Heaviside step H(x), 1 where x > 0 strictly; backward it has `derivative(x, slope)`.

    x is the membrane above threshold, any shape; slope is k of the paper (arXiv 2510.24461), larger is narrower.
    """
    return _spike(x, slope)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, slope: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        gradient: torch.Tensor = grad * derivative(x, ctx.slope)
        return gradient, None


_spike: Callable[[torch.Tensor, float], torch.Tensor] = _Spike.apply
