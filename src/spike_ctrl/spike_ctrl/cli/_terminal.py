"""What verbs that take their time do with the terminal: a line of progress, and signals that ask for an orderly end."""

from __future__ import annotations

import signal
import sys


def show_progress(line: str) -> None:
    """Print a line in the place of the one before; where there is no terminal, below it."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="", flush=True)
    else:
        print(line, flush=True)


def stop_signals() -> list[int]:
    """The list that each SIGINT and SIGTERM is appended to from now on, in place of ending the process."""
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    return received
