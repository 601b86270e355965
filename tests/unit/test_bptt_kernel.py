"""A segment of flight and its gradient: torch's network and automatic differentiation are the oracle."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from differentiable import DT, rotation, step
from differentiable_loop import rate_step

from spike_ctrl import airframe
from spike_ctrl.learn import bptt_kernel
from spike_ctrl.learn.bptt import _flat, _views
from spike_ctrl.learn.objective import Objective
from spike_ctrl.sim import dynamics, rate_loop
from spike_ctrl.sim.block_step import SUBSTEPS_OF
from spike_ctrl.sim.dynamics import LANES, LOOP_FACTORS, LOOP_ROWS, STATE_ROWS
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import MAX_DELAY, Randomisation
from spike_ctrl.snn.lif import LIFState
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import Neuron

pytestmark = pytest.mark.slow

SLOPE = 2.0
OBJECTIVE = Objective(
    1.0,
    0.1,
    0.25,
    0.14,
    far=0.5,
    boundary=2.0,
    boundary_at=0.3,
    speed=0.5,
    speed_at=0.7,
    tilt=1.0,
    upright=0.8,
    body_rate=0.2,
    body_rate_at=1.5,
    action_rate=0.3,
    decay=1.0,
    limit=1e9,
)
AT_ONCE = bptt_kernel.PRESENT, bptt_kernel.NO_VOLTS  # what the policy sees, without a voltage
WILD = Randomisation(mass=0.2, inertia=0.2, thrust=0.2, torque=0.2, lag=0.2, gains=0.3, filters=0.3)


class Segment:
    """The same random segment, with set-points that move, for the kernel and for the oracle."""

    def __init__(
        self,
        steps,
        delay,
        sizes=(18, 24, 12, 4),
        seed=0,
        name="crazyflie_l2f",
        randomisation=Randomisation(),
        reset="soft",
        recurrent=False,
    ):
        rng = np.random.default_rng(seed)
        self.craft = airframe.load(name)
        self.layout = self.craft.action_layout
        self.rest = self.craft.hover if self.layout == "motors" else 0.5
        self.network = SpikingNetwork(
            sizes, Neuron(reset, recurrent=recurrent), generator=torch.Generator().manual_seed(seed),
            output_bias=[math.atanh(2 * self.rest - 1)] * 4,
        )  # fmt: skip
        self.environment = Environment(self.craft, LANES, Task(randomisation=randomisation))
        self.environment.reset(seed=seed)
        self.start = self.environment.read(STATE_ROWS)
        neurons = sum(sizes[1:-1])
        self.noise = rng.normal(0, 0.1, (steps, 4, LANES)).astype(np.float32)
        self.seen_noise = rng.normal(0, 0.02, (steps, 18, LANES)).astype(np.float32)
        self.course = rng.normal(0, 0.005, (steps, 3, LANES)).astype(np.float32)
        self.delay = np.resize(delay, LANES).astype(np.float32)
        self.tape = bptt_kernel.tape(steps, sizes[1:-1], LANES, self.layout)
        self.before = rng.normal(0, 0.3, (neurons, LANES)), rng.integers(0, 2, (neurons, LANES))
        self.tape.begin(*self.before, rng.uniform(0, 1, (MAX_DELAY, 4, LANES)))
        self.dt, loop, late = DT / SUBSTEPS_OF[self.layout], np.zeros(0, np.float32), 0
        if self.layout == "rates":
            loop, late = rate_loop.constants(self.craft, self.dt), rate_loop.delay_substeps(self.craft, self.dt)
            integral, setpoint = rng.uniform(-0.3, 0.3, (LANES, 3)), rng.uniform(-1, 1, (LANES, 4))
            gyro, slope = self.start[:, 10:13], rng.normal(0, 0.05, (LANES, 3))
            dynamics.write(self.environment.buffer, LOOP_ROWS, np.concatenate([setpoint, integral, gyro, slope], 1))
        self.kept = self.environment.read(LOOP_ROWS)
        policy = _views(self.network, lambda parameter: parameter.detach().numpy())
        arms, extension = dynamics.geometry(self.craft), dynamics.extension(self.craft, self.dt)
        self.model = (arms, extension, np.float32(self.dt), np.float32(self.rest), loop, late, policy)

    def fly(self):
        noise = (self.noise, self.seen_noise, self.delay, self.course, *AT_ONCE)
        return bptt_kernel.fly_segment(self.environment.buffer, *self.model, self.tape, *noise)

    def pull(self, objective=OBJECTIVE):
        gradient = _views(self.network, lambda parameter: np.zeros(tuple(parameter.shape), np.float32))
        rest = (self.tape, self.delay, self.course, Objective(*map(np.float32, objective)), np.float32(SLOPE), gradient)
        bptt_kernel.segment_vjp(self.environment.buffer, *self.model, *rest, *AT_ONCE)
        return dict(zip(dict(self.network.named_parameters()), _flat(gradient), strict=True))

    def oracle(self, objective=OBJECTIVE):
        """Cost and gradients by autograd in float64; also the states and commands it went through."""
        network = self.network.double()
        network.zero_grad()
        state = torch.from_numpy(self.start.astype(float))
        course = torch.from_numpy(self.course.transpose(0, 2, 1).astype(float))
        move = self.movement()
        edges = np.cumsum([0, *network.sizes[1:-1]])
        spiking = tuple(
            LIFState(*(torch.from_numpy(array[a:b].T.astype(np.float32).astype(float)) for array in self.before))
            for a, b in pairwise(edges)
        )
        commands = [torch.from_numpy(self.tape.command[i].T.astype(float)) for i in range(MAX_DELAY)]
        cost, states = 0.0, []
        for t in range(len(self.noise)):
            seen = torch.cat([state[:, :3], rotation(state[:, 3:7]).reshape(-1, 9), state[:, 7:13]], -1)
            seen = seen + torch.from_numpy(self.seen_noise[t].T.astype(float))
            action, spiking = network.step(seen, spiking, SLOPE)
            action = (action + torch.from_numpy(self.noise[t].T.astype(float))).clamp(-1, 1)
            commands.append((action + 1) / 2)
            state = move(state, torch.stack([commands[t + MAX_DELAY - int(d)][n] for n, d in enumerate(self.delay)]))
            state = torch.cat([state[:, :3] - course[t], state[:, 3:]], -1)
            states.append(state)
            q, p = state[:, 3:7], state[:, :3]
            speed = (state[:, 7:10] - course[t] / DT).norm(dim=-1)
            distance = p.norm(dim=-1)
            beyond = objective.far * (2 * distance - objective.far)
            angle = 2 * torch.atan2(q[:, :3].norm(dim=-1), q[:, 3].abs())
            cost = cost + (
                objective.position * torch.where(distance > objective.far, beyond, distance.square()).sum()
                + objective.velocity * speed.square().sum()
                + objective.attitude * angle.square().sum()
                + objective.action * (commands[-1] - self.rest).square().sum()
                + objective.boundary * (p.abs() - objective.boundary_at).clamp(min=0).square().sum()
                + objective.speed * (speed - objective.speed_at).clamp(min=0).square().sum()
                + objective.tilt * (objective.upright - rotation(q)[:, 2, 2]).clamp(min=0).square().sum()
                + objective.body_rate * (state[:, 10:13].norm(dim=-1) - objective.body_rate_at).clamp(min=0).square().sum()
                + objective.action_rate * (commands[-1] - commands[-2]).square().sum()
            )
        cost.backward()
        return {name: p.grad.numpy() for name, p in network.named_parameters()}, torch.stack(states).detach(), commands

    def movement(self):
        """What a command does to the states in a control step, in torch."""
        plant = torch.from_numpy(self.environment.plant.astype(float))
        calm = torch.zeros(LANES, 6, dtype=torch.float64)
        arms = torch.from_numpy(self.model[0].astype(float)).reshape(3, 4)
        if self.layout == "motors":
            return lambda state, command: step(state, command, plant, calm, arms)
        constants, late = torch.from_numpy(self.model[4].astype(float)), self.model[5]
        factors = torch.from_numpy(self.environment.read(slice(LOOP_FACTORS, LOOP_FACTORS + 4)).astype(float))
        loop = torch.from_numpy(self.kept.astype(float))
        held = [loop[:, :4], loop[:, 4:]]

        def move(state, command):
            for substep in range(SUBSTEPS_OF["rates"] + 1):
                if substep == late:
                    held[0] = 2 * command - 1
                if substep < SUBSTEPS_OF["rates"]:
                    u, held[1] = rate_step(state[:, 10:13], *held, constants, factors, arms[2])
                    state = step(state, u, plant, calm, arms, dt=self.dt)
            return state

        return move


@pytest.mark.parametrize(("reset", "recurrent"), [("soft", False), ("hard", False), ("soft", True), ("hard", True)])
@pytest.mark.parametrize("delay", [[0], [0, 1, 2]], ids=["at once", "0 to 2 steps late"])
def test_the_gradient_of_a_segment_is_that_of_automatic_differentiation(delay, reset, recurrent):
    segment = Segment(25, delay, reset=reset, recurrent=recurrent)
    segment.fly()
    theta = torch.cat([layer.theta.detach() for layer in segment.network.layers]).numpy()
    fired = (segment.tape.membranes()[1:] > theta[:, None]).mean(axis=(0, 2))
    assert ((fired > 0.05) & (fired < 0.95)).sum() > 5  # neurons whose reset matters
    found = segment.pull()
    wanted, states, commands = segment.oracle()
    flown = segment.tape.state[1:].reshape(25, -1, LANES)[:, :17].transpose(0, 2, 1)
    np.testing.assert_allclose(flown, states.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(segment.tape.command[-1].T, commands[-1].detach().numpy(), atol=1e-4)
    for name, gradient in wanted.items():
        error = np.linalg.norm(found[name] - gradient) / np.linalg.norm(gradient)
        assert error < 1e-3, f"{name}: {error:.1e}"


@pytest.mark.parametrize("delay", [[0], [0, 1, 2, 3, 4]], ids=["at once", "0 to 4 steps late"])
def test_the_gradient_through_the_rate_loop_is_that_of_automatic_differentiation(delay):
    segment = Segment(25, delay, name="sih_quadx", randomisation=WILD)
    segment.fly()
    found = segment.pull()
    wanted, states, _ = segment.oracle()
    flown = segment.tape.state[4::4].reshape(25, -1, LANES).transpose(0, 2, 1)[:, :, :17]
    np.testing.assert_allclose(flown, states.numpy(), rtol=1e-4, atol=1e-4)
    for name, gradient in wanted.items():
        error = np.linalg.norm(found[name] - gradient) / np.linalg.norm(gradient)
        assert error < 1e-3, f"{name}: {error:.1e}"


@pytest.mark.parametrize("name", ["crazyflie_l2f", "sih_quadx"])
def test_the_kernel_flies_as_environment_and_network_do(name):
    segment = Segment(20, [0], name=name)
    segment.noise[:] = segment.seen_noise[:] = segment.course[:] = 0
    segment.environment.reset(seed=0)
    segment.tape.membrane[:] = segment.tape.spike[:] = 0
    errors = segment.fly()
    twin = Environment(segment.craft, LANES, Task(box=100.0))
    observation, _ = twin.reset(seed=0)
    state, reward = segment.network.initial_state(LANES), 0.0
    with torch.no_grad():
        for _ in range(20):
            action, state = segment.network.step(torch.from_numpy(observation), state, SLOPE)
            observation, gained, *_ = twin.step(action.numpy())
            reward += gained.sum()
    np.testing.assert_allclose(segment.environment.read(STATE_ROWS), twin.read(STATE_ROWS), atol=1e-5)
    if name == "sih_quadx":
        return  # the reward counts what the rotors do, the cost what the rate loop is asked for
    assert LANES * 20 - errors[:4] @ [1.0, 0.01, 0.25, 0.14] == pytest.approx(reward, rel=1e-4)


def test_a_decay_of_zero_leaves_only_what_an_action_costs_by_itself():
    segment = Segment(10, [0])
    segment.fly()
    free = OBJECTIVE._replace(action=0.0, action_rate=0.0, decay=0.0)
    # The cost of step t is on the state after it, which still depends on u_t; without decay all later ones count too.
    near, far = segment.pull(free), segment.pull(free._replace(decay=1.0))
    assert 0 < np.linalg.norm(near["output.bias"]) < np.linalg.norm(far["output.bias"])


def test_the_limit_bounds_what_one_vehicle_contributes():
    segment = Segment(25, [0])
    segment.environment.buffer.reshape(-1, dynamics.ROWS, LANES)[:, 0, 0] = 50.0  # one vehicle far outside
    segment.fly()
    free, bound = segment.pull(), segment.pull(OBJECTIVE._replace(limit=1.0))
    assert np.linalg.norm(bound["layer0.weight"]) < 0.05 * np.linalg.norm(free["layer0.weight"])


@pytest.mark.parametrize("name", ["crazyflie_l2f", "sih_quadx"])
def test_two_halves_with_the_state_carried_over_are_one_segment(name):
    whole, half = (Segment(20, [0, 1, 2], name=name) for _ in range(2))
    whole.fly()
    first, second = (bptt_kernel.tape(10, (24, 12), LANES, half.layout) for _ in range(2))
    first.begin(*half.before, half.tape.command[:MAX_DELAY])
    for tape, part in ((first, slice(10)), (second, slice(10, 20))):
        noise = (half.noise[part], half.seen_noise[part], half.delay, half.course[part], *AT_ONCE)
        bptt_kernel.fly_segment(half.environment.buffer, *half.model, tape, *noise)
        second.begin(*first.end())
    np.testing.assert_array_equal(second.state[-1], whole.tape.state[-1])
    for parts, at_once in zip(second.end(), whole.tape.end(), strict=True):
        np.testing.assert_array_equal(parts, at_once)


@pytest.mark.parametrize("vehicles", [0, 20, 80])
def test_vehicles_that_do_not_fill_the_lanes_or_are_too_many_are_refused(vehicles):
    with pytest.raises(ValueError, match=f"vehicles: found {vehicles}, wanted a multiple of 16, at most 64"):
        bptt_kernel.tape(10, (8,), vehicles)
