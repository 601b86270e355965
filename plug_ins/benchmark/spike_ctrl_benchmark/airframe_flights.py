"""Quadrotors that a controller was never told about: whole airframes drawn by `airframe_sampler`, each flown once.

From the starts of the frozen evaluation for 5 s, and from a hover along a figure-eight. A start with a tilt of 90 degrees
costs a weak and sluggish quadrotor more height than the box of 1.5 m has, whoever flies; so survival is counted in the box
and within LOST.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.benchmark import EPISODE_STEPS, EVALUATION_SEED, STARTS
from spike_ctrl.evaluation.controllers import Controller, PolicyController
from spike_ctrl.evaluation.energy import spiking_energy_pj
from spike_ctrl.evaluation.tracking import errors, hovering
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.dynamics import COMMAND_ROWS
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark.any_airframe import ANY

BOX, LOST = 1.5, 6.0  # m, on each axis
STRAYED = 1.5  # m from the set-point of the figure-eight
PATH = Trajectory("figure8", lead=4.0)  # in which a controller may find out what it flies
FOLLOWED = 256  # of the airframes fly the figure-eight too
Simulator = Callable[[Airframe, int, Task], Environment]
"""Of a carrier, a number of vehicles and their task: what simulates them."""


@dataclass(frozen=True)
class AirframeFlights:
    """How a controller flew one set of airframes; NaN where there is no figure.

    survival: share that never left the box, and `recovered` that came never farther than LOST. hover_median, hover_p95: m,
    mean distance in the last second of those that recovered. figure8: m, RMSE of those that never strayed; strayed: share
    of the others. change: mean |change of u| a step in the last second. spikes: a step. energy: nJ a step, by the estimate
    of `energy.spiking_energy_pj`.
    """

    survival: float
    recovered: float
    hover_median: float
    hover_p95: float
    figure8: float
    strayed: float
    change: float
    spikes: float = math.nan
    energy: float = math.nan


def seeds(count: int) -> range:
    """Of so many sets of airframes and starts; the first has the starts of the frozen evaluation."""
    return range(EVALUATION_SEED, EVALUATION_SEED + count)


def fly_airframes(
    controller: Controller,
    carrier: Airframe,
    *,
    ranges: AirframeRanges | None = None,
    seed: int = EVALUATION_SEED,
    airframes: int = STARTS,
    simulator: Simulator = Environment,
    shown: Callable[[float], None] = lambda share: None,
) -> AirframeFlights:
    """Fly so many airframes, drawn with this seed. carrier: what they are simulated as, such as `any_quad` or `any_rates`.

    ranges: from which they are drawn (None: `ANY` of the carrier's layout). simulator: makes the vehicles.
    shown: takes the share that is done. Raises UsageError and ValueError for a carrier that cannot carry them.
    """
    ranges = ranges or ANY[carrier.action_layout]
    task = Task(box=1e3, episode_steps=EPISODE_STEPS + 1, airframes=ranges)
    environment = simulator(carrier, airframes, task)
    observation, _ = environment.reset(seed=seed)
    controller.begin(airframes)
    farthest, late, change = (np.zeros(airframes) for _ in range(3))
    before = environment.read(COMMAND_ROWS)
    for step in range(EPISODE_STEPS):
        observation, *_ = environment.step(controller.act(observation, environment))
        true, command = environment.true_observation, environment.read(COMMAND_ROWS)
        farthest = np.maximum(farthest, np.nan_to_num(np.abs(true[:, :3]).max(1), nan=np.inf))
        if step >= EPISODE_STEPS - RATE_HZ:
            late += np.linalg.norm(true[:, :3], axis=1) / RATE_HZ
            change += 0 if step == EPISODE_STEPS - RATE_HZ else np.abs(command - before).mean(1) / (RATE_HZ - 1)
        before = command
        if step % 50 == 49:
            shown(0.5 * (step + 1) / EPISODE_STEPS)
    spikes, energy = _spent(controller)
    alive = farthest <= LOST
    median, p95 = np.percentile(late[alive], [50, 95]) if alive.any() else (math.nan, math.nan)
    figure8, strayed = _follow(controller, carrier, ranges, seed, min(airframes, FOLLOWED), simulator)
    shown(1.0)
    return AirframeFlights(
        survival=float((farthest <= BOX).mean()),
        recovered=float(alive.mean()),
        hover_median=float(median),
        hover_p95=float(p95),
        figure8=figure8,
        strayed=strayed,
        change=float(change[alive].mean()) if alive.any() else math.nan,
        spikes=spikes,
        energy=energy,
    )


def _follow(
    controller: Controller,
    carrier: Airframe,
    ranges: AirframeRanges,
    seed: int,
    airframes: int,
    simulator: Simulator,
) -> tuple[float, float]:
    steps = int(RATE_HZ * (PATH.lead + 2 * PATH.period))
    environment, observation = hovering(carrier, airframes, steps, Randomisation(), ranges, seed, simulator)
    distance = np.nan_to_num(errors(controller, environment, observation, PATH).distance, nan=np.inf)
    kept = (distance <= STRAYED).all(0)
    rmse = math.sqrt((distance[:, kept] ** 2).mean()) if kept.any() else math.nan
    return rmse, float(1 - kept.mean())


def _spent(controller: Any) -> tuple[float, float]:
    """Spikes and nJ of a step; NaN for what does not spike."""
    policy = controller.policy if isinstance(controller, PolicyController) else None
    if not isinstance(policy, SpikingPolicy):
        return math.nan, math.nan
    rates = controller.spike_rates
    spikes = sum(rate * width for rate, width in zip(rates, policy.sizes[1:-1], strict=True))
    silent = [1 - rate for rate in rates]
    return spikes, spiking_energy_pj(policy.sizes, silent, policy.neuron.recurrent) / 1e3


COLUMNS = {
    "survival": ("survival", 1, 3),
    "recovered": ("< 6 m", 1, 3),
    "hover_median": ("hover cm", 100, 1),
    "hover_p95": ("p95 cm", 100, 1),
    "figure8": ("figure8 cm", 100, 1),
    "strayed": ("strayed", 1, 3),
    "change": ("|du|", 1, 3),
    "spikes": ("spikes", 1, 1),
    "energy": ("nJ", 1, 1),
}
"""Of the table: heading, factor, digits."""


def airframe_table(flown: Mapping[str, Sequence[AirframeFlights]]) -> str:
    """One line for each controller: means over its sets of airframes, and below them the deviations between two or more."""
    rows = [["", *(heading for heading, _, _ in COLUMNS.values())]]
    for label, sets in flown.items():
        figures = {name: [getattr(one, name) for one in sets] for name in COLUMNS}
        rows.append([label, *_cells({name: float(np.mean(found)) for name, found in figures.items()})])
        if len(sets) > 1:
            spread = {name: float(np.std(found, ddof=1)) for name, found in figures.items()}
            rows.append(["  +-", *_cells(spread)])
    return text_table(rows)


def _cells(values: dict[str, float]) -> list[str]:
    scaled = ((factor * values[name], digits) for name, (_, factor, digits) in COLUMNS.items())
    return [f"{value:.{digits}f}" if math.isfinite(value) else "-" for value, digits in scaled]
