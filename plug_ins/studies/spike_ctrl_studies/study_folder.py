"""The folder of an experiment: everything that was measured, and the report on it.

config.json      the options, and every unit with its settings
raw/UNIT.jsonl   the lines of a unit; the file exists once the unit is finished
runs/UNIT/       files that a unit keeps, such as policy.safetensors
table.csv, table.md, report.md, figures/NAME.png, figures.html
machines.jsonl   what each unit cost on which machine of a cluster
"""

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from spike_ctrl import airframe
from spike_ctrl._files import atomic_file
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl._files.json_lines import plain
from spike_ctrl_studies import figures
from spike_ctrl_studies.study import DIFFERS, OPEN, Lines, Report, StudyFinding, StudyOptions, Unit, UnitResult

CONFIG = "config.json"
ROOT = Path("runs") / "experiments"


class Folder:
    """The folder at `path` of the experiment `name` with these options and units. Methods raise UsageError."""

    def __init__(self, path: Path, name: str, options: StudyOptions, units: Sequence[Unit], origin: Mapping[str, str]):
        """Create the folder, or continue it. Raises UsageError if it is that of another experiment."""
        self.path, self.units = path, list(units)
        config = _config(name, options, units)
        found = _read_config(path / CONFIG)
        if found is None:
            if path.is_dir() and any(path.iterdir()):
                raise UsageError(f"{path}: found files but no {CONFIG}, wanted a new folder or that of an experiment")
            _write(path / CONFIG, json.dumps(config | {"origin": dict(origin)}, indent=1).encode())
        else:
            _require_same(path, found, config)

    def done(self, unit: Unit) -> bool:
        """Whether the unit is finished."""
        return self._raw(unit).is_file()

    def keep(self, unit: Unit, result: UnitResult) -> None:
        """Write the result of a unit. Its lines are written last, so a unit with lines is complete."""
        for name, data in result.files.items():
            _write(self.path / "runs" / unit.name / name, data)
        text = "".join(json.dumps(plain(line), allow_nan=False) + "\n" for line in result.lines)
        _write(self._raw(unit), text.encode())

    def results(self) -> dict[str, Lines]:
        """The lines of all finished units, by name, in the order of the units."""
        return {unit.name: self._lines(unit) for unit in self.units if self.done(unit)}

    def write(self, report: Report) -> None:
        """Write table, figures and report, and replace old ones."""
        _write(self.path / "table.csv", csv_text(report.table).encode())
        _write(self.path / "table.md", markdown_table(report.table).encode())
        for figure in report.figures:
            target = self.path / "figures" / f"{figure.name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            figures.save_png(figure, target)
        if report.figures:
            text = html_table(report.table) + html_findings(report)
            _write(self.path / "figures.html", figures.page(report.title, report.figures, text).encode())
        _write(self.path / "report.md", report_text(report).encode())

    def _raw(self, unit: Unit) -> Path:
        return self.path / "raw" / f"{unit.name}.jsonl"

    def _lines(self, unit: Unit) -> Lines:
        path = self._raw(unit)
        try:
            return [json.loads(line) for line in path.read_text().splitlines()]
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read ({error}); delete it to have it measured again") from None


def unfinished(name: str, options: StudyOptions, units: Sequence[Unit], root: Path = ROOT) -> Path | None:
    """The newest unfinished folder under `root` of this experiment with these units; None if there is none."""
    config = _config(name, options, units)
    for path in sorted(root.glob(f"{name}-*"), reverse=True):
        try:
            found = _read_config(path / CONFIG)
        except UsageError:
            continue
        if found is None or not _same(found, config):
            continue
        if not all((path / "raw" / f"{unit.name}.jsonl").is_file() for unit in units):
            return path
    return None


def _config(name: str, options: StudyOptions, units: Sequence[Unit]) -> dict[str, Any]:
    listed = [{"name": unit.name, "settings": unit.settings} for unit in units]
    vehicle = airframe.load(options.airframe).hash
    return plain({"experiment": name, **dataclasses.asdict(options), "airframe_hash": vehicle, "units": listed})


def _same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether both measure the same. The units already tell the number of seeds and the recipe."""
    return all(found.get(key) == wanted[key] for key in ("experiment", "airframe_hash", "units"))


def _read_config(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: found {type(found).__name__}, wanted the configuration of an experiment")
    return found


def _require_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if _same(found, wanted):
        return
    for key, value in wanted.items():
        if key != "units" and found.get(key) != value:
            what = f"{key}: found {found.get(key)!r} in {CONFIG}, wanted {value!r}"
            break
    else:
        before = {unit.get("name"): unit.get("settings") for unit in found.get("units") or []}
        changed = [unit["name"] for unit in wanted["units"] if before.get(unit["name"]) != unit["settings"]]
        what = f"unit {', '.join(changed) or 'list'}: recipe or settings are not those in {CONFIG}"
    raise UsageError(f"{path}: {what}; name another folder with --output")


def _write(path: Path, data: bytes) -> None:
    """Replace a file of the folder. Raises UsageError."""
    with refused(f"{path}: cannot be written", "; what was measured before still stands"):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, data)


# --- text -----------------------------------------------------------------------------------------------------------


def cell(value: Any) -> str:
    """A table cell as text: numbers with four digits, or with all digits before the point; "-" for no value."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def csv_text(table: Sequence[Mapping[str, Any]]) -> str:
    """The table as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain(row) for row in table)
    return text.getvalue()


def markdown_table(table: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown; "" if it has no row."""
    if not table:
        return ""
    heads = list(table[0])
    rows = [heads, ["---"] * len(heads), *([cell(row[head]) for head in heads] for row in table)]
    rows = [[text.replace("|", "\\|") for text in row] for row in rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def table_cells(line: str) -> list[str]:
    """The cells of a line of `markdown_table`."""
    return [text.strip().replace("\\|", "|") for text in re.split(r"(?<!\\)\|", line)[1:-1]]


def report_text(report: Report) -> str:
    """The text of report.md: findings first, then the table, the figures and how it was measured."""
    parts = [f"# {report.title}\n"]
    if report.findings:
        claims = [finding.verdict for finding in report.findings if finding.paper]
        if claims:
            count = claims.count(DIFFERS)
            undecided = f"; {claims.count(OPEN)} are open" if OPEN in claims else ""
            parts.append(f"Our result differs from {count} of {len(claims)} claims of the paper{undecided}.\n")
        parts += [f"- {_finding(finding)}" for finding in report.findings]
        parts.append("")
    parts += ["## Table\n", markdown_table(report.table)]
    if report.figures:
        parts.append("## Figures\n")
        parts += [f"![{figure.title}](figures/{figure.name}.png)\n" for figure in report.figures]
        parts.append("The same, interactive: [figures.html](figures.html)\n")
    if report.notes:
        parts.append("## How it was measured\n")
        parts += [f"- {note}" for note in report.notes]
    return "\n".join(parts).rstrip() + "\n"


def _finding(finding: StudyFinding, mark: str = "**") -> str:
    whose = "" if finding.paper else " (our own question)"
    return f"{mark}{finding.verdict}{mark}{whose}: {finding.claim} Measured here: {finding.measured}"


def html_table(table: Sequence[Mapping[str, Any]]) -> str:
    """The table as HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in (table[0] if table else []))
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell(value))}</td>" for value in row.values()) + "</tr>" for row in table)
    return f"<table><tr>{head}</tr>{rows}</table>"


def html_findings(report: Report) -> str:
    """The findings as an HTML list; "" if there are none."""
    text = "".join(f"<li>{escape(_finding(finding, mark=''))}</li>" for finding in report.findings)
    return f"<ul>{text}</ul>" if text else ""


def safe(name: str) -> str:
    """A file name from a text: its words in lower case, joined by dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-").lower()
