"""Adaptation in a flight's report: what was estimated of the vehicle, what was offered, and which policy commanded when."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import recognised
from spike_ctrl.recordings.flight_log import FlightEvent, FlightLog
from spike_ctrl.report import thinned
from spike_ctrl.report.colours import COLOURS
from spike_ctrl.report.flight_charts import Band, ChartedFlight, banded, curve, styled
from spike_ctrl.report.page import Chart
from spike_ctrl_adaptation.adapter_log import AdapterLog, NamedAt, ToldEstimates, adapter_log

# Rows of the chart: title with unit, and the quantities in it. One in which nothing was ever identified is left out.
ROWS = (
    ("lift beyond the airframe's (m/s^2)", ("lift",)),
    ("thrust over mass, factor", ("thrust",)),
    ("force over mass (m/s^2)", ("force_x", "force_y", "force_z")),
    ("drag over mass (1/s)", ("drag",)),
    ("trim (rad/s^2)", ("trim_x", "trim_y", "trim_z")),
    ("lag, factor", ("lag",)),
)
LEGEND = ("force_x", "force_y", "force_z", "trim_x", "trim_y", "trim_z")  # the others have a row of their own
GAP = 1.0  # s between two estimates; longer, nothing was estimated between them
DECIDED = {EventKind.KEPT: "kept", EventKind.ROLLED_BACK: "rolled back"}
KINDS = {"offered": "#6b7280", "takes over": COLOURS[0], "kept": COLOURS[2], "rolled back": COLOURS[4]}
HEIGHT = 150  # pixels of a row


def charts(log: FlightLog, flight: ChartedFlight, begun: int) -> list[Chart]:
    """The chart, or nothing where no adapter estimated and nothing was offered. begun: time of 0 s, ns."""
    return drawn(adapter_log(log.messages), log.events, flight, begun)


def drawn(log: AdapterLog, events: Sequence[FlightEvent], flight: ChartedFlight, begun: int) -> list[Chart]:
    """`charts` of a log that is read. events: of the supervisor."""
    rows = _rows(log.estimates)
    if not rows and not log.offers:
        return []
    titles = ["policies", "distance from the set-point (m)", *(title for title, _ in rows)]
    sheet = make_subplots(len(titles), 1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.25 / len(titles))
    for kind, marks in _happenings(log, events).items():
        look = {"color": KINDS[kind], "size": 11, "symbol": "diamond", "line": {"color": "#fff", "width": 1}}
        times, names = [(when - begun) * 1e-9 for when, _ in marks], [name for _, name in marks]
        sheet.add_trace(
            go.Scatter(x=times, y=[kind] * len(marks), name=kind, text=names, textposition="middle right",
                       mode="markers+text", marker=look, hoverinfo="text+x", showlegend=False), row=1, col=1,
        )  # fmt: skip
    sheet.update_yaxes(categoryorder="array", categoryarray=list(KINDS)[::-1], range=[-0.6, len(KINDS) - 0.4], row=1)
    at = thinned(len(flight.seconds))
    sheet.add_trace(curve(flight.seconds[at], flight.error[at], "distance", 0, showlegend=False), row=2, col=1)
    counted = flight.error if flight.counts is None else flight.error[flight.counts]
    if np.isfinite(counted).any():  # take-off and landing leave it
        sheet.update_yaxes(range=[0, 1.2 * float(np.nanmax(counted))], row=2)
    seconds = (log.estimates.received - begun) * 1e-9
    for row, (_, names) in enumerate(rows, 3):
        for number, name in enumerate(names):
            _add_estimate(sheet, seconds, log.estimates, name, number, row)
    end = float(flight.seconds[-1])
    sheet.update_xaxes(range=[0, end])
    sheet.update_xaxes(title_text="time (s)", row=len(titles))
    sheet.update_annotations(font={"size": 13})
    bands = _bands(log, begun, end)
    sheet = banded(styled(sheet, HEIGHT * len(titles) + 60), bands)
    sheet.update_layout(hovermode="closest")
    text = (
        "What the adapter estimated of the vehicle, with intervals of 95 %; gaps: it was tuning, or the policy did not fly."
    )
    if bands:
        text += f" Shaded: {', '.join(dict.fromkeys(band.name for band in bands))} commands."
    return [Chart("Adaptation", sheet, text, wide=True)]


def _rows(estimates: ToldEstimates) -> list[tuple[str, tuple[str, ...]]]:
    """The rows in which something was identified, with the quantities that were."""
    told = [(title, tuple(name for name in names if name in estimates.values)) for title, names in ROWS]
    return [(title, names) for title, names in told if names]


def _add_estimate(sheet: go.Figure, seconds: np.ndarray, told: ToldEstimates, name: str, number: int, row: int) -> None:
    """A quantity with its interval, in a piece for each time in which it was told without a gap."""
    middle, low, high = (told.values[key] for key in (name, f"{name}_low", f"{name}_high"))
    known = np.isfinite(middle) & np.isfinite(low) & np.isfinite(high)
    pieces = np.split(np.arange(len(seconds)), np.flatnonzero(np.diff(seconds) > GAP) + 1)
    pieces = [part for piece in pieces for part in np.split(piece, np.flatnonzero(np.diff(known[piece])) + 1)]
    pieces = [piece for piece in pieces if len(piece) and known[piece[0]]]
    for index, piece in enumerate(pieces):
        outline = np.concatenate([seconds[piece], seconds[piece][::-1]]), np.concatenate([high[piece], low[piece][::-1]])
        colour = COLOURS[number % len(COLOURS)]
        sheet.add_trace(
            go.Scatter(x=outline[0], y=outline[1], fill="toself", fillcolor=colour, opacity=0.2, mode="lines",
                       line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name), row=row, col=1,
        )  # fmt: skip
        line = curve(seconds[piece], middle[piece], name, number, showlegend=index == 0 and name in LEGEND, legendgroup=name)
        sheet.add_trace(line, row=row, col=1)


def _happenings(log: AdapterLog, events: Sequence[FlightEvent]) -> dict[str, list[tuple[int, str]]]:
    """Kind of what happened to policies: when (ns), and the name of the policy."""
    found: dict[str, list[tuple[int, str]]] = {kind: [] for kind in KINDS}
    found["offered"] = [(when, _short(name)) for when, name in log.offers]
    offered, first = {name for _, name in log.offers}, {one.name: one for one in reversed(log.commanding)}
    found["takes over"] = [
        (one.received, _short(one.name)) for one in log.commanding if one.name in offered and first[one.name] is one
    ]
    for event in events:
        says = recognised(event.text)
        if says.kind in DECIDED:
            found[DECIDED[says.kind]].append((event.received, _short(says.checkpoint)))
    return found


def _bands(log: AdapterLog, begun: int, end: float) -> list[Band]:
    """Which policy commanded from when to when, each in a colour of its own."""
    changes = [*log.commanding, NamedAt(round(begun + end * 1e9), "")]
    names = list(dict.fromkeys(one.name for one in log.commanding if one.name))
    return [
        Band((one.received - begun) * 1e-9, (after.received - begun) * 1e-9, _short(one.name), names.index(one.name))
        for one, after in pairwise(changes)
        if one.name
    ]


def _short(name: str) -> str:
    """models/a.safetensors+1 as a+1."""
    return Path(name).name.replace(".safetensors", "")
