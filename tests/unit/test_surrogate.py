"""The spike and its surrogate derivative."""

import pytest
import torch

from spike_ctrl.snn.surrogate import derivative, spike


def test_a_spike_needs_more_than_the_threshold():
    assert spike(torch.tensor([-1.0, -0.0, 0.0, 1e-30, 2.0]), 2.0).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(("k", "x", "wanted"), [(2.0, 0.0, 1.0), (2.0, 0.5, 0.25), (2.0, -0.5, 0.25), (100.0, 0.01, 0.25)])
def test_the_derivative_is_that_of_the_fast_sigmoid(k, x, wanted):
    value = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    spike(value, k).backward()
    assert value.grad.item() == pytest.approx(wanted)
    assert derivative(value.detach(), k).item() == pytest.approx(wanted)


def test_a_larger_slope_is_narrower_everywhere():
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    assert (derivative(x, 10.0) <= derivative(x, 2.0)).all()
