"""Runs the recipe as published to its end, and compares its learning curve with what the paper reports.

The second variant differs in one point: its critic learns advantages (`learn.critics`), which is not in the paper.
"""

import dataclasses

import numpy as np

from spike_ctrl.evaluation.evaluation_result import COLUMNS
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl_studies import paper, training_run
from spike_ctrl_studies.figures import Figure, Level, Panel
from spike_ctrl_studies.headline_study import mean_line
from spike_ctrl_studies.study import (
    AGREES,
    DIFFERS,
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    by_variant,
    of_kind,
    one,
    plus_minus,
    size_of,
    spread,
)

SEEDS = (1, 5)
RECIPE = "paper"
QUICK_STEPS = 300_000
VALIDATIONS = 20
LAST = 0.1  # share of the training over which the last return is averaged
PUBLISHED = "as published"
VARIANTS = {PUBLISHED: {}, "critic by advantages": {"critic": "advantage"}}


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    plan = training_run.find_td3bc(options.recipe or RECIPE)
    if options.quick:
        plan = plan.with_steps(min(plan.schedule.steps, QUICK_STEPS))
    plan = training_run.with_evaluations(plan, VALIDATIONS)
    return training_run.units({name: variant(plan, name) for name in VARIANTS}, options, SEEDS)


def variant(plan: Recipe, name: str) -> Recipe:
    """The recipe of a variant in VARIANTS."""
    changes = VARIANTS[name]
    return dataclasses.replace(training_run.changed(plan, **changes), name=plan.name + "-advantages" * bool(changes))


measure = training_run.measure_variant


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    groups = by_variant(results, VARIANTS)
    seeds = len(groups[PUBLISHED])
    return Report(
        title=f"Recipe {options.recipe or RECIPE} to its end, {size_of(options, seeds)}",
        table=[_row(name, runs) for name, runs in groups.items()],
        findings=findings({name: [last_return(lines) for lines in runs] for name, runs in groups.items()}),
        figures=[_curves(groups)],
        notes=[
            "The training return is that of the flights as flown, under the reward curriculum, with the guide's steps and "
            "the exploration noise: what the paper's curve shows. The paper prints levels, not the points of its curve.",
            "The paper's code has another action baseline and other starts, so its 400 has no exact counterpart here. "
            "'Alone' is the policy without guide and noise under constant coefficients.",
            "Batch, stride, exploration noise, updates per iteration, speed of the horizon and steps are not given "
            "by the paper; those of the recipe are ours.",
        ],
    )


def last_return(lines: Lines) -> float:
    """Mean training return over the last part of a run; NaN if it has none."""
    seen = [line for line in of_kind(lines, "training") if "return" in line]
    late = [line["return"] for line in seen if line["progress"] >= 1 - LAST]
    return float(np.mean(late or [line["return"] for line in seen[-1:]])) if seen else np.nan


def findings(returns: dict[str, list[float]]) -> list[StudyFinding]:
    """What follows from the last training returns of each variant."""
    low, high = paper.FIGURE["TD3BC + jump start"]
    found = []
    for name, values in returns.items():
        mean, _ = spread(values)
        claim = f"TD3BC + jump start ends at {paper.RETURN}, its figure shows {low} to {high}"
        found.append(
            StudyFinding(
                claim + (" (as published)." if name == PUBLISHED else f" (here with a {name})."),
                f"last training return {plus_minus(values)}.",
                AGREES if mean >= low else DIFFERS,
                paper=name == PUBLISHED,
            )
        )
    return found


def _row(name: str, runs: list[Lines]) -> dict:
    evaluations = [training_run.evaluation_of(lines) for lines in runs]
    row = {"variant": name, "last training return": plus_minus([last_return(lines) for lines in runs])}
    for column in COLUMNS:
        alone = [evaluation.columns[column]["return_mean"] for evaluation in evaluations]
        row[f"alone, {column.replace('m_', ' m ')}"] = plus_minus(alone)
    slopes = [line["slope"] for lines in runs for line in of_kind(lines, "training") if "slope" in line]
    return row | {
        "survival 1.5 m": plus_minus([e.columns["1.5m_start"]["survival"] for e in evaluations], 3),
        "hover median cm": plus_minus([100 * e.hover_error_m["median"] for e in evaluations]),
        "slope k, lowest to highest": f"{min(slopes):.0f} to {max(slopes):.0f}",
        "steps": one(runs[0], "result")["environment_steps"],
        "seconds": plus_minus([one(lines, "result")["seconds"] for lines in runs], 0),
    }


def _curves(groups: dict[str, list[Lines]]) -> Figure:
    low, high = paper.FIGURE["TD3BC + jump start"]
    flown, alone, slopes = [], [], []
    for index, (name, runs) in enumerate(groups.items()):
        seen = [[line for line in of_kind(lines, "training") if "return" in line] for lines in runs]
        steps = [[line["environment_steps"] / 1e6 for line in lines] for lines in seen]
        for marks, key in ((flown, "return"), (slopes, "slope")):
            marks.append(mean_line(name, steps, [[line[key] for line in lines] for lines in seen], index))
        curves = [training_run.curve(lines) for lines in runs]
        alone.append(mean_line(name, [[s / 1e6 for s in c["steps"]] for c in curves], [c["return"] for c in curves], index))
    label = "environment steps (million)"
    levels = [Level(f"paper, TD3BC + jump start: {paper.RETURN}", paper.RETURN), Level("paper's figure, lowest", low)]
    other, _ = paper.FIGURE["TD3"]
    levels += [Level("paper's figure, highest", high), Level("paper's figure, TD3 without jump start", other)]
    return Figure(
        "curve",
        "The recipe as published, beside the paper's levels",
        [
            Panel("As flown, curriculum reward", label, "training return", [*flown, *levels]),
            Panel("Alone, 1.5 m box, start coefficients", label, "validation return", alone),
            Panel("Adaptive slope", label, "slope k", slopes, log_y=True),
        ],
    )
