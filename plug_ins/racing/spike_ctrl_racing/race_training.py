"""The model gradient for races: back-propagation through the network and the vehicle's equations, segment by segment.

A batch of vehicles flies drawn courses with the network that learns. After each segment Adam follows the gradient of
`flight_gradient.cost`. The speed that is asked for grows over the training. Who hit something begins again before a gate
drawn at random. What is evaluated is the network itself, in the task, on courses of other seeds.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spike_ctrl._files.arrays import Flags, Floats, Integers
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import actor as actors
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.manifest import Contract
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.randomisation import MAX_DELAY, InitialStates, Randomisation
from spike_ctrl.snn import network as networks
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.network_state import State, each, restart
from spike_ctrl.snn.neuron import PAPER, Neuron
from spike_ctrl_networks import recipe_network
from spike_ctrl_networks.differentiable_step import Vehicles
from spike_ctrl_networks.state_parts import leaves
from spike_ctrl_racing import flight_gradient
from spike_ctrl_racing.flight_gradient import Weights
from spike_ctrl_racing.plain_networks import Scaled
from spike_ctrl_racing.race_kernels import GATE, SIZE
from spike_ctrl_racing.race_senses import RaceSenses, like_px4
from spike_ctrl_racing.racing_environment import LAYOUT, RacingEnvironment, RacingTask, radius_of
from spike_ctrl_racing.track import Track
from spike_ctrl_racing.track_sampler import TrackRanges

SCALE = np.repeat([5.0, 1.0, 6.0, 4.0, 5.0, 1.0, 8.0, 1.0], [3, 9, 3, 3, 3, 3, 3, 3]).astype(np.float32)
"""What the numbers of an observation are divided by. A trained network holds the divisions in its first weights."""
MOVING = 0.8  # highest speed of half of the starts, as a share of the speed that is asked for


@dataclass(frozen=True)
class RaceTraining:
    """How a policy for races comes about, or one stage of that."""

    updates: int = within(3000, 1, 10**6, "Steps of Adam.")
    vehicles: int = within(128, 16, 4096, "Vehicles that fly at once; a multiple of 16.")
    segment: int = within(80, 10, 400, "Control steps through which the gradient flows.")
    segments: int = within(12, 1, 1000, "Most segments of a flight.")
    rate: float = within(2e-3, 1e-6, 1.0, "Learning rate at the start.")
    rate_end: float = within(5e-5, 0.0, 1.0, "Learning rate at the end, along half a cosine.")
    slow: float = within(3.0, 0.5, 30.0, "Speed of the reference at the start.", "m/s")
    fast: float = within(9.0, 0.5, 30.0, "Speed of the reference at the end of the growth.", "m/s")
    growth: float = within(0.6, 0.0, 1.0, "Share of the training over which the speed grows.")
    noise: float = within(0.03, 0.0, 1.0, "Deviation of the actions' noise.")
    decay: float = within(0.99, 0.5, 1.0, "Factor on the gradient with respect to the state, per step.")
    slope: float = within(2.0, 0.1, 100.0, "Slope of the surrogate derivative at the start.")
    slope_end: float = within(4.0, 0.1, 100.0, "Slope of the surrogate derivative at the end.")
    again: float = within(0.0, 0.0, 1.0, "Share of lost vehicles that fly the segment again in which they were lost.")
    averaged: float = within(0.2, 0.0, 1.0, "Last share of the training over which the weights are averaged.")
    spread: float = within(0.1, 0.0, 0.5, "Mass, thrust, inertia and lag of the plants: factors 1 - x to 1 + x.")
    estimate: float = within(0.0, 0.0, 3.0, "Errors of what the policy sees, times those of PX4's in its own simulation.")
    late: int = within(0, 0, MAX_DELAY, "Most control steps by which commands are late; each flight draws its own.")
    back: float = within(4.0, 0.1, 20.0, "Farthest start from a gate, of the half that moves.", "m")
    cost: Weights = Weights()


def network(
    hidden: tuple[int, ...], airframe: Airframe, seed: int, code: NamedObject | None = None, recurrent: bool = False
) -> Any:
    """The network at its random start, which takes observations divided by SCALE.

    hidden: widths of a spiking one, whose last layer may be recurrent. code: another network in its place. Raises UsageError
    where that does not fit.
    """
    generator = torch.Generator().manual_seed(seed)
    if code is not None and recurrent:
        raise UsageError("recurrent: found true beside network, wanted it of the spiking network alone")
    if code is not None:
        return recipe_network.make(code, SIZE, actors.ACTION_SIZE, generator)
    rest = 2 * airframe.hover - 1 if airframe.action_layout == "motors" else 0.0
    neuron = Neuron(recurrent=recurrent)
    return SpikingNetwork((SIZE, *hidden, 4), neuron, generator=generator, output_bias=[math.atanh(rest)] * 4)


class RaceTrainer:
    """One training, or one stage: each `update` flies a segment and follows its gradient.

    It changes `actor`, whose observations are to be divided by SCALE. A trainer that takes another's `state` goes on as that
    one would, bit by bit.
    """

    def __init__(
        self, settings: RaceTraining, airframe: Airframe, seed: int, actor: Any,
        tracks: TrackRanges | tuple[Track, ...] = TrackRanges(),
    ) -> None:  # fmt: skip
        x, self.settings, self.actor = settings.spread, settings, actor
        self.generator, vehicles = torch.Generator().manual_seed(seed + 1), settings.vehicles
        spread = Randomisation(mass=x, thrust=x, inertia=x, lag=x, delay=settings.late)
        self.senses, self.begun = RaceSenses(like_px4(settings.estimate), vehicles), np.ones(vehicles, np.bool_)
        self.senses.seed(seed)
        starts = InitialStates(at_target=0.0, position=0.4, tilt=0.5, velocity=1.0, rates=1.0, yaw=1.5)
        self.task = RacingTask(
            tracks, radius=radius_of(airframe), anywhere=1.0, back=settings.back, speed=1.0, start=starts,
            randomisation=spread,
        )  # fmt: skip
        self.world = RacingEnvironment(airframe, vehicles, self.task)
        self.world.reset(seed=seed)
        self.optimiser = torch.optim.Adam(actor.parameters(), settings.rate)
        self.moves, self.done = motion(airframe, 0.01), 0
        self.mean = copy.deepcopy(actor)  # of the weights of the last updates
        self.memory = actor.initial_state(vehicles)
        self.hovers = torch.full((MAX_DELAY, vehicles, 4), at_hover(airframe))
        self.given = self.hovers  # the last actions; before its first one a vehicle hovers
        self.age = np.arange(vehicles) % settings.segments
        self.gate = self.world.kept[:, GATE].astype(np.int64)

    def update(self) -> dict[str, float]:
        """One step of Adam; figures of its segment, to show."""
        s, world, actor, scale = self.settings, self.world, self.actor, torch.from_numpy(SCALE)
        share = self.done / s.updates
        asked = s.slow + (s.fast - s.slow) * min(1.0, share / max(s.growth, 1e-9))
        k = s.slope + (s.slope_end - s.slope) * share
        noise = s.noise * torch.randn(s.segment, s.vehicles, 4, generator=self.generator)

        def step(true: torch.Tensor, gates: Floats, state: Any) -> tuple[torch.Tensor, Any]:
            return actors.step(actor, self._seen(true, gates) / scale, state, k)

        vehicles, courses = Vehicles(world.buffer, self.moves, s.vehicles), world.field.of
        began = world.buffer.copy(), self.gate.copy(), self.memory, self.given
        flown = flight_gradient.fly_gates(
            step, self.memory, vehicles, world.field.gates[courses], world.field.counts[courses], self.gate,
            self.task.radius, s.segment, noise, s.decay, self.given, world.read(dynamics.DELAY).astype(np.int64),
        )  # fmt: skip
        world.buffer[:] = vehicles.buffer  # now: on the way back the vehicles go back to where they began
        total, figures = flight_gradient.cost(flown, self.given[-1], replace(s.cost, speed=asked))
        falling = 0.5 + 0.5 * math.cos(math.pi * share)
        self.optimiser.param_groups[0]["lr"] = s.rate_end + (s.rate - s.rate_end) * falling
        actors.descend_(self.optimiser, total, actor)
        if not all(weight.isfinite().all() for weight in actor.parameters()):
            raise UsageError(
                f"update {self.done}: found weights that are not finite, wanted finite ones: try a lower `rate`"
            )
        self.done += 1
        self._average()
        self.age += 1
        again = flown.lost & (torch.rand(s.vehicles, generator=self.generator).numpy() < s.again)
        new = ~again & (flown.lost | (self.age >= s.segments))
        if self.done % 2:
            back, speed = s.back, MOVING * asked
        else:
            back, speed = RacingTask.back, 0.0  # from rest close to the gate, as a race begins
        world.rules = world.rules._replace(back=np.float32(back), speed=np.float32(speed))
        world.reset(options={"reset_mask": new})
        self.gate = np.where(new, world.kept[:, GATE].astype(np.int64), self.gate)
        self.age[new] = 0
        first = torch.from_numpy(new)
        self.memory = restart(actor, flown.memory, first)
        self.begun, self.given = new, torch.where(first[:, None], self.hovers, flown.given)
        self._repeat(again, *began)
        return figures | {"cost": total.item(), "lost": float(flown.lost.mean()), "asked": asked}

    def _average(self) -> None:
        """After an update: take part in the mean of the last weights, which the network has at the end."""
        s = self.settings
        if (number := self.done - math.floor((1 - s.averaged) * s.updates)) > 0:
            networks.average_(self.mean, self.actor, 1 / number)
            if self.done == s.updates:
                self.actor.load_state_dict(self.mean.state_dict())

    def _seen(self, true: torch.Tensor, gates: Floats) -> torch.Tensor:
        """What the policies see [B, 30] of the truth; gates [B, 16]: the next ones. No gradient flows through the errors."""
        if self.senses.exact:
            return true
        level, exact = gates[:, 3:5], true.detach().numpy()
        heading = level / np.maximum(np.linalg.norm(level, axis=1, keepdims=True), 1e-6)
        sensed, self.begun = self.senses.sensed(exact, heading, self.begun), np.zeros_like(self.begun)
        return true + torch.from_numpy(sensed - exact)

    def _repeat(self, who: Flags, buffer: Floats, gate: Integers, memory: State, given: torch.Tensor) -> None:
        """Bring some vehicles back to where their segment began; the errors of their estimates go on."""
        lanes, rows = who.reshape(-1, 1, dynamics.LANES), torch.from_numpy(who)[:, None]
        np.copyto(dynamics.rows(self.world.buffer), dynamics.rows(buffer), where=lanes)
        self.gate = np.where(who, gate, self.gate)
        self.memory = each(lambda now, then: torch.where(rows, then, now), self.memory, memory)
        self.given = torch.where(rows, given, self.given)

    def _arrays(self) -> list[np.ndarray]:
        field, errors = self.world.field, self.senses.errors
        kept = [] if errors is None else [getattr(errors, name) for name in errors.ARRAYS]
        return [self.world.buffer, self.world.kept, field.gates, field.counts, field.arenas, self.age, self.gate, *kept]

    def state(self) -> dict[str, Any]:
        """All that changes, as torch.save takes it."""
        arrays = [torch.from_numpy(array.copy()) for array in self._arrays()]
        return {
            "done": self.done, "actor": self.actor.state_dict(), "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state(),
            "arrays": arrays, "memory": leaves(self.memory), "given": self.given, "begun": torch.from_numpy(self.begun),
            "errors": self.senses.random.bit_generator.state,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from another's `state`, of the same settings."""
        self.done, self.given, parts = state["done"], state["given"], iter(state["memory"])
        self.begun, self.senses.random.bit_generator.state = state["begun"].numpy(), state["errors"]
        self.actor.load_state_dict(state["actor"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.memory = each(lambda _: next(parts), self.memory)
        for mine, its in zip(self._arrays(), state["arrays"], strict=True):
            mine[:] = its.numpy()


def train(
    settings: RaceTraining,
    airframe: Airframe,
    seed: int,
    actor: Any,
    tracks: TrackRanges | tuple[Track, ...] = TrackRanges(),
    show: Callable[[int, dict[str, float]], None] = lambda update, figures: None,
) -> Any:
    """The trained network, `actor`, whose observations are to be divided by SCALE."""
    trainer = RaceTrainer(settings, airframe, seed, actor, tracks)
    while trainer.done < settings.updates:
        show(trainer.done, trainer.update())
    return actor


def weights(actor: SpikingNetwork) -> dict[str, np.ndarray]:
    """The weights of a network for observations as they are, not divided by SCALE."""
    found = actor.weights()
    found["layer0.weight"] = found["layer0.weight"] / SCALE
    return found


def network_of(given: dict[str, np.ndarray], seed: int, neuron: Neuron | None = None) -> SpikingNetwork:
    """The network to train on that a checkpoint of a race holds: the inverse of `weights`."""
    found = {name: np.array(value) for name, value in given.items()}
    found["layer0.weight"] = found["layer0.weight"] * SCALE
    sizes = (SIZE, *(len(found[f"layer{n}.bias"]) for n in range(len(found) // 4)), 4)
    actor = SpikingNetwork(sizes, neuron or PAPER, generator=torch.Generator().manual_seed(seed))
    actor.load_weights(found)
    return actor


def save(path: Path, actor: Any, airframe: Airframe, recipe: str, seed: int, command: str, commit: str) -> None:
    """Write a trained network as a checkpoint, whose contract names the layout of the race's observation."""
    about: dict[str, Any] = {"recipe": recipe, "seed": seed, "command": command, "commit": commit}
    vehicle = airframe.name, airframe.hash, LAYOUT, airframe.action_layout, 100.0
    if isinstance(actor, SpikingNetwork):
        checkpoint.save(path, weights(actor), Contract(*vehicle, actor.sizes, actor.neuron), **about)
        return
    flying = Scaled(actor, torch.from_numpy(SCALE)).eval()
    contract = Contract(*vehicle, (SIZE, 4), None, f"{type(actor).__module__}:{type(actor).__qualname__}")
    checkpoint.save(path, networks.weights(flying), contract, graph=recipe_network.graph(flying, SIZE), **about)
