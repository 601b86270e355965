"""The ladder of a flight in a report: who flew when, what happened, and how late the commands were."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import recognised
from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings.flight_log import FlightEvent, FlightLog
from spike_ctrl.report import thinned
from spike_ctrl.report.colours import COLOURS
from spike_ctrl.report.flight_charts import Band, styled
from spike_ctrl.report.page import Chart, Table, Verdict

RUNG_COLOURS = {Rung.SNN: 0, Rung.GUIDE: 1, Rung.HOLD: 3, Rung.LAND: 5, Rung.SILENT: 7}  # numbers in COLOURS
SEVERITY_COLOURS = {"ok": COLOURS[2], "warning": COLOURS[1], "error": COLOURS[4]}
EVENTS = 40  # rows of the table at most


def bands(log: FlightLog) -> list[Band]:
    """One band for each time that a rung is in force, in s after the first state."""
    times = (log.received - log.begun) * 1e-9
    rungs = log.rung_at(log.received)
    edges = [0, *(np.flatnonzero(np.diff(rungs)) + 1).tolist(), len(rungs)]
    found = []
    for begin, end in pairwise(edges):
        rung, until = Rung(int(rungs[begin])), times[min(end, len(times) - 1)]
        found.append(Band(float(times[begin]), float(until), rung.name, RUNG_COLOURS[rung]))
    return found


def ending(log: FlightLog) -> Verdict:
    """How long the policy flew until it was taken away, which is bad, or in all, and why."""
    flown, end = 0.0, FlightEvent(0, "ok", "it never took over")
    for band in bands(log):
        if band.name == Rung.SNN.name and end.severity == "ok":
            said = [event for event in log.events if 0 <= band.end - (event.received - log.begun) * 1e-9 < 0.1]
            flown, last = flown + band.end - band.begin, FlightEvent(0, "ok", "the bag ends")
            end = max(said, key=lambda event: recognised(event.text).before == Rung.SNN.name, default=last)
    says, good = recognised(end.text), None if end.severity == "ok" else False
    why = says.why if says.before else end.text
    return Verdict(f"{'the policy flew' if good is None else 'taken away after'} {flown:.1f} s: {why}", good)


def ladder(log: FlightLog) -> Chart:
    """The rung over time, with the messages of the supervisor."""
    sheet = go.Figure()
    for band in bands(log):
        look = {"color": COLOURS[band.colour], "width": 10}
        line = go.Scatter(x=[band.begin, band.end], y=[band.name] * 2, mode="lines", line=look, showlegend=False)
        sheet.add_trace(line.update(name=band.name, hoverinfo="name"))
    for severity, colour in SEVERITY_COLOURS.items():
        said = [event for event in log.events if (event.severity if event.severity != "info" else "ok") == severity]
        if said:
            times = np.array([event.received for event in said])
            mark = {"color": colour, "size": 11, "symbol": "diamond", "line": {"color": "#fff", "width": 1}}
            sheet.add_scatter(
                x=(times - log.begun) * 1e-9, y=[Rung(int(rung)).name for rung in log.rung_at(times)], mode="markers",
                marker=mark, name=severity, text=[event.text for event in said], hoverinfo="text+x",
            )  # fmt: skip
    names = [rung.name for rung in Rung][::-1]
    sheet.update_yaxes(categoryorder="array", categoryarray=names, range=[-0.6, len(names) - 0.4])
    sheet.update_xaxes(title_text="time (s)", range=[0, (log.received[-1] - log.begun) * 1e-9])
    sheet = styled(sheet, 300)
    sheet.update_layout(hovermode="closest")
    return Chart("Ladder and events", sheet, "Who flies. Diamonds: messages of the supervisor, listed below.", wide=True)


def events(log: FlightLog) -> Table:
    """Messages of the supervisor. What is repeated is one row; a request refused again as well."""
    rows: dict[object, tuple[float, str, str, int]] = {}
    for event in log.events:
        says = recognised(event.text)
        key = says if says.kind is EventKind.REFUSED else event.text
        seconds, severity, text, count = rows.get(key, ((event.received - log.begun) * 1e-9, event.severity, event.text, 0))
        rows[key] = seconds, severity, text, count + 1
    shown = list(rows.values())[:EVENTS]
    lines = [(f"{seconds:.2f}", severity, text, f"{count}") for seconds, severity, text, count in shown]
    left = len(rows) - len(shown)
    lines += [("", "", f"and {left} others", "")] if left else []
    return Table(("time (s)", "severity", "what happened", "times"), lines)


def times(log: FlightLog) -> str:
    """How long each rung was in force, as text."""
    flown: dict[str, float] = {}
    for band in bands(log):
        flown[band.name] = flown.get(band.name, 0.0) + band.end - band.begin
    return ", ".join(f"{rung.name} {flown[rung.name]:.1f} s" for rung in Rung if flown.get(rung.name, 0.0) >= 0.05)


def latency(found: Mapping[str, np.ndarray]) -> Chart:
    """Histograms of latencies. found: name of each and its values in s."""
    sheet, words = go.Figure(), []
    for number, (name, seconds) in enumerate(found.items()):
        ms = 1e3 * seconds
        median, late, worst = np.percentile(ms, [50, 99, 100])
        words.append(f"{name}: median {median:.2f}, p99 {late:.2f}, largest {worst:.2f} ms")
        shown = np.clip(ms, 0, max(5 * median, 1.5 * late))[thinned(len(ms), 20000)]
        bars = {"color": COLOURS[number], "line": {"width": 0}}
        sheet.add_trace(go.Histogram(x=shown, nbinsx=80, name=name, marker=bars, opacity=0.75))
    sheet.update_layout(barmode="overlay")
    sheet.update_xaxes(title_text="ms")
    sheet.update_yaxes(title_text="answers", type="log", dtick=1)
    text = f"Time since the state, at the recorder. {'; '.join(words)}. The last bar holds all later ones."
    return Chart("Latency", styled(sheet), text, wide=True)
