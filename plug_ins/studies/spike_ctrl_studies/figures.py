"""Charts that are described once and drawn in two ways: as PNG for documents and as one interactive page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_ctrl.report.colours import COLOURS, GRID_COLOUR, LEVEL_COLOUR, PAPER_COLOUR

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

PANEL_INCHES = (5.4, 3.9)
MANY, IN_A_ROW = 6, 4  # a legend with more entries would cover the curves, so one for all panels stands below them
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; color: #1f2430 }
table { border-collapse: collapse; font-size: 13px }
td, th { border-bottom: 1px solid #d9dde3; padding: .25rem .6rem; text-align: left }
"""


@dataclass(frozen=True)
class Line:
    """y over x, with a band from low to high if given. paper: a figure of the paper, dashed with hollow marks."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: int = 0
    paper: bool = False
    faint: bool = False  # one of several curves behind their mean: thin, not in the legend
    marks: bool = False
    joined: bool = True  # False: marks alone


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with."""

    name: str
    y: float


@dataclass(frozen=True)
class Bars:
    """One bar per category, with its deviation if given. NaN leaves a gap. paper: a figure of the paper, hollow."""

    name: str
    values: Sequence[float]
    deviations: Sequence[float] = ()
    colour: int = 0
    paper: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes. With categories, bars stand above them, and lines give x as the index of the category."""

    title: str
    x_label: str
    y_label: str
    marks: Sequence[Line | Level | Bars]
    categories: Sequence[str] = ()
    log_x: bool = False
    log_y: bool = False
    format: str = ""  # of the numbers above bars, for example ".0f"; "": no numbers
    low: float | None = None  # where the y axis begins
    stacked: bool = False  # the bars of a category share one place; only one of them has a value


@dataclass(frozen=True)
class Figure:
    """Panels side by side. name: of its file, without suffix."""

    name: str
    title: str
    panels: Sequence[Panel]


class MissingPackage(ImportError):
    """A package for drawing is not installed. The message is one line that says how to install it."""


def require() -> None:
    """Raises MissingPackage if matplotlib or plotly is missing. Call it before hours of measuring."""
    for package in ("matplotlib", "plotly"):
        try:
            __import__(package)
        except ImportError:
            raise MissingPackage(f"experiment needs the package {package}: pip install {package}") from None


def _colour(line: Line) -> str:
    return PAPER_COLOUR if line.paper and line.joined else COLOURS[line.colour % len(COLOURS)]


def _dashes(line: Line) -> str:
    """Of matplotlib: the second time round the colours, lines are dash-dotted."""
    return "--" if line.paper else "-" if line.colour < len(COLOURS) else "-."


def _bars(panel: Panel) -> list[Bars]:
    return [mark for mark in panel.marks if isinstance(mark, Bars)]


def _grid(figure: Figure) -> tuple[int, int]:
    """Rows and columns of the panels: up to three side by side, else two."""
    columns = len(figure.panels) if len(figure.panels) <= 3 else 2
    return -(-len(figure.panels) // columns), columns


def save_png(figure: Figure, path: Path) -> None:
    """Draw a figure as PNG, with matplotlib."""
    from matplotlib.figure import Figure as Sheet

    width, height = PANEL_INCHES
    wide = max(1.0, *(len(_bars(panel)) * len(panel.categories) / 12 for panel in figure.panels))
    rows, columns = _grid(figure)
    size = (width * columns * min(wide, 2.0), height * rows + 0.35)
    sheet = Sheet(figsize=size, dpi=110, layout="constrained")
    sheet.suptitle(figure.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    every = sheet.subplots(rows, columns, squeeze=False).ravel()
    for unused in every[len(figure.panels) :]:
        unused.set_axis_off()
    names: list[Annotation] = []
    below: dict[str, Artist] = {}
    for panel, axes in zip(figure.panels, every, strict=False):
        axes.set_title(panel.title, fontsize=10, loc="left")
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
        axes.grid(axis="y" if panel.categories else "both", color=GRID_COLOUR, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if panel.log_x:
            axes.set_xscale("log")
        if panel.log_y:
            axes.set_yscale("log")
        for mark in panel.marks:
            if isinstance(mark, Line):
                _plot_line(axes, mark)
            elif isinstance(mark, Level):
                axes.axhline(mark.y, color=LEVEL_COLOUR, linestyle=(0, (1, 1.5)), linewidth=1.3)
                name = axes.annotate(
                    mark.name, (0, mark.y), (0, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                    fontsize=7.5, color=LEVEL_COLOUR,
                )  # fmt: skip
                names.append(name)
        _plot_bars(axes, panel)
        if panel.categories:
            long = sum(map(len, panel.categories)) > 56
            axes.set_xticks(
                range(len(panel.categories)),
                panel.categories,
                rotation=22 if long else 0,
                ha="right" if long else "center",
                rotation_mode="anchor" if long else "default",
            )
            axes.margins(x=0.04)
        axes.margins(y=0.12)
        if panel.low is not None:
            axes.set_ylim(bottom=panel.low)
        handles, labels = axes.get_legend_handles_labels()
        if len(handles) > MANY:
            below |= dict(zip(map(str, labels), handles, strict=True))
        elif handles:
            place: dict[str, Any] = {}
            if _bars(panel):  # the legend would cover their numbers
                place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": len(handles)}
            axes.legend(fontsize=8, frameon=True, framealpha=0.85, edgecolor="none", **place)
    if below:
        sheet.legend(
            list(below.values()), list(below), loc="outside lower center", ncols=IN_A_ROW, fontsize=8, frameon=False
        )
    sheet.draw_without_rendering()  # places are known only after this
    for name in names:
        _clear(name)
    sheet.savefig(path)


def _clear(name: Annotation) -> None:
    """Move the name of a level to a place without curve or legend: at the right below its line, if that is free."""
    axes: Any = name.axes
    _, y = name.xy
    curves = [line for line in axes.lines if not line.get_label().startswith("_")]
    paths = [line.get_transform().transform_path(line.get_path()) for line in curves]
    legend = axes.get_legend()
    for (x, ha), (up, va) in product(((0.99, "right"), (0.5, "center"), (0.01, "left")), ((-3, "top"), (3, "bottom"))):
        name.xy = x, y
        name.set(position=(0, up), ha=ha, va=va)
        box = name.get_window_extent()
        if any(path.intersects_bbox(box, filled=False) for path in paths):
            continue
        if legend is None or not box.overlaps(legend.get_window_extent()):
            return


def _plot_line(axes: Axes, line: Line) -> None:
    colour = _colour(line)
    if len(line.low):
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
    if line.faint:
        axes.plot(line.x, line.y, color=colour, linewidth=0.8, alpha=0.4)
        return
    axes.plot(
        line.x,
        line.y,
        color=colour,
        linestyle=_dashes(line) if line.joined else "none",
        linewidth=1.2 if line.paper else 2.0,
        marker=("D" if line.paper else "o") if line.marks or line.paper else None,
        markersize=5,
        markerfacecolor="white" if line.paper else colour,
        label=line.name,
    )


def _plot_bars(axes: Axes, panel: Panel) -> None:
    groups = _bars(panel)
    width = 0.55 if panel.stacked else 0.8 / max(len(groups), 1)
    for index, bars in enumerate(groups):
        shift = 0.0 if panel.stacked else width * (index + 0.5) - 0.4
        at = [i + shift for i in range(len(bars.values))]
        colour = PAPER_COLOUR if bars.paper else COLOURS[bars.colour % len(COLOURS)]
        look: dict[str, Any] = (
            {"facecolor": "none", "edgecolor": colour, "linestyle": "--"} if bars.paper else {"color": colour}
        )
        axes.bar(at, bars.values, width * 0.9, label=bars.name, linewidth=1.2, **look)
        if len(bars.deviations):
            axes.errorbar(at, bars.values, bars.deviations, fmt="none", ecolor=PAPER_COLOUR, elinewidth=1, capsize=2.5)
        over = bars.deviations if len(bars.deviations) else [0.0] * len(at)
        for x, value, deviation in zip(at, bars.values, over, strict=True):
            if panel.format and math.isfinite(value):
                up = value >= 0
                axes.annotate(
                    f"{value:{panel.format}}", (x, value + deviation if up else value - deviation), (0, 3 if up else -3),
                    textcoords="offset points", ha="center", va="bottom" if up else "top", fontsize=7, color=colour,
                )  # fmt: skip


def page(title: str, figures: Sequence[Figure], text: str = "") -> str:
    """All figures in one HTML page with plotly's script inside, so it needs no network. text: HTML below the title."""
    parts = [f"<h1>{escape(title)}</h1>", text]
    for index, figure in enumerate(figures):
        parts.append(f"<h2>{escape(figure.title)}</h2>")
        parts.append(
            _interactive(figure).to_html(full_html=False, include_plotlyjs=index == 0, config={"displaylogo": False})
        )
    body = "\n".join(parts)
    head = f'<head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>'
    return f'<!doctype html>\n<html lang="en">{head}<body>\n{body}\n</body></html>\n'


def _interactive(figure: Figure) -> Any:
    from plotly.subplots import make_subplots

    titles = [panel.title for panel in figure.panels]
    rows, columns = _grid(figure)
    used: list[list[dict[str, str] | None]]
    used = [[{} if row * columns + column < len(titles) else None for column in range(columns)] for row in range(rows)]
    sheet = make_subplots(rows=rows, cols=columns, specs=used, subplot_titles=titles, horizontal_spacing=0.09)
    shown: set[str] = set()
    for index, panel in enumerate(figure.panels):
        where = {"row": index // columns + 1, "col": index % columns + 1}
        for mark in panel.marks:
            for trace in _traces(mark, panel):
                trace["legendgroup"] = mark.name
                trace["showlegend"] = trace.get("showlegend", True) and mark.name not in shown
                if trace["showlegend"]:
                    shown.add(mark.name)
                sheet.add_trace(trace, **where)
        sheet.update_xaxes(title_text=panel.x_label, type="log" if panel.log_x else None, **where)
        kind = "log" if panel.log_y else None
        sheet.update_yaxes(title_text=panel.y_label, type=kind, exponentformat="power", **where)
        if panel.categories:
            ticks = {"tickvals": list(range(len(panel.categories))), "ticktext": list(panel.categories)}
            sheet.update_xaxes(**ticks, **where)
        if panel.low is not None:
            sheet.update_yaxes(range=[panel.low, None], **where)
    mode = "overlay" if any(panel.stacked for panel in figure.panels) else "group"
    legend = {"orientation": "h", "y": -0.25 / rows}
    sheet.update_layout(template="plotly_white", height=460 * rows, barmode=mode, legend=legend)
    return sheet


def _traces(mark: Line | Level | Bars, panel: Panel) -> list[dict[str, Any]]:
    if isinstance(mark, Level):
        xs = [x for line in panel.marks if isinstance(line, Line) for x in line.x] or [0, max(len(panel.categories) - 1, 1)]
        look = {"color": LEVEL_COLOUR, "dash": "dot"}
        ends = [min(xs), max(xs)]
        return [{"type": "scatter", "name": mark.name, "x": ends, "y": [mark.y] * 2, "mode": "lines", "line": look}]
    if isinstance(mark, Bars):
        colour = PAPER_COLOUR if mark.paper else COLOURS[mark.colour % len(COLOURS)]
        trace: dict[str, Any] = {"type": "bar", "name": mark.name, "y": _plain(mark.values)}
        trace["x"] = list(range(len(mark.values)))
        trace["marker"] = {"color": "rgba(0,0,0,0)" if mark.paper else colour, "line": {"color": colour, "width": 1.5}}
        if len(mark.deviations):
            trace["error_y"] = {"type": "data", "array": _plain(mark.deviations), "thickness": 1}
        return [trace]
    colour, traces = _colour(mark), list[dict[str, Any]]()
    if len(mark.low):
        outline = {"x": [*mark.x, *reversed(list(mark.x))], "y": _plain([*mark.high, *reversed(list(mark.low))])}
        shade: dict[str, Any] = {"fill": "toself", "opacity": 0.16, "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append(
            {
                "type": "scatter",
                "name": mark.name,
                "mode": "lines",
                "showlegend": False,
                "fillcolor": colour,
                **outline,
                **shade,
            }
        )
    dash = {"-": "solid", "--": "dash", "-.": "dashdot"}[_dashes(mark)]
    style = {"color": colour, "width": 1 if mark.faint else 2, "dash": dash}
    line: dict[str, Any] = {"type": "scatter", "name": mark.name, "x": _plain(mark.x), "y": _plain(mark.y), "line": style}
    line["mode"] = "markers" if not mark.joined else "lines+markers" if mark.marks or mark.paper else "lines"
    line["marker"] = {"symbol": "diamond-open" if mark.paper else "circle", "size": 7}
    if mark.faint:
        line |= {"opacity": 0.4, "showlegend": False}
    return [*traces, line]


def _plain(values: Sequence[float]) -> list[float | None]:
    """Python numbers. What is not finite becomes None, which plotly leaves out."""
    return [float(value) if math.isfinite(value) else None for value in values]
