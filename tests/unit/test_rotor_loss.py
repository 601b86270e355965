"""A rotor that fails: facts of physics, its adjoint by torch's automatic differentiation, how failures are drawn.

- a loss is the missing force and its drag torque where the rotor is; it begins at its time and grows over its time
- a stuck rotor turns at its speed whatever is commanded
- the gradient through steps before, in and after the failure
- draws by seed, and recipes that say them
"""

import math

import numpy as np
import pytest
import torch
from differentiable import DT, rate_of_change

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.dynamics import (
    CLOCK,
    COMMAND_ROWS,
    DISTURBANCE_ROWS,
    FAILS_AT,
    FALLS_OVER,
    LANES,
    LOST,
    PLANT_ROWS,
    RATES,
    ROTOR_ROWS,
    STATE_ROWS,
    STUCK,
    VELOCITY,
)
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates, Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss

CRAFT = airframe.load("crazyflie")
ARMS, EXTENSION = dynamics.geometry(CRAFT), dynamics.extension(CRAFT, DT, fails=True)


def hovering(**rows):
    """Two blocks of level vehicles whose rotors turn at hover, and the rows that are given."""
    buffer = dynamics.allocate(2 * LANES, CRAFT)
    dynamics.write(buffer, ROTOR_ROWS, np.full((2 * LANES, 4), CRAFT.hover))
    dynamics.write(buffer, COMMAND_ROWS, np.full((2 * LANES, 4), CRAFT.hover))
    for name, value in rows.items():
        dynamics.write(buffer, {"lost": slice(LOST, STUCK), "at": FAILS_AT, "over": FALLS_OVER}[name], value)
    return buffer


def fly(buffer, steps):
    for _ in range(steps):
        dynamics.step(buffer, np.float32(DT), ARMS, EXTENSION)


def read(buffer, rows):
    return dynamics.read(buffer, rows, 2 * LANES)


def lost(rotor, share):
    shares = np.zeros((2 * LANES, 4))
    shares[:, rotor] = share
    return shares


def test_without_a_loss_a_vehicle_hovers_as_a_plain_one_does():
    buffer, plain = hovering(), hovering()
    fly(buffer, 50)
    for _ in range(50):
        dynamics.step(plain, np.float32(DT), ARMS)
    np.testing.assert_allclose(read(buffer, STATE_ROWS), read(plain, STATE_ROWS), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(read(buffer, CLOCK), 0.5, rtol=1e-5)


@pytest.mark.parametrize("rotor", range(4))
def test_a_lost_share_is_missing_as_force_and_as_both_torques(rotor):
    buffer, dt = hovering(lost=lost(rotor, 0.6)), 1e-3
    dynamics.step(buffer, np.float32(dt), ARMS, EXTENSION)
    missing = 0.6 * CRAFT.mass * 9.81 / 4
    torque = np.array([-CRAFT.rotor_y[rotor], CRAFT.rotor_x[rotor], -CRAFT.torque_per_thrust * CRAFT.rotor_spin[rotor]])
    np.testing.assert_allclose(read(buffer, slice(VELOCITY, RATES))[0] / dt, [0, 0, -missing / CRAFT.mass], atol=2e-2)
    found = read(buffer, slice(RATES, RATES + 3))[0] / dt * np.array(CRAFT.inertia)
    np.testing.assert_allclose(found, missing * torque, rtol=1e-2, atol=1e-8)


def test_the_thrust_falls_from_the_time_of_the_failure_over_its_time():
    at = np.full(2 * LANES, 0.1)
    sudden, slow = hovering(lost=lost(1, 1.0), at=at), hovering(lost=lost(1, 1.0), at=at, over=np.full(2 * LANES, 0.2))
    for buffer in (sudden, slow):
        fly(buffer, 10)
        assert np.abs(read(buffer, slice(VELOCITY, RATES))).max() < 1e-4
    fly(sudden, 4), fly(slow, 4)
    fallen = [read(buffer, VELOCITY + 2)[0] for buffer in (sudden, slow)]
    assert fallen[0] < 3 * fallen[1] < 0  # 0.04 s of a ramp of 0.2 s: a tenth of the thrust in the mean


def test_a_stuck_rotor_keeps_its_speed_whatever_is_commanded():
    buffer = hovering()
    dynamics.write(buffer, STUCK + 2, np.full(2 * LANES, 0.9))
    dynamics.write(buffer, COMMAND_ROWS, np.full((2 * LANES, 4), 0.3))
    fly(buffer, 100)
    np.testing.assert_allclose(read(buffer, ROTOR_ROWS)[0], [0.3, 0.3, 0.9, 0.3], atol=1e-4)


def oracle(state, command, plant, disturbance, arms, shares, stuck):
    """A step in torch, with thrust that is missing as one more force and torque."""
    given = torch.where(stuck >= 0, stuck, command)
    x, y, spin = arms

    def slope(s):
        r, curve, torque = s[:, 13:], plant[:, 4:7], plant[:, 7:8]
        gone = shares * (curve[:, :1] + curve[:, 1:2] * r + curve[:, 2:] * r * r)
        moment = torch.stack([-(y * gone).sum(-1), (x * gone).sum(-1), -(torque * spin * gone).sum(-1)], -1)
        q = s[:, 3:7]
        up = torch.stack([
            2 * (q[:, 0] * q[:, 2] + q[:, 3] * q[:, 1]), 2 * (q[:, 1] * q[:, 2] - q[:, 3] * q[:, 0]),
            1 - 2 * (q[:, 0] ** 2 + q[:, 1] ** 2),
        ], -1)  # fmt: skip
        less = torch.cat([-gone.sum(-1, keepdim=True) * up, moment], -1)
        return rate_of_change(s, given, plant, disturbance + less, arms)

    k1 = slope(state)
    k2 = slope(state + DT / 2 * k1)
    k3 = slope(state + DT / 2 * k2)
    s = state + DT / 6 * (k1 + 2 * k2 + 2 * k3 + slope(state + DT * k3))
    return torch.cat([s[:, :3], torch.nn.functional.normalize(s[:, 3:7], dim=-1), s[:, 7:]], -1)


@pytest.mark.plug_ins
def test_the_gradient_through_a_failure_is_that_of_automatic_differentiation():
    from differentiable_control import advance

    from spike_ctrl_networks.differentiable_step import Vehicles

    loss = RotorLoss(chance=1.0, latest=0.04, over=0.04, stuck=0.3)
    task = Task(start=InitialStates(at_target=0, velocity=3, rates=5), randomisation=Randomisation(rotor_loss=loss))
    environment = Environment(CRAFT, 2 * LANES, task)
    environment.reset(seed=2)
    vehicles = Vehicles(environment.buffer, motion(CRAFT, DT, fails=True), 2 * LANES)
    generator = torch.Generator().manual_seed(0)
    commands = torch.rand(6, 2 * LANES, 4, generator=generator)
    ours, theirs = (commands.clone().to(kind).requires_grad_() for kind in (torch.float32, torch.float64))
    start = vehicles.state()
    begun, begun64 = start.clone().requires_grad_(), start[:, :17].double().requires_grad_()
    weight = torch.randn(2 * LANES, 17, generator=generator)
    plant, disturbance, lost, stuck, at, over = (
        torch.from_numpy(environment.read(rows).astype(float))
        for rows in (PLANT_ROWS, DISTURBANCE_ROWS, slice(LOST, STUCK), slice(STUCK, FAILS_AT), FAILS_AT, FALLS_OVER)
    )
    arms = torch.from_numpy(ARMS.astype(float)).reshape(3, 4)
    state, s = begun, begun64
    for step, (u, v) in enumerate(zip(ours, theirs, strict=True)):
        part = ((step * DT - at + 1e-6) / (over + 1e-6)).clamp(0, 1)[:, None]
        held = torch.where((step * DT >= at)[:, None], stuck, -1.0)
        state, s = advance(state, u, vehicles), oracle(s, v, plant, disturbance, arms, part * lost, held)
    (state[:, :17] * weight).sum().backward()
    (s * weight).sum().backward()
    np.testing.assert_allclose(state[:, :17].detach(), s.detach(), rtol=1e-4, atol=1e-3)
    for found, wanted in ((begun.grad[:, :17], begun64.grad), (ours.grad, theirs.grad)):
        wanted = wanted.numpy()
        assert np.abs(found.numpy() - wanted).max() <= 2e-3 * np.abs(wanted).max()
    assert (ours.grad.numpy() == 0).any()  # what a stuck rotor is told changes nothing


def test_failures_follow_from_the_seed_and_lie_within_their_bounds():
    loss = RotorLoss(chance=0.5, least=0.2, most=0.8, whole=0.25, rotors=2, earliest=1, latest=3, over=0.5)

    def drawn(vehicles):
        environment = Environment(CRAFT, vehicles, Task(randomisation=Randomisation(rotor_loss=loss)))
        environment.reset(seed=5)
        return environment.read(slice(LOST, FALLS_OVER + 1))

    rows = drawn(512)
    np.testing.assert_array_equal(rows[:64], drawn(64))
    shares, most = rows[:, :4], rows[:, :4].max(1)
    assert (np.count_nonzero(shares, axis=1) <= 1).all() and not shares[:, 2:].any()
    assert 0.4 < np.mean(most > 0) < 0.6 and most[most > 0].min() >= 0.2
    assert 0.15 < np.mean(most[most > 0] == np.float32(0.8)) < 0.35
    assert rows[:, 8].min() >= 1 and rows[:, 8].max() <= 3 and rows[:, 9].max() <= 0.5
    assert np.allclose(rows[:, 4:8], -1)


def test_losses_grow_with_a_training():
    loss = RotorLoss(chance=1, least=0.2, most=1.0, grows=0.5)
    assert [float(loss.array(p)[2]) for p in (0, 0.25, 0.5, 1)] == pytest.approx([0.2, 0.6, 1, 1])


def test_a_recipe_says_failures_and_is_written_without_them_where_there_are_none():
    about = {"base": "default", "task": {"randomisation": {"rotor_loss": {"chance": 0.5, "latest": 2.0}}}}
    found = recipe.from_dict(about, "mine")
    assert found.task.randomisation.rotor_loss == RotorLoss(chance=0.5, latest=2.0)
    assert recipe.from_dict(recipe.to_dict(found), "again") == found
    assert "rotor_loss" not in str(recipe.to_dict(recipe.find("robust")))
    with pytest.raises(UsageError, match=r"rotor_loss\.over: found 3.*wanted 0 to 1"):
        recipe.from_dict({"base": "default", "task": {"randomisation": {"rotor_loss": {"over": 3.0}}}}, "mine")


def test_the_simulated_autopilots_vehicle_loses_a_rotor_in_flight_and_gets_it_back():
    from spike_ctrl.simulated_px4.plant import TICK, Plant

    plant, hover = Plant(CRAFT), [CRAFT.hover] * 4
    plant.hover_at((0.0, 0.0, 5.0))
    plant.lose_rotor(2, 1.0)
    plant.advance(0.0, (0.0, 0.0, 0.0), True, motors=hover)
    before = plant.state
    assert before.velocity[2] == pytest.approx(-9.81 / 4 * TICK, rel=0.05)
    assert before.rates[0] < 0 < -before.rates[1]  # towards the back left
    plant.lose_rotor(2, 0.0)
    plant.advance(0.0, (0.0, 0.0, 0.0), True, motors=hover)
    assert plant.state.velocity[2] == pytest.approx(before.velocity[2], abs=1e-4)


def test_a_rotor_of_the_simulated_autopilots_vehicle_is_stuck_at_a_speed_by_the_lag_of_its_motor():
    from spike_ctrl.simulated_px4.plant import TICK, Plant

    plant, hover, lag = Plant(CRAFT), CRAFT.hover, CRAFT.lag_down
    plant.hover_at((0.0, 0.0, 5.0))
    plant.lose_rotor(0, 0.0, stuck=0.2)
    ticks = round(lag / TICK)
    for _ in range(ticks):
        plant.advance(0.0, (0.0, 0.0, 0.0), True, motors=[hover] * 4)
    speeds = plant.state.rotors
    assert speeds[0] == pytest.approx(0.2 + (hover - 0.2) * math.exp(-ticks * TICK / lag), abs=0.01)
    assert speeds[1:] == pytest.approx([hover] * 3, abs=1e-4) and plant.state.rates[0] > 0  # right side down
    plant.lose_rotor(0, 0.0)
    for _ in range(5 * ticks):
        plant.advance(0.0, (0.0, 0.0, 0.0), True, motors=[hover] * 4)
    assert plant.state.rotors[0] == pytest.approx(hover, abs=0.01)
