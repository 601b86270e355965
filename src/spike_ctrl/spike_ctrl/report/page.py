"""The page: sections of text, tables and figures in one HTML file that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; color: #1f2430 }
h1 { font-size: 1.5rem }
h2 { font-size: 1.2rem; border-bottom: 2px solid #2369bd; padding-bottom: .2rem; margin-top: 2.5rem }
nav a { margin-right: 1rem; color: #2369bd }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 540px), 1fr)); gap: 1rem }
figure { margin: 0; border: 1px solid #e3e6ea; border-radius: 6px; padding: .5rem; min-width: 0 }
figure.wide { grid-column: 1 / -1 }
figcaption { font-size: 13px; color: #4b5563; padding: 0 .5rem }
figure img { width: 100%; height: auto }
figcaption b { color: #1f2430 }
table { border-collapse: collapse; font-size: 13px; margin: .8rem 0 }
td, th { border-bottom: 1px solid #d9dde3; padding: .25rem .7rem; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums }
ul.notes { font-size: 13px; color: #92400e }
.pass { color: #2f7d4f; font-weight: 600 } .fail { color: #b3261e; font-weight: 600 }
@media print {
  body { max-width: none; margin: 0; font-size: 11pt } nav { display: none } .grid { display: block }
  .modebar-container { display: none }
  figure { break-inside: avoid; margin-bottom: 1rem } h2 { break-after: avoid }
}
"""


@dataclass(frozen=True)
class Chart:
    """A plotly figure with its title and a caption. wide: it takes the whole width of the page."""

    title: str
    figure: object
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under a head; markup in a cell is text, unless it is a `Verdict`."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Verdict:
    """Words that are good or bad news."""

    text: str
    good: bool


@dataclass(frozen=True)
class Section:
    title: str
    parts: Sequence[Table | Chart | str] = ()
    notes: Sequence[str] = field(default=())


def page(title: str, sections: Sequence[Section], still: bool = False) -> str:
    """The whole file. plotly's script is inside once, at the end of the head; still: pictures in its place."""
    from plotly.offline import get_plotlyjs

    script = "" if still else f"<script>{get_plotlyjs()}</script>"
    links = " ".join(f'<a href="#section-{i}">{escape(section.title)}</a>' for i, section in enumerate(sections))
    body = "\n".join(_section(i, section, still) for i, section in enumerate(sections))
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"{script}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n<h1>{escape(title)}</h1>\n<nav>{links}</nav>\n'
        f"{body}\n</body></html>\n"
    )


def _section(number: int, section: Section, still: bool) -> str:
    lines = [f'<section id="section-{number}"><h2>{escape(section.title)}</h2>']
    if section.notes:
        lines.append('<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in section.notes) + "</ul>")
    grid: list[str] = []
    for index, part in enumerate(section.parts):
        if isinstance(part, Chart):
            grid.append(_chart(part, f"chart-{number}-{index}", still))
            continue
        if grid:
            lines.append(f'<div class="grid">{"".join(grid)}</div>')
            grid = []
        lines.append(_table(part) if isinstance(part, Table) else f"<p>{escape(part)}</p>")
    if grid:
        lines.append(f'<div class="grid">{"".join(grid)}</div>')
    return "\n".join([*lines, "</section>"])


def _chart(chart: Chart, name: str, still: bool) -> str:
    if still:
        from spike_ctrl.report.still import picture

        drawn = picture(chart.figure, chart.title, chart.wide)
    else:
        drawn = chart.figure.to_html(
            full_html=False, include_plotlyjs=False, div_id=name, config={"displaylogo": False, "responsive": True}
        )
    caption = f"<figcaption><b>{escape(chart.title)}</b> {escape(chart.caption)}</figcaption>"
    return f'<figure class="{"wide" if chart.wide else "narrow"}">{caption}{drawn}</figure>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, Verdict):
        return f'<td class="{"pass" if value.good else "fail"}">{escape(value.text)}</td>'
    if isinstance(value, float) and value != value:
        return '<td class="number">none</td>'
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>'
    return f'<td class="number">{value}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
