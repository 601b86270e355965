"""The main result: trains a recipe once per seed, evaluates it, and measures the time until the policy is good."""

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl.evaluation.evaluation_result import COLUMNS, Evaluation
from spike_ctrl_studies import paper, training_run
from spike_ctrl_studies.figures import Bars, Figure, Level, Line, Panel
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
    one,
    spread,
)

SEEDS = (2, 5)
RECIPE = "default"
QUICK_STEPS = 600_000  # at most
VALIDATIONS = 40
LEVELS = (400, 445)  # returns whose time is measured
GUIDE = "guide"


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    plan = training_run.find_recipe(options.recipe or RECIPE)
    if options.quick:
        plan = plan.with_steps(min(plan.schedule.steps, QUICK_STEPS))
    plan = training_run.with_evaluations(plan, VALIDATIONS // 2 if options.quick else VALIDATIONS)
    seeds = options.seeds or SEEDS[not options.quick]
    runs = [Unit(f"seed-{seed}", training_run.settings(plan, options.airframe, seed)) for seed in range(seeds)]
    return [Unit(GUIDE, {"airframe": options.airframe, "lead_cap": 10.0}, weight=0.05), *runs]


def measure(settings: dict, context: UnitContext) -> UnitResult:
    """Train once, or evaluate the guide if the settings hold no recipe."""
    if "recipe" in settings:
        return training_run.measure(settings, context)
    return evaluate_guide(settings["airframe"], Gains(lead_cap=settings["lead_cap"]))


def evaluate_guide(airframe_name: str, gains: Gains) -> UnitResult:
    """The frozen evaluation of the guide that knows the plant."""
    vehicle = airframe.load(airframe_name)
    guide = GuideController(GeometricGuide(vehicle, gains))
    return UnitResult([{"kind": "result", "evaluation": evaluate(guide, vehicle).to_dict()}])


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    guide = Evaluation.from_dict(one(results[GUIDE], "result")["evaluation"])
    runs = {name: lines for name, lines in results.items() if name != GUIDE}
    evaluations = {name: training_run.evaluation_of(lines) for name, lines in runs.items()}
    table = [_row(name, runs[name], evaluation) for name, evaluation in evaluations.items()]
    spread_rows = [{"run": what} | {key: spread([row[key] for row in table])[i] for key in table[0] if key != "run"}
                   for i, what in enumerate(("mean", "standard deviation"))]  # fmt: skip
    beside = {key: None for key in table[0]} | {"run": "guide (lead to 20 ms)"}
    beside |= training_run.columns(guide) | training_run.fields(guide)
    name = options.recipe or RECIPE
    return Report(
        title=f"Recipe {name} on {options.airframe}, {len(runs)} seeds{', quick size' if options.quick else ''}",
        table=[*table, *spread_rows, beside],
        findings=findings(evaluations, guide, runs),
        figures=[_curves(runs, guide), _columns(evaluations, guide)],
        notes=[
            "Returns: the frozen evaluation, 1024 fixed starts, the spiking policy alone, 500 steps. The paper's return is "
            "of its own curriculum reward, with 50 guide-flown steps counted, so the scales are not the same.",
            "Seconds and learning curves: validations on 256 other starts, of the headline column; the clock starts after "
            "set-up and compilation. 'training' leaves out the time that validations took, 'wall' does not.",
            "The policy of a run is the one that validated best, of equals the latest. "
            f"Training: {training_run.VEHICLES} vehicles.",
        ],
    )


def findings(evaluations: dict[str, Evaluation], guide: Evaluation, runs: dict[str, Lines]) -> list[StudyFinding]:
    """Compares return and time with the paper's, and each column with the guide."""
    returns = [found.headline for found in evaluations.values()]
    mean, deviation = spread(returns)
    around = "" if np.isnan(deviation) else f" ± {deviation:.1f}"
    found = [
        StudyFinding(
            f"The method reaches a return of {paper.RETURN} (on the paper's reward).",
            f"{mean:.1f}{around} in the headline column (1.5 m, start).",
            AGREES if mean >= paper.RETURN else DIFFERS,
        )
    ]
    times = [training_run.reached(lines, paper.RETURN, "cpu") for lines in runs.values()]
    known = [time for time in times if time is not None]
    missing = f"; {len(times) - len(known)} of {len(times)} seeds never" if len(known) < len(times) else ""
    found.append(
        StudyFinding(
            f"Training takes {paper.HOURS} hours.",
            (f"{np.mean(known):.1f} s of CPU time until a validation shows {paper.RETURN}" if known else "not reached")
            + missing
            + ".",
            DIFFERS if known else AGREES,
        )
    )
    above = {}
    for name in COLUMNS:
        ours = np.mean([evaluation.columns[name]["return_mean"] for evaluation in evaluations.values()])
        above[name] = float(ours - guide.columns[name]["return_mean"])
    found.append(
        StudyFinding(
            "The spiking policy is above the guide in all four columns.",
            ", ".join(f"{name.replace('_', ' ')} {gap:+.1f}" for name, gap in above.items()) + ".",
            AGREES if min(above.values()) > 0 else DIFFERS,
            paper=False,
        )
    )
    return found


def _row(name: str, lines: Lines, evaluation: Evaluation) -> dict:
    times = {f"{by} s to {level}": training_run.reached(lines, level, by) for level in LEVELS for by in ("training", "cpu")}
    total = {"CPU s in all": one(lines, "result")["seconds"], "steps": one(lines, "result")["environment_steps"]}
    return {"run": name} | training_run.columns(evaluation) | training_run.fields(evaluation) | times | total


def mean_curve(xs: list[list[float]], ys: list[list[float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean of several curves: x, mean, lowest and highest value, (P,) each, where all curves are known.

    Curves are interpolated linearly between their points.
    """
    low, high = max(x[0] for x in xs), min(x[-1] for x in xs)
    at = np.unique(np.clip(np.concatenate(xs), low, high))
    values = np.array([np.interp(at, x, y) for x, y in zip(xs, ys, strict=True)])
    return at, values.mean(0), values.min(0), values.max(0)


def mean_line(name: str, xs: list[list[float]], ys: list[list[float]], colour: int, marks: bool = False) -> Line:
    """The mean of several curves, with a band from the lowest to the highest where there is more than one."""
    x, mean, low, high = mean_curve(xs, ys)
    return Line(name, x, mean, *((low, high) if len(xs) > 1 else ((), ())), colour=colour, marks=marks)


def _curves(runs: dict[str, Lines], guide: Evaluation) -> Figure:
    found = [training_run.curve(lines) for lines in runs.values()]
    levels = [Level("guide (lead to 20 ms)", guide.headline), Level("paper's return, its own scale", paper.RETURN)]
    panels = []
    for by, label, scale in (
        ("training", "CPU time without validations (s)", 1),
        ("steps", "environment steps (million)", 1e6),
    ):
        xs, ys = [[x / scale for x in c[by]] for c in found], [c["return"] for c in found]
        x, mean, low, high = mean_curve(xs, ys)
        each = [Line("one seed", a, b, faint=True) for a, b in zip(xs, ys, strict=True)]
        middle = Line(f"mean of {len(found)} seeds, lowest to highest", x, mean, low, high)
        panels.append(Panel(f"Against {label.split(' (')[0]}", label, "validation return", [middle, *each, *levels], low=0))
    return Figure("learning_curve", "Return while it learns (1.5 m box, start coefficients)", panels)


def _columns(evaluations: dict[str, Evaluation], guide: Evaluation) -> Figure:
    def values(which: list[Evaluation]) -> list[tuple[float, float]]:
        return [spread([e.columns[name]["return_mean"] for e in which]) for name in COLUMNS]

    ours = values(list(evaluations.values()))
    deviations = [] if np.isnan(ours[0][1]) else [deviation for _, deviation in ours]
    bars = [
        Bars("spiking policy, mean and deviation over seeds", [mean for mean, _ in ours], deviations),
        Bars("guide (lead to 20 ms)", [guide.columns[name]["return_mean"] for name in COLUMNS], colour=7),
    ]
    names = [name.replace("m_", " m, ") for name in COLUMNS]
    panel = Panel("Frozen evaluation, 1024 starts", "", "return", bars, names, format=".0f", low=0)
    return Figure("columns", "Four columns", [panel])
