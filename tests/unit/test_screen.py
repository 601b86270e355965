"""The output of several processes on one screen: a live line is redrawn on a terminal and rare elsewhere."""

import io
import os

from spike_ctrl.launching.screen import LineSplitter, Screen


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 1


def test_a_live_line_stays_below_the_other_output_on_a_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((20, 5)))
    terminal = Terminal()
    screen = Screen(terminal, clock=lambda: 0.0)
    LineSplitter(screen, "learner").feed(b"steps 1000 and much more\r")
    LineSplitter(screen, "sim").feed(b"hello\n")
    erase, live = "\r\x1b[K", "[learner] steps 100"
    assert terminal.getvalue() == f"{live}{erase}[sim] hello\n{live}"


def test_without_a_terminal_a_live_line_is_printed_once_in_ten_seconds():
    now, stream = [0.0], io.StringIO()
    lines = LineSplitter(Screen(stream, clock=lambda: now[0]), "learner")
    for second in range(21):
        now[0] = float(second)
        lines.feed(f"step {second}\r".encode())
    assert stream.getvalue() == "[learner] step 0\n[learner] step 10\n[learner] step 20\n"


def test_a_line_end_of_two_characters_is_one_line_even_when_it_comes_in_two_parts():
    stream = io.StringIO()
    lines = LineSplitter(Screen(stream, clock=lambda: 0.0), "n")
    lines.feed(b"one\r\ntwo")
    lines.feed(b" and a half\n")
    assert stream.getvalue() == "[n] one\n[n] two and a half\n"
