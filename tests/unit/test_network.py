"""The spiking network: steps and unrolls agree with each other and with snnTorch."""

import numpy as np
import pytest
import torch
from torch import nn

from spike_ctrl.snn.network import THETA_MIN, SpikingNetwork, average_
from spike_ctrl.snn.network_state import detach
from spike_ctrl.snn.neuron import PAPER, Neuron, Reset


def network(seed=0, sizes=(18, 32, 24, 4), neuron=PAPER, **options):
    return SpikingNetwork(sizes, neuron, generator=torch.Generator().manual_seed(seed), **options)


def observations(steps, batch, seed=1, dtype=torch.float32):
    return torch.randn(steps, batch, 18, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("reset", list(Reset))
@pytest.mark.parametrize(("detach_reset", "recurrent"), [(False, False), (True, False), (False, True)])
def test_n_single_steps_equal_one_n_step_unroll(reset, detach_reset, recurrent):
    net = network(neuron=Neuron(reset, detach_reset, recurrent)).double()
    inputs = observations(50, 7, dtype=torch.float64)
    unrolled, unrolled_state, rates = net.unroll(inputs, net.initial_state(7), 2.0)
    state, actions, spikes = net.initial_state(7), [], []
    for observation in inputs:
        action, state = net.step(observation, state, 2.0)
        actions.append(action)
        spikes.append([layer.spike.detach().mean().item() for layer in state])
    stepped = torch.stack(actions)
    torch.testing.assert_close(unrolled, stepped, rtol=1e-12, atol=1e-12)
    for mine, other in zip(unrolled_state, state, strict=True):
        torch.testing.assert_close(mine.membrane, other.membrane, rtol=1e-12, atol=1e-12)
        assert torch.equal(mine.spike, other.spike)
    torch.testing.assert_close(torch.stack(rates), torch.tensor(spikes, dtype=torch.float64).mean(0))
    parameters = list(net.parameters())
    for mine, other in zip(
        torch.autograd.grad(unrolled.square().sum(), parameters),
        torch.autograd.grad(stepped.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def test_a_recurrent_layer_is_that_of_snntorch():
    snntorch = pytest.importorskip("snntorch")
    net = SpikingNetwork((18, 32, 24, 4), Neuron(recurrent=True), generator=torch.Generator().manual_seed(3)).double()
    layer, inputs = net.layers[1], observations(60, 5, dtype=torch.float64)
    oracle = snntorch.RLeaky(layer.beta.detach(), threshold=layer.theta.detach(), linear_features=24).double()
    oracle.recurrent = torch.nn.Linear(24, 24, bias=False).double()
    oracle.recurrent.weight.data = layer.weight.data[:, 32:]
    state, busy = net.initial_state(5), 0
    spike, membrane = torch.zeros(5, 24).double(), torch.zeros(5, 24).double()
    with torch.no_grad():
        for observation in inputs:
            _, state = net.step(observation, state, 2.0)
            current = state[0].spike @ layer.weight[:, :32].T + layer.bias
            spike, membrane = oracle(current, spike.double(), membrane)
            torch.testing.assert_close(state[1].membrane, membrane)
            assert torch.equal(state[1].spike, spike.double())
            busy += spike.mean().item()
    assert 0.02 < busy / 60 < 0.9


def test_a_large_batch_is_worked_off_in_tiles_that_nobody_notices(monkeypatch):
    net, inputs = network().double(), observations(10, 7, dtype=torch.float64)
    parameters = list(net.parameters())
    _, start, _ = net.unroll(observations(5, 7, seed=2, dtype=torch.float64), net.initial_state(7), 2.0)
    start = detach(start)
    results = []
    for rows in (6400, 30, 1):  # all at once; 3, 3 and 1 vehicles; one by one
        monkeypatch.setattr("spike_ctrl.snn.sequence_kernel.TILE_ROWS", rows)
        action, state, rates = net.unroll(inputs, start, 2.0)
        loss = action.square().sum() + sum(layer.membrane.sum() for layer in state)
        results.append(
            [action, *rates, *(tensor for layer in state for tensor in layer), *torch.autograd.grad(loss, parameters)]
        )
    for tiled in results[1:]:
        torch.testing.assert_close(tiled, results[0], rtol=1e-10, atol=1e-10)


def test_an_unroll_is_the_same_network_in_snntorch():
    snntorch = pytest.importorskip("snntorch")
    from snntorch.surrogate import fast_sigmoid

    def double_spike(x):
        return fast_sigmoid(2.0)(x).double()  # snnTorch's own spikes are float32

    net = network(neuron=Neuron(detach_reset=True)).double()
    inputs = observations(60, 5, dtype=torch.float64)
    modules = []
    for layer in net.layers:
        linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], dtype=torch.float64)
        linear.weight, linear.bias = layer.weight, layer.bias
        leaky = snntorch.Leaky(layer.beta, threshold=layer.theta, spike_grad=double_spike)
        modules.append((linear, leaky))
    membranes, actions = [torch.zeros(5, width, dtype=torch.float64) for width in net.sizes[1:-1]], []
    for observation in inputs:
        signal = observation
        for index, (linear, leaky) in enumerate(modules):
            signal, membranes[index] = leaky(linear(signal), membranes[index])
        actions.append(torch.tanh(signal @ net.output.weight.T + net.output.bias))
    mine, state, _ = net.unroll(inputs, net.initial_state(5), 2.0)
    torch.testing.assert_close(mine, torch.stack(actions), rtol=1e-10, atol=1e-10)
    for layer, membrane in zip(state, membranes, strict=True):
        torch.testing.assert_close(layer.membrane, membrane, rtol=1e-10, atol=1e-10)


def test_every_parameter_gets_a_gradient():
    net = network(sizes=(18, 256, 128, 4))
    action, _, rates = net.unroll(observations(50, 8), net.initial_state(8), 2.0)
    action.square().mean().backward()
    assert all(0.01 < rate < 0.9 for rate in rates)
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_a_detached_state_stops_the_gradient_and_keeps_the_values():
    net = network()
    inputs = observations(4, 2).requires_grad_()
    _, state, _ = net.unroll(inputs, net.initial_state(2), 2.0)
    cut = detach(state)
    assert all(torch.equal(a.membrane, b.membrane) for a, b in zip(cut, state, strict=True))
    action, _ = net.step(observations(1, 2)[0], cut, 2.0)
    assert torch.autograd.grad(action.sum(), inputs, allow_unused=True) == (None,)


def test_all_of_the_initialisation_comes_from_the_generator():
    first, again, other = network(3).weights(), network(3).weights(), network(4).weights()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_initial_values_are_torch_s_linear_default_and_uniform_neurons():
    weights = network(sizes=(18, 256, 128, 4)).weights()
    assert np.abs(weights["layer0.weight"]).max() <= 18**-0.5
    assert np.abs(weights["layer0.weight"]).std() == pytest.approx(18**-0.5 * 12**-0.5, rel=0.05)
    assert (0 <= weights["layer0.beta"]).all() and (weights["layer0.beta"] <= 1).all()
    assert weights["layer0.theta"].mean() == pytest.approx(0.5, abs=0.1)
    assert weights["layer0.theta"].min() >= THETA_MIN


def test_training_starts_at_the_given_output_bias():
    assert network(output_bias=[0.1, 0.2, 0.3, 0.4]).weights()["output.bias"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ValueError, match=r"output_bias: found shape \(1,\), wanted \(4,\)"):
        network(output_bias=[0.1])


def test_projection_brings_neurons_back_into_range():
    net = network()
    with torch.no_grad():
        net.layer0.beta[:3] = torch.tensor([-0.5, 0.5, 1.5])
        net.layer1.theta[:2] = torch.tensor([-1.0, 3.0])
    net.project_()
    assert net.layer0.beta[:3].tolist() == [0.0, 0.5, 1.0]
    assert net.layer1.theta[:2].tolist() == pytest.approx([THETA_MIN, 3.0])


def test_weights_go_out_and_in_by_flat_names():
    source, target = network(0), network(1)
    weights = source.weights()
    assert list(weights)[:4] == ["layer0.weight", "layer0.bias", "layer0.beta", "layer0.theta"]
    assert list(weights)[-2:] == ["output.weight", "output.bias"]
    target.load_weights(weights)
    weights["layer0.weight"][:] = 0  # a copy, not a view
    assert torch.equal(target.layer0.weight, source.layer0.weight)
    with pytest.raises(ValueError, match=r"layer0\.bias: found shape \(3,\), wanted \(32,\)"):
        target.load_weights(source.weights() | {"layer0.bias": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="layer7"):
        target.load_weights(weights | {"layer7.bias": np.zeros(3, np.float32)})


def test_averaging_moves_by_the_given_rate():
    target, source = network(0), network(1)
    wanted = 0.9 * target.output.weight.detach() + 0.1 * source.output.weight.detach()
    average_(target, source, 0.1)
    torch.testing.assert_close(target.output.weight.detach(), wanted)
