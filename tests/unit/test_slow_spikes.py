"""examples/slow_spikes.py: without additions it is the library's recurrent network; each addition does what it says."""

import pytest
import torch
from examples.slow_spikes import SlowSpikes

from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import Neuron


def network(**additions):
    return SlowSpikes(18, 4, torch.Generator().manual_seed(0), hidden=(24, 16), **additions)


def flown(net, observations):
    state, actions = net.initial_state(observations.shape[1]), []
    for row in observations:
        action, state = net.step(row, state)
        actions.append(action)
    return torch.stack(actions), state


OBSERVATIONS = torch.randn(40, 8, 18, generator=torch.Generator().manual_seed(1))


def test_without_additions_it_gives_the_actions_and_gradients_of_the_library_s_recurrent_network():
    slow = network()
    ours = SpikingNetwork((18, 24, 16, 4), Neuron(recurrent=True), generator=torch.Generator().manual_seed(5))
    for mine, its in zip((*slow.layers, slow), (*ours.layers, ours.output), strict=True):
        linear = getattr(mine, "linear", slow.readout)
        linear.weight.data.copy_(its.weight.data), linear.bias.data.copy_(its.bias.data)
        if mine is not slow:
            mine.beta.data.copy_(its.beta.data), mine.theta.data.copy_(its.theta.data)
    actions, state = flown(slow, OBSERVATIONS)
    wanted, after, _ = ours.unroll(OBSERVATIONS, ours.initial_state(8), slow.slope)
    torch.testing.assert_close(actions, wanted)
    assert 0.02 < float(state[1].spikes.detach().mean()) and torch.equal(state[1].spikes[..., 0], after[1].spike)
    actions.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(slow.layers[0].linear.weight.grad, ours.layers[0].weight.grad, rtol=1e-3, atol=1e-4)


def test_a_leaky_readout_takes_steps_to_answer():
    """Of a constant input W s + b, the output before tanh has 1 - alpha^n after n steps."""
    slow = network(readout_leak=True)
    with torch.no_grad():
        slow.readout.weight.zero_(), slow.readout.bias.fill_(1.0), slow.leak.fill_(0.8)
    actions, _ = flown(slow, OBSERVATIONS[:5])
    wanted = torch.tanh(1 - 0.8 ** torch.arange(1.0, 6.0))
    torch.testing.assert_close(actions[:, 0, 0], wanted)


@pytest.mark.parametrize(("delay", "share"), [(2.0, [0, 0, 1, 0, 0]), (1.25, [0, 0.75, 0.25, 0, 0]), (0.0, [1, 0, 0, 0, 0])])
def test_a_spike_is_heard_as_many_steps_later_as_the_delay_says_and_the_delay_can_be_learnt(delay, share):
    layer = network(delays=4).layers[0]
    with torch.no_grad():
        layer.linear.weight.zero_(), layer.linear.bias.fill_(-1.0), layer.beta.zero_(), layer.delay.fill_(delay)
    state, heard = layer.initial_state(1), []
    for step in range(5):
        with torch.no_grad():
            layer.linear.bias.fill_(9.0 if step == 0 else -9.0)  # fires once
        signal, state = layer.step(torch.zeros(1, 18), state, 2.0)
        heard.append(signal[0, 0])
    torch.testing.assert_close(torch.stack(heard).detach(), torch.tensor(share, dtype=torch.float32))
    if delay == 1.25:  # one step later is heard less, two steps later more
        (heard[2] - heard[1]).backward()
        assert layer.delay.grad[0] == 2.0


def test_a_neuron_whose_threshold_adapts_fires_less_often_to_the_same_current():
    plain, adaptive = network().layers[0], network(adaptive=True).layers[0]
    for layer in (plain, adaptive):
        with torch.no_grad():
            layer.linear.weight.zero_(), layer.linear.bias.fill_(0.6), layer.beta.fill_(0.9), layer.theta.fill_(0.5)
    with torch.no_grad():
        adaptive.rho.fill_(0.9), adaptive.kappa.fill_(2.0)
    counts = []
    for layer in (plain, adaptive):
        state, fired = layer.initial_state(1), 0.0
        for _ in range(60):
            signal, state = layer.step(torch.zeros(1, 18), state, 2.0)
            fired += float(signal[0, 0])
        counts.append(fired)
    assert 0 < counts[1] < 0.8 * counts[0]
