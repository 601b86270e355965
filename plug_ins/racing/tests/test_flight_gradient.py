"""The gradient's flight: it sees and moves as the task does, and its derivatives are those of finite differences."""

import numpy as np
import pytest
import torch

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl_networks.differentiable_step import Vehicles
from spike_ctrl_racing import flight_gradient, race_training
from spike_ctrl_racing.flight_gradient import FlownRaces, Weights, struck
from spike_ctrl_racing.gate_crossing import NOTHING, crossing
from spike_ctrl_racing.race_training import SCALE, RaceTraining
from spike_ctrl_racing.racing_environment import make_race
from spike_ctrl_racing.track import Gate, gate_row


@pytest.fixture(scope="module")
def racer():
    return airframe.load("racer")


def _world(racer, count=32):
    environment = make_race(racer, vehicles=count, anywhere=1.0)
    seen, _ = environment.reset(seed=3)
    gate = environment.kept[:, 0].astype(np.int64)
    return environment, seen, gate, Vehicles(environment.buffer, motion(racer, 0.01), count)


ON_TIME = torch.zeros(MAX_DELAY, 32, 4), np.zeros(32, np.int64)


def test_late_commands_are_those_of_steps_before(racer):
    """Against flights of commands that were moved by hand; a vehicle hovers until its first one takes effect."""
    chosen = torch.rand(12, 32, 4, generator=torch.Generator().manual_seed(2)) - 0.5
    late = np.arange(32) % 3
    shifted = torch.zeros_like(chosen)
    for vehicle, steps in enumerate(late):
        shifted[steps:, vehicle] = chosen[: 12 - steps, vehicle]

    def flown(actions, *late):
        environment, _, gate, vehicles = _world(racer)
        given = iter(actions)
        return flight_gradient.fly_gates(
            lambda seen, gates, state: (next(given), state), (), vehicles, environment.field.gates,
            environment.field.counts, gate, 0.2, 12, torch.zeros(12, 32, 4), 1.0, *late,
        )  # fmt: skip

    found = flown(chosen, ON_TIME[0], late)
    assert torch.equal(found.states, flown(shifted, *ON_TIME).states)
    assert torch.equal(found.given, chosen[-MAX_DELAY:])


def test_what_the_policies_see_errs_as_in_a_race(racer):
    """Errors of the velocity have the deviation of `like_px4`, turned into each gate's frame; gates follow the estimate."""
    settings = RaceTraining(vehicles=256, estimate=1.0)
    trainer = race_training.RaceTrainer(settings, racer, 0, race_training.network((16,), racer, 0))
    seen, field = trainer.world.reset(seed=1)[0], trainer.world.field
    rows = field.gates[np.arange(256), trainer.gate]
    error = trainer._seen(torch.from_numpy(seen), rows).numpy() - seen
    assert error[:, 12].std() == pytest.approx(0.11, rel=0.15) and error[:, 0].std() == pytest.approx(0.07, rel=0.2)
    estimate = seen + error  # the set-point is the next gate's centre, which the body frame shows at 18 to 20
    turn = estimate[:, 3:12].reshape(-1, 3, 3)
    np.testing.assert_allclose(estimate[:, 18:21], -np.einsum("nji,nj->ni", turn, estimate[:, :3]), atol=1e-3)
    exact = race_training.RaceTrainer(RaceTraining(vehicles=16), racer, 0, race_training.network((16,), racer, 0))
    assert np.array_equal(exact._seen(torch.from_numpy(seen[:16]), rows[:16]).numpy(), seen[:16])


def test_it_sees_and_moves_as_the_task(racer):
    environment, seen, gate, vehicles = _world(racer)
    everyone, gates, counts = np.arange(32), environment.field.gates, environment.field.counts
    state = vehicles.state()
    found = flight_gradient.observe(state, gates[everyone, gate], gates[everyone, (gate + 1) % counts])
    np.testing.assert_allclose(found.numpy(), seen, atol=1e-5)
    action = torch.rand(32, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    after = flight_gradient._move(state, action, torch.zeros(32, 4), vehicles, 1.0, np.ones(32, np.bool_))
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
    actor = race_training.network((), racer, 0, NamedObject("spike_ctrl_racing.plain_networks:Dense", {"hidden": (16,)}))

    def flown():
        environment, _, gate, vehicles = _world(racer)
        segment = flight_gradient.fly_gates(
            lambda seen, gates, state: actor.step(seen / torch.from_numpy(SCALE), state), actor.initial_state(32),
            vehicles, environment.field.gates, environment.field.counts, gate, 0.2, 25, torch.zeros(25, 32, 4), 1.0,
            *ON_TIME,
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


def _ways(ways=4000):
    """Random steps of vehicles that fly to the first of three gates of a course; what `FlownRaces` has of them."""
    draw = np.random.default_rng(4)
    gates = np.stack([gate_row(Gate(tuple(draw.uniform(-1, 1, 3)), draw.uniform(-180, 180))) for _ in range(3)])
    steps, nothing = draw.uniform(-2, 2, (2, ways, 3)).astype(np.float32), torch.zeros(())
    legs, alive = torch.from_numpy(gates[[2, 0, 1]]).expand(1, ways, 3, 16), torch.ones(1, ways, dtype=torch.bool)
    every = torch.from_numpy(gates).expand(ways, 3, 16)
    return steps, gates, FlownRaces(
        torch.from_numpy(steps), nothing, legs, alive, alive, np.zeros(ways), (), nothing, every
    )  # fmt: skip


def test_a_way_through_the_frame_of_another_gate_costs_its_squared_depth():
    """Which ways do: by the exact crossing that a race is judged by; a way through the opening costs, too."""
    (before, after), gates, flown = _ways()
    radius = np.float32(0.1)
    hits = [
        any(crossing(a, b, gate, radius)[0] != NOTHING for gate in gates[1:]) for a, b in zip(before, after, strict=True)
    ]
    depths = [
        float(struck(flown._replace(states=flown.states[:, n : n + 1], legs=flown.legs[:, n : n + 1],
                                    alive=flown.alive[:, n : n + 1], gates=flown.gates[n : n + 1]), 0.1))
        for n in range(len(hits))
    ]  # fmt: skip
    assert [depth > 0 for depth in depths] == hits and 400 < sum(hits) < 3000
    assert float(struck(flown, 0.1)) == pytest.approx(sum(depths), rel=1e-4)


def test_the_depth_in_a_frame_falls_along_its_gradient():
    _, _, flown = _ways()
    states = flown.states.double().requires_grad_()
    flown = flown._replace(legs=flown.legs.double(), gates=flown.gates.double())
    depth = struck(flown._replace(states=states), 0.1)
    (slope,) = torch.autograd.grad(depth, states)
    less = struck(flown._replace(states=states - 1e-6 * slope), 0.1)
    assert float((depth - less) / 1e-6) == pytest.approx(float(slope.square().sum()), rel=1e-3)


def _gate(position, yaw):
    return torch.from_numpy(gate_row(Gate(tuple(position), yaw)))


@pytest.mark.parametrize("angle", [20, 60, 120])
def test_the_speed_of_a_circle_is_that_of_its_lateral_acceleration(angle):
    """Two gates on a circle of 6 m, passed along it: v^2 / 6 m = 24 m/s^2; a straight way takes the least time."""
    turned = np.radians(angle)
    start, end = _gate((0, 0, 2), 0), _gate((6 * np.sin(turned), 6 - 6 * np.cos(turned), 2), angle)
    assert flight_gradient.allowed_speed(start, end, 24.0, 0.0) == pytest.approx(12.0, rel=1e-4)
    straight = flight_gradient.allowed_speed(start, _gate((6, 0, 2), 0), 24.0, 0.5)
    assert straight == pytest.approx(12.0, rel=1e-4)


def test_a_pair_of_gates_is_half_a_circle():
    """One 3 m above the other, passed in opposite directions: a circle of 1.5 m."""
    speed = flight_gradient.allowed_speed(_gate((0, 0, 5), 30), _gate((0, 0, 2), 210), 24.0, 0.0)
    assert speed == pytest.approx(6.0, rel=1e-4)


def test_before_a_slow_way_the_speed_that_is_asked_for_falls_as_in_braking():
    legs = torch.stack([_gate((-20, 0, 2), 0), _gate((0, 0, 2), 0), _gate((0, 3, 2), 180)])
    weights = Weights(speed=12.0, lateral=24.0, least=1.0)
    x = torch.linspace(-19, -0.5, 40)
    asked = flight_gradient.asked_speed(torch.stack([x, torch.zeros(40), torch.full((40,), 2.0)], 1), legs, weights)
    free = (3.0**2 - 2 * flight_gradient.BRAKING * x).sqrt()  # 3 m in 1 s, and the way to it
    np.testing.assert_allclose(asked.numpy(), free.clamp(max=12.0).numpy(), rtol=1e-3)
    assert asked.min() < 5 < 12 == pytest.approx(float(asked.max()))


def test_the_way_to_a_smaller_gate_is_the_same_way_smaller():
    """All lengths, those of the gate too, by .3: the direction stays."""
    generator, small = torch.Generator().manual_seed(2), 0.3
    gates = [torch.from_numpy(gate_row(Gate((0.0, 0.0, 0.0), 30.0, width=w, height=w))) for w in (1.5, small * 1.5)]
    place = 3 * torch.randn(200, 3, generator=generator)
    large, little = (
        flight_gradient.course_direction(p, g.expand(200, 16)) for p, g in zip((place, small * place), gates, strict=True)
    )
    np.testing.assert_allclose(little.numpy(), large.numpy(), atol=1e-3)


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


def test_a_lost_vehicle_flies_its_segment_again(racer, monkeypatch):
    flown, fly = [], flight_gradient.fly_gates

    def kept(*given):
        flown.append((given[5].copy(), fly(*given)))
        return flown[-1][1]

    monkeypatch.setattr(flight_gradient, "fly_gates", kept)
    settings = RaceTraining(vehicles=32, updates=2, segment=200, segments=100, again=1.0)
    race_training.train(settings, racer, 0, race_training.network((16, 16), racer, 0))
    (gates, before), (gates_again, after) = flown
    lost = before.lost
    assert 4 < lost.sum() < 32
    assert torch.equal(after.states[0][lost], before.states[0][lost])
    assert np.array_equal(gates_again[lost], gates[lost])
    assert not (after.states[0][~lost] == before.states[0][~lost]).all(1).any()


def test_who_is_lost_stays_where_that_was(racer, monkeypatch):
    flown, fly = [], flight_gradient.fly_gates
    monkeypatch.setattr(flight_gradient, "fly_gates", lambda *given: flown.append(fly(*given)) or flown[-1])
    settings = RaceTraining(vehicles=32, updates=1, segment=200)
    race_training.train(settings, racer, 0, race_training.network((16, 16), racer, 0))
    states, alive = flown[0].states, flown[0].alive
    assert 4 < flown[0].lost.sum() < 32
    moved = (states[1:] != states[:-1]).any(-1)
    assert moved[alive].all() and not moved[~alive].any()


def test_a_training_that_diverges_ends_with_a_word(racer, monkeypatch):
    cost = flight_gradient.cost
    monkeypatch.setattr(flight_gradient, "cost", lambda *given: (cost(*given)[0] * torch.nan, {}))
    with pytest.raises(UsageError, match="update 0: found weights that are not finite, wanted finite ones"):
        race_training.train(
            RaceTraining(vehicles=16, updates=2, segment=12), racer, 0, race_training.network((16, 16), racer, 0)
        )


def test_the_network_at_the_end_is_the_mean_of_the_last_ones(racer):
    def trainer(averaged):
        settings = RaceTraining(vehicles=16, updates=4, segment=12, averaged=averaged)
        return race_training.RaceTrainer(settings, racer, 3, race_training.network((16, 16), racer, 3))

    alone, averaged, passed = trainer(0.0), trainer(0.5), []
    for _ in range(4):
        alone.update()
        averaged.update()
        passed.append(alone.actor.weights())
    for name, mean in averaged.actor.weights().items():
        np.testing.assert_allclose(mean, (passed[2][name] + passed[3][name]) / 2, atol=1e-7)
    assert not np.array_equal(averaged.actor.weights()["output.weight"], passed[3]["output.weight"])
