"""Following a trajectory by moving the set-point: how far behind it a controller is.

What a policy observes is relative to the set-point, its velocity too, so that one trained to hover flies a moving frame.
The velocity is that of PREVIEW seconds later: as much as the controller needs to turn it into an acceleration in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spike_ctrl import dynamics
from spike_ctrl.airframe import Airframe
from spike_ctrl.environment import RATE_HZ, Environment, Task
from spike_ctrl.evaluate import EVALUATION_SEED, Controller
from spike_ctrl.starts import Randomisation, Start
from spike_ctrl.trajectory import PASS_ERROR, PREVIEW, Trajectory

VEHICLES = 64
BOX = 100.0  # m: nobody is stopped


@dataclass(frozen=True)
class Tracking:
    """Distances to the set-point (m) over all vehicles and steps after the trajectory's lead."""

    mean: float
    rmse: float
    worst: float
    beyond: float  # share of samples beyond PASS_ERROR


def track(
    controller: Controller,
    airframe: Airframe,
    trajectory: Trajectory,
    rounds: int = 2,
    randomisation: Randomisation = Randomisation(),
    preview: float = PREVIEW,
) -> Tracking:
    """Fly `rounds` periods from a hover at the trajectory's centre."""
    start = Start(at_target=1.0, rotors_low=airframe.hover, rotors_high=airframe.hover)
    steps = int(RATE_HZ * (trajectory.lead + rounds * trajectory.period))
    task = Task(box=BOX, episode_steps=steps + 1, start=start, randomisation=randomisation)
    environment = Environment(airframe, VEHICLES, task)
    observation, _ = environment.reset(seed=EVALUATION_SEED)
    controller.begin(VEHICLES)
    distances, centre = [], np.array(trajectory.centre)
    for step in range(steps):
        action = controller.act(observation, environment)
        point = trajectory.at((step + 1) / RATE_HZ)
        target = np.broadcast_to(np.array(point.position) - centre, (VEHICLES, 3))
        dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), target)
        observation, *_ = environment.step(action)
        ahead = trajectory.at((step + 1) / RATE_HZ + preview).velocity
        observation[:, 12:15] -= np.array(ahead, np.float32)
        if step >= RATE_HZ * trajectory.lead:
            distances.append(np.linalg.norm(environment.true_observation[:, :3], axis=1))
    found = np.array(distances, float)
    return Tracking(
        float(found.mean()), float(np.sqrt((found**2).mean())), float(found.max()), float((found > PASS_ERROR).mean())
    )


def table(kind: str, results: dict[str, Tracking]) -> str:
    """One line per controller, centimetres."""
    width = max(map(len, (*results, kind))) + 2
    lines = [f"{kind:<{width}}{'mean cm':>10}{'RMSE cm':>10}{'worst cm':>10}{'> 15 cm':>10}"]
    for name, t in results.items():
        lines.append(f"{name:<{width}}{100 * t.mean:>10.1f}{100 * t.rmse:>10.1f}{100 * t.worst:>10.1f}{t.beyond:>10.1%}")
    return "\n".join(lines)
