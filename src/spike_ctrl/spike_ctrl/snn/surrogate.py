"""The spike with a surrogate derivative (fast sigmoid, Zenke and Ganguli 2018)."""

import torch


class _FastSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * derivative(x, ctx.slope), None


def spike(x: torch.Tensor, slope: float) -> torch.Tensor:
    """Heaviside step H(x), 1 where x > 0 strictly; backward it has `derivative(x, slope)`.

    x is the membrane above threshold, any shape; slope is k of the paper (arXiv 2510.24461), larger is narrower.
    """
    return _FastSigmoid.apply(x, slope)


def derivative(x: torch.Tensor, slope: float) -> torch.Tensor:
    """Surrogate derivative 1 / (1 + k |x|)^2 with k = slope."""
    return (1 + slope * x.abs()).pow(-2)
