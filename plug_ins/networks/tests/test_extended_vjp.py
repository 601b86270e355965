"""The adjoint with battery, drag and velocity moment: torch's automatic differentiation in float64 is the oracle.

- one step, from the state and battery after it to those before it and to the commands
- a segment of closed-loop flight, against autograd of the same flight
- several steps of torch tensors, against finite differences
"""

import dataclasses

import numpy as np
import pytest
import torch
from differentiable_control import advance
from extended import TERMS, extended_step

from spike_ctrl import airframe
from spike_ctrl.learn import bptt_kernel
from spike_ctrl.learn.bptt import _flat, _views
from spike_ctrl.learn.bptt_kernel import SegmentConditions
from spike_ctrl.learn.objective import Objective
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.dynamics import BATTERY_ROWS, BODY_DRAG, DEAD_TIME, DISTURBANCE_ROWS, LANES, PLANT_ROWS, STATE_ROWS
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import MAX_DELAY, InitialStates, Randomisation
from spike_ctrl.sim.sensor_noise import MAX_AGE
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_networks import module_gradient
from spike_ctrl_networks.differentiable_step import Vehicles

VEHICLES, DT = 2 * LANES, 0.01
MOTORS = dataclasses.replace(airframe.load("crazyflie_l2f"), **TERMS)
RATES = dataclasses.replace(
    airframe.load("sih_quadx"), body_drag=(0.3, 0.2, 0.1), velocity_moment=(0.01, 0.02),
    battery=dataclasses.replace(TERMS["battery"], endurance=300.0),
)  # fmt: skip
SPREAD = Randomisation(mass=0.2, thrust=0.2, lag=0.2, moment=1e-5, body_drag=0.5, velocity_moment=0.5, charge_low=0.2)


def close(found, wanted, relative=1e-3):
    """Equal to `relative` of the largest entry of each vehicle."""
    wanted = wanted.detach().numpy()
    assert np.all(np.abs(found - wanted) <= relative * np.abs(wanted).max(axis=1, keepdims=True) + 1e-7)


def vehicles_of(craft):
    environment = Environment(craft, VEHICLES, Task(start=InitialStates(at_target=0.0, velocity=3.0), randomisation=SPREAD))
    environment.reset(seed=4)
    return environment, Vehicles(environment.buffer, motion(craft, DT), VEHICLES)


def in_torch(craft, environment, dt=DT):
    """`extended_step` with the environment's plants: states, battery and commands to states and battery."""
    plant, air, disturbance = (
        torch.from_numpy(environment.read(rows).astype(float))
        for rows in (PLANT_ROWS, slice(BODY_DRAG, DEAD_TIME), DISTURBANCE_ROWS)
    )
    arms = torch.from_numpy(dynamics.geometry(craft).astype(float)).reshape(3, 4)
    return lambda s, battery, u: extended_step(craft, s, battery, u, plant, air, disturbance, arms, dt)


def test_states_battery_and_their_gradients_over_steps_are_those_of_automatic_differentiation():
    environment, vehicles = vehicles_of(MOTORS)
    generator = torch.Generator().manual_seed(0)
    commands = torch.rand(6, VEHICLES, 4, generator=generator)
    weight = torch.randn(VEHICLES, 19, generator=generator)
    start = vehicles.state()
    assert start.shape == (VEHICLES, 19)
    ours, theirs = (commands.clone().to(kind).requires_grad_() for kind in (torch.float32, torch.float64))
    begun, begun64 = start.clone().requires_grad_(), start.double().requires_grad_()
    state = begun
    for u in ours:
        state = advance(state, u, vehicles)
    (state * weight).sum().backward()
    step, s, battery = in_torch(MOTORS, environment), begun64[:, :17], begun64[:, 17:]
    for u in theirs:
        s, battery = step(s, battery, u)
    after = torch.cat([s, battery], -1)
    (after * weight).sum().backward()
    np.testing.assert_allclose(state.detach(), after.detach(), rtol=1e-4, atol=1e-4)
    close(begun.grad.numpy(), begun64.grad)
    close(ours.grad.transpose(0, 1).reshape(VEHICLES, -1).numpy(), theirs.grad.transpose(0, 1).reshape(VEHICLES, -1))
    assert begun64.grad[:, 17:].abs().min() > 0  # charge and voltage count


OBJECTIVE = Objective(
    *map(np.float32, (1.0, 0.1, 0.25, 0.14)),
    far=np.float32(0.5), boundary=np.float32(2.0), boundary_at=np.float32(0.3), speed=np.float32(0.5),
    speed_at=np.float32(0.7), tilt=np.float32(1.0), upright=np.float32(0.8), body_rate=np.float32(0.2),
    body_rate_at=np.float32(1.5), action_rate=np.float32(0.3), decay=np.float32(1), limit=np.float32(1e9),
)  # fmt: skip


@pytest.mark.parametrize("late", [False, True], ids=["seen at once", "seen late and turned"])
@pytest.mark.parametrize("craft", [MOTORS, RATES], ids=["motors", "rates"])
@pytest.mark.parametrize("volts", [None, (np.float32(3.7), np.float32(1.3))], ids=["voltage unseen", "voltage seen"])
def test_the_gradient_of_a_segment_with_all_terms_and_fractional_delays_is_that_of_its_module(craft, late, volts):
    """The kernel against torch's autograd through the control step, whose own gradient the tests above and below hold."""
    steps, rng, inputs = 8, np.random.default_rng(0), 18 if volts is None else 19
    m, told = motion(craft, DT), volts or bptt_kernel.NO_VOLTS
    rest = np.float32(craft.hover if m.layout == "motors" else 0.5)
    for seed in range(20):
        network = SpikingNetwork((inputs, 24, 12, 4), generator=torch.Generator().manual_seed(seed))
        environment = Environment(craft, LANES, Task(randomisation=SPREAD))
        environment.reset(seed=seed)
        command = rng.uniform(0, 1, (MAX_DELAY, 4, LANES)).astype(np.float32)
        flight = SegmentConditions(
            noise=rng.normal(0, 0.1, (steps, 4, LANES)).astype(np.float32),
            sensor_noise=rng.normal(0, 0.02, (steps, inputs, LANES)).astype(np.float32),
            delay=rng.uniform(0, 4, LANES).astype(np.float32),
            course=rng.normal(0, 0.005, (steps, 3, LANES)).astype(np.float32),
            volts=volts,
        )
        sights = [bptt_kernel.PRESENT] * 2
        if late:
            turn = rng.normal(0, 0.1, (steps, 3, LANES)).astype(np.float32)
            age, before = rng.uniform(0, 4, (steps, LANES)), rng.normal(size=(MAX_AGE, 18, LANES))
            sights = [bptt_kernel.sight(turn, np.float32(age), np.float32(before)) for _ in range(2)]
        tape = bptt_kernel.tape(steps, (24, 12), LANES, m.layout, inputs)
        tape.command[:MAX_DELAY] = command
        policy = _views(network, lambda parameter: parameter.detach().numpy())
        model, buffer = (m.arms, m.extension, m.dt, rest, m.loop, m.late, policy), environment.buffer.copy()
        bptt_kernel.fly_segment(buffer, *model, tape, *flight[:4], sights[0], told)
        states = dynamics.read(buffer, STATE_ROWS, LANES), dynamics.read(buffer, BATTERY_ROWS, LANES)
        gradient = _views(network, lambda parameter: np.zeros(tuple(parameter.shape), np.float32))
        rest_of = flight.delay, flight.course, OBJECTIVE, np.float32(2), gradient, sights[0], told
        bptt_kernel.segment_vjp(buffer, *model, tape, *rest_of)
        theta = torch.cat([layer.theta.detach() for layer in network.layers]).numpy()
        if np.abs(tape.membranes()[1:] - theta[:, None]).min() > 1e-5:  # rounding decides about no spike
            break
    else:
        pytest.fail("found no segment without a membrane at its threshold")
    module_gradient.fly_module(
        lambda seen, state: network.step(seen, state, 2.0), network.initial_state(LANES), environment.buffer, m, rest,
        command, flight._replace(sight=sights[1]), OBJECTIVE,
    ).cost.backward()  # fmt: skip
    np.testing.assert_allclose(environment.read(STATE_ROWS), states[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(environment.read(BATTERY_ROWS), states[1], rtol=1e-5)
    if late:
        np.testing.assert_allclose(sights[0].recent, sights[1].recent, rtol=1e-4, atol=1e-5)
    for wanted, parameter in zip(_flat(gradient), network.parameters(), strict=True):
        assert np.linalg.norm(parameter.grad.numpy() - wanted) < 1e-4 * np.linalg.norm(wanted)


def test_the_cost_of_a_flight_by_the_voltage_alone_changes_with_the_policy_as_its_gradient_says():
    """Finite differences of a policy that sees nothing but the voltage, whose sag its own commands cause."""
    m, steps = motion(MOTORS, DT), 25
    environment = Environment(MOTORS, LANES, Task(randomisation=SPREAD))
    environment.reset(seed=1)
    flight = SegmentConditions(
        noise=np.zeros((steps, 4, LANES), np.float32), sensor_noise=np.zeros((steps, 19, LANES), np.float32),
        delay=np.zeros(LANES, np.float32), course=np.zeros((steps, 3, LANES), np.float32),
        volts=(np.float32(TERMS["battery"].nominal), np.float32(1.0)),
    )  # fmt: skip

    def cost(gain):
        flown = module_gradient.fly_module(
            lambda seen, state: (torch.tanh(0.2 + gain * seen[:, 18:]).tile(1, 4), state), (), environment.buffer.copy(), m,
            np.float32(MOTORS.hover), np.full((MAX_DELAY, 4, LANES), 0.5, np.float32), flight, OBJECTIVE,
        )  # fmt: skip
        return flown.cost

    gain = torch.tensor(0.8, requires_grad=True)
    cost(gain).backward()
    step = 0.02
    with torch.no_grad():
        wanted = (cost(gain + step) - cost(gain - step)).item() / (2 * step)
    assert abs(wanted) > 1e-2
    assert gain.grad.item() == pytest.approx(wanted, rel=5e-3)


def test_gradients_with_a_rate_loop_are_those_of_finite_differences():
    _, vehicles = vehicles_of(RATES)
    generator = torch.Generator().manual_seed(0)
    commands, weight = torch.rand(4, VEHICLES, 4, generator=generator), torch.randn(VEHICLES, 32, generator=generator)
    start = advance(vehicles.state(), commands[0], vehicles).requires_grad_()

    def value(state):
        for u in commands[1:]:
            state = advance(state, u, vehicles)
        return (state * weight).sum(1)

    value(start).sum().backward()
    for column in range(32):
        by = torch.zeros_like(start)
        by[:, column] = change = 3e-3
        with torch.no_grad():
            slope = (value(start + by) - value(start - by)) / (2 * change)
        scale = start.grad.abs().max(0).values[column] + 1e-2
        near = ((slope - start.grad[:, column]).abs() < 0.03 * scale).sum()
        assert near >= VEHICLES - 4, f"column {column}: {near}"  # some meet a limit in between
