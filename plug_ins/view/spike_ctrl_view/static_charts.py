"""Draws a plotly figure as a picture, for small pages: matplotlib draws the same traces into a PNG with few colours.

It supports what the charts of a report consist of: lines and marks in two and three dimensions, bars, heat maps,
histograms, horizontal lines, bands and subplots. Any other trace is refused by name.
"""

import base64
import io
from html import escape
from typing import Any

import numpy as np

from spike_ctrl._files.errors import UsageError

PIXELS_PER_INCH, COLOURS = 120, 32
INCHES, WIDE_INCHES = 5.6, 11.6
LEVEL = "#6b7280"
NARROW = "(max-width: 800px)"  # as the page's own style
KNOWN = ("scatter", "scatter3d", "bar", "histogram", "heatmap")
DASHES = {"dash": "--", "dot": ":", "dashdot": "-."}


def image(figure: Any, title: str, wide: bool = False) -> str:
    """The figure as an <img> element with the PNG inside. Raises UsageError for a trace that cannot be drawn.

    A wide one has a second picture, which a narrow screen shows: shrunk to its width, the wide one could not be read.
    """
    drawn = f'<img alt="{escape(title)}" src="{_data(png(figure, wide))}">'
    return f'<picture><source media="{NARROW}" srcset="{_data(png(figure))}">{drawn}</picture>' if wide else drawn


def _data(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def png(figure: Any, wide: bool = False) -> bytes:
    """The figure as PNG with a palette of COLOURS colours. Raises UsageError for a trace that cannot be drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    height = (figure.layout.height or 380) / 86
    sheet = Figure((WIDE_INCHES if wide else INCHES, height), PIXELS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    for trace in figure.data:
        if trace.type not in KNOWN:
            raise UsageError(f"picture of '{trace.name}': found a trace of type {trace.type}, wanted {', '.join(KNOWN)}")
    axes = _axes(figure, sheet)
    for trace in figure.data:
        name = "scene" if trace.type == "scatter3d" else (trace.yaxis or "y")
        _trace(trace, axes[name])
    for name, axis in axes.items():
        if name != "scene" and _layout(figure, "y", name).rangemode == "tozero":
            axis.set_ylim(bottom=0)
    for shape in figure.layout.shapes:
        axis, dash = axes[(shape.yref or "y").split()[0]], DASHES.get(shape.line.dash, "-")
        if shape.type == "rect":  # a band over time
            axis.axvspan(shape.x0, shape.x1, color=shape.fillcolor or LEVEL, alpha=shape.opacity or 0.2, linewidth=0)
        else:
            axis.axhline(shape.y0, color=shape.line.color or LEVEL, linestyle=dash, linewidth=1)
    handles: dict[str, Any] = {}
    for axis in axes.values():
        handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if len(handles) > 1:
        sheet.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    small = io.BytesIO()
    canvas.draw()  # once: savefig draws twice
    # The usual median cut spends its colours on greys: thin lines of different colours become alike.
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    of_few = drawn.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    of_few.save(small, "png", optimize=True)
    return small.getvalue()


def _axes(figure: Any, sheet: Any) -> dict[str, Any]:
    """matplotlib axes by the name of plotly's y axis; "scene" in three dimensions. Places follow plotly's domains."""
    if any(trace.type == "scatter3d" for trace in figure.data):
        axis = sheet.add_subplot(projection="3d")
        for side in "xyz":
            text = getattr(figure.layout.scene, f"{side}axis").title.text
            getattr(axis, f"set_{side}label")(text or "", fontsize=8)
        axis.tick_params(labelsize=7)
        return {"scene": axis}
    pairs = dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in figure.data)
    places = {y: (_low(figure, "x", x), -_low(figure, "y", y)) for x, y in pairs}
    columns, rows = (sorted({place[i] for place in places.values()}) for i in (0, 1))
    titles = [note.text for note in figure.layout.annotations if note.yref == "paper"]
    found, overlaid = {}, []
    for number, (x, y) in enumerate(pairs):
        over = _layout(figure, "y", y).overlaying
        if over:
            overlaid.append((y, over))
            continue
        spot = rows.index(places[y][1]) * len(columns) + columns.index(places[y][0]) + 1
        axis = found[y] = sheet.add_subplot(len(rows), len(columns), spot)
        _label(axis, _layout(figure, "x", x), _layout(figure, "y", y))
        if number < len(titles):
            axis.set_title(titles[number], fontsize=9)
    for y, over in overlaid:
        found[y] = found[over].twinx()
        found[y].set_ylabel(_layout(figure, "y", y).title.text or "", fontsize=8)
    return found


def _layout(figure: Any, side: str, name: str) -> Any:
    return figure.layout[f"{side}axis{name[1:]}"]


def _low(figure: Any, side: str, name: str) -> float:
    domain = _layout(figure, side, name).domain
    return round(domain[0], 3) if domain else 0.0


def _label(axis: Any, horizontal: Any, vertical: Any) -> None:
    axis.set_xlabel(horizontal.title.text or "", fontsize=8)
    axis.set_ylabel(vertical.title.text or "", fontsize=8)
    axis.tick_params(labelsize=7, which="both")
    axis.grid(color="#e3e6ea", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    if vertical.categoryarray:  # matplotlib orders words as it first meets them
        axis.plot([np.nan] * len(vertical.categoryarray), vertical.categoryarray)
    axis.margins(x=0)  # as plotly draws lines: curves over one time begin and end at one place
    for which, setting in (("x", horizontal), ("y", vertical)):
        if setting.type == "log":
            getattr(axis, f"set_{which}scale")("log")
        if setting.range:  # plotly tells exponents for a log axis
            getattr(axis, f"set_{which}lim")(*(10.0**end if setting.type == "log" else end for end in setting.range))


def _trace(trace: Any, axis: Any) -> None:
    label = trace.name if trace.showlegend is not False and trace.name else "_"
    if trace.type == "scatter" and trace.fill == "toself":
        axis.fill(_numbers(trace.x), _numbers(trace.y), color=trace.fillcolor, alpha=trace.opacity or 0.2, linewidth=0)
    elif trace.type in ("scatter", "scatter3d"):
        parts = [_numbers(trace[side]) for side in ("xyz" if trace.type == "scatter3d" else "xy")]
        marks = "markers" in (trace.mode or "lines")
        colour = trace.line.color or (trace.marker.color if isinstance(trace.marker.color, str) else None)
        axis.plot(
            *parts,
            label=label,
            color=colour,
            linewidth=0 if marks and "lines" not in trace.mode else _width(trace),
            linestyle=DASHES.get(trace.line.dash, "-"),
            solid_capstyle="butt",  # a thick line ends where its last point lies
            marker=("D" if trace.marker.symbol == "diamond" else "o") if marks else None,
            markersize=6 if trace.marker.symbol == "diamond" else 3,
            markeredgecolor=trace.marker.line.color or colour,
            zorder=3 if marks else 2,
            alpha=trace.opacity,
        )
        if trace.type == "scatter":
            axis.autoscale_view()
    elif trace.type == "bar":
        _bars(trace, axis, label)
    elif trace.type == "histogram":
        axis.hist(np.asarray(trace.x, float), bins=trace.nbinsx or 40, label=label, color=trace.marker.color)
    else:
        _heat(trace, axis)


def _heat(trace: Any, axis: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    z, x = np.asarray(trace.z, float), np.asarray(trace.x, float)
    colours = LinearSegmentedColormap.from_list("", [(share, colour) for share, colour in trace.colorscale])
    extent = (x[0], x[-1], -0.5, len(z) - 0.5)
    axis.imshow(z, cmap=colours, vmin=trace.zmin, vmax=trace.zmax, aspect="auto", origin="lower", extent=extent,
                interpolation="antialiased")  # fmt: skip
    axis.grid(False)


def _bars(trace: Any, axis: Any, label: str) -> None:
    """Draw a group of bars beside those that are drawn already."""
    drawn = len(axis.containers)
    width = 0.2
    places = np.arange(len(trace.x)) + drawn * width
    axis.bar(places, np.asarray(trace.y, float), width, label=label, color=trace.marker.color)
    axis.set_xticks(np.arange(len(trace.x)) + drawn * width / 2, trace.x)


def _width(trace: Any) -> float:
    """Of a line, in points; lines in space are as thick as others."""
    return 0.8 * trace.line.width if trace.type == "scatter" and trace.line.width else 1.2


def _numbers(values: Any) -> np.ndarray:
    found = np.asarray(values)
    return found if found.dtype.kind in "US" else found.astype(float)
