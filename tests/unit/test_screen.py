"""The screen of a program: rows, and a progress line that stays below them on a terminal."""

import os
import subprocess
import sys

import pytest
from pseudo_terminal import Terminal, on_a_terminal, shown

from spike_ctrl.launching import screen as screens
from spike_ctrl.launching.screen import Screen

BEGIN = "from spike_ctrl.cli._terminal import end_progress, show_line, show_progress\n"
TWO_LINES = (
    BEGIN
    + """
show_progress("1/4 flights, 0:09 left, " + 90 * "x")
show_line("row 1")
show_progress("2/4 flights, 0:06 left, " + 90 * "y")
"""
)
WARNING = TWO_LINES + 'import sys; print("a warning", file=sys.stderr); end_progress(); print("after")'


def rows_of(program, width, code=0, **more):
    """What stands in each row of a terminal of this width after the program's end; it ends with this exit code."""
    ours = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    surroundings = ours | {"TERM": "xterm", "COLUMNS": str(width)} | more
    ended, written = on_a_terminal([sys.executable, "-c", program], env=surroundings)
    assert ended == code, written
    return shown(written)


@pytest.mark.parametrize("width", [24, 40, 80])
def test_a_line_of_progress_stays_below_rows_and_warnings_and_fits_a_narrow_terminal(width):
    progress = ("2/4 flights, 0:06 left, " + 90 * "y")[:width]
    assert rows_of(WARNING, width) == ["row 1", "a warning", progress, "after", ""]


def test_a_terminal_wider_than_the_line_shows_a_bar_of_what_is_done():
    row, width = rows_of(WARNING, 100)[2], 100
    bar = row.partition(" 2/4")[0]
    assert len(row) == width and len(bar) == 19 and set(bar) <= set("━╸╺")


def test_a_program_that_fails_leaves_its_error_above_and_the_shell_below_the_line_of_progress():
    rows = rows_of(TWO_LINES + 'raise SystemExit("refused")', 40, code=1)
    assert rows == ["row 1", "refused", "2/4 flights, 0:06 left, " + 16 * "y", ""]


def test_a_program_that_is_killed_leaves_the_terminal_its_cursor():
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    terminal = Terminal()
    Screen(terminal, clock=lambda: 0.0).live("1 %")
    written = terminal.getvalue()
    assert written.rfind(shown) > written.rfind(hidden)


def test_a_table_is_piped_alone_and_its_progress_goes_to_stderr():
    program = BEGIN + 'show_progress("1/4", aside=True); show_line("note", aside=True); show_line("row")'
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("row\n", "1/4\nnote\n")


def test_a_dumb_terminal_and_one_without_rich_get_plain_lines(monkeypatch):
    plain = rows_of(WARNING, 40, TERM="dumb")
    assert plain == ["1/4 flights, 0:09 left, " + 90 * "x", "row 1", "a warning", "after", ""]
    monkeypatch.setattr(screens, "_rich", lambda: False)
    terminal = Terminal()
    screen = Screen(terminal, clock=lambda: 0.0)
    screen.live("1 %")
    screen.live("2 %")
    assert terminal.getvalue() == f"{screens.PLAIN}\n1 %\n"


def test_what_only_prints_lines_never_imports_rich():
    program = "import sys, io; from spike_ctrl.launching.screen import Screen\n"
    program += "Screen(sys.stdout, lambda: 0.0).line('x'); print('rich' in sys.modules)"
    assert rows_of(program, 80) == ["x", "False", ""]
