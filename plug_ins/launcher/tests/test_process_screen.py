"""The output of several processes on one screen: a live line is redrawn on a terminal and rare elsewhere."""

import io

from pseudo_terminal import Terminal, shown

from spike_ctrl_launcher.process_screen import LineSplitter, ProcessScreen


def test_lines_of_several_processes_stand_above_the_progress_of_one(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    screen = ProcessScreen(terminal, clock=lambda: 0.0)
    LineSplitter(screen, "learner").feed(b"steps 1000 and much more\r")
    LineSplitter(screen, "sim").feed(b"hello, a line longer than the terminal\n")
    screen.settle()
    assert shown(terminal.getvalue()) == ["[sim] hello, a line longer than the terminal", "[learner] steps 1000", ""]


def test_a_line_of_progress_that_ends_stands_once_and_no_older_one_stays_below(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "130")
    terminal = Terminal()
    screen = ProcessScreen(terminal, clock=lambda: 0.0)
    line = " 92 %, 0:01 left, SNN alone 460 (0.992), flown 175 (0.89), guide 5 %, 24k/s"
    lines = LineSplitter(screen, "learner")
    lines.feed(f"{line}\r".encode())
    drawn = terminal.getvalue()
    assert "━" in drawn and line in drawn  # there is room for name, bar and all of the line
    lines.feed(b"100 %\r")
    lines.feed(b"\nevaluating\n")
    screen.settle()
    assert shown(terminal.getvalue()) == ["[learner] 100 %", "[learner] evaluating", ""]


def test_without_a_terminal_a_live_line_is_printed_once_in_ten_seconds():
    now, stream = [0.0], io.StringIO()
    lines = LineSplitter(ProcessScreen(stream, clock=lambda: now[0]), "learner")
    for second in range(21):
        now[0] = float(second)
        lines.feed(f"step {second}\r".encode())
    assert stream.getvalue() == "[learner] step 0\n[learner] step 10\n[learner] step 20\n"


def test_a_line_end_of_two_characters_is_one_line_even_when_it_comes_in_two_parts():
    stream = io.StringIO()
    lines = LineSplitter(ProcessScreen(stream, clock=lambda: 0.0), "n")
    lines.feed(b"one\r\ntwo")
    lines.feed(b" and a half\n")
    assert stream.getvalue() == "[n] one\n[n] two and a half\n"
