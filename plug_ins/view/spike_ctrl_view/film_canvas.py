"""What a film is drawn on: a fixed view into the world, vehicles as outlines, and the GIF that the frames become.

It needs matplotlib and Pillow, no GPU and no screen.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files import atomic_file, output_paths
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.report.colours import COLOURS, GRID_COLOUR

PIXELS_PER_INCH = 100
SHADES, GREYS = (1.0, 0.75, 0.5, 0.3, 0.12), 14  # of each colour of a report on white; from black to white
AZIMUTH, ELEVATION = math.radians(28), math.radians(18)  # from where one looks: south-west, from above
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
EDGES = [(i, j) for i in range(8) for j in range(i) if np.abs(CORNERS[i] - CORNERS[j]).sum() == 2]
FLOOR_STEP = 0.5  # m


def seen(points: np.ndarray) -> np.ndarray:
    """Points (..., 3), m in the world (ENU), as they are seen: (..., 2), to the right and up, m, without perspective."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    deep = math.cos(AZIMUTH) * y - math.sin(AZIMUTH) * x
    right = math.cos(AZIMUTH) * x + math.sin(AZIMUTH) * y
    return np.stack([right, math.cos(ELEVATION) * z + math.sin(ELEVATION) * deep], axis=-1)


def box(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The twelve edges of a box between two corners (3,), as they are seen: (12, 2, 2)."""
    corners = (low + high) / 2 + CORNERS * (high - low) / 2
    return seen(corners[np.array(EDGES)])


def floor(low: np.ndarray, high: np.ndarray, step: float = FLOOR_STEP) -> np.ndarray:
    """Lines (K, 2, 2) of a grid on the floor of that box, with squares of so many m."""
    xs, ys = (np.arange(math.ceil(low[i] / step), high[i] / step + 1e-9) * step for i in (0, 1))
    along = [[(x, low[1], low[2]), (x, high[1], low[2])] for x in xs]
    return seen(np.array(along + [[(low[0], y, low[2]), (high[0], y, low[2])] for y in ys]))


def stage(sheet: Any, share: float, flown: np.ndarray, set_points: np.ndarray, margin: float) -> tuple[Any, float]:
    """Axes over this share of a sheet's width that show a flight, its floor and set-points; the height (m) of the floor.

    flown, set_points: (T, 3), m; a set-point may be unknown, NaN. margin: m about both.
    """
    places = np.concatenate([flown, set_points])
    low, high = np.nanmin(places, axis=0) - margin, np.nanmax(places, axis=0) + margin
    drawn = axes(sheet, share, low, high)
    drawn.plot(*seen(set_points).T, color="#b8bec8", linewidth=1.0, linestyle=(0, (4, 3)))
    return drawn, float(low[2])


def axes(sheet: Any, share: float, low: np.ndarray, high: np.ndarray, step: float = FLOOR_STEP) -> Any:
    """Axes over this share of a sheet's width that show a box between two corners (3,), m, and its floor."""
    from matplotlib.collections import LineCollection

    drawn = sheet.add_axes((0.01, 0.01, share, 0.98))
    drawn.set_axis_off()
    corners = box(low, high).reshape(-1, 2)
    drawn.set(xlim=(corners[:, 0].min(), corners[:, 0].max()), ylim=(corners[:, 1].min(), corners[:, 1].max()))
    drawn.set_aspect("equal")
    drawn.add_collection(LineCollection(floor(low, high, step), colors=GRID_COLOUR, linewidths=0.8))
    return drawn


def arms(position: np.ndarray, attitude: np.ndarray, length: float) -> np.ndarray:
    """The two beams of N vehicles as they are seen, (2 N, 2, 2).

    position (N, 3), m. attitude (N, 3, 3): body to world. length: of an arm, m; it is drawn larger than it is.
    """
    tips = length * np.array([[1, 1, 0], [-1, -1, 0], [1, -1, 0], [-1, 1, 0]]) / math.sqrt(2)
    return seen(position[:, None] + np.einsum("nij,kj->nki", attitude, tips)).reshape(-1, 2, 2)


def rotors(position: np.ndarray, attitude: np.ndarray, length: float) -> np.ndarray:
    """The four rotor discs of one vehicle as they are seen, (4, corners, 2). position (3,), attitude (3, 3)."""
    turn = np.linspace(0, 2 * math.pi, 18)
    disc = 0.42 * length * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=-1)
    tips = length * np.array([[1, 1, 0], [-1, -1, 0], [1, -1, 0], [-1, 1, 0]]) / math.sqrt(2)
    return seen(position + (tips[:, None] + disc) @ attitude.T)


def sheet(width: int, height: int):
    """An empty matplotlib figure of so many pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    inches = [(pixels + 0.01) / PIXELS_PER_INCH for pixels in (width, height)]  # some versions of it round down
    figure = Figure(inches, PIXELS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def pixels(figure) -> np.ndarray:
    """The figure as it is now, (height, width, 3)."""
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def require(what: str, target: Path) -> None:
    """Raise UsageError where `write_gif` could not write. what: the option that names the film."""
    if target.suffix.lower() != ".gif":
        raise UsageError(f"{what}: found {target}, wanted a name that ends in .gif")
    output_paths.require_file(what, target, replaced=True)


def write_gif(target: Path, frames: Iterable[np.ndarray], seconds: float, last: float) -> int:
    """Write frames (height, width, 3) as a GIF that repeats; gives how many there were. seconds: of each; last: of the last.

    All frames have the same few colours, those of a report, so that what stands still costs nothing.
    Raises UsageError where the file cannot be written.
    """
    from PIL import Image

    colours = Image.new("P", (1, 1))
    colours.putpalette(_palette().ravel().tolist())
    few = [Image.fromarray(frame).quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    ms = [round(1e3 * seconds)] * (len(few) - 1) + [round(1e3 * last)]

    def save(path: str) -> None:
        few[0].save(path, "gif", save_all=True, append_images=few[1:], duration=ms, loop=0, optimize=False)

    with refused(f"{target}: cannot be written"):
        atomic_file.replace(target, save)
    return len(few)


def _palette() -> np.ndarray:
    """The colours of a film, (K, 3) of 0..255: those of a report in SHADES on white, and greys."""
    own = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS[:-1]], float)
    shades = [255 + share * (own - 255) for share in SHADES]
    greys = np.repeat(np.linspace(24, 255, GREYS)[:, None], 3, axis=1)
    return np.concatenate([*shades, greys]).round().astype(np.uint8)
