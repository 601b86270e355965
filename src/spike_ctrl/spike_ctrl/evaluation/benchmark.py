"""The frozen evaluation: 1024 fixed starts, 500 steps at most, no guide steps, four columns from one flight.

The flight in the .6 m box is the beginning of the one in the 1.5 m box: it ends at its first step outside. The reward
follows from what was observed and commanded. So both boxes and both sets of coefficients are scored from the same steps.
Where every vehicle has left both boxes, the evaluation ends.
"""

from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl import airframe as airframes
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import whole
from spike_ctrl._files.text_table import folded
from spike_ctrl.airframe import GRAVITY, MAX_DEAD_TIME, Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation import controllers
from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl.evaluation.evaluation_result import BOXES, COLUMNS, Evaluation, evaluation_table
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.dynamics import COMMAND_ROWS
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.pipeline import Inserts, require_no_reward
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.reward import END, START, squared_errors

STARTS = 1024
EPISODE_STEPS = 500
EVALUATION_SEED = 51024461  # never used for training or for choosing a checkpoint
VALIDATION_SEED = 1_000_003
COEFFICIENTS = {"start": START, "end": END}


def randomised(airframe: Airframe) -> Randomisation:
    """The plants of the randomised evaluation, what a policy may meet in the air: .03 N of steady force for a Crazyflie.

    Commands come up to 20 ms later, but none later than MAX_DEAD_TIME: a longer dead time of the airframe leaves less. With
    the `rates` layout the autopilot's rate loop is not the one we know either.
    """
    weight, arm = airframe.mass * GRAVITY, max(airframe.rotor_x)
    left = RATE_HZ * (MAX_DEAD_TIME - airframe.dead_time)
    return Randomisation(
        mass=0.2, inertia=0.2, thrust=0.2, torque=0.2, lag=0.2,
        force=0.03 / (0.027 * GRAVITY) * weight, moment=1e-4 / (0.027 * GRAVITY * 0.028) * weight * arm,
        gains=0.2, filters=0.2, delay=min(2, int(left + 1e-6)), noise=1.0,
    )  # fmt: skip


def evaluate(
    flown: Any,
    airframe: str | Path | Airframe | None = None,
    *,
    seed: int = EVALUATION_SEED,
    starts: int = STARTS,
    randomisation: Randomisation = Randomisation(),
    ranges: AirframeRanges | None = None,
    inserts: Inserts | None = None,
) -> Evaluation:
    """Fly `starts` episodes of the position task, 5 s at most each, and score them in all four columns.

    flown: the name or path of a checkpoint, a `Policy`, a guide, a `Controller`, a `SpikingNetwork`, a model with the
    `predict` of Stable-Baselines3, or a function of the observations (N, 18) that gives actions (N, 4) in [-1, 1].
    airframe: an `Airframe`, its name or the path of its file; None: that of the checkpoint or of the guide, else
    crazyflie. The seed is that of the published figures. randomisation: of the plants, see `randomised`.
    ranges: whole airframes are drawn from them, see `airframe_sampler`; their carrier is the airframe.
    inserts: physics of your own, see `Environment.insert`; none at the step reward, which the score does not count.

    Raises CheckpointError for a file that cannot be flown, UsageError for an airframe, no starts and what cannot be
    inserted, TypeError for what cannot fly, ValueError for actions of another shape.

    >>> evaluate("crazyflie", starts=64).columns["1.5m_start"]["survival"]
    1.0
    """
    if not whole(starts) or starts < 1:
        raise UsageError(f"starts: found {starts!r}, wanted a whole number, at least 1")
    controller, craft = controllers.controller(flown, airframe if airframe is None else airframes.load(airframe))
    require_no_reward(inserts, "evaluate")
    task = Task(box=max(BOXES.values()), episode_steps=EPISODE_STEPS, randomisation=randomisation, airframes=ranges)
    environment = Environment(craft, starts, task, inserts=inserts)
    observation, _ = environment.reset(seed=seed)
    controller.begin(starts)
    inside = {name: np.ones(starts, bool) for name in BOXES}
    returns = {column: np.zeros(starts) for column in COLUMNS}
    lengths = {name: np.zeros(starts) for name in BOXES}
    late_error, changes, before = np.zeros(starts), np.zeros(starts), None
    last_second = EPISODE_STEPS - int(RATE_HZ)
    weights_of_stages = {stage: coefficients.array() for stage, coefficients in COEFFICIENTS.items()}
    for step in range(EPISODE_STEPS):
        action = controller.act(observation, environment)
        observation, _, _, _, _ = environment.step(action)
        command = environment.read(COMMAND_ROWS)
        true = environment.true_observation
        errors = squared_errors(true, command, craft.hover)
        distance = np.abs(true[:, :3]).max(axis=1)
        for box, width in BOXES.items():
            for stage, weights in weights_of_stages.items():
                reward = weights[0] - errors @ weights[1:]
                returns[f"{box}_{stage}"] += np.where(inside[box] & np.isfinite(reward), reward, 0)
            lengths[box] += inside[box]
            inside[box] &= distance <= width
        if step >= last_second:
            late_error += np.sqrt(errors[:, 0]) / RATE_HZ
            if before is not None:
                changes += np.abs(command - before).mean(1)
            before = command
        if not any(left.any() for left in inside.values()):
            break
    columns = {
        f"{box}_{stage}": {
            "return_mean": float(returns[f"{box}_{stage}"].mean()),
            "return_std": float(returns[f"{box}_{stage}"].std()),
            "survival": float(inside[box].mean()),
            "length_mean": float(lengths[box].mean()),
        }
        for box in BOXES
        for stage in COEFFICIENTS
    }
    stayed = inside["1.5m"]
    median, p95 = np.percentile(late_error[stayed], [50, 95]) if stayed.any() else (np.nan, np.nan)
    return Evaluation(
        columns=columns,
        hover_error_m={"median": float(median), "p95": float(p95)},
        action_change=float(changes[stayed].mean() / (RATE_HZ - 1)) if stayed.any() else np.nan,
        starts=starts,
        spike_rates=getattr(controller, "spike_rates", ()),
    )


# arXiv 2510.24461 reports one return per method, on its own curriculum task and scale.
PAPER_RETURN = 400


def comparison(evaluation: Evaluation, airframe: Airframe) -> str:
    """The evaluation as a table beside the guide's, flown on the same starts, and the paper's number."""
    guide = evaluate(GuideController(GeometricGuide(airframe)), airframe, starts=evaluation.starts)
    paper = f"paper's TD3BC+JSRL: {PAPER_RETURN} on its own curriculum reward, box .6 m, guide-flown warm-up counted"
    return f"{evaluation_table({'spiking policy': evaluation, 'guide (lead cap 1.5)': guide})}\n{folded(paper, 2)}\n"


def start_set_seeds(count: int) -> range:
    """Seeds of `count` other sets of starts than the frozen one: what one set owes to its luck shows between them."""
    return range(EVALUATION_SEED + 1, EVALUATION_SEED + 1 + count)
