"""Pictures of races: the course from above with the speed as colour, and the speed over time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl_racing.race_flights import Race, Trace
from spike_ctrl_racing.track import Track

MOST = 4  # courses in a picture
FRAME_COLOUR, NEXT_COLOUR = "#1f2430", "#d1495b"


def require(path: Path) -> None:
    """Raise UsageError where matplotlib is missing, and for a name by which it draws nothing."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise UsageError("--plot: found no matplotlib, wanted it: pip install matplotlib") from None
    if path.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
        raise UsageError(f"--plot: found {path}, wanted a name that ends in .png")


def save(path: Path, tracks: Sequence[Track], flights: Sequence[tuple[Race, Trace]], title: str) -> None:
    """Draw the first MOST races as PNG, one row each."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    shown = list(zip(tracks, flights, strict=True))[:MOST]
    sheet = Figure(figsize=(11.0, 4.2 * len(shown) + 0.4), dpi=90, layout="constrained")
    sheet.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    every = sheet.subplots(len(shown), 2, squeeze=False, width_ratios=(1.15, 1.0))
    for (above, beside), (course, (race, trace)) in zip(every, shown, strict=True):
        way = trace.position[:, :2]
        lines = LineCollection(list(np.stack([way[:-1], way[1:]], 1)), array=trace.speed[1:], cmap="viridis", linewidth=1.6)
        above.add_collection(lines)
        for number, gate in enumerate(course.gates, 1):
            x, y, z = gate.position
            c, s = np.cos(np.radians(gate.yaw)), np.sin(np.radians(gate.yaw))
            half, outer = gate.width / 2, gate.width / 2 + gate.frame
            for side in (-1, 1):
                across = np.array([half, outer]) * side
                above.plot(x - s * across, y + c * across, color=FRAME_COLOUR, linewidth=3.5, solid_capstyle="butt")
            above.annotate("", (x + 0.9 * c, y + 0.9 * s), (x, y), arrowprops={"arrowstyle": "->", "color": NEXT_COLOUR})
            aside = (5, 5 if number % 2 else -12)  # gates that stand above each other keep their labels apart
            above.annotate(f"{number} ({z:.1f} m)", (x, y), aside, textcoords="offset points", fontsize=8)
        above.plot(*way[0], "o", color=NEXT_COLOUR, markersize=5)
        if not race.complete:
            above.plot(*way[-1], "x", color=NEXT_COLOUR, markersize=9, markeredgewidth=2)
        above.set_aspect("equal")
        above.autoscale()
        above.margins(0.08)
        above.set_xlabel("east, m")
        above.set_ylabel("north, m")
        above.set_title(f"{course.name}: {words(race)}", fontsize=10, loc="left")
        sheet.colorbar(lines, ax=above, label="speed, m/s", shrink=0.8)
        time = 0.01 * np.arange(len(trace.speed))
        beside.plot(time, trace.speed, color="#2a6f97", linewidth=1.4)
        beside.axhline(race.speed, color="#8d99ae", linewidth=1, linestyle="--")
        beside.set_xlabel("time, s")
        beside.set_ylabel("speed, m/s")
        beside.set_ylim(bottom=0)
        beside.set_title(f"mean {race.speed:.1f} m/s (dashed)", fontsize=10, loc="left")
        beside.grid(color="#d9dde3", linewidth=0.8)
    sheet.savefig(path)


def words(race: Race) -> str:
    """A race in words."""
    if race.complete:
        return f"{race.passed} gates in {race.time:.2f} s"
    return f"{race.outcome} after {race.passed} of {race.gates} gates, {race.time:.2f} s"
