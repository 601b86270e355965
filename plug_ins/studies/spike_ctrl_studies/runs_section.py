"""The section of a report on several runs side by side: runs that differ by their seed alone are one curve with a band."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from spike_ctrl._files import yaml_file
from spike_ctrl.report import thinned
from spike_ctrl.report.colours import COLOURS
from spike_ctrl.report.flight_charts import curve, logarithmic_axis, styled
from spike_ctrl.report.page import Chart, Section, Table
from spike_ctrl.report.told_run import ToldRun, read_json, steps

POINTS, FEW = 300, 12  # most points of a curve; up to so many are marked
CONFIDENCE = 0.95
MARGIN = 0.25  # of an axis beyond what was measured; the wide band of few seeds is cut there
NARROW = "\u00a0"  # between thousands; no line ends there
DIFFERENCES = 2  # settings that the name of a group tells
RATIOS = ("_loss", "steps_per_second")  # metrics whose seeds differ by factors: their interval is that of the logarithm
SHARES = ("validation_survival",)  # metrics from 0 to 1
STEPS, SECONDS = "environment steps", "wall time (s)"
Curves = Sequence[tuple[Sequence[float], Sequence[float]]]  # x and y of each
# Title of a chart: name in metrics.jsonl, what it is drawn over, labels of its axes.
CURVES: Mapping[str, tuple[str, str, str, str]] = {
    "Return of the policy alone": ("validation_return", "steps", STEPS, "return; 500: a perfect hover"),
    "Return of the policy alone, over time": ("validation_return", "seconds", SECONDS, "return; 500: a perfect hover"),
    "Survival of the policy alone": ("validation_survival", "steps", STEPS, "share of episodes"),
    "Return in training": ("return", "steps", STEPS, "return, by the present reward"),
    "Loss of the critic": ("critic_loss", "steps", STEPS, "loss, no unit"),
    "Loss of the actor": ("actor_loss", "steps", STEPS, "loss, no unit"),
    "Speed": ("steps_per_second", "steps", STEPS, "environment steps/s"),
}

# Head of a column in the summary: its format, and the figure of a run.
COLUMNS: Mapping[str, tuple[str, Callable[[ToldRun], float]]] = {
    "environment steps": ("{:,.0f}", lambda run: steps(run.metrics[-1])),
    "wall time (s)": ("{:.0f}", lambda run: run.best("seconds")),
    "best validation return": ("{:.1f}", lambda run: run.best("validation_return")),
    "survival (share)": ("{:.3f}", lambda run: run.best("validation_survival")),
    "frozen return": ("{:.1f}", lambda run: frozen(run).get("return", math.nan)),
    "hover error (cm)": ("{:.1f}", lambda run: 100 * frozen(run).get("hover", math.nan)),
}


def seed(run: ToldRun) -> str:
    return str(run.about.get("seed", "?"))


def metric(run: ToldRun, name: str, over: str = "steps") -> tuple[list[float], list[float]]:
    """A metric over the steps, or over another metric such as the wall seconds."""
    known = [line for line in run.metrics if name in line and (over in line or over == "steps")]
    return [steps(line) if over == "steps" else line[over] for line in known], [line[name] for line in known]


def settings(run: ToldRun) -> dict[str, str]:
    """What another seed of the same training has in common with it: recipe, airframe, vehicles, number of bags."""
    told = {"airframe": run.about.get("airframe_hash"), "vehicles": run.about.get("vehicles")}
    bags = run.about.get("bags")
    told |= {"bags": len(bags)} if isinstance(bags, list) else {}
    return {name: str(value) for name, value in (*yaml_file.leaves(run.recipe), *told.items())}


def frozen(run: ToldRun) -> dict[str, float]:
    """Of the frozen evaluation: return from the hardest starts, and hover error in m, where one hovered. {}: none."""
    found = read_json(run.path / "evaluation.json")
    try:
        told = {"return": found["columns"]["1.5m_start"]["return_mean"], "hover": found["hover_error_m"]["median"]}
        return {name: float(value) for name, value in told.items() if value is not None}
    except (KeyError, TypeError, ValueError):
        return {}


def section(runs: Sequence[ToldRun]) -> Section:
    """Charts and tables of the runs. Curves are the means over seeds."""
    groups = grouped(runs)
    charts = [chart for title, told in CURVES.items() if (chart := _chart(title, *told, groups)) is not None]
    words = f"Bands are {CONFIDENCE:.0%} intervals of the mean over the seeds (Student's t), thin lines the seeds."
    several = any(len(members) > 1 for members in groups.values())
    return Section("Runs side by side", [_summary(groups), *([words] if several else []), *charts, _each(groups)])


def grouped(runs: Sequence[ToldRun]) -> dict[str, list[ToldRun]]:
    """Runs that differ by their seed alone, under the name of their recipe and the settings in which groups of it differ."""
    members: dict[object, list[ToldRun]] = {}
    for run in runs:
        members.setdefault(frozenset(settings(run).items()) if run.recipe else run.path, []).append(run)
    named: dict[str, list[ToldRun]] = {}
    firsts = [group[0] for group in members.values()]
    for group in members.values():
        name = _named(group[0], firsts)
        named[name if name not in named else f"{name} ({group[0].name})"] = group
    return named


def _named(run: ToldRun, firsts: Sequence[ToldRun]) -> str:
    if not run.recipe:
        return run.name
    recipe = str(run.recipe.get("name", run.name))
    kin = [other for other in firsts if other.recipe.get("name") == run.recipe.get("name")]
    every = {name: None for other in kin for name in settings(other)}
    differ = [name for name in every if len({settings(other).get(name) for other in kin}) > 1]
    told = [f"{name} {settings(run).get(name, 'none')}" for name in differ[:DIFFERENCES]]
    return ", ".join([recipe, *told])


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of (N, ...) over its first axis, and half of its interval at CONFIDENCE by Student's t; NaN where N is 1."""
    from scipy.stats import t

    count, mean = len(values), values.mean(0)
    if count < 2:
        return mean, np.full_like(mean, math.nan)
    return mean, t.ppf((1 + CONFIDENCE) / 2, count - 1) * values.std(0, ddof=1) / math.sqrt(count)


def common(curves: Curves) -> tuple[np.ndarray, np.ndarray]:
    """x (P,) of the points that lie where all curves have begun and none has ended, and their values there (N, P).

    Between their points curves are straight. P is 0 where they share nothing.
    """
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    places = np.unique(np.concatenate([x for x, _ in curves]))
    places = places[(low <= places) & (places <= high)]
    places = places[thinned(len(places), POINTS)]
    return places, np.array([np.interp(places, x, y) for x, y in curves])


def _chart(title: str, name: str, over: str, x: str, y: str, groups: Mapping[str, Sequence[ToldRun]]) -> Chart | None:
    told = {label: [curve for run in runs if (curve := metric(run, name, over))[0]] for label, runs in groups.items()}
    drawn = [value for curves in told.values() for _, values in curves for value in values]
    if len(set(drawn)) < 2:
        return None
    positive = min(drawn) > 0 and name.endswith(RATIOS)
    sheet = go.Figure()
    for number, (label, curves) in enumerate(told.items()):
        if curves:
            sheet.add_traces(_traces(label, curves, number, positive, (0.0, 1.0) if name in SHARES else None))
    sheet.update_xaxes(title_text=x)
    logarithmic = positive and "loss" in name
    ends = np.log10([min(drawn), max(drawn)]) if logarithmic else np.array([min(drawn), max(drawn)])
    spare = MARGIN * (ends[1] - ends[0])
    sheet.update_yaxes(title_text=y, range=[ends[0] - spare, ends[1] + spare])
    if logarithmic:
        sheet.update_yaxes(**logarithmic_axis(drawn))
    return Chart(title, styled(sheet, 340 + 20 * len(groups)))


def _traces(label: str, curves: Curves, number: int, positive: bool, limits: tuple[float, float] | None) -> list[go.Scatter]:
    """The mean of curves and, where there are several, its interval and themselves. positive: of their logarithms."""
    places, values = common(curves)
    mean, half = interval(np.log(values) if positive else values)
    middle, low, high = ((np.exp(end) if positive else end) for end in (mean, mean - half, mean + half))
    if limits is not None:
        low, high = np.clip(low, *limits), np.clip(high, *limits)
    line = curve(places, middle, label + (f", {len(curves)} seeds" if len(curves) > 1 else ""), number, showlegend=True)
    line.mode = "lines+markers" if len(places) <= FEW else "lines"
    if len(curves) < 2:
        return [line]
    quiet = {"name": label, "showlegend": False, "hoverinfo": "skip", "mode": "lines"}
    outline = {"x": [*places, *places[::-1]], "y": [*high, *low[::-1]]}
    look = {"fill": "toself", "fillcolor": COLOURS[number % len(COLOURS)], "opacity": 0.15, "line": {"width": 0}}
    thin = {"line": {"color": COLOURS[number % len(COLOURS)], "width": 1}, "opacity": 0.35}
    if not len(places):
        thin |= {"opacity": 1.0}
        return [go.Scatter(x=x, y=y, **thin, **quiet | {"showlegend": not i}) for i, (x, y) in enumerate(curves)]
    return [go.Scatter(**outline, **look, **quiet), *(go.Scatter(x=x, y=y, **thin, **quiet) for x, y in curves), line]


def _summary(groups: Mapping[str, Sequence[ToldRun]]) -> Table:
    """A row for each group: means over its seeds, with their intervals."""
    rows = [
        (name, ", ".join(seed(run) for run in runs), *(_figure(list(map(of, runs)), form) for form, of in COLUMNS.values()))
        for name, runs in groups.items()
    ]
    return Table(("recipe", "seeds", *COLUMNS), rows)


def _figure(values: Sequence[float], form: str) -> str:
    """The mean of those that are known, with its interval."""
    known = np.array([value for value in values if math.isfinite(value)])
    if not len(known):
        return "none"
    mean, half = interval(known)
    text = form.format(float(mean)).replace(",", NARROW)
    return text if len(known) < 2 or not half else f"{text} ± {form.format(float(half)).replace(',', NARROW)}"


def _each(groups: Mapping[str, Sequence[ToldRun]]) -> Table:
    """A row for each run: what it was started with."""
    head = ("run", "seed", "group", "airframe", "vehicles", "network", "command")
    rows = [
        (
            str(run.path), seed(run), name, str(run.about.get("airframe", "?")), str(run.about.get("vehicles", "?")),
            run.origin.get("network", "?"), run.origin.get("command", "?"),
        )
        for name, runs in groups.items()
        for run in runs
    ]  # fmt: skip
    return Table(head, rows)
