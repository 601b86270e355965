"""The section of a report on a training run: learning curves from its metrics.jsonl."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from spike_ctrl.report import thinned
from spike_ctrl.report.flight_charts import curve, logarithmic_axis, styled
from spike_ctrl.report.page import Chart, FigureTile, Section, Table, Tiles
from spike_ctrl.report.told_run import ToldRun, steps

CURVES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    # title of a chart: label of its y axis, names in metrics.jsonl and their names in the chart
    "Return of the policy alone": ("return; 500: a perfect hover", {"validation_return": "validation starts"}),
    "Return in training": ("return, by the present reward", {"return": "as flown, with noise and guide"}),
    "Survival": ("share of episodes", {"survival": "as flown in training", "validation_survival": "policy alone"}),
    "Guide": ("share", {"guide_share": "of steps that the guide flew", "bc_weight": "weight of the guide's labels"}),
    "Slope of the surrogate gradient": ("k", {"slope": "k"}),
    "Losses": ("loss, no unit", {"critic_loss": "critic", "imitation_loss": "imitation"}),
    "Losses of the actor": ("loss, no unit", {"actor_loss": "actor", "q_loss": "what the critics say"}),
    "Spike rates": ("share of neurons", {f"spike_rate_{i}": f"layer {i}" for i in range(4)}),
    "Speed": ("environment steps/s", {"steps_per_second": "of all vehicles"}),
}


def section(run: ToldRun) -> Section:
    """The section on a run."""
    lines, last = run.metrics, run.metrics[-1]
    about = [("folder", str(run.path)), ("environment steps", int(last.get("environment_steps", 0)))]
    about += [("wall time (s)", float(last["seconds"]))] if "seconds" in last else []
    told = {name: value for name, value in run.about.items() if not isinstance(value, dict | list)}
    about += [(name, str(value)) for name, value in told.items() if name != "environment_steps"]
    about += run.origin.items()
    shown = [FigureTile("environment steps", f"{int(last.get('environment_steps', 0)):,}".replace(",", " "))]
    shown += [FigureTile("wall time", f"{last['seconds']:.0f} s")] if "seconds" in last else []
    best = run.best("validation_return")
    shown += [FigureTile("best validation return", f"{best:.1f}")] if math.isfinite(best) else []
    charts = [chart for title, (unit, names) in CURVES.items() if (chart := _chart(title, unit, names, lines)) is not None]
    return Section(f"Run {run.name}", [Tiles(shown), Table(("", ""), about), *charts])


def _chart(title: str, unit: str, names: Mapping[str, str], lines: Sequence[Mapping[str, float]]) -> Chart | None:
    sheet = go.Figure()
    for number, (name, label) in enumerate(names.items()):
        points = [(steps(line), line[name]) for line in lines if name in line and "environment_steps" in line]
        if points:
            x, y = zip(*(points[i] for i in thinned(len(points))), strict=True)
            sheet.add_trace(curve(x, y, label, number, showlegend=True))
    drawn = {value for trace in sheet.data for value in trace.y}
    if not drawn or (len(drawn) < 2 and len(lines) > 2):  # nothing happened: a line on its axis tells nothing
        return None
    sheet.update_xaxes(title_text="environment steps")
    logarithmic = "loss" in unit and all(min(trace.y) > 0 for trace in sheet.data)
    sheet.update_yaxes(title_text=unit, **(logarithmic_axis(drawn) if logarithmic else {}))
    return Chart(title, styled(sheet))
