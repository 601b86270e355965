"""The fault table: every row is proven at every level that it names, and every row has a fault and a reason."""

import json
import re
from pathlib import Path

import fault_page
import fault_rows
import pytest

from spike_ctrl.flight.faults import Fault


def test_the_table_has_51_rows():
    assert [row.number for row in fault_rows.table()] == list(range(1, 52))
    assert all(set(row.levels) <= set("ULSM") and row.levels for row in fault_rows.table())


@pytest.mark.parametrize("row", sorted(fault_rows.wanted(), key=lambda row: (int(row[:-1]), row)))
def test_every_row_has_a_test_at_each_of_its_levels(row):
    tests = fault_rows.proven().get(row, set())
    assert tests, f"no test says pytest.mark.proves({row!r})"
    folders = {"U": ("unit",), "L": ("flight", "launch"), "S": ("flight",), "M": ("flight",)}[row[-1]]
    assert any(test.partition("/")[0] in folders for test in tests), tests


def test_a_mark_names_a_row_and_a_level():
    rows = {f"{row.number}{level}" for row in fault_rows.table() for level in "ULSM"}
    assert set(fault_rows.proven()) <= rows, set(fault_rows.proven()) - rows


def test_every_row_has_a_fault_and_every_fault_a_number_of_its_own():
    assert {row for fault in Fault for row in fault.rows} == set(range(1, 52))
    assert len({fault.number for fault in Fault}) == len(Fault)
    assert all(0 < fault.number < 256 for fault in Fault)


def test_every_fault_that_demands_a_rung_bars_an_engagement():
    assert all(fault.blocks for fault in Fault if fault.rung is not None)


def result(**changes) -> dict:
    known = {"test": "flight/test_policy.py::test_a", "case": "", "rows": ["16L"], "outcome": "passed", "seconds": 1.0}
    return known | {"properties": [["reaction", ["from the kill to the guide", 0.031, 0.045]]]} | changes


def line(page: str, row: str) -> str:
    return next(found for found in page.splitlines() if re.match(rf"\| {row[:-1]} \|.*\| {row[-1]} \|", found))


def test_the_page_tells_of_each_row_and_level_what_was_measured(tmp_path):
    page = fault_page.render([result(), result(case="[1]", properties=[["reaction", ["again", 0.039, 0.045]]])], "here")
    assert "| passed, 2 of 2 |" in line(page, "16L") and "31 ms" in line(page, "16L") and "39 ms" in line(page, "16L")
    assert "not run" in line(page, "17L")


def test_one_failed_case_fails_the_row_and_a_test_that_was_flown_again_is_told():
    page = fault_page.render([result(), result(case="[1]", outcome="failed")], "here")
    assert "**failed**, 1 of 2 passed" in line(page, "16L")
    page = fault_page.render([result(properties=[["flown_again", "held up for 31 ms"]])], "here")
    assert "flown again: held up for 31 ms" in line(page, "16L")


def test_the_page_in_the_repository_is_of_this_table():
    """Rows and tests are those of today; results are those of the last `make faults`."""
    page = (fault_rows.ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    for row in fault_rows.wanted():
        assert "| passed," in line(page, row), f"{row}: run `make faults`"


def test_results_are_kept_one_file_a_case(tmp_path, monkeypatch):
    class Item:  # of pytest
        path, originalname, name = fault_rows.ROOT / "tests" / "flight" / "test_x.py", "test_x", "test_x[a]"
        nodeid, user_properties = "tests/flight/test_x.py::test_x[a]", [("reaction", ("what", 0.01, 0.02))]

        def iter_markers(self, name):
            return [pytest.mark.proves("16L").mark]

    class Report:
        when, outcome, duration, longreprtext = "call", "passed", 0.5, ""

    monkeypatch.setattr(fault_rows, "RESULTS", tmp_path)
    fault_rows.keep(Item(), Report())
    (file,) = Path(tmp_path).iterdir()
    assert json.loads(file.read_text()) == {
        "test": "flight/test_x.py::test_x", "case": "[a]", "rows": ["16L"], "outcome": "passed", "seconds": 0.5, "why": "",
        "properties": [["reaction", ["what", 0.01, 0.02]]],
    }  # fmt: skip
