"""Every row of the fault table has its proof: in test_faults_of_*.py, in another file named here, or it is said to come."""

import ast
import re
from pathlib import Path

from spike_ctrl.fault import Fault

UNIT = Path(__file__).parent

# Rows whose logic, or part of it, is proven in other files.
ELSEWHERE = {
    19: ("test_command.py::test_without_new_commands_nothing_passes_the_bridge",),
    22: ("test_checkpoint.py::test_a_kill_at_any_write_leaves_a_file_that_loads",),
    23: (
        "test_checkpoint.py::test_every_flipped_bit_is_noticed",
        "test_checkpoint.py::test_every_truncation_and_extension_is_noticed",
    ),
    24: ("test_checkpoint.py::test_a_contract_that_is_wanted_is_found_or_named",),
    25: ("test_checkpoint.py::test_a_manifest_that_does_not_fit_is_refused_by_name",),
    26: (
        "test_checkpoint.py::test_a_pickle_is_refused_and_never_run",
        "test_checkpoint.py::test_a_huge_header_is_refused",
    ),
    32: ("test_preflight.py::test_a_wrong_parameter_is_named_with_the_value_to_set",),
    41: ("test_settings.py::test_a_number_out_of_range_is_refused_by_name",),
}
# Rows that the table wants with real processes (L) or an autopilot in the loop (S) and that tests/flight does not fly yet.
LATER = {1, 2, 4, 8, 11, 18, 21, 28, 29, 31, 32, 38, 39, 40, 41}
PROCESSES = {*range(1, 46)} - {3, 5, 6, 10, 13, 22, 23, 25, 26, 42}  # by the table; the rest is logic alone
FLIGHTS = UNIT.parent / "flight" / "test_flight.py"
# Rows that have no logic of their own beyond what other files will bring.
WITHOUT_LOGIC = {38: "fuzzed and unsigned bytes: mavlink/protocol", 42: "truncated bags: replay"}


def functions(file):
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def rows_in(file):
    """The rows that the names of the tests in a file begin with: test_row_7_, test_rows_1_to_3_, test_rows_4_and_5_."""
    rows = set()
    for name in functions(file):
        if named := re.match(r"test_rows?_((?:\d+_|to_|and_)+)", name):
            words = named[1].rstrip("_").split("_")
            numbers = [int(word) for word in words if word.isdigit()]
            rows |= set(range(numbers[0], numbers[1] + 1)) if "to" in words else set(numbers)
    return rows


def rows_here():
    return set().union(*(rows_in(file) for file in UNIT.glob("test_faults_of_*.py")))


def test_every_row_of_the_table_is_proven_here_or_elsewhere_or_listed():
    assert rows_here() | set(ELSEWHERE) | set(WITHOUT_LOGIC) == set(range(1, 46))


def test_every_row_that_wants_processes_is_flown_or_said_to_come():
    flown = rows_in(FLIGHTS)
    assert flown <= PROCESSES and not flown & LATER
    assert flown | LATER == PROCESSES


def test_what_is_said_to_be_proven_elsewhere_exists():
    for tests in ELSEWHERE.values():
        for name in tests:
            file, function = name.split("::")
            assert function in functions(UNIT / file), name


def test_every_row_has_a_fault_and_every_fault_a_number_of_its_own():
    assert {row for fault in Fault for row in fault.rows} == set(range(1, 46))
    assert len({fault.number for fault in Fault}) == len(Fault)
    assert all(0 < fault.number < 256 for fault in Fault)


def test_every_fault_that_demands_a_rung_bars_an_engagement():
    assert all(fault.blocks for fault in Fault if fault.rung is not None)
