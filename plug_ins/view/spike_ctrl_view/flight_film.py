"""A film of a recorded flight: the vehicle in its world, its trail in the colour of who flew, and the ladder beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.flight.event_words import recognised
from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings.flight_log import FlightEvent, read_log
from spike_ctrl.recordings.reader import read
from spike_ctrl.report.colours import COLOURS, LEVEL_COLOUR, PAPER_COLOUR
from spike_ctrl.report.ladder_charts import RUNG_COLOURS
from spike_ctrl_view import film_canvas, scene

WIDTH, HEIGHT, SIDE = 820, 430, 0.34  # pixels; share of the width for the ladder
FRAMES_PER_SECOND, LONGEST = 20, 14.0  # s of film at most: a longer flight is shown faster
LENGTH = 1 / FRAMES_PER_SECOND, 2.0  # s of each frame, and of the last one
TRAIL, ARM, MARGIN = 2.5, 0.16, 0.35  # s of flight; m, drawn length; m around what was flown
WORDS = {
    Rung.SNN: "the spiking policy flies",
    Rung.GUIDE: "the guide flies",
    Rung.HOLD: "the autopilot holds",
    Rung.LAND: "the autopilot lands",
    Rung.SILENT: "nobody here flies",
}


class FilmedFlight(NamedTuple):
    """F frames, `step` s of flight apart: time (F,) s, position and set_point (F, 3) m, attitude (F, 3, 3), rung (F,).

    said: the newest message of the supervisor at each frame, "" before the first.
    """

    time: np.ndarray
    position: np.ndarray
    set_point: np.ndarray
    attitude: np.ndarray
    rung: np.ndarray
    said: list[str]
    step: float


def flight(path: Path) -> FilmedFlight:
    """The part of the flight in a bag in which somebody here commands. Raises UsageError where nobody does."""
    recording, log = read(path), read_log(path)
    poses = recording.poses
    if log is None or poses is None:
        raise UsageError(f"{path}: found no flight with reports of a supervisor, wanted one: only that is filmed")
    received = recording.states.received
    rungs = log.rung_at(received)
    commanded = np.flatnonzero((rungs != Rung.SILENT) & np.isfinite(poses.position).all(1))
    if not len(commanded):
        raise UsageError(f"{path}: found the rung SILENT throughout, wanted a flight that somebody here commanded")
    begin, end = received[commanded[0]], received[commanded[-1]]
    speed = max(1.0, 1e-9 * float(end - begin) / LONGEST)
    step = speed / FRAMES_PER_SECOND
    times = begin + np.arange(0, (end - begin) * 1e-9, step) * 1e9
    row = np.searchsorted(received, times).clip(0, len(received) - 1)
    turned = scene.rotation(poses.quaternion[row])
    target = log.set_point[np.searchsorted(log.received, times).clip(0, len(log.received) - 1)]
    said = [_newest(log.events, time) for time in times]
    since = (times - begin) * 1e-9
    return FilmedFlight(since, poses.position[row], target, turned, rungs[row], said, step)


def _newest(events: tuple[FlightEvent, ...], now: float) -> str:
    """Why the rung changed last up to `now` (ns), in short: without figures; nothing where the policy just took over."""
    changes = [says for event in events if event.received <= now and (says := recognised(event.text)).before]
    if not changes or changes[-1].kind is None:
        return ""
    return changes[-1].why.partition(":")[0].split("(")[-1].rstrip(")").strip()


def film(path: Path) -> Iterator[np.ndarray]:
    """The frames of the film of a bag. Raises UsageError."""
    return frames(flight(path))


def frames(flown: FilmedFlight) -> Iterator[np.ndarray]:
    """Pictures (HEIGHT, WIDTH, 3) of a flight."""
    from matplotlib.collections import LineCollection, PolyCollection

    sheet = film_canvas.sheet(WIDTH, HEIGHT)
    axes, ground = film_canvas.stage(sheet, 0.98 - SIDE, flown.position, flown.set_point, MARGIN)
    target = axes.plot([], [], "+", color=COLOURS[2], markersize=13, markeredgewidth=2.2, zorder=3)[0]
    trail = axes.add_collection(LineCollection([], linewidths=2.4, zorder=4, capstyle="round"))
    shadow = axes.plot([], [], "o", color="#d4d8de", markersize=7, zorder=2)[0]
    discs = axes.add_collection(PolyCollection([], alpha=0.35, zorder=5))
    beams = axes.add_collection(LineCollection([], linewidths=2.6, zorder=6))
    ladder, words, error, clock = _ladder(sheet)
    way = film_canvas.seen(flown.position)
    pieces = np.stack([way[:-1], way[1:]], axis=1)
    colours = np.array([COLOURS[RUNG_COLOURS[Rung(int(rung))]] for rung in flown.rung])
    for frame, colour in enumerate(colours):
        first = max(0, frame - round(TRAIL / flown.step))
        trail.set_segments(pieces[first:frame])
        trail.set_color(colours[first:frame])
        position, attitude = flown.position[frame], flown.attitude[frame]
        beams.set_segments(film_canvas.arms(position[None], attitude[None], ARM))
        discs.set_verts(film_canvas.rotors(position, attitude, ARM))
        beams.set_color(colour)
        discs.set_facecolor(colour)
        target.set_data(*film_canvas.seen(flown.set_point[frame])[:, None])
        shadow.set_data(*film_canvas.seen(np.array([*position[:2], ground]))[:, None])
        rung = Rung(int(flown.rung[frame]))
        for one, (patch, label) in ladder.items():
            patch.set_facecolor(colour if one is rung else "#ededed")
            label.set_color("white" if one is rung else LEVEL_COLOUR)
            label.set_weight("bold" if one is rung else "normal")
        words.set_text(WORDS[rung] + (f",\nbecause {flown.said[frame]}" if flown.said[frame] else ""))
        off = float(np.linalg.norm(position - flown.set_point[frame]))
        ours = rung in (Rung.SNN, Rung.GUIDE) and not np.isnan(off)
        error.set_text(f"{100 * off:.0f} cm from the set-point" if ours else "")
        error.set_color(PAPER_COLOUR if off <= PASS_ERROR else COLOURS[4])
        fast = flown.step * FRAMES_PER_SECOND
        clock.set_text(f"{flown.time[frame]:.1f} s" + (f"   ({fast:.1f} times as fast)" if fast > 1.05 else ""))
        yield film_canvas.pixels(sheet)


def _ladder(sheet):
    """The rungs as boxes beside the flight, by Rung, and the texts under them: who and why, the error, the time."""
    from matplotlib.patches import FancyBboxPatch

    side = sheet.add_axes((1 - SIDE, 0, SIDE, 1), xlim=(0, 1), ylim=(0, 1))
    side.set_axis_off()
    boxes = {}
    for number, rung in enumerate(WORDS):
        y = 0.86 - 0.105 * number
        patch = FancyBboxPatch((0.06, y), 0.5, 0.062, boxstyle="round,pad=0.012", linewidth=0)
        side.add_patch(patch)
        boxes[rung] = patch, side.text(0.31, y + 0.028, rung.name, ha="center", va="center", fontsize=11)
    text = {"va": "top", "color": PAPER_COLOUR}
    words = side.text(0.04, 0.37, "", fontsize=10.5, linespacing=1.5, wrap=True, **text)
    return boxes, words, side.text(0.04, 0.17, "", fontsize=10.5, **text), side.text(0.04, 0.09, "", fontsize=9.5, **text)
