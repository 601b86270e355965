"""The fused scans against autograd through single steps."""

import itertools

import pytest
import torch

from spike_ctrl.snn.lif import LIFParameters, LIFState, initial_state, lif_step
from spike_ctrl.snn.neuron import Reset
from spike_ctrl.snn.sequence import lif_sequence

CASES = list(itertools.product(Reset, (False, True)))


def problem(dtype, steps=30, batch=5, width=37, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    membrane = random(batch, width)
    spike = (random(batch, width) > 0).to(dtype)
    beta, theta = torch.rand(2, width, generator=generator, dtype=dtype)
    leaves = [random(steps, batch, width), membrane, spike, beta, theta]
    return [leaf.clone().requires_grad_() for leaf in leaves], random(steps, batch, width), random(batch, width)


def stepwise(current, state, parameters, slope, reset, detach_reset):
    spikes = []
    for inflow in current:
        spike, state = lif_step(inflow, state, parameters, slope, reset, detach_reset)
        spikes.append(spike)
    return torch.stack(spikes), state


def solve(run, leaves, to_spikes, to_final, reset, detach_reset):
    current, membrane, spike, beta, theta = leaves
    spikes, state = run(current, LIFState(membrane, spike), LIFParameters(beta, theta), 3.0, reset, detach_reset)
    loss = (spikes * to_spikes).sum() + (state.membrane * to_final).sum() + (state.spike * to_final).sum()
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return spikes, state, gradients


@pytest.mark.parametrize(("reset", "detach_reset"), CASES)
def test_values_and_all_gradients_equal_autograd_through_the_steps(reset, detach_reset):
    leaves, to_spikes, to_final = problem(torch.float64)
    spikes, state, gradients = solve(lif_sequence, leaves, to_spikes, to_final, reset, detach_reset)
    wanted_spikes, wanted_state, wanted = solve(stepwise, leaves, to_spikes, to_final, reset, detach_reset)
    assert torch.equal(spikes, wanted_spikes)
    assert torch.equal(state.membrane, wanted_state.membrane)
    assert torch.equal(state.spike, wanted_state.spike)
    for name, mine, other in zip(("current", "membrane", "spike", "beta", "theta"), gradients, wanted, strict=True):
        if detach_reset and name == "spike":
            assert mine is None
        else:
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("reset", "detach_reset"), CASES)
def test_in_single_precision_spikes_and_membranes_are_the_same_bits(reset, detach_reset):
    leaves, to_spikes, to_final = problem(torch.float32, steps=100, batch=16, width=64)
    spikes, state, gradients = solve(lif_sequence, leaves, to_spikes, to_final, reset, detach_reset)
    wanted_spikes, wanted_state, wanted = solve(stepwise, leaves, to_spikes, to_final, reset, detach_reset)
    assert torch.equal(spikes, wanted_spikes)
    assert torch.equal(state.membrane, wanted_state.membrane)
    for mine, other in zip(gradients, wanted, strict=True):
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-3 * other.abs().max().item())


def test_two_halves_equal_the_whole_with_gradients_across_the_cut():
    (current, _, _, beta, theta), to_spikes, _ = problem(torch.float64, steps=20)
    parameters, batch, width = LIFParameters(beta, theta), *current.shape[1:]
    start = initial_state(batch, width, dtype=torch.float64)
    whole, _ = lif_sequence(current, start, parameters, 2.0)
    first, state = lif_sequence(current[:8], start, parameters, 2.0)
    second, _ = lif_sequence(current[8:], state, parameters, 2.0)
    halves = torch.cat([first, second])
    assert torch.equal(whole, halves)
    for a, b in zip(
        torch.autograd.grad((whole * to_spikes).sum(), [current, beta, theta]),
        torch.autograd.grad((halves * to_spikes).sum(), [current, beta, theta]),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_caller_s_tensors_are_left_alone_and_need_not_be_contiguous():
    leaves, *_ = problem(torch.float32)
    current = leaves[0].detach().transpose(0, 1).contiguous().transpose(0, 1)
    before = current.clone()
    parameters = LIFParameters(leaves[3].detach(), leaves[4].detach())
    state = initial_state(*current.shape[1:])
    spikes, _ = lif_sequence(current, state, parameters, 2.0)
    assert torch.equal(current, before)
    assert not state.membrane.any()
    assert torch.equal(spikes, lif_sequence(before.contiguous(), state, parameters, 2.0)[0])


def test_wrong_shapes_are_named():
    parameters = LIFParameters(torch.rand(3), torch.rand(3))
    with pytest.raises(ValueError, match=r"current: found shape \(2, 3\), wanted \[T, B, H\]"):
        lif_sequence(torch.zeros(2, 3), initial_state(2, 3), parameters, 2.0)
    with pytest.raises(ValueError, match=r"state: found shape \(1, 3\), wanted \(2, 3\)"):
        lif_sequence(torch.zeros(4, 2, 3), initial_state(1, 3), parameters, 2.0)
