"""The model gradient through a plain torch module: the closed-loop kernel and finite differences are the oracles."""

import functools

import numpy as np
import pytest
import torch
from flown_segment import OBJECTIVE, SLOPE, STEPS, Remembering, Situation

from spike_ctrl._files import resources
from spike_ctrl.learn import bptt_kernel
from spike_ctrl.learn.bptt import _flat, _views
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import LANES, STATE_ROWS
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.snn.network import SpikingNetwork


def kernels(situation, network):
    """The same segment by the closed-loop kernel: its tape, errors, states at the end and gradients by parameter."""
    buffer, flight = situation.buffer.copy(), situation.flight
    tape = bptt_kernel.tape(STEPS, network.sizes[1:-1], LANES, situation.motion.layout)
    tape.command[:MAX_DELAY] = situation.command
    m, policy = situation.motion, _views(network, lambda parameter: parameter.detach().numpy())
    model = (m.arms, m.extension, m.dt, situation.rest, m.loop, m.late, policy)
    errors = bptt_kernel.fly_segment(buffer, *model, tape, *flight[:4], bptt_kernel.PRESENT, bptt_kernel.NO_VOLTS)
    states = dynamics.read(buffer, STATE_ROWS, LANES)
    gradient = _views(network, lambda parameter: np.zeros(tuple(parameter.shape), np.float32))
    given = flight.delay, flight.course, OBJECTIVE, np.float32(SLOPE), gradient, bptt_kernel.PRESENT, bptt_kernel.NO_VOLTS
    bptt_kernel.segment_vjp(buffer, *model, tape, *given)
    return tape, errors, states, dict(zip(dict(network.named_parameters()), _flat(gradient), strict=True))


def clear_of_thresholds(tape, network):
    """Whether every membrane is so far from its threshold that rounding decides about no spike."""
    theta = torch.cat([layer.theta.detach() for layer in network.layers]).numpy()
    return np.abs(tape.membranes()[1:] - theta[:, None]).min() > 1e-5


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_robust", "sih_quadx"])
def test_the_gradient_of_a_shipped_network_is_that_of_the_closed_loop_kernel(name):
    loaded = checkpoint.load(resources.folder("models") / f"{name}.safetensors")
    network = SpikingNetwork(
        loaded.policy.sizes, loaded.manifest.contract.neuron, generator=torch.Generator().manual_seed(0)
    )
    network.load_weights(loaded.weights)
    for seed in range(20):
        situation = Situation("sih_quadx" if name == "sih_quadx" else "crazyflie", seed)
        tape, errors, states, wanted = kernels(situation, network)
        if clear_of_thresholds(tape, network):
            break
    else:
        pytest.fail("found no segment without a membrane at its threshold")
    flown, reached = situation.fly(functools.partial(network.step, slope=SLOPE), network.initial_state(LANES))
    flown.cost.backward()
    np.testing.assert_allclose(reached, states, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(flown.errors, errors, rtol=1e-4)
    np.testing.assert_allclose(flown.command, tape.command[-MAX_DELAY:], atol=1e-5)
    for parameter, gradient in wanted.items():
        found = network.get_parameter(parameter).grad.numpy()
        error = np.linalg.norm(found - gradient) / np.linalg.norm(gradient)
        assert error < 1e-4, f"{parameter}: {error:.1e}"


@pytest.mark.parametrize("name", ["crazyflie", "sih_quadx"])
def test_the_cost_of_a_plain_module_falls_along_its_gradient_as_the_gradient_says(name):
    torch.manual_seed(0)
    module, situation = Remembering(), Situation(name, 1)
    free = OBJECTIVE._replace(decay=np.float32(1), limit=np.float32(1e9))
    cost = situation.fly(module.step, module.initial_state(LANES), free)[0].cost
    cost.backward()
    gradient = [parameter.grad.clone() for parameter in module.parameters()]
    steepness = sum(g.square().sum() for g in gradient)
    move = 1e-2 / steepness.sqrt()

    def moved(by):
        with torch.no_grad():
            for parameter, g in zip(module.parameters(), gradient, strict=True):
                parameter += by * g
            value = situation.fly(module.step, module.initial_state(LANES), free)[0].cost.item()
            for parameter, g in zip(module.parameters(), gradient, strict=True):
                parameter -= by * g
        return value

    # Commands and rate loop have limits, at each of which the cost has a kink.
    assert (moved(move) - moved(-move)) / (2 * move * steepness) == pytest.approx(1, rel=3e-2)


def test_actions_of_wrong_shape_are_refused_by_name():
    with pytest.raises(ValueError, match=r"action: found shape \(16, 3\), wanted \(16, 4\)"):
        Situation("crazyflie", 0).fly(lambda seen, state: (seen[:, :3], state), None)
