"""The adjoint of the body-rate loop: torch's automatic differentiation of the same equations is the oracle."""

import dataclasses

import numpy as np
import pytest
import torch
from differentiable_loop import rate_step
from numba import njit

from spike_ctrl import airframe
from spike_ctrl.sim import action_mapping, dynamics, rate_loop
from spike_ctrl.sim.dynamics import COMMAND_ROWS, HOVER, LANES, LOOP_FACTORS, LOOP_ROWS, RATES, ROWS
from spike_ctrl.sim.dynamics_vjp import ADJOINT_ROWS, APPLIED, BATTERY, LOOP, STATE
from spike_ctrl.sim.rate_loop_vjp import rate_vjp_lane

SIH, VEHICLES = airframe.load("sih_quadx"), 64 * LANES
AIRMODES = ("disabled", "roll_pitch")
SPIN = dynamics.geometry(SIH)[8:]


@njit
def _apply(back, buffer, adjoint, constants, spin):
    c, s = rate_loop.unpack(constants), (spin[0], spin[1], spin[2], spin[3])
    for n in range(VEHICLES):
        lane = np.uint64(n // LANES * ROWS * LANES + n % LANES)
        if back:
            rate_vjp_lane(buffer, lane, adjoint, np.uint64(n // LANES * ADJOINT_ROWS * LANES + n % LANES), c, s)
        else:
            rate_loop.rate_lane(buffer, lane, c, s)


class Loops:
    """Rate loops in states of which some are at rest and some at every limit; values in float64 for the oracle."""

    def __init__(self, wild, airmode):
        craft = dataclasses.replace(SIH, rate_loop=dataclasses.replace(SIH.rate_loop, airmode=airmode))
        self.constants = rate_loop.constants(craft, 0.0025)
        rng = np.random.default_rng(0)
        self.buffer = dynamics.allocate(VEHICLES, SIH)
        rates = rng.normal(0, wild, (VEHICLES, 3))
        gyro = rates + rng.normal(0, 0.3 * wild, (VEHICLES, 3))
        setpoint = rng.uniform(-1, 1, (VEHICLES, 4))
        integral = rng.uniform(-0.3, 0.3, (VEHICLES, 3))
        integral[::3] = np.sign(integral[::3]) * 0.3
        slope = rng.normal(0, 0.05 * wild, (VEHICLES, 3))
        factors = rng.uniform(0.7, 1.3, (VEHICLES, 4))
        dynamics.write(self.buffer, slice(RATES, RATES + 3), rates)
        dynamics.write(self.buffer, LOOP_ROWS, np.concatenate([setpoint, integral, gyro, slope], 1))
        dynamics.write(self.buffer, slice(LOOP_FACTORS, LOOP_FACTORS + 4), factors)
        dynamics.write(self.buffer, HOVER, rng.uniform(0.2, 0.8, VEHICLES))

    def read(self, which):
        return torch.from_numpy(dynamics.read(self.buffer, which, VEHICLES).astype(float))

    def oracle(self):
        """Inputs (rates, set-point, what is kept), and commands with what is kept after a substep."""
        loop = self.read(LOOP_ROWS)
        inputs = [self.read(slice(RATES, RATES + 3)), loop[:, :4], loop[:, 4:]]
        for value in inputs:
            value.requires_grad_()
        constants, spin = (torch.from_numpy(array.astype(float)) for array in (self.constants, SPIN))
        factors, hover = self.read(slice(LOOP_FACTORS, LOOP_FACTORS + 4)), self.read(slice(HOVER, HOVER + 1))
        return inputs, rate_step(*inputs, constants, factors, spin, hover)


@pytest.fixture(params=[0.3, 3.0], ids=["calm", "at its limits"])
def wild(request):
    return request.param


@pytest.fixture(params=AIRMODES)
def loops(request, wild):
    return Loops(wild, request.param)


def test_the_oracle_is_the_loop_that_flies(loops):
    _, (command, kept) = loops.oracle()
    _apply(False, loops.buffer, np.zeros(1, np.float32), loops.constants, SPIN)
    np.testing.assert_allclose(loops.read(COMMAND_ROWS), command.detach(), atol=2e-6)
    np.testing.assert_allclose(loops.read(LOOP_ROWS)[:, 4:], kept.detach(), atol=2e-6)


def test_the_gradient_through_the_loop_is_that_of_automatic_differentiation(loops):
    inputs, (command, kept) = loops.oracle()
    rng = np.random.default_rng(1)
    by_command, by_kept = rng.normal(size=(VEHICLES, 4)), rng.normal(size=(VEHICLES, 9))
    (command * torch.from_numpy(by_command)).sum().add((kept * torch.from_numpy(by_kept)).sum()).backward()
    adjoint = np.zeros((VEHICLES // LANES, ADJOINT_ROWS, LANES), np.float32)
    for row, values in ((APPLIED, by_command), (LOOP + 4, by_kept)):
        adjoint[:, row : row + values.shape[1]] = values.reshape(-1, LANES, values.shape[1]).transpose(0, 2, 1)
    flat = adjoint.ravel()
    _apply(True, loops.buffer, flat, loops.constants, SPIN)
    found = adjoint.transpose(0, 2, 1).reshape(VEHICLES, ADJOINT_ROWS)
    found = np.concatenate([found[:, STATE + RATES : STATE + RATES + 3], found[:, LOOP:BATTERY]], 1)
    wanted = torch.cat([value.grad for value in inputs], 1).numpy()
    scale = np.abs(wanted).max(1, keepdims=True)
    wrong = (np.abs(found - wanted) > 1e-3 * scale + 1e-6).any(1)
    # In one of a thousand states rounding to float32 decides on which side of a limit it lies.
    assert wrong.mean() < 0.002, f"{wrong.sum()} of {VEHICLES}"


@pytest.mark.parametrize("airmode", AIRMODES)
def test_each_limit_is_at_work_in_some_of_these_states(airmode):
    loops = Loops(3.0, airmode)
    _, (command, kept) = loops.oracle()
    command, integral = command.detach().numpy(), kept.detach().numpy()[:, :3]
    assert 0.05 < (np.abs(integral) > 0.2999).mean() < 0.95
    assert 0.05 < ((command < 1e-6) | (command > 1 - 1e-6)).any(1).mean() < 1.0
    full = (np.ptp(command, axis=1) > 1 - 1e-6).mean()  # roll and pitch alone fill all there is
    assert 0.05 < full < 0.95 if airmode == "roll_pitch" else full < 0.95
    assert (loops.read(LOOP_ROWS)[:, 0] < action_mapping.LEAST_COLLECTIVE).double().mean() > 0.05
