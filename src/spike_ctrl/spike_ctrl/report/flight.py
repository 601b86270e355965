"""Figures of flights: where the vehicle was, what was commanded, what the neurons did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from spike_ctrl.experiment.figures import COLOURS
from spike_ctrl.replay import AXES
from spike_ctrl.report import thinned
from spike_ctrl.report.page import Chart, Verdict
from spike_ctrl.trajectory import PASS_ERROR, PASS_SHARE

SETTLING = 2.0  # s after a start that do not count
LAYERS_SHOWN = 3  # neurons of each layer whose membrane is drawn
WINDOW = 1000  # steps of neurons that are drawn


@dataclass(frozen=True)
class Flight:
    """One vehicle over T steps, in the set-point's frame. NaN where it had crashed.

    seconds (T,); observation (T, 18); action, guide (T, 4), guide None where unknown; spikes and membrane (at most T,
    neurons) or None; theta (neurons,); hidden: widths of the layers. starts: seconds at which an episode starts.
    """

    name: str
    seconds: np.ndarray
    observation: np.ndarray
    action: np.ndarray
    layout: str
    guide: np.ndarray | None = None
    spikes: np.ndarray | None = None
    membrane: np.ndarray | None = None
    theta: np.ndarray | None = None
    hidden: Sequence[int] = ()
    starts: Sequence[float] = (0.0,)

    @property
    def error(self) -> np.ndarray:
        """Distance from the set-point, m."""
        return np.linalg.norm(self.observation[:, :3], axis=1)

    @property
    def settled(self) -> np.ndarray:
        """Samples that count, (T,): SETTLING after the start of their episode."""
        starts = np.asarray(self.starts)
        last = starts[np.maximum(np.searchsorted(starts, self.seconds, side="right") - 1, 0)]
        return self.seconds - last >= SETTLING


def hover_verdict(flights: Sequence[Flight]) -> Verdict:
    """Whether few enough of the settled samples are far from the set-point; after a crash all are."""
    errors = np.concatenate([flight.error[flight.settled] for flight in flights])
    if not len(errors):
        return Verdict(f"no episode lasted longer than {SETTLING:.0f} s", False)
    share = float((~(errors <= PASS_ERROR)).mean())
    words = f"{100 * share:.1f} % of samples over {PASS_ERROR} m, at most {100 * PASS_SHARE:.0f} % pass"
    return Verdict(f"{'pass' if share <= PASS_SHARE else 'fail'}: {words}", share <= PASS_SHARE)


def attitude(observation: np.ndarray) -> np.ndarray:
    """Roll, pitch and yaw (T, 3) in degrees, of body FLU in the set-point's frame, from observations (T, 18)."""
    r = observation[:, 3:12]
    roll, yaw = np.arctan2(r[:, 7], r[:, 8]), np.arctan2(r[:, 3], r[:, 0])
    return np.degrees(np.stack([roll, -np.arcsin(np.clip(r[:, 6], -1, 1)), yaw], axis=1))


def charts(flights: Sequence[Flight]) -> list[Chart]:
    """All that is known: trajectories and errors of all flights, the rest of the first."""
    first = flights[0]
    found = [_trajectory(flights), _error(flights), _attitude(first), _actions(first)]
    if first.spikes is not None and len(first.spikes):
        found += [_raster(first), _rates(first), _membranes(first)]
    return found


def _trajectory(flights: Sequence[Flight]) -> Chart:
    sheet = go.Figure()
    for number, flight in enumerate(flights):
        at = thinned(len(flight.seconds), 2000)
        x, y, z = _broken(flight, at, flight.observation[at, :3]).T
        look = {"color": COLOURS[number % len(COLOURS)], "width": 4}
        sheet.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="lines", name=flight.name, line=look))
        for begin in np.searchsorted(flight.seconds, flight.starts):
            if begin < len(flight.seconds) and len(flight.starts) <= 20:
                p = flight.observation[begin, :3]
                mark = {"size": 4, "color": look["color"]}
                sheet.add_trace(
                    go.Scatter3d(x=p[:1], y=p[1:2], z=p[2:3], mode="markers", marker=mark, showlegend=False, name="start")
                )
    centre = {"size": 5, "color": "#1f2430", "symbol": "cross"}
    sheet.add_trace(go.Scatter3d(x=[0], y=[0], z=[0], mode="markers", marker=centre, name="set-point"))
    axes = {f"{axis}axis": {"title": {"text": f"{axis} (m)"}} for axis in "xyz"}
    sheet.update_layout(scene=axes | {"aspectmode": "data"})
    return Chart("Trajectory", styled(sheet, 460), "In the set-point's frame; dots are starts.")


def _error(flights: Sequence[Flight]) -> Chart:
    sheet = go.Figure()
    for number, flight in enumerate(flights):
        at = thinned(len(flight.seconds))
        sheet.add_trace(curve(flight.seconds[at], _broken(flight, at, flight.error[at]), flight.name, number))
    sheet.add_hline(PASS_ERROR, line={"dash": "dash", "color": "#b3261e"}, annotation={"text": f"{PASS_ERROR} m"})
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text="distance (m)", rangemode="tozero")
    text = f"{hover_verdict(flights).text}. The first {SETTLING:.0f} s after a start do not count."
    return Chart("Position error", styled(sheet, 460), text)


def _attitude(flight: Flight) -> Chart:
    sheet, at = go.Figure(), thinned(len(flight.seconds))
    angles = _broken(flight, at, attitude(flight.observation[at]))
    for number, (name, values) in enumerate(zip(("roll", "pitch", "yaw"), angles.T, strict=True)):
        sheet.add_trace(curve(flight.seconds[at], values, name, number))
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text="degrees")
    return Chart("Attitude", styled(sheet), f"{flight.name}; body FLU in the set-point's frame.")


def _actions(flight: Flight) -> Chart:
    at = thinned(len(flight.seconds), 2000)
    axes = AXES[flight.layout]
    sheet = make_subplots(rows=2, cols=2, shared_xaxes=True, shared_yaxes=True, subplot_titles=axes, vertical_spacing=0.12)
    for axis in range(4):
        place = {"row": axis // 2 + 1, "col": axis % 2 + 1}
        if flight.guide is not None:
            line = curve(flight.seconds[at], flight.guide[at, axis], "guide", 1, showlegend=axis == 0, legendgroup="guide")
            sheet.add_trace(line, **place)
        line = curve(flight.seconds[at], flight.action[at, axis], "policy", 0, showlegend=axis == 0, legendgroup="policy")
        sheet.add_trace(line, **place)
    sheet.update_yaxes(range=[-1.05, 1.05])
    sheet.update_xaxes(title_text="time (s)", row=2)
    return Chart("Actions", styled(sheet), f"{flight.name}; -1 to 1. The guide is asked for the same states.")


def _raster(flight: Flight) -> Chart:
    shown = slice(0, min(WINDOW, len(flight.spikes)))
    spikes = np.nan_to_num(flight.spikes[shown]).T.astype(np.uint8)
    colours = [[0.0, "#ffffff"], [1.0, COLOURS[0]]]
    sheet = go.Figure(
        go.Heatmap(z=spikes, x=flight.seconds[shown], zmin=0, zmax=1, colorscale=colours, showscale=False, name="spikes")
    )
    for edge in np.cumsum(flight.hidden)[:-1]:
        sheet.add_hline(float(edge) - 0.5, line={"color": "#d9722e", "width": 1})
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text="neuron")
    words = " and ".join(map(str, flight.hidden))
    return Chart("Spikes", styled(sheet, 420), f"{flight.name}; layers of {words} neurons, the first below.", wide=True)


def _rates(flight: Flight) -> Chart:
    sheet, at, edges = go.Figure(), thinned(len(flight.spikes)), np.cumsum([0, *flight.hidden])
    for layer, (low, high) in enumerate(pairwise(edges)):
        rate = np.nan_to_num(flight.spikes[:, low:high]).mean(1)
        smooth = np.convolve(np.pad(rate, 5, mode="edge"), np.ones(11) / 11, mode="valid")
        sheet.add_trace(curve(flight.seconds[at], smooth[at], f"layer {layer}, mean {rate.mean():.2f}", layer))
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text="share of neurons per step", rangemode="tozero")
    return Chart("Spike rates", styled(sheet), "Over each layer, mean of eleven steps.")


def _membranes(flight: Flight) -> Chart:
    shown = slice(0, min(WINDOW // 2, len(flight.spikes)))
    sheet = make_subplots(rows=len(flight.hidden), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    edges = np.cumsum([0, *flight.hidden])
    for layer, low in enumerate(edges[:-1]):
        rates = np.nan_to_num(flight.spikes[shown, low : edges[layer + 1]]).mean(0)
        busy = low + np.argsort(-rates, kind="stable")
        for number, neuron in enumerate(busy[np.linspace(0, max((rates > 0).sum() - 1, 0), LAYERS_SHOWN).astype(int)]):
            u = flight.membrane[shown, neuron] / flight.theta[neuron]
            line = curve(flight.seconds[shown], u, f"layer {layer}, neuron {neuron - low}", number + layer * LAYERS_SHOWN)
            sheet.add_trace(line, row=layer + 1, col=1)
        sheet.add_hline(1.0, line={"dash": "dash", "color": "#6b7280"}, row=layer + 1, col=1)
        sheet.update_yaxes(title_text=f"layer {layer}", row=layer + 1)
    sheet.update_xaxes(title_text="time (s)", row=len(flight.hidden))
    text = "As shares of the threshold: a busy, a middling and a quiet neuron of each layer. Above 1 they spike."
    return Chart("Membranes", styled(sheet), text)


def _broken(flight: Flight, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values at these rows, with a gap where one episode ends and the next begins elsewhere."""
    episode = np.searchsorted(np.asarray(flight.starts), flight.seconds[at], side="right")
    found = np.array(values, float)
    found[:-1][np.diff(episode) > 0] = np.nan
    return found


def curve(x, y, name: str, number: int, **options) -> go.Scatter:
    look = {"color": COLOURS[number % len(COLOURS)], "width": 1.5}
    return go.Scatter(x=x, y=y, name=name, mode="lines", line=look, **options)


def styled(sheet: go.Figure, height: int = 380) -> go.Figure:
    sheet.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        legend={"orientation": "h", "y": -0.2},
    )
    return sheet
