"""The frozen evaluation: 1024 fixed starts, 500 steps at most, no guide steps, four columns from one flight.

The flight in the .6 m box is the beginning of the one in the 1.5 m box: it ends at its first step outside. The reward
follows from what was observed and commanded. So both boxes and both sets of coefficients are scored from the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl import airframe as airframes
from spike_ctrl._files.text_table import folded, text_table
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation import controllers
from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.dynamics import COMMAND_ROWS
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.reward import END, START, squared_errors

STARTS = 1024
EPISODE_STEPS = 500
EVALUATION_SEED = 51024461  # never used for training or for choosing a checkpoint
VALIDATION_SEED = 1_000_003
BOXES = {"1.5m": 1.5, "0.6m": 0.6}
COEFFICIENTS = {"start": START, "end": END}
COLUMNS = tuple(f"{box}_{stage}" for box in BOXES for stage in COEFFICIENTS)
HEADS = tuple(column.replace("_", " ") for column in COLUMNS)
FIGURES = ("return_mean", "return_std", "survival", "length_mean")
HEADLINE = "1.5m_start"


def randomised(airframe: Airframe) -> Randomisation:
    """The plants of the randomised evaluation, what a policy may meet in the air: .03 N of steady force for a Crazyflie.

    With the `rates` layout the autopilot's rate loop is not the one we know either, and answers up to 20 ms later.
    """
    weight, arm = airframe.mass * GRAVITY, max(airframe.rotor_x)
    return Randomisation(
        mass=0.2, inertia=0.2, thrust=0.2, torque=0.2, lag=0.2,
        force=0.03 / (0.027 * GRAVITY) * weight, moment=1e-4 / (0.027 * GRAVITY * 0.028) * weight * arm,
        gains=0.2, filters=0.2, delay=2, noise=1.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """Result of the frozen evaluation: figures of each column.

    hover_error_m and action_change (mean change of u from step to step) are those of the last second of the vehicles that
    flew to the end in the larger box; NaN where none did. spike_rates: of each layer, () where nothing spikes.

    >>> found = evaluate("crazyflie", starts=64)
    >>> 450 < found.headline < 500, found.hover_error_m["median"] < 0.01
    (True, True)
    """

    columns: dict[str, dict[str, float]]
    hover_error_m: dict[str, float]
    action_change: float
    starts: int
    spike_rates: tuple[float, ...] = ()

    @property
    def headline(self) -> float:
        """Mean return of the headline column: 1.5 m box, start coefficients."""
        return self.columns[HEADLINE]["return_mean"]

    @property
    def score(self) -> float:
        """Mean return over all columns: what checkpoints are chosen by."""
        return float(np.mean([column["return_mean"] for column in self.columns.values()]))

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain numbers for JSON; null where there is none."""
        return {
            "columns": self.columns,
            "hover_error_m": {name: None if np.isnan(error) else error for name, error in self.hover_error_m.items()},
            "action_change": None if np.isnan(self.action_change) else self.action_change,
            "spike_rates": list(self.spike_rates),
            "starts": self.starts,
        }

    @classmethod
    def from_dict(cls, figures: Any) -> Evaluation:
        """The evaluation that `to_dict` gave, also from JSON. Raises ValueError for anything else."""
        try:
            return cls(
                columns={name: {key: float(figures["columns"][name][key]) for key in FIGURES} for name in COLUMNS},
                hover_error_m={
                    name: np.nan if figures["hover_error_m"][name] is None else float(figures["hover_error_m"][name])
                    for name in ("median", "p95")
                },
                action_change=np.nan if figures["action_change"] is None else float(figures["action_change"]),
                starts=int(figures["starts"]),
                spike_rates=tuple(float(rate) for rate in figures["spike_rates"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"evaluation: found {str(figures)[:60]}, wanted what an evaluation saves ({error})") from None


def evaluate(
    flown: Any,
    airframe: str | Path | Airframe | None = None,
    *,
    seed: int = EVALUATION_SEED,
    starts: int = STARTS,
    randomisation: Randomisation = Randomisation(),
    ranges: AirframeRanges | None = None,
) -> Evaluation:
    """Fly `starts` episodes of the position task, 5 s at most each, and score them in all four columns.

    flown: the name or path of a checkpoint, a `Policy`, a guide, a `Controller`, a `SpikingNetwork`, a model with the
    `predict` of Stable-Baselines3, or a function of the observations (N, 18) that gives actions (N, 4) in [-1, 1].
    airframe: an `Airframe`, its name or the path of its file; None: that of the checkpoint or of the guide, else
    crazyflie. The seed is that of the published figures. randomisation: of the plants, see `randomised`.
    ranges: whole airframes are drawn from them, see `airframe_sampler`; their carrier is the airframe.

    Raises CheckpointError for a file that cannot be flown, AirframeError for an airframe, TypeError for what cannot fly,
    ValueError for actions of another shape.

    >>> evaluate("crazyflie", starts=64).columns["1.5m_start"]["survival"]
    1.0
    """
    controller, craft = controllers.controller(flown, airframe if airframe is None else airframes.load(airframe))
    task = Task(box=max(BOXES.values()), episode_steps=EPISODE_STEPS, randomisation=randomisation, airframes=ranges)
    environment = Environment(craft, starts, task)
    observation, _ = environment.reset(seed=seed)
    controller.begin(starts)
    inside = {name: np.ones(starts, bool) for name in BOXES}
    returns = {column: np.zeros(starts) for column in COLUMNS}
    lengths = {name: np.zeros(starts) for name in BOXES}
    late_error, changes, before = np.zeros(starts), np.zeros(starts), None
    last_second = EPISODE_STEPS - int(RATE_HZ)
    for step in range(EPISODE_STEPS):
        action = controller.act(observation, environment)
        observation, _, _, _, _ = environment.step(action)
        command = environment.read(COMMAND_ROWS)
        true = environment.true_observation
        errors = squared_errors(true, command, craft.hover)
        distance = np.abs(true[:, :3]).max(axis=1)
        for box, width in BOXES.items():
            for stage, coefficients in COEFFICIENTS.items():
                weights = coefficients.array()
                reward = weights[0] - errors @ weights[1:]
                returns[f"{box}_{stage}"] += np.where(inside[box] & np.isfinite(reward), reward, 0)
            lengths[box] += inside[box]
            inside[box] &= distance <= width
        if step >= last_second:
            late_error += np.sqrt(errors[:, 0]) / RATE_HZ
            if before is not None:
                changes += np.abs(command - before).mean(1)
            before = command
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
    flown = inside["1.5m"]
    median, p95 = np.percentile(late_error[flown], [50, 95]) if flown.any() else (np.nan, np.nan)
    return Evaluation(
        columns=columns,
        hover_error_m={"median": float(median), "p95": float(p95)},
        action_change=float(changes[flown].mean() / (RATE_HZ - 1)) if flown.any() else np.nan,
        starts=starts,
        spike_rates=getattr(controller, "spike_rates", ()),
    )


# arXiv 2510.24461 reports one return per method, on its own curriculum task and scale.
PAPER_RETURN = 400


def comparison(evaluation: Evaluation, airframe: Airframe) -> str:
    """The evaluation as a table beside the guide's, flown on the same starts, and the paper's number."""
    guide = evaluate(GuideController(GeometricGuide(airframe)), airframe, starts=evaluation.starts)
    paper = f"paper's TD3BC+JSRL: {PAPER_RETURN} on its own curriculum reward, box .6 m, guide-flown warm-up counted"
    return f"{table({'spiking policy': evaluation, 'guide (lead cap 1.5)': guide})}\n{folded(paper, 2)}\n"


def start_set_seeds(count: int) -> range:
    """Seeds of `count` other sets of starts than the frozen one: what one set owes to its luck shows between them."""
    return range(EVALUATION_SEED + 1, EVALUATION_SEED + 1 + count)


def spread_table(evaluations: dict[str, list[Evaluation]]) -> str:
    """Mean and standard deviation of return and survival over the start sets (two or more) that each controller flew."""
    rows = [["over start sets", *HEADS]]
    for name, sets in evaluations.items():
        cells = []
        for column in COLUMNS:
            returns, survivals = ([found.columns[column][key] for found in sets] for key in ("return_mean", "survival"))
            cells.append(
                f"{np.mean(returns):.1f} +- {np.std(returns, ddof=1):.1f} "
                f"({np.mean(survivals):.3f} +- {np.std(survivals, ddof=1):.3f})"
            )
        rows.append([name, *cells])
    return text_table(rows)


def table(evaluations: dict[str, Evaluation]) -> str:
    """Mean return and survival of each controller in each column; hover error and change of u in the last second."""
    rows = [["return (survival)", *HEADS, "hover, p95 cm", "|du|"]]
    for name, found in evaluations.items():
        cells = (f"{c['return_mean']:.1f} ({c['survival']:.3f})" for c in (found.columns[column] for column in COLUMNS))
        median, p95 = found.hover_error_m["median"], found.hover_error_m["p95"]
        error = "none survived" if np.isnan(median) else f"{100 * median:.1f}, {100 * p95:.1f}"
        rows.append([name, *cells, error, f"{found.action_change:.3f}"])
    return text_table(rows)
