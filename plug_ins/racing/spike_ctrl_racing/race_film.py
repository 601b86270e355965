"""A film of a race: the gates, the vehicle and its trail, the speed beside them. On the canvas of the plug-in `view`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files.arrays import Floats, Integers
from spike_ctrl._files.errors import UsageError
from spike_ctrl_racing import gate_view
from spike_ctrl_racing.race_flights import Race, Trace
from spike_ctrl_racing.track import Track

WIDTH, HEIGHT, SIDE = 640, 300, 0.3  # pixels; share of the width for the figures
FRAMES_PER_SECOND, LONGEST = 12, 12.0  # s of film at most: a longer race is shown faster
TRAIL, ARM, MARGIN = 0.6, 0.6, 1.0  # s of flight; m, drawn length; m around the course
CORNERS = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)])  # of a gate, to the left and up
FLOOR = 5.0  # m, of a square of the floor


def require(path: Path) -> None:
    """Raise UsageError where what draws films is missing, and where no film can be written."""
    try:
        import matplotlib  # noqa: F401

        from spike_ctrl_view import film_canvas
    except ImportError:
        raise UsageError("--film: found no plug-in view, wanted it: pip install ./plug_ins/view") from None
    film_canvas.require("--film", path)


def passed(track: Track, position: Floats, most: int) -> Integers:
    """How many gates have been passed at each of the positions [T, 3] of a race, m: [T].

    most: of the whole race; a frame that is touched lies in the plane of its gate, too.
    """
    rows, found, gate = track.rows(), np.zeros(len(position), np.int64), 0
    for t in range(1, len(position)):
        before, after = tuple(position[t - 1].tolist()), tuple(position[t].tolist())
        gate += gate_view.crossed(before, after, rows[gate % len(rows)])
        found[t] = gate
    return np.minimum(found, most)


def outlines(track: Track) -> Floats:
    """The middle of each gate's frame as a closed line [gates, 5, 3], world, m."""
    rows = track.rows().astype(float)
    half = rows[:, 12:14] + rows[:, 14:15] / 2
    aside = half[:, None, :1] * CORNERS[:, :1] * rows[:, None, 6:9]
    above = half[:, None, 1:] * CORNERS[:, 1:] * rows[:, None, 9:12]
    found: Floats = rows[:, None, :3] + aside + above
    return found


def times(race: Race) -> Floats:
    """Of the pictures, s of the race: the last one shows its end."""
    step = max(1.0, race.time / LONGEST) / FRAMES_PER_SECOND
    found: Floats = np.append(np.arange(0.0, race.time - 1e-6, step), race.time)
    return found


def save(path: Path, track: Track, race: Race, trace: Trace, title: str) -> int:
    """Write the film of a race as GIF, which repeats; how many pictures it has. Raises UsageError."""
    from spike_ctrl_view import film_canvas

    return film_canvas.write_gif(path, frames(track, race, trace, title), 1 / FRAMES_PER_SECOND, 2.0)


def frames(track: Track, race: Race, trace: Trace, title: str) -> Iterator[Any]:
    """Pictures (HEIGHT, WIDTH, 3) of a race."""
    from matplotlib.collections import LineCollection, PolyCollection

    from spike_ctrl.report.colours import COLOURS, PAPER_COLOUR
    from spike_ctrl_view import film_canvas
    from spike_ctrl_view.scene import rotation

    gates, done = outlines(track), passed(track, trace.position, race.passed)
    way = film_canvas.seen(trace.position)
    places = np.concatenate([gates.reshape(-1, 3), trace.position])
    low, high = places.min(0) - MARGIN, places.max(0) + MARGIN
    low[2] = 0.0
    sheet = film_canvas.sheet(WIDTH, HEIGHT)
    axes = film_canvas.axes(sheet, 0.98 - SIDE, low, high, FLOOR)
    posts = [film_canvas.seen(np.array([corner, (*corner[:2], 0.0)])) for gate in gates for corner in gate[2:4]]
    axes.add_collection(LineCollection(posts, colors="#b8bec8", linewidths=1.0))
    frame_lines = axes.add_collection(LineCollection(list(film_canvas.seen(gates)), linewidths=3.2, zorder=3))
    trail = axes.plot([], [], color=COLOURS[0], linewidth=2.2, zorder=4)[0]
    shadow = axes.plot([], [], "o", color="#d4d8de", markersize=5, zorder=2)[0]
    discs = axes.add_collection(PolyCollection([], facecolor=COLOURS[0], alpha=0.4, zorder=5))
    beams = axes.add_collection(LineCollection([], colors=COLOURS[0], linewidths=2.2, zorder=6))
    said, chart, now = _side(sheet, trace, title)
    for time in times(race):
        t = min(round(100 * time), len(trace.speed) - 1)
        position, attitude = trace.position[t].astype(float), rotation(trace.state[t, 3:7].tolist())
        trail.set_data(*way[max(0, t - round(100 * TRAIL)) : t + 1].T)
        beams.set_segments(film_canvas.arms(position[None], attitude[None], ARM))
        discs.set_verts(film_canvas.rotors(position, attitude, ARM))
        shadow.set_data(*film_canvas.seen(np.array([*position[:2], 0.0]))[:, None])
        colours = [PAPER_COLOUR] * len(gates)
        if done[t] < race.gates:
            colours[done[t] % len(gates)] = COLOURS[1]
        frame_lines.set_color(colours)
        now.set_data([0.01 * t], [trace.speed[t]])
        chart.set_data(0.01 * np.arange(t + 1), trace.speed[: t + 1])
        end = "" if time < race.time else "\nfinished" if race.complete else f"\n{race.outcome}"
        said.set_text(f"{0.01 * t:.1f} s\n{trace.speed[t]:.1f} m/s\n{done[t]} of {race.gates} gates{end}")
        said.set_color(PAPER_COLOUR if race.complete or not end else COLOURS[4])
        yield film_canvas.pixels(sheet)


def _side(sheet: Any, trace: Trace, title: str) -> tuple[Any, Any, Any]:
    """Beside the flight: the figures, the speed so far, and the speed now."""
    from spike_ctrl.report.colours import COLOURS, LEVEL_COLOUR, PAPER_COLOUR

    sheet.text(1 - SIDE + 0.02, 0.95, title, fontsize=10.5, fontweight="bold", va="top", color=PAPER_COLOUR)
    said = sheet.text(1 - SIDE + 0.02, 0.80, "", fontsize=12, va="top", linespacing=1.5, color=PAPER_COLOUR)
    box = (1 - SIDE + 0.05, 0.12, SIDE - 0.08, 0.3)
    axes = sheet.add_axes(box, xlim=(0, 0.01 * len(trace.speed)), ylim=(0, 1.1 * float(trace.speed.max())))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=LEVEL_COLOUR)
    axes.set_title("speed, m/s", fontsize=8.5, loc="left", color=LEVEL_COLOUR)
    chart = axes.plot([], [], color=COLOURS[0], linewidth=1.3)[0]
    return said, chart, axes.plot([], [], "o", color=COLOURS[1], markersize=5)[0]
