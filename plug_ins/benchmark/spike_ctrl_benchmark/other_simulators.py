"""Flying by motor commands in simulators that others wrote: a few seconds towards a set-point, from two kinds of start.

A simulator gives states and takes commands u. Observation, starts, crashes and figures are the same for all of them, and
nothing of a simulator's parameters reaches a controller: it sees the 18 numbers alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.text_table import text_table
from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.sim import action_mapping, observation
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_benchmark.rotor_map import RotorMap

Array = NDArray[Any]
VEHICLES = 64  # of each kind of start
STEPS = 500
BOX = 1.5  # m, each axis: who is farther off has crashed
HEIGHT = 2.0  # m of the set-point: the box ends above the ground
NEAR = 0.1  # m, each axis
TILT = np.radians(30)
KINDS = ("near", "tilted")


class FlownStates(NamedTuple):
    """N vehicles: position (N, 3, m, ENU), quaternion (N, 4; x, y, z, w; body FLU to world), velocity (N, 3, m/s, ENU),
    rates (N, 3, rad/s, body FLU)."""

    position: Array
    quaternion: Array
    velocity: Array
    rates: Array


class OtherSimulator(Protocol):
    """N vehicles of one kind. assumptions: what the adapter takes for granted in units and maps, in words."""

    name: str
    rotors: RotorMap
    assumptions: tuple[str, ...]

    def begin(self, states: FlownStates) -> None:
        """Put the vehicles there; their rotors turn as in a hover."""
        ...

    def step(self, command: Array) -> FlownStates:
        """The states one control step (10 ms) later; command u (N, 4) in [0, 1], rotors in our order."""
        ...


@dataclass(frozen=True)
class OtherFlight:
    """How one controller flew one kind of start.

    error_m: mean distance to the set-point in the last second, "median" and "p95" over the vehicles that did not crash; NaN
    where all did. action_change: mean change of u from step to step in that second.
    """

    crashes: float
    error_m: dict[str, float]
    action_change: float


def starts(kind: str, seed: int, vehicles: int = VEHICLES) -> FlownStates:
    """At rest within NEAR of the set-point; level ("near"), or tilted by TILT to any side ("tilted")."""
    random = np.random.default_rng([seed, KINDS.index(kind)])
    position = random.uniform(-NEAR, NEAR, (vehicles, 3)) + np.array((0.0, 0.0, HEIGHT))
    half, azimuth = (TILT if kind == "tilted" else 0.0) / 2, random.uniform(0, 2 * np.pi, vehicles)
    ones, none = np.ones(vehicles), np.zeros((vehicles, 3))
    turned = np.sin(half) * np.cos(azimuth), np.sin(half) * np.sin(azimuth), 0 * ones, np.cos(half) * ones
    return FlownStates(position, np.stack(turned, axis=1), none, none.copy())


def fly_simulator(
    controller: Controller, simulator: OtherSimulator, seed: int, shown: Callable[[float], None] = lambda share: None
) -> dict[str, OtherFlight]:
    """Fly VEHICLES from each kind of start for STEPS control steps; `shown` is told the share that is flown."""
    kinds = [starts(kind, seed) for kind in KINDS]
    states = FlownStates(*(np.concatenate(parts) for parts in zip(*kinds, strict=True)))
    count = len(states.position)
    simulator.begin(states)
    controller.begin(count)
    crashed, late, changes = np.zeros(count, bool), np.zeros(count), np.zeros(count)
    before: Array | None = None
    last_second = STEPS - int(RATE_HZ)
    for step in range(STEPS):
        action = controller.act(observed(states, crashed), None)
        command = np.clip(action_mapping.command(np.asarray(action, np.float32)), 0, 1)
        states = simulator.step(command)
        away = states.position - (0.0, 0.0, HEIGHT)
        crashed |= ~(np.abs(away).max(axis=1) <= BOX)
        if step >= last_second:
            late += np.linalg.norm(away, axis=1) / RATE_HZ
            changes += 0 if before is None else np.abs(command - before).mean(axis=1) / (RATE_HZ - 1)
            before = command
        if step % 25 == 24:
            shown((step + 1) / STEPS)
    parts = np.arange(count).reshape(len(KINDS), -1)
    return {kind: _figures(crashed[who], late[who], changes[who]) for kind, who in zip(KINDS, parts, strict=True)}


def observed(states: FlownStates, crashed: Array) -> Array:
    """The observations float32 (N, 18); a vehicle that crashed is shown at rest on the set-point."""
    target, resting = (0.0, 0.0, HEIGHT), observation.build((0, 0, 0), (0, 0, 0, 1), (0, 0, 0), (0, 0, 0))
    rows = zip(crashed, states.position, states.quaternion, states.velocity, states.rates, strict=True)
    return np.array([resting if gone else observation.build(p, q, v, w, target) for gone, p, q, v, w in rows])


def _figures(crashed: Array, late: Array, changes: Array) -> OtherFlight:
    flown = ~crashed
    if not flown.any():
        return OtherFlight(1.0, {"median": np.nan, "p95": np.nan}, np.nan)
    median, p95 = np.percentile(late[flown], [50, 95])
    return OtherFlight(float(crashed.mean()), {"median": float(median), "p95": float(p95)}, float(changes[flown].mean()))


def simulator_table(flights: dict[str, dict[str, OtherFlight]]) -> str:
    """One line per controller: error and crashes from each kind of start."""
    heads = [f"{kind}{figure}" for kind in KINDS for figure in (", p95", " crashes", " |du|")]
    rows = [["last second, cm", *heads]]
    for label, found in flights.items():
        cells = []
        for one in (found[kind] for kind in KINDS):
            median, p95 = 100 * one.error_m["median"], 100 * one.error_m["p95"]
            error = "none" if np.isnan(median) else f"{median:.1f}, {p95:.1f}"
            cells += [error, f"{one.crashes:.2f}", f"{one.action_change:.3f}"]
        rows.append([label, *cells])
    return text_table(rows)
