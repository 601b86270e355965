"""Shows the output of a program: lines, and one progress line that stays at the bottom of a terminal."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

LIVE_PERIOD = 10.0  # s between two progress lines, if the stream is not a terminal
PLAIN = "progress comes in plain lines: rich is not installed (pip install rich)"
SHARE = re.compile(r" *(?:(\d+) ?%|(\d+)(?:/| of )(\d+)\b)")  # what a progress line begins with, where it tells how far
LINE = 80  # characters that a progress line needs; what a wider terminal has left is for its bar
BAR = (8, 30)  # characters of a bar, at least and at most


class Screen:
    """Writes lines to a stream. clock: gives seconds. Colours and a redrawn progress line are used on a terminal only.

    redrawn: False writes as to a file, whatever the stream. rich draws the progress line; the first one imports it.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float], redrawn: bool = True):
        self.stream, self.clock = stream, clock
        self.terminal = redrawn and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self.colour = self.terminal and "NO_COLOR" not in os.environ
        self._drawn: Live | None = None  # while a progress line stands
        self._printed: dict[str, float] = {}

    def line(self, text: str) -> None:
        """Print a line, above the progress line."""
        self._try(self._print, text)

    def live(self, text: str, before: str = "") -> None:
        """Show a progress line: redrawn on a terminal, else printed once in LIVE_PERIOD. before: whose line it is."""
        if self.terminal and not _rich():
            self.terminal = False
            self.line(PLAIN)
        if self.terminal:
            self._try(self._draw, before, text)
        elif self.clock() - self._printed.get(before, float("-inf")) >= LIVE_PERIOD:
            self._printed[before] = self.clock()
            self.line(before + text)

    def withdraw(self) -> None:
        """Erase the progress line, if it stands."""
        if self._drawn:
            self._drawn.transient = True
            self.settle()

    def settle(self) -> None:
        """Turn the progress line into an ordinary line."""
        if self._drawn:
            self._try(self._drawn.stop)
            self._drawn = None

    def _draw(self, before: str, text: str) -> None:
        from rich.console import Console
        from rich.live import Live

        if (drawn := self._drawn) is None:
            console = Console(file=self.stream, no_color=not self.colour, highlight=False)
            errors = sys.stderr.isatty()  # a warning goes above the line, too; one that is sent to a file stays there
            drawn = self._drawn = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=errors)
            drawn.start()
            console.show_cursor()  # so that a program that is killed leaves one
        drawn.update(progress_picture(before, text, drawn.console.width), refresh=True)

    def _print(self, text: str) -> None:
        if self._drawn:
            from rich.text import Text

            self._drawn.console.print(Text(text), soft_wrap=True)
        else:
            self.stream.write(f"{text}\n")
            self.stream.flush()

    def _try(self, show: Callable[..., None], *what: str) -> None:
        with suppress(OSError):  # the terminal is closed: the processes must still be stopped in order
            show(*what)


def progress_picture(before: str, text: str, width: int) -> RenderableType:
    """A progress line as a rich renderable of at most `width` columns, with a bar where they are more than LINE and BAR."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    words: dict[str, Any] = {"no_wrap": True, "overflow": "crop"}
    name, found = Text.from_ansi(before, end="", **words), SHARE.match(text)
    room = min(width - LINE - len(name), BAR[1])
    if found is None or room < BAR[0]:
        return Text.assemble(name, text, **words)
    name.rstrip()
    percent, part, whole = found.groups()
    share = float(percent) / 100 if percent else float(part) / max(float(whole), 1.0)
    bar = ProgressBar(1.0, share, width=room - 1, style="dim", complete_style="blue", finished_style="green")
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_row(*([name] if before else []), bar, Text(text, **words))
    return row


@functools.lru_cache(maxsize=1)
def _rich() -> bool:
    return importlib.util.find_spec("rich") is not None
