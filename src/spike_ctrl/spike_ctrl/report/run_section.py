"""The section of a report on a training run: learning curves from its metrics.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go

from spike_ctrl.policy import checkpoint
from spike_ctrl.report import ReportError, thinned
from spike_ctrl.report.flight_charts import curve, styled
from spike_ctrl.report.page import Chart, FigureTile, Section, Table, Tiles

LARGEST = 2**63
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


def section(path: Path) -> Section:
    """The section on the run in the folder `path`. Raises ReportError if its metrics cannot be read."""
    lines = metrics(path)
    last = lines[-1]
    about = [("folder", str(path)), ("environment steps", int(last.get("environment_steps", 0)))]
    about += [("wall time (s)", float(last["seconds"]))] if "seconds" in last else []
    told = {name: value for name, value in _json(path / "run.json").items() if not isinstance(value, dict | list)}
    about += [(name, str(value)) for name, value in told.items() if name != "environment_steps"]
    about += _origin(path)
    shown = [FigureTile("environment steps", f"{int(last.get('environment_steps', 0)):,}".replace(",", " "))]
    shown += [FigureTile("wall time", f"{last['seconds']:.0f} s")] if "seconds" in last else []
    best = max((line["validation_return"] for line in lines if "validation_return" in line), default=None)
    shown += [FigureTile("best validation return", f"{best:.1f}")] if best is not None else []
    charts = [chart for title, (unit, names) in CURVES.items() if (chart := _chart(title, unit, names, lines)) is not None]
    return Section(f"Run {path.name}", [Tiles(shown), Table(("", ""), about), *charts])


def _origin(path: Path) -> list[tuple]:
    """Recipe, network, command and commit, as the policy of the run tells them."""
    policy = path / "policy.safetensors"
    if not policy.is_file():
        return []
    manifest = checkpoint.load(policy).manifest
    return [
        ("recipe", manifest.recipe or "?"),
        ("network", manifest.contract.words),
        ("command", manifest.command or "?"),
        ("commit", manifest.commit or "?"),
    ]


def metrics(path: Path) -> list[dict]:
    """The lines of a run's metrics.jsonl. A last line that a kill has cut off is left out. Raises ReportError."""
    file = path / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_numbers(json.loads(line)))
        except (ValueError, RecursionError):
            if number < len(lines):
                raise ReportError(f"{file}, line {number}: found '{line[:40]}', wanted a JSON mapping to numbers") from None
    if not found:
        raise ReportError(f"{file}: found no line, wanted metrics")
    return found


def _numbers(line: object) -> dict:
    """A line of metrics without what is not known (null, not finite). Raises ValueError for anything but such numbers."""
    if not isinstance(line, dict):
        raise ValueError
    known = {name: value for name, value in line.items() if value is not None}
    if not all(isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST) for value in known.values()):
        raise ValueError
    return {name: value for name, value in known.items() if math.isfinite(value)}


def _chart(title: str, unit: str, names: Mapping[str, str], lines: Sequence[dict]) -> Chart | None:
    sheet = go.Figure()
    for number, (name, label) in enumerate(names.items()):
        points = [(_steps(line), line[name]) for line in lines if name in line and "environment_steps" in line]
        if points:
            x, y = zip(*(points[i] for i in thinned(len(points))), strict=True)
            sheet.add_trace(curve(x, y, label, number, showlegend=True))
    drawn = {value for trace in sheet.data for value in trace.y}
    if not drawn or (len(drawn) < 2 and len(lines) > 2):  # nothing happened: a line on its axis tells nothing
        return None
    sheet.update_xaxes(title_text="environment steps")
    logarithmic = "loss" in unit and all(min(trace.y) > 0 for trace in sheet.data)
    sheet.update_yaxes(title_text=unit, **({"type": "log", "dtick": 1} if logarithmic else {}))
    return Chart(title, styled(sheet))


def _steps(line: Mapping) -> float:
    """Vehicle-steps that were flown, and those that recorded flight stood in for."""
    return line["environment_steps"] + line.get("offline_steps", 0)


def _json(file: Path) -> dict:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
