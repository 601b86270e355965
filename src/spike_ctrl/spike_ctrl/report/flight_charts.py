"""Charts of flights: where the vehicle was, what was commanded, and what the neurons did."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from spike_ctrl.control.trajectory import PASS_ERROR, PASS_SHARE
from spike_ctrl.recordings.replay import AXES
from spike_ctrl.report import thinned
from spike_ctrl.report.colours import COLOURS, GRID_COLOUR, LEVEL_COLOUR, PAPER_COLOUR
from spike_ctrl.report.page import Chart, Verdict

SETTLING = 2.0  # s after a start that do not count for the error
TRACES = 3  # neurons per layer whose membrane is drawn
TRACE_RANGE = (-4.0, 4.0)  # in thresholds; a strongly driven neuron would leave every scale
WINDOW = 1000  # columns of spikes; twice the steps of membranes
FONT = "system-ui, sans-serif"
EYE = {"x": 1.5, "y": 1.5, "z": 0.9}  # from where a three-dimensional scene is seen
BANDS = 60  # more bands than this are not drawn: one could not tell them apart


class Band(NamedTuple):
    """The time from begin to end (s) in which one controller flies. colour: index in COLOURS."""

    begin: float
    end: float
    name: str
    colour: int


class Neurons(NamedTuple):
    """What neurons did in at most T steps: spikes, membrane (steps, neurons), theta (neurons,); hidden: layers' widths."""

    spikes: np.ndarray
    membrane: np.ndarray
    theta: np.ndarray
    hidden: Sequence[int]

    @property
    def edges(self) -> np.ndarray:
        """Where each layer begins, and the end of the last."""
        return np.cumsum([0, *self.hidden])


@dataclass(frozen=True)
class ChartedFlight:
    """One vehicle over T steps, in the set-point's frame. All values are NaN after a crash.

    seconds (T,). observation (T, 18). action (T, 4). layout: "motors" or "rates". guide (T, 4): its actions, if known.
    neurons: if they are known. starts: seconds at which an episode starts or the policy takes over. bands: who flies when.
    counts (T,): the samples that the policy flew; None: all. position, set_point (T, 3): m, in the world, if known.
    flown_by: who acted. course: the policy flew a course that it saw, and not to the set-point. taken: it was taken away.
    """

    name: str
    seconds: np.ndarray
    observation: np.ndarray
    action: np.ndarray
    layout: str
    guide: np.ndarray | None = None
    neurons: Neurons | None = None
    starts: Sequence[float] = (0.0,)
    bands: Sequence[Band] = ()
    counts: np.ndarray | None = None
    position: np.ndarray | None = None
    set_point: np.ndarray | None = None
    flown_by: str = "policy"
    course: bool = False
    taken: bool = False

    @property
    def error(self) -> np.ndarray:
        """Distance from the set-point, m, (T,)."""
        return np.asarray(np.linalg.norm(self.observation[:, :3], axis=1))

    @property
    def settled(self) -> np.ndarray:
        """Which samples count for the error, (T,): flown by the policy, at least SETTLING after the start of the episode."""
        starts = np.asarray(self.starts)
        last = starts[np.maximum(np.searchsorted(starts, self.seconds, side="right") - 1, 0)]
        late: np.ndarray = (self.seconds - last >= SETTLING) & (not self.course)
        return late if self.counts is None else late & self.counts

    @property
    def judged(self) -> float:
        """How long (s) the error is counted."""
        return float(self.settled.mean() * (self.seconds[-1] - self.seconds[0]))


def hover_verdict(flights: Sequence[ChartedFlight]) -> Verdict:
    """Passes if at most PASS_SHARE of the settled samples are beyond PASS_ERROR. All samples after a crash are beyond it.

    Flights that know no set-point, follow a course in its place, or end because the policy is taken away, do not pass.
    """
    if any(flight.course for flight in flights):
        return Verdict("not judged: the policy flew a course, not to the set-point", None)
    if not any(np.isfinite(flight.error).any() for flight in flights):
        return Verdict("unknown: no set-point was recorded", None)
    errors = np.concatenate([flight.error[flight.settled] for flight in flights])
    if not len(errors):
        return Verdict(f"the policy never flew for longer than {SETTLING:.0f} s", False)
    share = float((~(errors <= PASS_ERROR)).mean())
    words = f"{100 * share:.1f} % of samples over {PASS_ERROR} m, at most {100 * PASS_SHARE:.0f} % pass"
    words += f"; judged: {sum(flight.judged for flight in flights):.1f} s"
    if share > PASS_SHARE:
        return Verdict(f"fail: {words}", False)
    return Verdict(f"cut short: {words}", None) if any(f.taken for f in flights) else Verdict(f"pass: {words}", True)


def attitude(observation: np.ndarray) -> np.ndarray:
    """Roll, pitch and yaw (T, 3) in degrees, of body FLU in the set-point's frame, from observations (T, 18)."""
    r = observation[:, 3:12]
    roll, yaw = np.arctan2(r[:, 7], r[:, 8]), np.arctan2(r[:, 3], r[:, 0])
    return np.asarray(np.degrees(np.stack([roll, -np.arcsin(np.clip(r[:, 6], -1, 1)), yaw], axis=1)))


def charts(flights: Sequence[ChartedFlight]) -> list[Chart]:
    """Charts of some flights: trajectories and errors of all, everything else of the first."""
    first = flights[0]
    found = [_trajectory(flights), *([] if first.course else [_error(flights)]), _attitude(first), _actions(first)]
    neurons = first.neurons if first.neurons is not None and len(first.neurons.spikes) else None
    found += [_raster(first, neurons), _rates(first, neurons)] if neurons else []
    for chart in found[1:]:
        chart.figure.update_xaxes(range=[first.seconds[0], first.seconds[-1]])
    return [*found, _membranes(first, neurons)] if neurons else found


def _trajectory(flights: Sequence[ChartedFlight]) -> Chart:
    sheet, first = go.Figure(), flights[0]
    for number, flight in enumerate(flights):
        at = thinned(len(flight.seconds), 2000)
        places = flight.observation[:, :3] if flight.position is None else flight.position
        whole = _broken(flight, at, places[at])
        pieces = [(flight.name, number, np.ones(len(at), bool))]
        if flight.position is not None and flight.bands:
            seconds = flight.seconds[at]
            pieces = [(b.name, b.colour, (seconds >= b.begin) & (seconds <= b.end)) for b in flight.bands]
        for name, colour, within in pieces:
            look = {"color": COLOURS[colour % len(COLOURS)], "width": 4}
            again = any(trace.name == name for trace in sheet.data)
            x, y, z = np.where(within[:, None], whole, np.nan).T
            sheet.add_scatter3d(x=x, y=y, z=z, mode="lines", name=name, line=look, legendgroup=name, showlegend=not again)
        for begin in np.searchsorted(flight.seconds, flight.starts) if flight.position is None else ():
            if begin < len(flight.seconds) and len(flight.starts) <= 20:
                x, y, z = flight.observation[begin, :3, None]
                mark = {"size": 4, "color": COLOURS[number % len(COLOURS)]}
                sheet.add_scatter3d(x=x, y=y, z=z, mode="markers", marker=mark, showlegend=False, name="start")
    if first.set_point is None and first.position is None:
        centre = {"size": 5, "color": PAPER_COLOUR, "symbol": "cross"}
        sheet.add_scatter3d(x=[0], y=[0], z=[0], mode="markers", marker=centre, name="set-point")
    elif first.set_point is not None and np.isfinite(first.set_point).any():
        x, y, z = first.set_point[thinned(len(first.seconds), 2000)].T
        look = {"color": PAPER_COLOUR, "width": 2, "dash": "dot"}
        sheet.add_scatter3d(x=x, y=y, z=z, mode="lines", name="set-point", line=look)
    sheet.update_layout(scene=whole_scene(sheet, ("x (m)", "y (m)", "z (m)")))
    words = "In the set-point's frame; dots are starts." if first.position is None else "In the world: east, north, up."
    sheet = styled(sheet, 460)
    sheet.update_layout(margin={"l": 0, "r": 0, "t": 10, "b": 10})
    return Chart("Trajectory", sheet, words)


def whole_scene(sheet: go.Figure, titles: Sequence[str]) -> dict[str, Any]:
    """A scene that shows all three-dimensional lines of a figure, with the same scale (m) on its three axes.

    No axis is shorter than half of the longest. Otherwise a vertical climb would be a thin line longer than the view.
    """
    every = (np.concatenate([np.zeros(0), *(trace[axis] for trace in sheet.data)]) for axis in "xyz")
    known = [places[np.isfinite(places)] for places in every]
    low, high = np.array([(places.min(), places.max()) if len(places) else (0.0, 0.0) for places in known]).T
    room = np.maximum(1.1 * (high - low), 0.55 * max((high - low).max(), 0.1))
    ends = (low + high)[:, None] / 2 + room[:, None] * [-0.5, 0.5]
    axes = {f"{a}axis": {"title": {"text": t}, "range": r.tolist()} for a, t, r in zip("xyz", titles, ends, strict=True)}
    ratio = dict(zip("xyz", (1.1 * room / room.max()).tolist(), strict=True))
    return axes | {"aspectmode": "manual", "aspectratio": ratio, "camera": {"eye": EYE, "center": {"z": -0.15}}}


def _error(flights: Sequence[ChartedFlight]) -> Chart:
    sheet = go.Figure()
    for number, flight in enumerate(flights):
        at = thinned(len(flight.seconds))
        sheet.add_trace(curve(flight.seconds[at], _broken(flight, at, flight.error[at]), flight.name, number))
    sheet.add_hline(PASS_ERROR, line={"dash": "dash", "color": "#b3261e"}, annotation={"text": f"{PASS_ERROR} m"})
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text="distance (m)", rangemode="tozero")
    counted = np.concatenate([flight.error[flight.settled] for flight in flights])
    if any(flight.counts is not None for flight in flights) and np.isfinite(counted).any():  # take-off and landing leave it
        sheet.update_yaxes(range=[0, 1.2 * max(float(np.nanmax(counted)), PASS_ERROR)])
    text = f"{hover_verdict(flights).text}. The first {SETTLING:.0f} s after a start do not count."
    text += f" Shaded: {', '.join(dict.fromkeys(band.name for band in flights[0].bands))}." if flights[0].bands else ""
    return Chart("Position error", banded(styled(sheet, 460), flights[0].bands), text)


def _attitude(flight: ChartedFlight) -> Chart:
    at = thinned(len(flight.seconds))
    angles = _broken(flight, at, attitude(flight.observation[at]))
    sheet = lines(flight.seconds[at], zip(("roll", "pitch", "yaw"), angles.T, strict=True), "angle (degrees)")
    return Chart("Attitude", banded(sheet, flight.bands), f"{flight.name}; body FLU in the set-point's frame.")


def _actions(flight: ChartedFlight) -> Chart:
    at = thinned(len(flight.seconds), 2000)
    axes = AXES[flight.layout]
    sheet = make_subplots(rows=2, cols=2, shared_xaxes=True, shared_yaxes=True, subplot_titles=axes, vertical_spacing=0.12)
    shown = [] if flight.guide is None else [("guide", flight.guide, 1, "guide")]
    for name, actions, colour, group in [*shown, (flight.flown_by, flight.action, 0, "flown")]:
        for axis in range(4):
            line = curve(flight.seconds[at], actions[at, axis], name, colour, showlegend=axis == 0, legendgroup=group)
            sheet.add_trace(line, row=axis // 2 + 1, col=axis % 2 + 1)
    sheet.update_yaxes(range=[-1.05, 1.05])
    sheet.update_xaxes(title_text="time (s)", row=2)
    sheet.update_annotations(font={"size": 13})
    text = f"{flight.name}; -1 to 1."
    text += " The guide's actions are for the same states." if flight.guide is not None else ""
    both = "policy and guide" if flight.flown_by == "policy" else flight.flown_by
    return Chart(f"Actions of {both}", banded(styled(sheet, 460), flight.bands), text, wide=True)


def _raster(flight: ChartedFlight, neurons: Neurons) -> Chart:
    every = -(-len(neurons.spikes) // WINDOW)
    begins = np.arange(0, len(neurons.spikes), every)
    spikes = (100 / every * np.add.reduceat(np.nan_to_num(neurons.spikes), begins)).T.astype(np.uint8)
    colours = [[0.0, "#ffffff"], [1.0, COLOURS[0]]]
    sheet = go.Figure(
        go.Heatmap(z=spikes, x=flight.seconds[begins], zmin=0, zmax=100, colorscale=colours, showscale=False, name="spikes")
    )
    for edge in neurons.edges[1:-1]:
        sheet.add_hline(float(edge) - 0.5, line={"color": COLOURS[1], "width": 1})
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text="neuron")
    words = " and ".join(map(str, neurons.hidden))
    text = f"{flight.name}; layers of {words} neurons, the first below. Steps in a column: {every}."
    return Chart("Spikes", styled(sheet, 420), text, wide=True)


def _rates(flight: ChartedFlight, neurons: Neurons) -> Chart:
    at, curves = thinned(len(neurons.spikes)), []
    for layer, (low, high) in enumerate(pairwise(neurons.edges)):
        rate = np.nan_to_num(neurons.spikes[:, low:high]).mean(1)
        smooth = np.convolve(np.pad(rate, 5, mode="edge"), np.ones(11) / 11, mode="valid")
        curves.append((f"layer {layer}, mean {rate.mean():.2f}", smooth[at]))
    sheet = lines(flight.seconds[at], curves, "share of neurons per step", rangemode="tozero")
    return Chart("Spike rates", sheet, "Mean over each layer and eleven steps.")


def _membranes(flight: ChartedFlight, neurons: Neurons) -> Chart:
    steps, mine = WINDOW // 2, [band.begin for band in flight.bands if band.colour == 0]
    begin = int(np.searchsorted(flight.seconds, mine[0] - 1.0)) if mine else 0  # 1 s before the policy takes over
    shown = slice(max(min(begin, len(neurons.spikes) - steps), 0), begin + steps)
    sheet = make_subplots(rows=len(neurons.hidden), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for layer, (low, high) in enumerate(pairwise(neurons.edges)):
        rates = np.nan_to_num(neurons.spikes[shown, low:high]).mean(0)
        for number, neuron in enumerate(low + _lively(rates)):
            u = np.clip(neurons.membrane[shown, neuron] / neurons.theta[neuron], *TRACE_RANGE)
            line = curve(flight.seconds[shown], u, f"layer {layer}, neuron {neuron - low}", number + layer * TRACES)
            sheet.add_trace(line, row=layer + 1, col=1)
        sheet.add_hline(1.0, line={"dash": "dash", "color": LEVEL_COLOUR}, row=layer + 1, col=1)
        sheet.update_yaxes(title_text=f"layer {layer}", range=TRACE_RANGE, row=layer + 1)
    sheet.update_xaxes(title_text="time (s)", row=len(neurons.hidden))
    text = f"{len(flight.seconds[shown])} steps, in thresholds: above 1 a neuron spikes. Cut off at +-{TRACE_RANGE[1]:.0f}."
    return Chart("Membranes", styled(sheet, 420), text, wide=True)


def _lively(rates: np.ndarray) -> np.ndarray:
    """Indices of TRACES neurons whose spike rates are nearest to .5, .25 and .1."""
    found: list[int] = []
    for rate in (0.5, 0.25, 0.1)[:TRACES]:
        order = np.argsort(np.abs(rates - rate), kind="stable")
        found.append(next(int(n) for n in order if n not in found))
    return np.array(found)


def banded(sheet: go.Figure, bands: Sequence[Band]) -> go.Figure:
    """The figure, with each band shaded in its colour behind the curves."""
    if len(bands) > BANDS:
        return sheet
    for number in [key.removeprefix("xaxis") for key in sheet.to_dict()["layout"] if key.startswith("xaxis")]:
        for band in bands:
            sheet.add_shape(
                type="rect", xref=f"x{number}", yref=f"y{number} domain", x0=band.begin, x1=band.end, y0=0, y1=1,
                fillcolor=COLOURS[band.colour % len(COLOURS)], opacity=0.1, line={"width": 0}, layer="below",
            )  # fmt: skip
    return sheet


def _broken(flight: ChartedFlight, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values at the rows `at`, with a gap (NaN) at the end of each episode."""
    episode = np.searchsorted(np.asarray(flight.starts), flight.seconds[at], side="right")
    found = np.array(values, float)
    found[:-1][np.diff(episode) > 0] = np.nan
    return found


def curve(x: ArrayLike, y: ArrayLike, name: str, number: int, **options: Any) -> go.Scatter:
    """A line over x in the colour `number`. options: further arguments of plotly's Scatter."""
    look = {"color": COLOURS[number % len(COLOURS)], "width": 1.5}
    return go.Scatter(x=x, y=y, name=name, mode="lines", line=look, **options)


def lines(x: ArrayLike, curves: Iterable[tuple[str, ArrayLike]], label: str, **options: Any) -> go.Figure:
    """Curves, each with its name, over the time x (s). label: of the y axis. options: further arguments of plotly for it."""
    sheet = go.Figure([curve(x, y, name, number) for number, (name, y) in enumerate(curves)])
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text=label, **options)
    return styled(sheet)


def logarithmic_axis(values: Collection[float]) -> dict[str, object]:
    """What makes an axis logarithmic: a line for each decade, or plotly's choice where the values have less than one."""
    return {"type": "log"} | ({"dtick": 1} if max(values) >= 10 * min(values) else {})


def styled(sheet: go.Figure, height: int = 380) -> go.Figure:
    """The figure in the style of a report. height: pixels."""
    sheet.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 62, "r": 24, "t": 34, "b": 46},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        font={"family": FONT, "size": 12, "color": PAPER_COLOUR},
        hovermode="x unified" if sheet.data and sheet.data[0].type == "scatter" else "closest",
    )
    sheet.update_xaxes(gridcolor=GRID_COLOUR, zeroline=False)
    sheet.update_yaxes(gridcolor=GRID_COLOUR, zeroline=False)
    return sheet
