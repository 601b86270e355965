"""Flights in which one rotor fails at a random time, and nobody tells the controller.

A hover, a figure-eight of +-1 m in 5.5 s and a step of 1 m, each flown by vehicles of which every one loses a share of the
thrust of one rotor, a quarter of them all of it. A loss is `level` where the vehicle can still hover without turning: where
the rotor that is left with (1 - l) T_max carries a quarter of the weight. All others must turn about their yaw axis.
Or the rotor is stuck at a speed, whatever is commanded: then too the vehicle must turn, but for one speed.
Each vehicle is the airframe or, where that carries drawn ones, a drawn airframe.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.lost_rotor import OBEYS, LostRotorGuide
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
from spike_ctrl.evaluation.controllers import Controller, guides
from spike_ctrl.evaluation.tracking import errors, hovering
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.dynamics import CLOCK, FAILS_AT, FALLS_OVER, LOST, MASS, STUCK, THRUST, TORQUE
from spike_ctrl.sim.environment import RATE_HZ, Environment
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss

VEHICLES = 1024
LEAD, LATEST, AFTER, SETTLED = 2.0, 4.0, 10.0, 2.0  # s: first and last failure, flight after it, from when errors count
KEPT, GROUND = 3.0, 3.0  # m from the set-point that a vehicle may be; height of the set-point above the ground
LOSS = RotorLoss(chance=1.0, whole=0.25, earliest=LEAD, latest=LATEST, over=0.5)
STUCK_LOSS = dataclasses.replace(LOSS, stuck=1.0)
SPEEDS = (0.0, 0.5, 0.85, 1.0)  # bounds of the kinds of stuck rotors; a Crazyflie hovers at .66
PATHS = {kind: Trajectory(kind, size=1.0, lead=LEAD) for kind in ("hover", "figure8", "step")}
WHOLE = 1.0


@dataclass(frozen=True)
class LossFigures:
    """Of the flights with one kind of loss.

    kept: share that stays within KEPT m for AFTER s. rmse: m, of those that are kept, from SETTLED s after the failure on;
    over all of them, and the median of the flights' own.
    touchdown: m/s, median speed downwards at which the others first are GROUND m below the set-point; NaN: nobody does.
    """

    flights: int
    kept: float
    rmse: float
    median_rmse: float
    touchdown: float


class FlownLosses(NamedTuple):
    """The flights of N vehicles on one path, from LEAD s on.

    error (T, N, 3): position minus set-point, m. begun (N,): s, when the rotor failed. share (N,): of its thrust that it
    lost. level (N,): the largest share with which the vehicle could hover without turning. stuck (N,): the speed, 0 to 1,
    that the rotor kept to; negative: it obeyed.
    """

    error: np.ndarray
    begun: np.ndarray
    share: np.ndarray
    level: np.ndarray
    stuck: np.ndarray

    def kinds(self) -> dict[str, np.ndarray]:
        """Masks (N,) of the kinds of loss; where rotors were stuck, of their speeds."""
        if (self.stuck >= 0).all():
            parts = np.digitize(self.stuck, SPEEDS[1:-1])
            return {f"{low:g} to {high:g}": parts == n for n, (low, high) in enumerate(itertools.pairwise(SPEEDS))}
        turning = (self.share > self.level) & (self.share < WHOLE)
        return {"level": self.share <= self.level, "turning": turning, "whole": self.share >= WHOLE}


class ToldGuide:
    """The guide with a lost rotor, told at once how much of each rotor's thrust is left; it sees the true plant."""

    def __init__(self, airframe: Airframe) -> None:
        self.guide = LostRotorGuide(airframe)

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self._state = self.guide.initial_state(vehicles)

    def act(self, observation: np.ndarray, environment: Environment | None) -> np.ndarray:
        """The guide's actions (N, 4). Raises ValueError where others simulate the vehicle."""
        if environment is None:
            raise ValueError("a guide that is told of a loss: found a vehicle that others simulate, wanted one of ours")
        clock, at, over = (environment.read(row) for row in (CLOCK, FAILS_AT, FALLS_OVER))
        gone = np.clip((clock - at) / np.maximum(over, 1e-6), 0, 1)[:, None] * environment.read(slice(LOST, STUCK))
        seen = environment.rotor_speed, environment.disturbance, environment.plant
        stuck = np.where((clock < at)[:, None], OBEYS, environment.read(slice(STUCK, STUCK + 4)))
        action, self._state = self.guide.act(observation, self._state, *seen, effectiveness=1 - gone, stuck=stuck)
        return action


def told_guides(airframe: Airframe) -> dict[str, Controller]:
    """The guides of every protocol and, for vehicles that command motors, the one that is told of the loss."""
    told: dict[str, Controller] = {} if airframe.action_layout != "motors" else {"guide, told the loss": ToldGuide(airframe)}
    return told | guides(airframe, unknown=True)


def level_share(airframe: Airframe) -> float:
    """The largest share of its thrust that one rotor may lose so that the vehicle can hover without turning."""
    return float(level_shares(airframe.mass, sum(airframe.thrust_curve)))


def level_shares(mass: np.ndarray | float, most: np.ndarray | float) -> np.ndarray:
    """The same of vehicles of these masses, kg, each of whose rotors gives at most so much thrust, N."""
    found: np.ndarray = np.maximum(1 - mass * GRAVITY / 4 / most, 0)
    return found


def fly_rotor_losses(
    controller: Controller,
    airframe: Airframe,
    vehicles: int = VEHICLES,
    seeds: Sequence[int] = (EVALUATION_SEED,),
    ranges: AirframeRanges | None = None,
    loss: RotorLoss = LOSS,
) -> dict[str, dict[str, LossFigures]]:
    """Figures by path and by kind of loss, of so many vehicles with each seed.

    ranges: whole airframes are drawn from them; the airframe is their carrier. loss: `STUCK_LOSS` for stuck rotors.
    """
    found = {}
    for index, (path, course) in enumerate(PATHS.items()):
        sets = [fly_path(controller, airframe, course, vehicles, seed + index, ranges, loss) for seed in seeds]
        parts = zip(*sets, strict=True)
        flown = FlownLosses(*(np.concatenate(part, axis=int(n == 0)) for n, part in enumerate(parts)))
        found[path] = {kind: loss_figures(flown.error[:, who], flown.begun[who]) for kind, who in flown.kinds().items()}
    return found


def fly_path(
    controller: Controller,
    airframe: Airframe,
    path: Trajectory,
    vehicles: int,
    seed: int,
    ranges: AirframeRanges | None = None,
    loss: RotorLoss = LOSS,
) -> FlownLosses:
    """Failures on one path. ranges, loss: as of `fly_rotor_losses`."""
    steps, differ = int(RATE_HZ * (LATEST + AFTER)), Randomisation(noise=1.0, rotor_loss=loss)
    environment, seen = hovering(airframe, vehicles, steps, differ, ranges, seed)
    share, begun = environment.read(slice(LOST, STUCK)).max(1), environment.read(FAILS_AT) - LEAD
    most = environment.read(slice(THRUST, TORQUE)).sum(1)  # N, of one rotor
    level = level_shares(environment.read(MASS), most)
    stuck = environment.read(slice(STUCK, STUCK + 4)).max(1)
    return FlownLosses(errors(controller, environment, seen, path).error, begun, share, level, stuck)


def kept_within(error: np.ndarray, begun: np.ndarray) -> np.ndarray:
    """Who (N,) of the flights of `fly_path` stays within KEPT m for AFTER s."""
    since = np.arange(len(error))[:, None] / RATE_HZ - begun
    kept: np.ndarray = ~((np.linalg.norm(error, axis=-1) > KEPT) & (since >= 0) & (since <= AFTER)).any(0)
    return kept


def loss_figures(error: np.ndarray, begun: np.ndarray) -> LossFigures:
    """The figures of position errors (T, N, 3), m, with failures at the times `begun` (N,), s from the first of them."""
    since = np.arange(len(error))[:, None] / RATE_HZ - begun
    distance = np.linalg.norm(error, axis=-1)
    counts = (since >= 0) & (since <= AFTER)
    kept = kept_within(error, begun)
    settled = counts & (since >= SETTLED) & kept
    squares = np.where(settled, distance, 0.0) ** 2
    own = np.sqrt(squares.sum(0)[kept] / settled.sum(0)[kept])
    speed = -np.diff(error[:, :, 2], axis=0, prepend=error[:1, :, 2]) * RATE_HZ
    low = (error[:, :, 2] < -GROUND) & counts & ~kept
    landed = low.any(0)
    touchdown = speed[low.argmax(0), np.arange(len(kept))][landed]
    return LossFigures(
        len(kept),
        float(kept.mean()) if len(kept) else np.nan,
        float(np.sqrt(squares.sum() / settled.sum())) if settled.any() else np.nan,
        float(np.median(own)) if kept.any() else np.nan,
        float(np.median(touchdown)) if landed.any() else np.nan,
    )


def rotor_table(name: str, found: dict[str, dict[str, LossFigures]]) -> str:
    """One line per path and kind of loss."""
    rows = [[name, "failure", "flights", f"within {KEPT:g} m", "RMSE cm", "median cm", "touchdown m/s"]]
    for path, kinds in found.items():
        for kind, f in kinds.items():
            numbers = [f"{f.kept:.3f}", f"{100 * f.rmse:.1f}", f"{100 * f.median_rmse:.1f}", f"{f.touchdown:.1f}"]
            rows.append([path, kind, str(f.flights), *(text.replace("nan", "-") for text in numbers)])
    return text_table(rows)
