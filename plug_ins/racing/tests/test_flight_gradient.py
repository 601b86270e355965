"""The gradient's flight: it sees and moves as the task does, and its derivatives are those of finite differences."""

import numpy as np
import pytest
import torch

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import motion
from spike_ctrl_networks.differentiable_step import Vehicles
from spike_ctrl_racing import flight_gradient, race_training
from spike_ctrl_racing.flight_gradient import Weights
from spike_ctrl_racing.race_training import SCALE, RaceTraining
from spike_ctrl_racing.racing_environment import make_race


@pytest.fixture(scope="module")
def racer():
    return airframe.load("racer")


def _world(racer, count=32):
    environment = make_race(racer, vehicles=count, anywhere=1.0)
    seen, _ = environment.reset(seed=3)
    gate = environment.kept[:, 0].astype(np.int64)
    return environment, seen, gate, Vehicles(environment.buffer, motion(racer, 0.01), count)


def test_it_sees_and_moves_as_the_task(racer):
    environment, seen, gate, vehicles = _world(racer)
    everyone, gates, counts = np.arange(32), environment.field.gates, environment.field.counts
    state = vehicles.state()
    found = flight_gradient.observe(state, gates[everyone, gate], gates[everyone, (gate + 1) % counts])
    np.testing.assert_allclose(found.numpy(), seen, atol=1e-5)
    action = torch.rand(32, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    after = flight_gradient._move(state, action, torch.zeros(32, 4), vehicles, 1.0)
    environment.step(action.numpy())
    np.testing.assert_allclose(after[:, :17].numpy(), environment.read(dynamics.STATE_ROWS), atol=1e-6)


def test_the_derivative_of_what_is_seen(racer):
    environment, _, gate, vehicles = _world(racer)
    everyone, gates = np.arange(32), environment.field.gates
    rows = gates[everyone, gate], gates[everyone, (gate + 1) % environment.field.counts]
    generator = torch.Generator().manual_seed(1)
    state = (vehicles.state() + 0.2 * torch.randn(32, vehicles.size, generator=generator)).requires_grad_()
    weight = torch.randn(32, 30, generator=generator)
    (by_state,) = torch.autograd.grad((flight_gradient.observe(state, *rows) * weight).sum(), state)
    for row in range(13):
        step = torch.zeros_like(state)
        step[:, row] = 1e-2
        more, less = (flight_gradient.observe((state + side * step).detach(), *rows) for side in (1, -1))
        slope = ((more - less) * weight).sum(1) / 2e-2
        np.testing.assert_allclose(by_state[:, row].numpy(), slope.numpy(), atol=2e-3)


def test_the_cost_falls_along_its_gradient(racer):
    """A step down the gradient lowers the cost of the same flight by what the gradient promises."""
    actor = race_training.network((16,), racer, seed=0, dense=True)

    def flown():
        environment, _, gate, vehicles = _world(racer)
        segment = flight_gradient.fly_gates(
            lambda seen, state: actor.step(seen / torch.from_numpy(SCALE), state), actor.initial_state(32), vehicles,
            environment.field.gates, environment.field.counts, gate, 0.2, 25, torch.zeros(25, 32, 4), 1.0,
        )  # fmt: skip
        return flight_gradient.cost(segment, torch.zeros(32, 4), Weights())[0]

    before = flown()
    gradient = torch.autograd.grad(before, list(actor.parameters()))
    size = sum(float(part.square().sum()) for part in gradient)
    rate = 1e-3 / size**0.5
    with torch.no_grad():
        for parameter, part in zip(actor.parameters(), gradient, strict=True):
            parameter -= rate * part
        after = flown()
    assert (float(before) - float(after)) / (rate * size) == pytest.approx(1.0, abs=0.05)


def test_a_training_is_a_function_of_its_seed(racer):
    settings = RaceTraining(vehicles=16, updates=2, segment=12)
    first, again, other = (
        race_training.train(settings, racer, seed, race_training.network((16, 16), racer, seed)).weights()
        for seed in (5, 5, 6)
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["output.weight"], other["output.weight"])


def test_a_segment_begins_where_the_one_before_ended(racer, monkeypatch):
    flown, fly = [], flight_gradient.fly_gates

    def kept(*given):
        flown.append(fly(*given))
        return flown[-1]

    monkeypatch.setattr(flight_gradient, "fly_gates", kept)
    settings = RaceTraining(vehicles=16, updates=2, segment=12, segments=100)
    race_training.train(settings, racer, 0, race_training.network((16, 16), racer, 0))
    alive = torch.from_numpy(~flown[0].lost)
    assert alive.sum() > 8
    assert torch.equal(flown[1].states[0][alive], flown[0].states[-1][alive])
