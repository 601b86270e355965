"""The screen of the processes of a launch: lines that begin with the name of their process, and one progress line below."""

from collections.abc import Callable
from typing import TextIO

from spike_ctrl.launching.screen import Screen

COLOURS = (36, 32, 33, 35, 34, 31)


class ProcessScreen:
    """Writes the lines of several processes to a stream. clock: gives seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]):
        self._screen = Screen(stream, clock)
        self._colours: dict[str, int] = {}
        self._live = ""  # the process whose progress line was shown last

    def line(self, name: str, text: str) -> None:
        """Print a line of the process `name`, above the progress line."""
        self._screen.line(self._before(name) + text)

    def live(self, name: str, text: str) -> None:
        """Show the progress line of a process."""
        self._live = name
        self._screen.live(text, self._before(name))

    def withdraw(self, name: str) -> None:
        """Erase the progress line of a process, if it stands."""
        if self._live == name:
            self._screen.withdraw()

    def settle(self) -> None:
        """Turn the progress line into an ordinary line."""
        self._screen.settle()

    def _before(self, name: str) -> str:
        if not self._screen.colour:
            return prefix(name)
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        return f"\x1b[{colour}m[{name}]\x1b[0m "


class LineSplitter:
    """Splits the output of one process into lines for a screen. A part that ends in a carriage return is a progress line."""

    def __init__(self, screen: ProcessScreen, name: str):
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
                if self._returned and not part:  # its last progress line becomes an ordinary one
                    self.screen.withdraw(self.name)
                self.screen.line(self.name, _decoded(part or self._returned))
                self._returned = b""

    def end(self) -> None:
        """Show what is left, as a line."""
        if self._rest:
            self.screen.line(self.name, _decoded(self._rest))
            self._rest = b""


def prefix(name: str) -> str:
    """What stands before each line of a process, but for its colour."""
    return f"[{name}] "


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
