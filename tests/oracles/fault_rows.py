"""The fault table (tests/faults.yaml), which tests prove which of its rows, and how that went: kept in build/faults."""

import ast
import functools
import json
import re
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "faults"


class Row(NamedTuple):
    """A promise. levels: U unit test, L real processes, S an autopilot in the loop, M a policy that commands motors.

    note: what cannot be had here.
    """

    number: int
    fault: str
    behaviour: str
    levels: str
    note: str = ""


def table() -> list[Row]:
    return [Row(**row) for row in yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text(encoding="utf-8"))]


def wanted() -> set[str]:
    """All rows with their levels, as 16L."""
    return {f"{row.number}{level}" for row in table() for level in row.levels}


def by_name(file: str, function: str) -> set[str]:
    """The rows that the name of a unit test begins with: test_row_7_, test_rows_1_to_3_, test_rows_4_and_5_."""
    named = re.match(r"test_rows?_((?:\d+_|to_|and_)+)", function)
    if not named or not Path(file).name.startswith("test_faults_of_"):
        return set()
    words = named[1].rstrip("_").split("_")
    numbers = [int(word) for word in words if word.isdigit()]
    numbers = range(numbers[0], numbers[1] + 1) if "to" in words else numbers
    return {f"{number}U" for number in numbers}


@functools.cache
def proven() -> dict[str, set[str]]:
    """The rows that tests claim to prove, with the tests, without running any."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for row in by_name(file.name, node.name) | _marked(node):
                    found.setdefault(row, set()).add(f"{file.relative_to(ROOT / 'tests')}::{node.name}")
    return found


def _marked(function: ast.FunctionDef) -> set[str]:
    """Also those of single cases, in pytest.param."""
    calls = (node for d in function.decorator_list for node in ast.walk(d) if isinstance(node, ast.Call))
    marks = (call for call in calls if ast.unparse(call.func) in ("pytest.mark.proves", "proves"))
    return {argument.value for mark in marks for argument in mark.args}


def keep(item, report) -> None:
    """Write down how a test went that proves rows; the last phase that failed counts."""
    rows = {row for mark in item.iter_markers("proves") for row in mark.args}
    if not rows or (report.when != "call" and report.outcome == "passed"):
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    properties = [list(one) for one in item.user_properties]
    (RESULTS / (re.sub(r"[^A-Za-z0-9_.-]+", "_", item.nodeid)[-200:] + ".json")).write_text(
        json.dumps(
            {
                "test": f"{item.path.relative_to(ROOT / 'tests')}::{item.originalname}",
                "case": item.name.removeprefix(item.originalname),
                "rows": sorted(rows),
                "outcome": report.outcome,
                "seconds": report.duration,
                "why": report.longreprtext[-600:],
                "properties": properties,
            },
            indent=1,
        )
    )
