"""Following a trajectory by moving the set-point: how far behind it a controller is.

A policy observes position and velocity relative to the set-point, so one that was trained to hover follows it. The velocity
is that of the set-point PREVIEW seconds later, which gives the controller the time to accelerate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl import airframe as airframes
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import whole
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.trajectory import PASS_ERROR, PASS_SHARE, PREVIEW, Trajectory
from spike_ctrl.evaluation import controllers
from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.evaluation.protocols import Gust
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.pipeline import Inserts, listed, require_no_reward
from spike_ctrl.sim.randomisation import InitialStates, Randomisation

VEHICLES = 64
ROUNDS = 2  # periods of the trajectory
BOX = 100.0  # m
SETTLED = 0.05  # m: a vehicle has settled from when on it stays within this distance


@dataclass(frozen=True)
class Tracking:
    """Distances to the set-point (m) over all vehicles and steps after the trajectory's lead.

    settling: seconds from the end of the lead, when a step or a gust begins, until the median vehicle stays within SETTLED;
    infinite where it never does.

    >>> Tracking(mean=0.02, rmse=0.03, worst=0.1, beyond=0.0).passed
    True
    """

    mean: float
    rmse: float
    worst: float
    beyond: float  # share of samples beyond PASS_ERROR
    settling: float = math.nan

    @property
    def passed(self) -> bool:
        """Whether the trajectory counts as followed. It has no meaning for one that jumps."""
        return self.beyond <= PASS_SHARE

    def to_dict(self, sudden: bool) -> dict[str, float | bool | None]:
        """The figures for machines. sudden: a step or a gust, where settling counts; it is null where it never settles."""
        about: dict[str, float | bool | None] = {"mean_m": self.mean, "rmse_m": self.rmse, "worst_m": self.worst}
        about["share_beyond_15cm"] = self.beyond
        if sudden:
            return about | {"settling_s": self.settling if math.isfinite(self.settling) else None}
        return about | {"passed": self.passed}


def track(
    flown: Any,
    trajectory: Trajectory,
    airframe: str | Path | Airframe | None = None,
    *,
    rounds: int = ROUNDS,
    randomisation: Randomisation = Randomisation(),
    preview: float = PREVIEW,
    gust: Gust | None = None,
    inserts: Inserts | None = None,
) -> Tracking:
    """Fly `rounds` periods from a hover at the trajectory's centre; a gust comes after its lead.

    flown, airframe and inserts are those of `evaluate`. preview: seconds ahead that the controller is told the velocity.
    Raises what `evaluate` raises.

    >>> round(track("crazyflie", Trajectory("figure8")).rmse, 2)  # m
    0.03
    """
    if not isinstance(trajectory, Trajectory):
        raise UsageError(f"trajectory: found {trajectory!r}, wanted a Trajectory, such as Trajectory('figure8')")
    if not whole(rounds) or rounds < 1:
        raise UsageError(f"rounds: found {rounds!r}, wanted a whole number, at least 1")
    controller, craft = controllers.controller(flown, airframe if airframe is None else airframes.load(airframe))
    steps = int(RATE_HZ * (trajectory.lead + rounds * trajectory.period))
    require_no_reward(inserts, "track")
    environment, observation = hovering(craft, VEHICLES, steps, randomisation, inserts=inserts)
    return summary(errors(controller, environment, observation, trajectory, preview, gust).distance)


def hovering(
    airframe: Airframe,
    vehicles: int,
    steps: int,
    randomisation: Randomisation,
    ranges: AirframeRanges | None = None,
    seed: int = EVALUATION_SEED,
    simulator: Callable[[Airframe, int, Task], Environment] = Environment,
    inserts: Inserts | None = None,
) -> tuple[Environment, np.ndarray]:
    """Vehicles that hover on their set-points, for a flight of `steps` steps; and the first observation.

    ranges: whole airframes are drawn from them; the airframe is their carrier. simulator: makes the vehicles.
    inserts: physics of your own, see `Environment.insert`.
    """
    start = InitialStates(at_target=1.0, rotors_low=airframe.hover, rotors_high=airframe.hover)
    task = Task(box=BOX, episode_steps=steps + 1, start=start, randomisation=randomisation, airframes=ranges)
    environment = simulator(airframe, vehicles, task)
    for step, function in listed(inserts):
        environment.insert(step, function)
    return environment, environment.reset(seed=seed)[0]


class FollowedErrors(NamedTuple):
    """At all steps of an episode after the trajectory's lead.

    error (T, N, 3): position minus set-point, m, world. change (N,): mean |u_t - u_{t-1}| of the four commands.
    """

    error: np.ndarray
    change: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """To the set-point (T, N), m."""
        return np.asarray(np.linalg.norm(self.error, axis=2))


def errors(
    controller: Controller,
    environment: Environment,
    observation: np.ndarray,
    trajectory: Trajectory,
    preview: float = PREVIEW,
    gust: Gust | None = None,
) -> FollowedErrors:
    """Fly the environment's episode along a trajectory, from a hover at its centre.

    Who leaves the environment's box stays where it left it, though the environment begins anew; NaN counts as BOX away.
    """
    vehicles, weight = environment.num_envs, environment.airframe.mass * GRAVITY
    controller.begin(vehicles)
    found, centre, steady = [], np.array(trajectory.centre), environment.disturbance
    place, left = np.zeros((vehicles, 3)), np.zeros(vehicles, bool)
    change, before = np.zeros(vehicles), None
    for step in range(environment.task.episode_steps - 1):
        action = controller.act(observation, environment)
        point = trajectory.at((step + 1) / RATE_HZ)
        target = np.broadcast_to(np.array(point.position) - centre, (vehicles, 3))
        dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), target)
        if gust is not None:
            blown = steady.copy()
            blown[:, 0] += _force(gust, step / RATE_HZ - trajectory.lead) * weight
            dynamics.write(environment.buffer, dynamics.DISTURBANCE_ROWS, blown)
        observation, _, outside, *_ = environment.step(action)
        away = np.nan_to_num(environment.true_observation[:, :3], nan=BOX, posinf=BOX, neginf=-BOX)
        place, left = np.where(left[:, None], place, away), left | outside
        ahead = trajectory.at((step + 1) / RATE_HZ + preview).velocity
        observation[:, 12:15] -= np.array(ahead, np.float32)
        if step >= RATE_HZ * trajectory.lead:
            found.append(place)
            change += 0 if before is None else np.abs(action - before).mean(1) / 2
        before = action
    return FollowedErrors(np.array(found, float), change / max(len(found), 1))


def summary(distances: np.ndarray, settled: float = SETTLED) -> Tracking:
    """The figures of distances (T, N) to the set-point; a vehicle has settled within `settled` metres."""
    return Tracking(
        float(distances.mean()),
        float(np.sqrt((distances**2).mean())),
        float(distances.max()),
        float((distances > PASS_ERROR).mean()),
        float(np.median(_settling(distances, settled))),
    )


def _force(gust: Gust, since: float) -> float:
    """Share of the weight, `since` seconds after the gust began."""
    if not 0 < since < gust.duration:
        return 0.0
    return gust.share * (1 - math.cos(2 * math.pi * since / gust.duration)) / 2


def _settling(distances: np.ndarray, settled: float) -> np.ndarray:
    """Seconds (N,) from the first of the samples (T, N) until the vehicle stays within `settled` m; infinite: never."""
    outside = ~(distances <= settled)
    after = np.where(outside.any(0), len(outside) - outside[::-1].argmax(0), 0)
    return np.where(after < len(outside), after / RATE_HZ, np.inf)


def tracking_table(name: str, results: dict[str, Tracking], sudden: bool = False) -> str:
    """One line per controller, centimetres. sudden: a step or a gust, where the time to settle counts."""
    rows = [[name, "mean cm", "RMSE cm", "worst cm", "> 15 cm", "settles s" if sudden else "5 % line"]]
    for label, t in results.items():
        verdict = "passes" if t.passed else "fails"
        if sudden:
            verdict = f"{t.settling:.2f}" if math.isfinite(t.settling) else "never"
        distances = (f"{100 * distance:.1f}" for distance in (t.mean, t.rmse, t.worst))
        rows.append([label, *distances, f"{t.beyond:.1%}", verdict])
    return text_table(rows)
