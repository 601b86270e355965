"""Shows the output of several processes on one screen: prefixed lines, and one progress line that stays at the bottom."""

import os
from collections.abc import Callable
from typing import TextIO

LIVE_PERIOD = 10.0  # s between two progress lines of a process, if the stream is not a terminal
COLOURS = (36, 32, 33, 35, 34, 31)


class Screen:
    """Writes lines to a stream. clock: gives seconds. Colours and a redrawn progress line are used on a terminal only."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]):
        self.stream, self.clock = stream, clock
        self.terminal = stream.isatty()
        self.colour = self.terminal and "NO_COLOR" not in os.environ
        self._colours: dict[str, int] = {}
        self._live = ""
        self._printed: dict[str, float] = {}

    def line(self, name: str, text: str) -> None:
        """Print a line of the process `name` ("" for none), above the progress line."""
        self._write(self._erase() + self._prefixed(name, text) + "\n" + self._live)

    def live(self, name: str, text: str) -> None:
        """Show a progress line: redrawn in place on a terminal, else printed at most once in LIVE_PERIOD."""
        if self.terminal:
            erase = self._erase()
            width = os.get_terminal_size(self.stream.fileno()).columns - len(prefix(name)) - 1
            self._live = self._prefixed(name, text[: max(width, 0)])
            self._write(erase + self._live)
        elif self.clock() - self._printed.get(name, float("-inf")) >= LIVE_PERIOD:
            self._printed[name] = self.clock()
            self.line(name, text)

    def settle(self) -> None:
        """Turn the progress line into an ordinary line."""
        if self._live:
            self._live = ""
            self._write("\n")

    def _erase(self) -> str:
        return "\r\x1b[K" if self._live else ""

    def _prefixed(self, name: str, text: str) -> str:
        if not self.colour or not name:
            return prefix(name) + text
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        return f"\x1b[{colour}m[{name}]\x1b[0m {text}"

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            pass  # the terminal is closed: the processes must still be stopped in order


class LineSplitter:
    """Splits the output of one process into lines for a screen. A part that ends in a carriage return is a progress line."""

    def __init__(self, screen: Screen, name: str):
        self.screen, self.name = screen, name
        self._rest = b""
        self._returned = b""  # the last progress line: a line feed that follows makes it an ordinary line

    def feed(self, data: bytes) -> None:
        """Show the lines that are complete with these bytes."""
        *parts, self._rest = (self._rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\r\n").split(b"\n")
        for part in parts:
            if part.endswith(b"\r"):
                self._returned = part[:-1] or self._returned
                if part != b"\r":
                    self.screen.live(self.name, _decoded(part[:-1]))
            else:
                self.screen.line(self.name, _decoded(part or self._returned))
                self._returned = b""

    def end(self) -> None:
        """Show what is left, as a line."""
        if self._rest:
            self.screen.line(self.name, _decoded(self._rest))
            self._rest = b""


def prefix(name: str) -> str:
    """What stands before each line of a process."""
    return f"[{name}] " if name else ""


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
