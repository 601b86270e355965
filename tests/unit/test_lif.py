"""One LIF step against the equations by hand and against snnTorch's Leaky."""

import pytest
import torch

from spike_ctrl.snn.lif import LIFParameters, LIFState, initial_state, lif_step
from spike_ctrl.snn.neuron import Neuron, Reset

SNNTORCH_RESET = {Reset.SOFT: "subtract", Reset.HARD: "zero"}


def one(value):
    return torch.tensor([[value]])


def test_a_soft_reset_subtracts_the_threshold_one_step_later():
    parameters = LIFParameters(torch.tensor([0.5]), torch.tensor([1.0]))
    spike, state = lif_step(one(1.5), initial_state(1, 1), parameters, 2.0)
    assert (spike.item(), state.membrane.item()) == (1.0, 1.5)
    spike, state = lif_step(one(0.5), state, parameters, 2.0)
    assert (spike.item(), state.membrane.item()) == (0.0, 0.25)


def test_a_hard_reset_forgets_the_membrane_but_not_the_input():
    parameters = LIFParameters(torch.tensor([0.5]), torch.tensor([1.0]))
    state = LIFState(one(1.5), one(1.0))
    spike, state = lif_step(one(0.75), state, parameters, 2.0, Reset.HARD)
    assert (spike.item(), state.membrane.item()) == (0.0, 0.75)


def test_the_reset_carries_gradient_unless_it_is_detached():
    parameters = LIFParameters(torch.tensor([0.5]), torch.tensor([1.0]))
    for detach_reset, wanted in ((False, 0.5 - 1.0 * 0.25), (True, 0.5)):
        current = one(1.5).requires_grad_()
        _, state = lif_step(current, initial_state(1, 1), parameters, 2.0, Reset.SOFT, detach_reset)
        _, state = lif_step(one(0.0), state, parameters, 2.0, Reset.SOFT, detach_reset)
        state.membrane.sum().backward()
        assert current.grad.item() == pytest.approx(wanted)  # beta - theta / (1 + 2 * .5)^2


@pytest.mark.parametrize("reset", list(Reset))
@pytest.mark.parametrize("seed", range(3))
def test_spikes_membranes_and_gradients_equal_snntorch(reset, seed):
    snntorch = pytest.importorskip("snntorch")
    from snntorch.surrogate import fast_sigmoid

    generator = torch.Generator().manual_seed(seed)
    steps, batch, width, k = 40, 8, 32, 5.0
    current = torch.randn(steps, batch, width, generator=generator)
    target = torch.randn(steps, batch, width, generator=generator)
    beta, theta = torch.rand(2, width, generator=generator)

    oracle = snntorch.Leaky(
        beta=beta.clone(),
        threshold=theta.clone(),
        spike_grad=fast_sigmoid(k),
        learn_beta=True,
        learn_threshold=True,
        reset_mechanism=SNNTORCH_RESET[reset],
    )
    theirs = current.clone().requires_grad_()
    membrane, expected = torch.zeros(batch, width), []
    for inflow in theirs:
        spike, membrane = oracle(inflow, membrane)
        expected.append(spike)
    ((torch.stack(expected) * target).sum() + membrane.sum()).backward()

    ours = current.clone().requires_grad_()
    parameters = LIFParameters(beta.clone().requires_grad_(), theta.clone().requires_grad_())
    state, spikes = initial_state(batch, width), []
    for inflow in ours:
        spike, state = lif_step(inflow, state, parameters, k, reset, detach_reset=True)
        spikes.append(spike)
    ((torch.stack(spikes) * target).sum() + state.membrane.sum()).backward()

    assert torch.equal(torch.stack(spikes), torch.stack(expected))
    assert torch.equal(state.membrane, membrane)
    assert 0.05 < torch.stack(spikes).mean() < 0.95
    for mine, other in ((ours.grad, theirs.grad), (parameters.beta.grad, oracle.beta.grad)):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parameters.theta.grad, oracle.threshold.grad, rtol=1e-4, atol=1e-5)


def test_a_neuron_names_the_field_that_is_wrong():
    with pytest.raises(ValueError, match=r"neuron\.reset: found 'zero', wanted one of soft, hard"):
        Neuron(reset="zero")
    with pytest.raises(ValueError, match=r"neuron\.detach_reset: found 1"):
        Neuron(detach_reset=1)
