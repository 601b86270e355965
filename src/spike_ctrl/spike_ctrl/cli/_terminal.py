"""What verbs that take their time do with the terminal: a line of progress, and signals that ask for an orderly end."""

from __future__ import annotations

import functools
import signal
import sys
import time
from typing import TextIO

from spike_ctrl.launching.screen import Screen


def show_progress(line: str) -> None:
    """Show a line in the place of the one before, as wide as the terminal; elsewhere print one now and then."""
    _screen(sys.stdout).live("", line)


def end_progress() -> None:
    """Leave the last line of progress standing; what is printed next comes below it."""
    _screen(sys.stdout).settle()


def stop_signals() -> list[int]:
    """The list that each SIGINT and SIGTERM is appended to from now on, in place of ending the process."""
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    return received


@functools.lru_cache(maxsize=1)
def _screen(stream: TextIO) -> Screen:
    return Screen(stream, time.monotonic)
