"""The adjoint of the dynamics: torch's automatic differentiation of the same equations is the oracle."""

import numpy as np
import pytest
import torch
from differentiable import DT, rotation, step
from numba import njit

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics, reward
from spike_ctrl.sim.dynamics import COMMAND_ROWS, DISTURBANCE_ROWS, LANES, PLANT_ROWS, ROWS, STATE_ROWS
from spike_ctrl.sim.dynamics_vjp import (
    ADJOINT_ROWS,
    APPLIED,
    SEEN,
    STATE,
    errors_vjp_lane,
    observe_vjp_lane,
    rk4_vjp_lane,
)

VEHICLES = 2 * LANES


def flight(seed=0, name="crazyflie_l2f"):
    """A buffer of tumbling, disturbed, dragged vehicles and the same in float64 for the oracle."""
    vehicle, rng = airframe.load(name), np.random.default_rng(seed)
    buffer = dynamics.allocate(VEHICLES, vehicle)
    state = rng.normal(size=(VEHICLES, 17))
    state[:, 3:7] /= np.linalg.norm(state[:, 3:7], axis=1, keepdims=True)
    state[:, 10:13] *= 5
    state[:, 13:] = rng.uniform(0, 1, (VEHICLES, 4))
    plant = dynamics.nominal_plant(vehicle) * rng.uniform(0.8, 1.2, (VEHICLES, dynamics.PLANT_SIZE))
    plant[:, -2:] = rng.uniform(0, [0.02, 1e-5], (VEHICLES, 2))
    disturbance = rng.normal(size=(VEHICLES, 6)) * [0.03, 0.03, 0.03, 1e-5, 1e-5, 1e-5]
    command = rng.uniform(0, 1, (VEHICLES, 4))
    rows = [(STATE_ROWS, state), (PLANT_ROWS, plant), (DISTURBANCE_ROWS, disturbance), (COMMAND_ROWS, command)]
    for which, values in rows:
        dynamics.write(buffer, which, values)
    as64 = [torch.from_numpy(dynamics.read(buffer, which, VEHICLES).astype(float)) for which, _ in rows]
    geometry = torch.from_numpy(dynamics.geometry(vehicle).astype(float)).reshape(3, 4)
    return vehicle, buffer, *as64, geometry


@njit
def _apply(kind, buffer, adjoint, dt, arms, weights):
    for n in range(VEHICLES):
        lane = np.uint64(n // LANES * ROWS * LANES + n % LANES)
        at = np.uint64(n // LANES * ADJOINT_ROWS * LANES + n % LANES)
        if kind == 0:
            rk4_vjp_lane(buffer, lane, adjoint, at, dt, dynamics.unpack_arms(arms))
        elif kind == 1:
            observe_vjp_lane(buffer, lane, adjoint, at)
        else:
            errors_vjp_lane(buffer, lane, adjoint, at, (weights[0], weights[1], weights[2]))


def pulled(kind, vehicle, buffer, weights=(0, 0, 0), **rows):
    """The adjoint [N, ADJOINT_ROWS] after one of the three products, from what the rows held before."""
    adjoint = np.zeros((VEHICLES // LANES, ADJOINT_ROWS, LANES), np.float32)
    for name, values in rows.items():
        at = {"state": STATE, "seen": SEEN}[name]
        adjoint[:, at : at + values.shape[1]] = values.reshape(-1, LANES, values.shape[1]).transpose(0, 2, 1)
    flat = adjoint.ravel()
    _apply(kind, buffer, flat, np.float32(DT), dynamics.geometry(vehicle), np.float32(weights))
    return adjoint.transpose(0, 2, 1).reshape(VEHICLES, ADJOINT_ROWS)


def close(found, wanted, relative=1e-3):
    """Equal to `relative` of the largest entry of each vehicle."""
    wanted = wanted.detach().numpy()
    scale = np.abs(wanted).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - wanted) <= relative * scale + 1e-7)


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_l2f"])
def test_the_oracle_flies_as_the_kernel_does(name):
    vehicle, buffer, state, plant, disturbance, command, arms = flight(name=name)
    dynamics.step(buffer, np.float32(DT), dynamics.geometry(vehicle))
    found = dynamics.read(buffer, STATE_ROWS, VEHICLES)
    np.testing.assert_allclose(found, step(state, command, plant, disturbance, arms).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_l2f"])
def test_the_gradient_through_a_step_is_that_of_automatic_differentiation(name):
    vehicle, buffer, state, plant, disturbance, command, arms = flight(name=name)
    gradient = torch.from_numpy(np.random.default_rng(1).normal(size=(VEHICLES, 17)))
    state.requires_grad_(), command.requires_grad_()
    (step(state, command, plant, disturbance, arms) * gradient).sum().backward()
    found = pulled(0, vehicle, buffer, state=gradient.numpy())
    close(found[:, :17], state.grad)
    close(found[:, APPLIED : APPLIED + 4], command.grad)


def test_the_gradient_of_the_observation_reaches_the_state():
    vehicle, buffer, state, *_ = flight()
    gradient = torch.from_numpy(np.random.default_rng(2).normal(size=(VEHICLES, 18)))
    state.requires_grad_()
    matrix = rotation(state[:, 3:7]).reshape(-1, 9)
    (torch.cat([state[:, :3], matrix, state[:, 7:13]], -1) * gradient).sum().backward()
    close(pulled(1, vehicle, buffer, seen=gradient.numpy())[:, :17], state.grad)


def test_the_gradient_of_the_squared_errors_is_that_of_automatic_differentiation():
    vehicle, buffer, state, *_ = flight()
    weights = (3.5, 0.1, 0.25)
    state.requires_grad_()
    q = state[:, 3:7]
    angle = 2 * torch.atan2(q[:, :3].norm(dim=-1), q[:, 3].abs())
    squares = torch.stack([state[:, :3].square().sum(-1), state[:, 7:10].square().sum(-1), angle.square()], -1)
    (squares @ torch.tensor(weights, dtype=torch.float64)).sum().backward()
    found = pulled(2, vehicle, buffer, weights)[:, :17]
    # The angle is a function of the rotation: along the quaternion itself, where its length would change, both differ.
    wanted, quaternion = state.grad.numpy().copy(), dynamics.read(buffer, slice(3, 7), VEHICLES)
    for gradient in (found, wanted):
        gradient[:, 3:7] -= (gradient[:, 3:7] * quaternion).sum(-1, keepdims=True) * quaternion
    close(found, torch.from_numpy(wanted))


def test_the_errors_differentiated_are_those_of_the_reward():
    vehicle, _, state, *_ = flight()
    matrix = rotation(state[:, 3:7]).reshape(-1, 9)
    observation = torch.cat([state[:, :3], matrix, state[:, 7:13]], -1).numpy()
    found = reward.squared_errors(observation, np.full((VEHICLES, 4), vehicle.hover), vehicle.hover)
    q = state[:, 3:7].numpy()
    angle = 2 * np.arctan2(np.linalg.norm(q[:, :3], axis=1), np.abs(q[:, 3]))
    np.testing.assert_allclose(found[:, 2], angle**2, rtol=1e-3, atol=1e-4)


def test_at_the_target_the_gradient_is_zero_and_finite():
    vehicle = airframe.load("crazyflie")
    buffer = dynamics.allocate(VEHICLES, vehicle)
    found = pulled(2, vehicle, buffer, (1, 1, 1))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, :17], 0, atol=1e-4)
