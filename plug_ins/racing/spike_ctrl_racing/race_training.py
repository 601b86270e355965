"""The model gradient for races: back-propagation through the network and the vehicle's equations, segment by segment.

A batch of vehicles flies drawn courses with the network that learns. After each segment Adam follows the gradient of
`flight_gradient.cost`. The speed that is asked for grows over the training. Who hit something begins again before a gate
drawn at random. What is evaluated is the network itself, in the task, on courses of other seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import actor as actors
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.manifest import Contract
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.initial_states import InitialStates
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.network_state import restart
from spike_ctrl_networks.differentiable_step import Vehicles
from spike_ctrl_racing import flight_gradient
from spike_ctrl_racing.flight_gradient import Weights
from spike_ctrl_racing.race_kernels import GATE, SIZE
from spike_ctrl_racing.racing_environment import LAYOUT, RacingEnvironment, RacingTask
from spike_ctrl_racing.track import Track
from spike_ctrl_racing.track_sampler import TrackRanges

SCALE = np.repeat([5.0, 1.0, 6.0, 4.0, 5.0, 1.0, 8.0, 1.0], [3, 9, 3, 3, 3, 3, 3, 3]).astype(np.float32)
"""What the numbers of an observation are divided by. A trained network holds the divisions in its first weights."""


@dataclass(frozen=True)
class RaceTraining:
    """How a policy for races comes about."""

    updates: int = within(3000, 1, 10**6, "Steps of Adam.")
    vehicles: int = within(128, 16, 4096, "That fly at once; a multiple of 16.")
    segment: int = within(80, 10, 400, "Control steps through which the gradient flows.")
    segments: int = within(12, 1, 1000, "Of a flight, at most.")
    hidden: tuple[int, ...] = (128, 128)
    rate: float = within(2e-3, 1e-6, 1.0, "Learning rate at the start.")
    rate_end: float = within(5e-5, 0.0, 1.0, "At the end, along half a cosine.")
    slow: float = within(3.0, 0.5, 30.0, "Speed that is asked for at the start.", "m/s")
    fast: float = within(9.0, 0.5, 30.0, "At the end of the growth.", "m/s")
    growth: float = within(0.6, 0.0, 1.0, "Share of the training over which the speed grows.")
    noise: float = within(0.03, 0.0, 1.0, "Deviation of the actions' noise.")
    decay: float = within(0.99, 0.5, 1.0, "Of the gradient with respect to the state, per step.")
    slope: float = within(2.0, 0.1, 100.0, "Of the surrogate derivative at the start.")
    slope_end: float = within(4.0, 0.1, 100.0, "At the end.")
    spread: float = within(0.1, 0.0, 0.5, "Mass, thrust, inertia and lag of the plants: factors 1 - x to 1 + x.")


class Dense(nn.Module):
    """A network of tanh layers of the same widths, to compare with."""

    def __init__(self, sizes: tuple[int, ...], generator: torch.Generator):
        super().__init__()
        with actors.seeded(generator):
            self.layers = nn.ModuleList(nn.Linear(*widths) for widths in itertools.pairwise(sizes))
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def initial_state(self, batch: int) -> torch.Tensor:
        return torch.zeros(batch, 0)

    def step(self, observation: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = observation
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x, state


def network(settings: RaceTraining, airframe: Airframe, seed: int, dense: bool = False) -> Any:
    """The network at its random start, whose first weights take observations divided by SCALE."""
    generator, sizes = torch.Generator().manual_seed(seed), (SIZE, *settings.hidden, 4)
    if dense:
        return Dense(sizes, generator)
    rest = 2 * airframe.hover - 1 if airframe.action_layout == "motors" else 0.0
    return SpikingNetwork(sizes, generator=generator, output_bias=[math.atanh(rest)] * 4)


def train(
    settings: RaceTraining,
    airframe: Airframe,
    seed: int,
    tracks: TrackRanges | tuple[Track, ...] = TrackRanges(),
    dense: bool = False,
    start: Any = None,
    show: Callable[[int, dict[str, float]], None] = lambda update, figures: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Any:
    """The trained network, whose observations are to be divided by SCALE. start: one to go on from."""
    x, generator = settings.spread, torch.Generator().manual_seed(seed + 1)
    spread = Randomisation(mass=x, thrust=x, inertia=x, lag=x)
    starts = InitialStates(at_target=0.0, position=0.4, tilt=0.5, velocity=1.0, rates=1.0, yaw=1.5)
    task = RacingTask(tracks, anywhere=1.0, back=4.0, speed=1.0, start=starts, randomisation=spread)
    world = RacingEnvironment(airframe, settings.vehicles, task)
    world.reset(seed=seed)
    actor = start if start is not None else network(settings, airframe, seed, dense)
    optimiser = torch.optim.Adam(actor.parameters(), settings.rate)
    moves, scale = motion(airframe, 0.01), torch.from_numpy(SCALE)
    memory, before = actor.initial_state(settings.vehicles), torch.zeros(settings.vehicles, 4)
    age = np.arange(settings.vehicles) % settings.segments
    gate = world.kept[:, GATE].astype(np.int64)
    for update in range(settings.updates):
        if stopped():
            break
        share = update / settings.updates
        asked = settings.slow + (settings.fast - settings.slow) * min(1.0, share / max(settings.growth, 1e-9))
        k = settings.slope + (settings.slope_end - settings.slope) * share
        noise = settings.noise * torch.randn(settings.segment, settings.vehicles, 4, generator=generator)

        def step(seen: torch.Tensor, state: Any, k: float = k) -> tuple[torch.Tensor, Any]:
            return actors.step(actor, seen / scale, state, k)

        vehicles = Vehicles(world.buffer, moves, settings.vehicles)
        courses = world.field.of
        flown = flight_gradient.fly(
            step, memory, vehicles, world.field.gates[courses], world.field.counts[courses], gate, task.radius,
            settings.segment, noise, settings.decay,
        )  # fmt: skip
        world.buffer[:] = vehicles.buffer  # now: on the way back the vehicles go back to where they began
        total, figures = flight_gradient.cost(flown, before, Weights(speed=asked))
        optimiser.param_groups[0]["lr"] = settings.rate_end + (settings.rate - settings.rate_end) * (
            0.5 + 0.5 * math.cos(math.pi * share)
        )
        actors.descend_(optimiser, total, actor)
        age += 1
        new = flown.lost | (age >= settings.segments)
        world.rules = world.rules._replace(speed=np.float32(0.8 * asked))
        world.reset(options={"reset_mask": new})
        gate = np.where(new, world.kept[:, GATE].astype(np.int64), gate)
        age[new] = 0
        again = torch.from_numpy(new)
        memory = restart(actor, flown.memory, again)
        before = torch.where(again[:, None], 0.0, flown.actions[-1].detach())
        figures |= {"cost": total.item(), "lost": float(flown.lost.mean()), "asked": asked}
        show(update, figures)
    return actor


def weights(actor: SpikingNetwork) -> dict[str, np.ndarray]:
    """The weights of a network for observations as they are, not divided by SCALE."""
    found = actor.weights()
    found["layer0.weight"] = found["layer0.weight"] / SCALE
    return found


def network_of(given: dict[str, np.ndarray], seed: int) -> SpikingNetwork:
    """The network to train on that a checkpoint of a race holds: the inverse of `weights`."""
    found = {name: np.array(value) for name, value in given.items()}
    found["layer0.weight"] = found["layer0.weight"] * SCALE
    sizes = (SIZE, *(len(found[f"layer{n}.bias"]) for n in range(len(found) // 4)), 4)
    actor = SpikingNetwork(sizes, generator=torch.Generator().manual_seed(seed))
    actor.load_weights(found)
    return actor


def save(path: Path, actor: SpikingNetwork, airframe: Airframe, seed: int, command: str, commit: str) -> None:
    """Write a trained network as a checkpoint, whose contract names the layout of the race's observation."""
    contract = Contract(airframe.name, airframe.hash, LAYOUT, airframe.action_layout, 100.0, actor.sizes)
    checkpoint.save(path, weights(actor), contract, recipe="racer_gates", seed=seed, command=command, commit=commit)
