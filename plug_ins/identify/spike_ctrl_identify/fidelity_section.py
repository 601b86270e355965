"""Draws how well an airframe predicts recorded flight: errors over the horizon, and predicted traces over real ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.spatial.transform import Rotation

from spike_ctrl.airframe import Airframe
from spike_ctrl.report.colours import COLOURS
from spike_ctrl.report.flight_charts import styled
from spike_ctrl.report.page import Chart, Section, Table
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify.fidelity import HORIZONS, Errors
from spike_ctrl_identify.observed_flight import HISTORY, ObservedFlight
from spike_ctrl_identify.open_loop import GROUPS, UNITS, predict, starts

AHEAD = 50  # steps of a predicted trace
SHOWN = 10.0  # s of each flight
QUANTITIES = (
    "east (m)",
    "up (m)",
    "velocity east (m/s)",
    "roll (deg)",
    "pitch (deg)",
    "roll rate (rad/s)",
    "pitch rate (rad/s)",
)


def section(craft: Airframe, ways: Sequence[Errors], flights: Sequence[ObservedFlight]) -> Section:
    """The section on an airframe: the table, errors over the horizon, and traces of each flight."""
    rows = [
        (way.name, f"{steps / RATE_HZ:g} s", *(f"{way.mean[row, i]:.{d}f}" for i, d in enumerate((4, 4, 3, 3))))
        for way in ways
        for row, steps in enumerate(HORIZONS)
    ]
    head = ("prediction", "horizon", *(f"{name}, {unit}" for name, unit in zip(GROUPS, UNITS, strict=True)))
    text = (
        f"Mean norm of the error over {len(flights)} flights, from starts each .05 s that are wholly in the air, with a "
        "second of history and the recorded commands and voltage."
    )
    notes = [f"{flight.name}: {note}" for flight in flights for note in flight.notes]
    charts = [*(_errors(group, ways) for group in range(4)), *(_flight(craft, flight) for flight in flights)]
    return Section(f"Airframe {craft.name}", [text, Table(head, rows), *charts], notes)


def save_png(craft: Airframe, ways: Sequence[Errors], flight: ObservedFlight, path: Path) -> None:
    """Draw errors over the horizon and the traces of one flight as PNG, with matplotlib."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(14, 9), dpi=110, layout="constrained")
    upper, lower = sheet.subfigures(2, 1, height_ratios=(1, 1.25))
    scatter = ", 95 % intervals over flights" if len(ways[0].values) > 1 else " of one flight"
    upper.suptitle(f"{craft.name}: mean error of open-loop prediction{scatter}", x=0.01, ha="left", fontsize=11)
    x = [steps / RATE_HZ for steps in HORIZONS]
    panels = upper.subplots(1, 4)
    for group, (axes, name, unit) in enumerate(zip(panels, GROUPS, UNITS, strict=True)):
        for number, way in enumerate(ways):
            low, high = way.interval()[..., group]
            axes.fill_between(x, low, high, color=COLOURS[number], alpha=0.15, linewidth=0)
            axes.plot(x, way.mean[:, group], "o-", color=COLOURS[number], markersize=4, linewidth=1.6, label=way.name)
        axes.set(xscale="log", yscale="log", title=f"{name} ({unit})", xlabel="horizon (s)")
    panels[0].legend(fontsize=7, frameon=False)
    lower.suptitle(
        f"{flight.name}: predictions of half a second (orange) over the flight (grey)", x=0.01, ha="left", fontsize=11
    )
    chosen = (0, 2, 3, 4, 5, 6)
    for axes, number in zip(lower.subplots(2, 3).ravel(), chosen, strict=True):
        time, real, pieces = _traces(craft, flight, number)
        axes.plot(time, real, color="#9aa1ac", linewidth=2.2)
        for when, values in pieces:
            axes.plot(when, values, color=COLOURS[1], linewidth=1.2)
        axes.set(title=QUANTITIES[number], xlabel="time (s)")
        axes.title.set_fontsize(9)
    for axes in sheet.axes:
        axes.grid(color="#e3e6ea", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    sheet.savefig(path)


def _errors(group: int, ways: Sequence[Errors]) -> Chart:
    sheet, x = go.Figure(), [steps / RATE_HZ for steps in HORIZONS]
    for number, way in enumerate(ways):
        low, high = way.interval()[..., group]
        spread = {
            "type": "data",
            "symmetric": False,
            "array": high - way.mean[:, group],
            "arrayminus": way.mean[:, group] - low,
        }
        look = {"line": {"color": COLOURS[number % len(COLOURS)]}, "error_y": spread}
        sheet.add_trace(go.Scatter(x=x, y=way.mean[:, group], mode="lines+markers", name=way.name, **look))
    sheet.update_xaxes(title_text="horizon (s)", type="log")
    sheet.update_yaxes(title_text=UNITS[group], type="log")
    return Chart(f"Error in {GROUPS[group]}", styled(sheet, 380))


def _flight(craft: Airframe, flight: ObservedFlight) -> Chart:
    columns = 2
    sheet = make_subplots(rows=4, cols=columns, subplot_titles=QUANTITIES)
    for number in range(len(QUANTITIES)):
        time, real, pieces = _traces(craft, flight, number)
        where = {"row": number // columns + 1, "col": number % columns + 1}
        gaps_x = np.concatenate([np.append(when, np.nan) for when, _ in pieces]) if pieces else []
        gaps_y = np.concatenate([np.append(values, np.nan) for _, values in pieces]) if pieces else []
        grey, orange = ({"color": colour, "width": width} for colour, width in (("#9aa1ac", 3), (COLOURS[1], 1.5)))
        sheet.add_trace(go.Scatter(x=time, y=real, name="flown", line=grey, showlegend=not number), **where)
        sheet.add_trace(go.Scatter(x=gaps_x, y=gaps_y, name="predicted", line=orange, showlegend=not number), **where)
    return Chart(
        flight.name,
        styled(sheet, 760),
        "Each orange piece is a prediction of half a second from the state at its start.",
        True,
    )


def _traces(
    craft: Airframe, flight: ObservedFlight, quantity: int
) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Time and values of what was flown in the middle of a flight, and pieces of time and values that were predicted."""
    count = int(SHOWN * RATE_HZ)
    begin = max((len(flight.good) - count) // 2, 0)
    time = np.arange(begin, min(begin + count, len(flight.good))) / RATE_HZ
    at = starts([flight], 1, AHEAD)
    rows = flight.starts(1, AHEAD)
    chosen = np.flatnonzero((rows % AHEAD == 0) & (rows >= begin) & (rows + AHEAD < begin + count))
    if not len(chosen):
        return time, _quantity(flight.state[begin : begin + count], quantity), []
    few = at._replace(
        state=at.state.take(chosen, 1),
        command=at.command.take(chosen, 1),
        voltage=at.voltage.take(chosen, 1),
        flight=at.flight[chosen],
    )
    flown = predict(craft, few, range(1, AHEAD + 1)).state
    pieces = []
    for index, row in enumerate(rows[chosen]):
        states = np.vstack([few.state[HISTORY, index], flown[:, index]])
        pieces.append((np.arange(row, row + AHEAD + 1) / RATE_HZ, _quantity(states, quantity)))
    return time, _quantity(flight.state[begin : begin + count], quantity), pieces


def _quantity(state: np.ndarray, number: int) -> np.ndarray:
    _, pitch, roll = Rotation.from_quat(state[:, 3:7]).as_euler("ZYX", degrees=True).T
    return (state[:, 0], state[:, 2], state[:, 7], roll, pitch, state[:, 10], state[:, 11])[number]
