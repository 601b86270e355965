"""Compares surrogate slopes (fixed at 2, 50 and 100, interval, adaptive) in supervised and reinforcement learning.

BC     behaviour cloning of flights that the guide flew; an epoch is one pass over them
TD3    the recipe td3bc without its labels (bc 0), with its jump start: td3_jump_start
TD3BC  the recipe td3bc with its labels; in the full size only
MG     the recipe default, the model gradient
An epoch of the last three is EPOCH_STEPS environment steps.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.snn import slope_schedule
from spike_ctrl.snn.neuron import PAPER
from spike_ctrl_studies import paper, training_run
from spike_ctrl_studies.cloning import CloningSettings, clone
from spike_ctrl_studies.figures import Bars, Figure, Panel
from spike_ctrl_studies.headline_study import mean_line
from spike_ctrl_studies.study import (
    AGREES,
    DIFFERS,
    OPEN,
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    UnitContext,
    UnitResult,
    of_kind,
    one,
    plus_minus,
    size_of,
    spread,
)
from spike_ctrl_studies.study_folder import safe

SEEDS = (1, 5)
RECIPES = ("td3bc", "default")
SCHEDULES = {
    "k = 2": {"kind": "fixed", "k": 2},
    "k = 50": {"kind": "fixed", "k": 50},
    "k = 100": {"kind": "fixed", "k": 100},
    "interval": {"kind": "interval"},
    "adaptive": {"kind": "adaptive"},
}
SHALLOW, STEEP = ("k = 2", "interval", "adaptive"), ("k = 50", "k = 100")
LIGHT = 0.1  # a training of BC or MG takes so much of one of TD3: 4 to 10 s of a core and 85 s, in the small size
LEVEL = 100
EPOCH_STEPS = 16_384
STEPS = 225_000  # at most: half of the recipe td3bc
QUICK_STEPS, QUICK_HIDDEN = 250_000, (64, 64)
NEAR = 0.2  # returns count as equal if they differ by at most this share of the larger
CLEAR = 1.5  # a return counts as better if it is at least this many times the other


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    plans = [training_run.find_recipe(name) for name in ((options.recipe,) if options.recipe else RECIPES)]
    most = QUICK_STEPS if options.quick else STEPS
    plans = [plan.with_steps(min(plan.schedule.steps, most)) for plan in plans]
    cloning = CloningSettings()
    if options.quick:
        plans = [training_run.changed(plan, hidden=list(QUICK_HIDDEN)) for plan in plans]
        cloning = CloningSettings(hidden=QUICK_HIDDEN, vehicles=64, epochs=30, starts=128)
    plans = [training_run.with_evaluations(plan, max(1, min(1000, plan.schedule.steps // EPOCH_STEPS))) for plan in plans]
    found = []
    for seed in range(options.seeds or SEEDS[not options.quick]):
        for name, schedule in SCHEDULES.items():
            about = {"schedule": name, "seed": seed, "airframe": options.airframe}
            settings = {"method": "BC", "slope": schedule, "cloning": dataclasses.asdict(cloning)}
            settings["guide"] = dataclasses.asdict(plans[0].guide)
            found.append(Unit(safe(f"bc {name} seed {seed}"), settings | about, weight=LIGHT))
            for method, plan in variants(plans, options.quick):
                variant = with_schedule(method, plan, schedule)
                run = training_run.settings(variant, options.airframe, seed, method=method, schedule=name)
                weight = LIGHT if method == "MG" else 1.0
                found.append(Unit(safe(f"{method} {name} seed {seed}"), run, weight=weight))
    return found


def variants(plans: Sequence[recipes.Recipe], quick: bool) -> list[tuple[str, recipes.Recipe]]:
    """The methods of reinforcement learning, each with its recipe."""
    of_td3 = ("TD3",) if quick else ("TD3", "TD3BC")
    return [(name, plan) for plan in plans for name in (("MG",) if plan.algorithm == "bptt" else of_td3)]


def with_schedule(method: str, plan: recipes.Recipe, schedule: dict) -> recipes.Recipe:
    """The recipe with this slope schedule. For the method TD3 it has no labels."""
    with_slope = dataclasses.replace(plan, network=dataclasses.replace(plan.network, slope=dict(schedule)))
    return training_run.changed(with_slope, bc=0.0, bc_end=0.0) if method == "TD3" else with_slope


def measure(settings: dict, context: UnitContext) -> UnitResult:
    """Train once with one method and one slope schedule."""
    about = {"method": settings["method"], "schedule": settings["schedule"]}
    if settings["method"] != "BC":
        found = training_run.measure(settings, context)
        return UnitResult([line | about for line in found.lines], found.files)
    vehicle = airframe.load(settings["airframe"])
    cloning = CloningSettings(**settings["cloning"] | {"hidden": tuple(settings["cloning"]["hidden"])})
    gains = type(recipes.Recipe("").guide)(**settings["guide"])
    lines, best, started = [], None, context.clock()
    for epoch in clone(
        cloning, slope_schedule.from_config(settings["slope"]), vehicle, gains, settings["seed"], context.progress
    ):
        score = epoch.evaluation.headline
        if best is None or score > best.evaluation.headline:
            best = epoch
        seconds = context.clock() - started
        lines.append(
            {
                "kind": "epoch",
                "epoch": epoch.number,
                "return": score,
                "loss": epoch.loss,
                "slope": epoch.k,
                "seconds": seconds,
            }
        )
    frozen = evaluate(PolicyController(SpikingPolicy(best.weights, PAPER)), vehicle)
    lines.append({"kind": "result", "seed": settings["seed"], "seconds": seconds, "evaluation": frozen.to_dict()})
    return UnitResult([line | about for line in lines])


def epochs(lines: Lines) -> tuple[list[float], list[float], list[float]]:
    """Epoch numbers, validation returns and slopes of a run with any method."""
    if own := of_kind(lines, "epoch"):
        return [line["epoch"] for line in own], [line["return"] for line in own], [line["slope"] for line in own]
    returns = [line["validation_return"] for line in of_kind(lines, "validation")]
    steps = [line["environment_steps"] for line in of_kind(lines, "validation")]
    seen = [line for line in of_kind(lines, "training") if "slope" in line]
    at = [line["environment_steps"] for line in seen]
    slopes = np.interp(steps, at, [line["slope"] for line in seen]).tolist() if seen else [np.nan] * len(steps)
    return [float(i + 1) for i in range(len(returns))], returns, slopes


def epochs_to(lines: Lines, level: float) -> float | None:
    """The first epoch whose validation return is at least `level`; None if there is none."""
    numbers, returns, _ = epochs(lines)
    return next((number for number, value in zip(numbers, returns, strict=True) if value >= level), None)


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    groups: dict[tuple[str, str], list[Lines]] = {}
    for lines in results.values():
        result = one(lines, "result")
        groups.setdefault((result["method"], result["schedule"]), []).append(lines)
    methods = list(dict.fromkeys(method for method, _ in groups))
    best = {key: [max(epochs(lines)[1]) for lines in runs] for key, runs in groups.items()}
    table = [_row(method, name, groups[method, name], best[method, name]) for method in methods for name in SCHEDULES]
    seeds = len(next(iter(groups.values())))
    return Report(
        title=f"Surrogate slopes, {size_of(options, seeds)}",
        table=table,
        findings=findings({key: spread(values) for key, values in best.items()}, methods[1:]),
        figures=[_bars(methods, best, groups), _curves(methods, groups), _slopes(methods, groups)],
        notes=[
            "Returns are validations in the headline column (1.5 m box, start coefficients, 256 starts); the paper's are "
            "of its own reward, and the length of its epochs is not given: compare rows with each other, not columns.",
            "BC learns from flights that the guide flew; an epoch is a pass over them; its adaptive slope follows the "
            "return after each epoch.",
            "TD3 is the recipe td3bc without labels (bc = 0) and with its jump start, TD3BC with them; MG is the "
            "recipe default, which differentiates through a model of the airframe. An epoch of them is "
            f"{EPOCH_STEPS} environment steps.",
            "The adaptive rule takes returns from 0 to 500 as slopes from 1 to 100: the paper gives no scale.",
        ],
    )


def findings(best: dict[tuple[str, str], tuple[float, float]], methods: Sequence[str]) -> list[StudyFinding]:
    """The paper's claims, checked with mean and deviation of the best returns by (method, schedule).

    methods: those of reinforcement learning.
    """
    cloned = [best["BC", name][0] for name in SCHEDULES]
    apart = (max(cloned) - min(cloned)) / max(abs(max(cloned)), 1e-9)
    found = [
        StudyFinding(
            f"Supervised learning has no preference among slopes (taken as: best returns within {100 * NEAR:.0f} %).",
            f"{100 * apart:.0f} % apart: {_listed(best, 'BC')}.",
            AGREES if apart <= NEAR else DIFFERS,
        )
    ]
    for method in methods:
        mean = {name: best[method, name][0] for name in SCHEDULES}
        learned = max(mean.values()) >= LEVEL
        shallow, steep = (float(np.mean([mean[name] for name in names])) for names in (SHALLOW, STEEP))
        better = shallow > 0 and (steep <= 0 or shallow / steep >= CLEAR)
        times = f"{shallow / steep:.2f} times" if steep > 0 else f"{shallow:.0f} against {steep:.0f}"
        found.append(
            StudyFinding(
                f"{method}: shallow or scheduled slopes give twice the return of steep ones (taken as: {CLEAR} times).",
                f"{times}: {_listed(best, method)}" + ("." if learned else "; nothing was learned."),
                OPEN if not learned else AGREES if better else DIFFERS,
                paper=method in paper.SLOPES,
            )
        )
        two, adaptive = mean["k = 2"], mean["adaptive"]
        found.append(
            StudyFinding(
                f"{method}: a fixed k = 2 is as good as the adaptive slope (taken as: within {100 * NEAR:.0f} %).",
                f"{two:.0f} and {adaptive:.0f}" + ("." if learned else "; nothing was learned."),
                OPEN if not learned else AGREES if abs(two - adaptive) <= NEAR * max(abs(two), abs(adaptive)) else DIFFERS,
                paper=method in paper.SLOPES,
            )
        )
    return found


def _listed(best: dict, method: str) -> str:
    return ", ".join(f"{name} {best[method, name][0]:.0f}" for name in SCHEDULES)


def _row(method: str, name: str, runs: list[Lines], best: list[float]) -> dict:
    theirs = paper.SLOPES.get(method, {}).get(name, (None, None))
    frozen = [training_run.evaluation_of(lines).headline for lines in runs]
    return {
        "method": method,
        "slope": name,
        "best return": plus_minus(best),
        "paper best": theirs[0],
        f"epochs to {LEVEL}": plus_minus([epochs_to(lines, LEVEL) for lines in runs], 0),
        f"paper epochs to {LEVEL}": theirs[1],
        "frozen return": plus_minus(frozen),
        "seconds": plus_minus([one(lines, "result")["seconds"] for lines in runs]),
    }


def _bars(methods: list[str], best: dict, groups: dict) -> Figure:
    names = list(SCHEDULES)
    panels = []
    for index, method in enumerate(methods):
        means = [spread(best[method, name]) for name in names]
        deviations = [] if np.isnan(means[0][1]) else [deviation for _, deviation in means]
        bars = [Bars("here", [mean for mean, _ in means], deviations, colour=index)]
        if method in paper.SLOPES:
            bars.append(Bars("paper, on its reward", [paper.SLOPES[method][name][0] for name in names], paper=True))
        panels.append(Panel(method, "slope schedule", "best return", bars, names, format=".0f"))
    return Figure("best_return", "Best return by slope schedule", panels)


def _curves(methods: list[str], groups: dict) -> Figure:
    return Figure("learning", "Validation return by epoch", _panels(methods, groups, 1, "validation return", False))


def _slopes(methods: list[str], groups: dict) -> Figure:
    return Figure("slope", "The slope that was in use", _panels(methods, groups, 2, "slope k", True))


def _panels(methods: list[str], groups: dict, which: int, label: str, log: bool) -> list[Panel]:
    panels = []
    for method in methods:
        marks = []
        for index, name in enumerate(SCHEDULES):
            found = [epochs(lines) for lines in groups[method, name]]
            marks.append(mean_line(name, [run[0] for run in found], [run[which] for run in found], index))
        panels.append(Panel(method, "epoch", label, marks, log_y=log))
    return panels
