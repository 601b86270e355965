"""The HTML page of a report: sections of text, tables and figures in one file that needs no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any, TypeAlias

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError

STYLE = """
:root { color-scheme: light; --ink: #1f2430; --soft: #5b6472; --line: #e3e6ea; --blue: #2369bd }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1280px; margin: 0 auto; padding: 0 1.25rem 3rem; color: var(--ink) }
header { padding: 1.6rem 0 .4rem }
h1 { font-size: 1.6rem; margin: 0 }
header p { margin: .1rem 0 0; color: var(--soft); font-size: 13px }
nav { position: sticky; top: 0; background: #fffd; backdrop-filter: blur(4px); padding: .5rem 0; z-index: 5;
  border-bottom: 1px solid var(--line) }
nav a { margin-right: 1.2rem; color: var(--blue); text-decoration: none; font-size: 14px; white-space: nowrap }
nav a:hover { text-decoration: underline }
section { scroll-margin-top: 3rem }
h2 { font-size: 1.25rem; border-bottom: 2px solid var(--blue); padding-bottom: .25rem; margin: 2.2rem 0 1rem }
.grid { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; margin: 1rem 0;
  grid-auto-flow: dense }
.tables { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: flex-start }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0 }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .9rem .6rem; min-width: 7.5rem;
  background: #fafbfc }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; line-height: 1.3 }
.tile span { font-size: 12.5px; color: var(--soft) }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .6rem .6rem .3rem; min-width: 0 }
figure.wide { grid-column: 1 / -1 }
figure img { width: 100%; height: auto }
figcaption { font-size: 13px; color: var(--soft); padding: 0 .4rem; min-height: 1.5em }
figcaption b { color: var(--ink); font-size: 14px; margin-right: .4em }
.scroll { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0 }
td, th { border-bottom: 1px solid var(--line); padding: .28rem .8rem .28rem .2rem; text-align: left; vertical-align: top }
th { color: var(--soft); font-weight: 600; white-space: nowrap; vertical-align: bottom }
td { overflow-wrap: anywhere } td:first-child { overflow-wrap: normal }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
td.number { white-space: nowrap } th.number { white-space: normal; max-width: 9em }
ul.notes { font-size: 13px; color: #92400e; background: #fff8eb; border-radius: 6px; padding: .5rem .5rem .5rem 1.6rem }
.pass { color: #1f7a45; font-weight: 600 } .fail { color: #b3261e; font-weight: 600 }
@media (max-width: 1100px) { th { white-space: normal } }
@media (max-width: 800px) {
  .grid { grid-template-columns: minmax(0, 1fr) }
  body { padding: 0 .6rem 2rem } h1 { font-size: 1.3rem } .tile { min-width: 6rem; padding: .35rem .6rem; flex: 1 1 40% }
  nav { overflow-x: auto; white-space: nowrap } figure { padding: .4rem .1rem .2rem }
  .modebar-container { display: none }
}
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e4e7ec; --soft: #a0a8b5; --line: #343a46; --blue: #6ea8ee }
  body { background: #14171c } nav { background: #14171cdd } .tile { background: #1b1f26 }
  figure > div, figure img { filter: invert(.92) hue-rotate(180deg) }
  ul.notes { color: #f0c987; background: #2b2416 } .pass { color: #5cc98a } .fail { color: #ff8a80 }
}
@page { size: A4; margin: 12mm }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt } header { padding-top: 0 } nav { display: none }
  .modebar-container { display: none }
  section ~ section > h2 { break-before: page }
  figure, .tile, tr { break-inside: avoid } h2 { break-after: avoid; margin-top: 0 }
  .grid { display: block } figure { margin: 0 0 4mm }
  .scroll { overflow: visible } table { font-size: 8pt } th, td { white-space: normal; padding-right: .4rem }
}
"""
# On paper a figure is as wide as the sheet. plotly must redraw it before printing, and again afterwards.
PRINT = """
const paper = matchMedia("print");
const draw = width => document.querySelectorAll(".plotly-graph-div").forEach(
  div => Plotly.relayout(div, width ? {autosize: false, width: width} : {autosize: true, width: null}));
paper.addEventListener("change", event => draw(event.matches ? 660 : 0));
addEventListener("beforeprint", () => draw(660));
addEventListener("afterprint", () => draw(0));
"""
BUTTONS = ["select2d", "lasso2d", "autoScale2d", "resetCameraLastSave3d", "hoverClosestCartesian", "hoverCompareCartesian"]
LOOKS = {True: ' class="pass"', False: ' class="fail"', None: ""}  # of what is good, bad or neither


@dataclass(frozen=True)
class Chart:
    """A plotly figure with its title and caption. wide: the chart takes the whole width of the page."""

    title: str
    figure: Any
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text, numbers and verdicts under a head. HTML in a cell is shown as text. head may be empty texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Verdict:
    """A result that is good, shown in green, or bad, in red; None: neither."""

    text: str
    good: bool | None


@dataclass(frozen=True)
class FigureTile:
    """A key figure, shown large. good: shown in green if True, in red if False, in neither if None."""

    name: str
    value: str
    good: bool | None = None


@dataclass(frozen=True)
class Tiles:
    """A row of key figures."""

    tiles: Sequence[FigureTile]


Part: TypeAlias = Table | Chart | Tiles | str
Draw: TypeAlias = Callable[[Any, str, bool], str]
"""HTML of a plotly figure, with its title, and whether it takes the whole width."""


@dataclass(frozen=True)
class Section:
    """A part of the page with its own heading. notes: warnings below the heading."""

    title: str
    parts: Sequence[Part] = ()
    notes: Sequence[str] = ()


def added(point: str, notes: list[str], *about: Any) -> list[Part]:
    """The parts that the plug-ins of a point make of what a section is about. A broken one is left out, with a note."""
    found: list[Part] = []
    for _, parts_of in plug_ins.loaded(point):
        if isinstance(parts_of, UsageError):
            notes.append(f"left out: {parts_of}")
        else:
            found += parts_of(*about)
    return found


def page(title: str, sections: Sequence[Section], about: str = "", draw: Draw | None = None) -> str:
    """The page as HTML.

    about: a line below the title. draw: draws all charts, and the page has no script. Without it charts are interactive,
    and the head holds plotly's script once, for all of them.
    """
    from plotly.offline import get_plotlyjs

    plotly, printing = ("", "") if draw else (f"<script>{get_plotlyjs()}</script>", f"<script>{PRINT}</script>")
    links = " ".join(f'<a href="#section-{i}">{escape(section.title)}</a>' for i, section in enumerate(sections))
    body = "\n".join(_section(i, section, draw) for i, section in enumerate(sections))
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"{plotly}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n<header><h1>{escape(title)}</h1>'
        f"<p>{escape(about)}</p></header>\n<nav>{links}</nav>\n{body}\n{printing}</body></html>\n"
    )


def _section(number: int, section: Section, draw: Draw | None) -> str:
    """A section as HTML. Consecutive charts share a grid, and consecutive tables share a row."""
    lines = [f'<section id="section-{number}"><h2>{escape(section.title)}</h2>']
    if section.notes:
        lines.append('<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in section.notes) + "</ul>")
    drawn = ((type(part), _part(part, f"chart-{number}-{index}", draw)) for index, part in enumerate(section.parts))
    for kind, parts in groupby(drawn, key=lambda pair: pair[0]):
        inside = "".join(text for _, text in parts)
        frame = {Chart: "grid", Table: "tables"}.get(kind)
        lines.append(f'<div class="{frame}">{inside}</div>' if frame else inside)
    return "\n".join([*lines, "</section>"])


def _part(part: Chart | Table | Tiles | str, name: str, draw: Draw | None) -> str:
    if isinstance(part, Chart):
        return _chart(part, name, draw)
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    return f'<div class="tiles">{"".join(map(_tile, part.tiles))}</div>'


def _chart(chart: Chart, name: str, draw: Draw | None) -> str:
    if draw:
        drawn = draw(chart.figure, chart.title, chart.wide)
    else:
        config = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": BUTTONS}
        drawn = chart.figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config)
    caption = f"<figcaption><b>{escape(chart.title)}</b> {escape(chart.caption)}</figcaption>"
    return f'<figure class="{"wide" if chart.wide else "narrow"}">{caption}{drawn}</figure>'


def _tile(tile: FigureTile) -> str:
    return f'<div class="tile"><span>{escape(tile.name)}</span><b{LOOKS[tile.good]}>{escape(tile.value)}</b></div>'


def _table(table: Table) -> str:
    first = table.rows[0] if table.rows else ()
    numeric = [isinstance(value, int | float) for value in first] or [False] * len(table.head)
    cells = zip(table.head, numeric, strict=True)
    head = "".join(f"<th{' class=number' if right else ''}>{escape(cell)}</th>" for cell, right in cells)
    head = f"<thead><tr>{head}</tr></thead>" if any(table.head) else ""
    rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    return f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, Verdict):
        return f"<td{LOOKS[value.good]}>{escape(value.text)}</td>"
    if isinstance(value, float) and value != value:
        return '<td class="number">none</td>'
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>'
    return f'<td class="number">{value}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
