"""One control step of torch tensors: the environment and finite differences are the oracles."""

import numpy as np
import pytest
import torch
from differentiable_control import control_step

from spike_ctrl import airframe
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl_networks.differentiable_step import Vehicles

COUNT = 20  # vehicles: one block and a part of the next


def situation(name):
    craft = airframe.load(name)
    environment = Environment(craft, COUNT, Task(box=100.0))
    observation, _ = environment.reset(seed=3)
    return environment, Vehicles(environment.buffer, motion(craft, 1 / RATE_HZ), COUNT), observation


@pytest.mark.installed
@pytest.mark.parametrize("name", ["crazyflie", "sih_quadx"])
def test_steps_are_those_of_the_environment(name):
    environment, vehicles, _ = situation(name)
    state, rng = vehicles.state(), np.random.default_rng(0)
    assert state.shape == (COUNT, {"motors": 17, "rates": 30}[environment.airframe.action_layout])
    for _ in range(5):
        action = rng.uniform(-1.3, 1.3, (COUNT, 4)).astype(np.float32)
        wanted, *_ = environment.step(action)
        state, observation = control_step(state, torch.from_numpy(action), vehicles)
        np.testing.assert_allclose(observation.numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["crazyflie", "sih_quadx"])
def test_gradients_to_state_and_action_are_those_of_finite_differences(name):
    _, vehicles, _ = situation(name)
    generator = torch.Generator().manual_seed(0)
    action = (torch.rand(COUNT, 4, generator=generator) - 0.5).requires_grad_()
    start = vehicles.state()
    start, _ = control_step(start, action.detach(), vehicles)  # the rate loop has something to keep
    start = start.detach().requires_grad_()
    weight = torch.randn(COUNT, 18, generator=generator)

    def value(state, action):  # of two steps, since what the rate loop keeps shows in the second
        state, first = control_step(state, action, vehicles)
        _, second = control_step(state, action, vehicles)
        return ((first + second) * weight).sum(1)

    value(start, action).sum().backward()
    for leaf, change in ((start, 1e-2), (action, 1e-2)):
        for column in range(leaf.shape[1]):
            by = torch.zeros_like(leaf)
            by[:, column] = change
            with torch.no_grad():
                up, down = (
                    (value(start + s * by, action) if leaf is start else value(start, action + s * by)) for s in (1, -1)
                )
            slope = (up - down) / (2 * change)
            scale = leaf.grad.abs().max(0).values[column] + 1e-2
            # A vehicle that a limit or the rotors' two lags switches in between has no derivative there.
            near = ((slope - leaf.grad[:, column]).abs() < 0.03 * scale).sum()
            assert near >= COUNT - 3, f"column {column}: {near}"


def test_more_vehicles_than_the_buffer_has_are_refused():
    _, vehicles, _ = situation("crazyflie")
    with pytest.raises(ValueError, match="vehicles: found 33, wanted 1 to 32"):
        Vehicles(vehicles.buffer, vehicles.motion, 33)
