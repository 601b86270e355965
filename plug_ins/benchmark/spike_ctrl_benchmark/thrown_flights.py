"""Thrown vehicles: any attitude, uniform on SO(3), on each axis up to 3 m/s and 15 rad/s, 3 m above the ground."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.evaluation.tracking import BOX, errors
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.randomisation import InitialStates, Randomisation

VEHICLES, SECONDS, LAST = 1024, 5.0, 1.0  # flights, s of each, s at its end in which the vehicle must be at its place
GROUND, WIDE, PLACE = 3.0, 6.0, 0.5  # m: height above the ground, farthest from and at last near the set-point
START = InitialStates(at_target=0.0, position=0.0, tilt=np.pi, velocity=3.0, rates=15.0, yaw=np.pi)


@dataclass(frozen=True)
class ThrownFigures:
    """kept: share that stays within WIDE m. caught: that also stays above the ground and ends within PLACE m.

    lost, lost_95: m of height lost by those that are caught, median and 95th percentile.
    """

    kept: float
    caught: float
    lost: float
    lost_95: float


def fly_thrown(
    controller: Controller,
    airframe: Airframe,
    vehicles: int = VEHICLES,
    seeds: Sequence[int] = (EVALUATION_SEED,),
    ranges: AirframeRanges | None = None,
) -> ThrownFigures:
    """Throw so many vehicles with each seed, which shall come back to where they left the hand.

    ranges: whole airframes are drawn from them; the airframe is their carrier.
    """
    found = [thrown_errors(controller, *throw(airframe, vehicles, seed, ranges)) for seed in seeds]
    return thrown_figures(np.concatenate(found, axis=1))


def throw(
    airframe: Airframe, vehicles: int, seed: int, ranges: AirframeRanges | None = None
) -> tuple[Environment, np.ndarray]:
    """Vehicles that have just left the hand, and what is seen of them (N, 18). ranges: as of `fly_thrown`."""
    steps, differ = int(RATE_HZ * SECONDS) + 1, Randomisation(noise=1.0)
    task = Task(box=BOX, episode_steps=steps, start=START, randomisation=differ, airframes=ranges)
    environment = Environment(airframe, vehicles, task)
    return environment, environment.reset(seed=seed)[0]


def thrown_errors(controller: Controller, environment: Environment, seen: np.ndarray) -> np.ndarray:
    """Position errors (T, N, 3), m, of vehicles that `throw` gave, on their way back."""
    return errors(controller, environment, seen, Trajectory("hover", lead=0.0)).error


def thrown_figures(error: np.ndarray) -> ThrownFigures:
    """The figures of position errors (T, N, 3), m."""
    distance, low = np.linalg.norm(error, axis=-1), -error[:, :, 2].min(0)
    kept = (distance <= WIDE).all(0)
    caught = kept & (low < GROUND) & (distance[-int(LAST * RATE_HZ) :] <= PLACE).all(0)
    lost = np.maximum(low[caught], 0) if caught.any() else np.full(1, np.nan)
    return ThrownFigures(float(kept.mean()), float(caught.mean()), float(np.median(lost)), float(np.quantile(lost, 0.95)))


def thrown_table(found: dict[str, ThrownFigures]) -> str:
    """One line per controller."""
    rows = [["thrown", f"within {WIDE:g} m", "caught", "height lost m", "95 %"]]
    for label, f in found.items():
        numbers = (f"{f.kept:.3f}", f"{f.caught:.3f}", f"{f.lost:.2f}", f"{f.lost_95:.2f}")
        rows.append([label, *(text.replace("nan", "-") for text in numbers)])
    return text_table(rows)
