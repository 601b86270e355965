"""The model gradient through a plain torch module: the closed-loop kernel and finite differences are the oracles."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.learn import closed_loop_kernel, module_gradient
from spike_ctrl.learn.model_gradient import _flat, _views
from spike_ctrl.learn.module_gradient import SegmentConditions
from spike_ctrl.learn.objective import Objective
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.dynamics import LANES, STATE_ROWS
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.randomisation import MAX_DELAY, Randomisation
from spike_ctrl.snn.network import SpikingNetwork

SLOPE, STEPS = 2.0, 8
OBJECTIVE = Objective(
    *map(np.float32, (1.0, 0.1, 0.25, 0.14)),
    far=np.float32(0.5), wall=np.float32(2.0), wall_at=np.float32(0.3), haste=np.float32(0.5), haste_at=np.float32(0.7),
    lean=np.float32(1.0), upright=np.float32(0.8), change=np.float32(0.3), decay=np.float32(0.98), limit=np.float32(5.0),
)  # fmt: skip
WILD = Randomisation(mass=0.2, inertia=0.2, thrust=0.2, torque=0.2, lag=0.2, gains=0.3, filters=0.3)


class Situation:
    """Vehicles with plants of their own, late commands and moving set-points, at the beginning of a segment."""

    def __init__(self, name, seed, steps=STEPS):
        rng = np.random.default_rng(seed)
        self.craft = airframe.load(name)
        self.motion = motion(self.craft, 1 / RATE_HZ)
        self.rest = np.float32(self.craft.hover if self.motion.layout == "motors" else 0.5)
        environment = Environment(self.craft, LANES, Task(randomisation=WILD))
        environment.reset(seed=seed)
        self.buffer = environment.buffer
        self.command = rng.uniform(0, 1, (MAX_DELAY, 4, LANES)).astype(np.float32)
        self.flight = SegmentConditions(
            noise=rng.normal(0, 0.1, (steps, 4, LANES)).astype(np.float32),
            sensor_noise=rng.normal(0, 0.02, (steps, 18, LANES)).astype(np.float32),
            delay=np.resize([0, 1, 2], LANES).astype(np.int64),
            course=rng.normal(0, 0.005, (steps, 3, LANES)).astype(np.float32),
        )

    def fly(self, step, state, objective=OBJECTIVE):
        buffer = self.buffer.copy()
        flown = module_gradient.fly(step, state, buffer, self.motion, self.rest, self.command, self.flight, objective)
        return flown, dynamics.read(buffer, STATE_ROWS, LANES)


def kernels(situation, network):
    """The same segment by the closed-loop kernel: its tape, errors, states at the end and gradients by parameter."""
    buffer, flight = situation.buffer.copy(), situation.flight
    tape = closed_loop_kernel.tape(STEPS, sum(network.sizes[1:-1]), LANES, situation.motion.layout)
    tape.command[:MAX_DELAY] = situation.command
    m, policy = situation.motion, _views(network, lambda parameter: parameter.detach().numpy())
    model = (m.arms, m.extension, m.dt, situation.rest, m.loop, m.late, policy)
    errors = closed_loop_kernel.fly(buffer, *model, tape, flight.noise, flight.sensor_noise, flight.delay, flight.course)
    states = dynamics.read(buffer, STATE_ROWS, LANES)
    gradient = _views(network, lambda parameter: np.zeros(tuple(parameter.shape), np.float32))
    closed_loop_kernel.pull(buffer, *model, tape, flight.delay, flight.course, OBJECTIVE, np.float32(SLOPE), gradient)
    return tape, errors, states, dict(zip(dict(network.named_parameters()), _flat(gradient), strict=True))


def clear_of_thresholds(tape, network):
    """Whether every membrane is so far from its threshold that rounding decides about no spike."""
    theta = torch.cat([layer.theta.detach() for layer in network.layers]).numpy()
    return np.abs(tape.membrane[1:] - theta[:, None]).min() > 1e-5


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


class Remembering(nn.Module):
    """A GRU with a nested state, as anyone would write it."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRUCell(18, 8), nn.Linear(8, 4)

    def initial_state(self, batch):
        return torch.zeros(batch, 8), (torch.zeros(batch, 4),)

    def step(self, observation, state):
        hidden, (before,) = self.cell(observation, state[0]), state[1]
        action = torch.tanh(self.out(hidden) + 0.1 * before)
        return action, (hidden, (action,))


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
