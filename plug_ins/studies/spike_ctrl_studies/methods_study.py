"""What each way of learning reaches, over the same seeds: learning curves against CPU time and steps on one figure.

Most learn from rewards alone, some with a guide that flies the beginning of each flight. One is told by the guide what to
do in every state that it visits, which is imitation. One differentiates the model of the vehicle.
"""

from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.evaluation_result import COLUMNS, Evaluation
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import teacher
from spike_ctrl_studies import paper, training_run
from spike_ctrl_studies.figures import Figure, Level, Panel
from spike_ctrl_studies.headline_study import evaluate_guide, mean_line
from spike_ctrl_studies.study import (
    AGREES,
    DIFFERS,
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    UnitContext,
    UnitResult,
    by_variant,
    one,
    plus_minus,
    size_of,
)
from spike_ctrl_studies.study_folder import safe

SEEDS = (1, 5)
QUICK_STEPS = 300_000
VALIDATIONS = 24
GUIDE = "guide"


class Method(NamedTuple):
    """A recipe and what it is held to: least survival and returns (1.5 m and .6 m start), on how many seeds of five."""

    recipe: str
    survival: float
    headline: float
    narrow: float = -np.inf
    hover_cm: float = np.inf
    seeds: int = 5


METHODS = {
    "TD3BC + jump start": Method("td3bc", 0.98, 440, 330, 5),
    "TD3 + jump start": Method("td3_jump_start", 0.95, 400, seeds=4),
    "TD3": Method("td3", 0.9, 350, seeds=3),
    "PPO": Method("ppo", 0.98, 430),
    "imitation of the guide everywhere (DAgger), with critic": Method("dagger", 0.98, 440, 330, 5),
    "imitation of a teacher that learned from rewards": Method("learned_teacher", 1.0, 468, 395, 1.5),
    "model gradient": Method("default", 0.98, 440, 330, 5),
}


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    if options.recipe:
        raise UsageError(f"--recipe: found '{options.recipe}', wanted none: each method has its own")
    found = []
    for seed in range(options.seeds or SEEDS[not options.quick]):
        for name, method in METHODS.items():
            plan = training_run.find_recipe(method.recipe)
            if options.quick:
                plan = plan.with_steps(min(plan.schedule.steps, QUICK_STEPS))
            plan = training_run.with_evaluations(plan, VALIDATIONS)
            settings = training_run.settings(plan, options.airframe, seed, variant=name)
            found.append(Unit(safe(f"{method.recipe} seed {seed}"), settings))
    return [Unit(GUIDE, {"airframe": options.airframe}, weight=0.05), *found]


def measure(settings: dict, context: UnitContext) -> UnitResult:
    """Train once, or evaluate the guide of the main recipe if the settings hold none."""
    if "recipe" in settings:
        return training_run.measure_variant(settings, context)
    gains = teacher.gains(recipes.find(METHODS["TD3BC + jump start"].recipe))
    return evaluate_guide(settings["airframe"], gains)


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    guide = Evaluation.from_dict(one(results[GUIDE], "result")["evaluation"])
    groups = by_variant({name: lines for name, lines in results.items() if name != GUIDE}, METHODS)
    beside = {"method": "the guide itself"} | {name: f"{value:.1f}" for name, value in training_run.columns(guide).items()}
    rows = [_row(name, runs) for name, runs in groups.items()]
    return Report(
        title=f"What each method of learning reaches, {size_of(options, len(next(iter(groups.values()))))}",
        table=[*rows, {key: "" for key in rows[0]} | beside],
        findings=[_finding(METHODS[name], name, runs) for name, runs in groups.items()],
        figures=[_curves(groups, guide)],
        notes=[
            "Frozen evaluation, 1024 starts, the spiking policy alone, mean and deviation over seeds. Survival: the lowest "
            "of the seeds.",
            "Learning curves: validations on 256 other starts, the lowest to the highest seed. CPU time is that of one "
            "process of one thread, without the validations.",
            f"Training: {training_run.VEHICLES} vehicles.",
        ],
    )


def _passes(method: Method, found: Evaluation) -> bool:
    return (
        found.columns["1.5m_start"]["survival"] >= method.survival
        and found.columns["1.5m_start"]["return_mean"] >= method.headline
        and found.columns["0.6m_start"]["return_mean"] >= method.narrow
        and 100 * found.hover_error_m["median"] <= method.hover_cm
    )


def _finding(method: Method, name: str, runs: list[Lines]) -> StudyFinding:
    passed = [_passes(method, training_run.evaluation_of(lines)) for lines in runs]
    wanted = [f"survival {method.survival:g}", f"{method.headline:g} in 1.5 m"]
    wanted += [f"{method.narrow:g} in .6 m"] if np.isfinite(method.narrow) else []
    wanted += [f"hover {method.hover_cm:g} cm"] if np.isfinite(method.hover_cm) else []
    share = method.seeds / SEEDS[1]
    return StudyFinding(
        f"{name}: {', '.join(wanted)} on {method.seeds} of {SEEDS[1]} seeds.",
        f"{sum(passed)} of {len(passed)} seeds.",
        AGREES if sum(passed) >= share * len(passed) else DIFFERS,
        paper=False,
    )


def _row(name: str, runs: list[Lines]) -> dict:
    found = [training_run.evaluation_of(lines) for lines in runs]
    results = [one(lines, "result") for lines in runs]
    row = {"method": name, "recipe": METHODS[name].recipe}
    row["survival, lowest"] = f"{min(e.columns['1.5m_start']['survival'] for e in found):.3f}"
    for column in COLUMNS:
        row[column.replace("m_", " m ")] = plus_minus([e.columns[column]["return_mean"] for e in found])
    return row | {
        "hover median cm": plus_minus([100 * e.hover_error_m["median"] for e in found]),
        "change of u": plus_minus([e.action_change for e in found], 3),
        "million steps": f"{results[0]['environment_steps'] / 1e6:.2g}",
        "CPU s": plus_minus([result["seconds"] for result in results], 0),
    }


def _curves(groups: dict[str, list[Lines]], guide: Evaluation) -> Figure:
    levels = [Level("the guide", guide.headline), Level("paper's return, its own scale", paper.RETURN)]
    panels = []
    for by, label, scale in (("training", "CPU time, one core (s)", 1), ("steps", "environment steps (million)", 1e6)):
        lines = []
        for colour, (name, runs) in enumerate(groups.items()):
            curves = [training_run.curve(run) for run in runs]
            xs, ys = [[x / scale for x in curve[by]] for curve in curves], [curve["return"] for curve in curves]
            lines.append(mean_line(name, xs, ys, colour))
        panels.append(Panel(f"Against {label.split(' (')[0]}", label, "validation return", [*lines, *levels], log_x=True))
    return Figure("methods", "Return of the spiking policy alone while it learns (1.5 m box, start coefficients)", panels)
