"""What verbs that take their time do with the terminal: a line of progress, and signals that ask for an orderly end."""

import atexit
import functools
import signal
import sys
import time
from collections.abc import Callable
from typing import TextIO

from spike_ctrl._files.time_left import Forecast, time_left
from spike_ctrl.launching.screen import Screen


def show_progress(line: str, aside: bool = False) -> None:
    """Show a line in the place of the one before, as wide as the terminal; elsewhere print one now and then.

    aside: for a verb whose output is a table. Where that is piped, it is piped alone, and the lines go to stderr.
    """
    _screen(sys.stdout, aside).live(line)


def progress_with_time_left(most: bool = False) -> Callable[[str, float], None]:
    """Shows a line of progress with the time left by the share that is done since now, where that is known.

    most: the share is the least that is done, and so the time is the most that is left. The lines are `aside`.
    """
    pace = Forecast(time.monotonic())

    def show(line: str, share: float) -> None:
        if (left := pace.left(share, time.monotonic())) < float("inf"):
            line = f"{'at most ' if most else ''}{time_left(left)} left, {line}"
        show_progress(line, aside=True)

    return show


def show_line(line: str, aside: bool = False) -> None:
    """Print a line that stays, above that of progress. aside: as in `show_progress`, for what is not part of the table."""
    _screen(sys.stdout, aside).line(line)


def end_progress() -> None:
    """Leave the last line of progress standing; what is printed next comes below it."""
    _screen(sys.stdout).settle()


def stop_signals() -> list[int]:
    """The list that each SIGINT and SIGTERM is appended to from now on, in place of ending the process."""
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    return received


def _screen(output: TextIO, aside: bool = False) -> Screen:
    return _kept(sys.stderr, redrawn=False) if aside and not output.isatty() else _kept(output)


@functools.lru_cache(maxsize=2)
def _kept(stream: TextIO, redrawn: bool = True) -> Screen:
    screen = Screen(stream, time.monotonic, redrawn)
    atexit.register(screen.settle)  # after an error, too, the shell goes on below the line
    return screen
