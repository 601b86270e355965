"""The moving charts of the viewer: error, spike rates, and the spikes themselves, of the first vehicle."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

SECONDS = 20.0
LAYERS = 3  # most layers that are drawn
COLOURS = ("#2369bd", "#d9722e", "#2f9467")
INK = "#5b6472"
SPIKE, QUIET = (35, 105, 189), (244, 246, 248)
DIVIDER = (120, 130, 145)  # between layers


class LiveCharts:
    """gui: viser's, with the folders for them. Charts appear when there is something to draw. rate: of `add`, Hz."""

    def __init__(self, gui: Any, error_folder: Any, spikes_folder: Any, rate: float):
        self.gui = gui
        self.rows: deque[tuple[float, ...]] = deque(maxlen=int(SECONDS * rate))
        self.error_folder, self.spikes_folder = error_folder, spikes_folder
        self.error: Any = None  # what viser has drawn
        self.rates: Any = None
        self.raster: Any = None

    def add(self, now: float, error: float, rates: Sequence[float]) -> None:
        """A sample at the monotonic time `now`, s. error: m. rates: shares of the neurons of each layer."""
        known = [*rates[:LAYERS], *[np.nan] * LAYERS][:LAYERS]
        self.rows.append((now, error, *known))

    def draw(self, limit: float, spikes: Sequence[np.ndarray], layers: Sequence[int]) -> None:
        """Draw the samples since SECONDS ago, and spikes (steps of (neurons,)) of layers with so many neurons."""
        if len(self.rows) > 1:
            data = np.array(self.rows)
            ago = data[:, 0] - data[-1, 0]
            data, ago = data[ago > -SECONDS], ago[ago > -SECONDS]
            lines = (ago, data[:, 1], np.full(len(ago), limit))
            with self.error_folder:
                self.error = self._chart(self.error, "m from the set-point, over s", lines, ("error", "pass line"))
            count = np.isfinite(data[:, 2:]).any(0).sum()
            if count:
                self.spikes_folder.visible = True
                columns = tuple(np.nan_to_num(data[:, 2 + layer]) for layer in range(count))
                names = tuple(f"layer {layer}" for layer in range(count))
                with self.spikes_folder:
                    self.rates = self._chart(self.rates, "share of neurons that spike, over s", (ago, *columns), names)
        if len(spikes) and layers:
            self.spikes_folder.visible = True
            picture = raster(np.array(spikes), layers)
            if self.raster is None:
                with self.spikes_folder:
                    self.raster = self.gui.add_image(picture, label="spikes of 2 s, a row for each neuron", format="png")
            else:
                self.raster.image = picture

    def _chart(self, chart: Any, title: str, data: tuple[Any, ...], names: Sequence[str]) -> Any:
        if chart is not None:
            chart.data = data
            return chart
        lines = tuple({"label": name, "stroke": colour, "width": 1.5} for name, colour in zip(names, COLOURS, strict=False))
        axis = {"stroke": INK, "grid": {"stroke": "#8883", "width": 1}, "ticks": {"stroke": "#8883"}}
        return self.gui.add_uplot(
            data,
            ({"label": "s"}, *lines),
            title=title,
            scales={"x": {"time": False}, "y": {"range": (0.0, None)}},
            axes=(axis, axis),
            height=130,
        )


def raster(spikes: np.ndarray, layers: Sequence[int]) -> np.ndarray:
    """A picture (neurons and lines between layers, 2 steps, 3) of spikes (steps, neurons), the newest at the right."""
    spikes = np.repeat(spikes, 2, axis=0)
    picture = np.where(spikes.T[..., None] > 0, np.array(SPIKE, np.uint8), np.array(QUIET, np.uint8))
    return np.insert(picture, np.cumsum(layers)[:-1], DIVIDER, axis=0).astype(np.uint8)
