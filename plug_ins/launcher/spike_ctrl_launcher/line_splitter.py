"""Splits the output of the processes of a launch into lines for its screen."""

from spike_ctrl.launching.screen import Screen


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
                if self._returned and not part:  # its last progress line becomes an ordinary one
                    self.screen.withdraw(self.name)
                self.screen.line(self.name, _decoded(part or self._returned))
                self._returned = b""

    def end(self) -> None:
        """Show what is left, as a line."""
        if self._rest:
            self.screen.line(self.name, _decoded(self._rest))
            self._rest = b""


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
