"""The filter of topics that a user types while the dashboard is shown: letters add, Backspace takes away, Escape clears."""

import os
import select
import sys
import termios
import tty
from typing import Any

ERASE, ESCAPE = "\x7f\b", "\x1b"


class TypedFilter:
    """The text of the filter. `listen` takes the keys of the terminal, `close` gives them back; Ctrl-C stays a signal."""

    def __init__(self, text: str):
        self.text = text
        self._before: list[Any] | None = None

    def listen(self) -> None:
        """Nothing happens where the input is no terminal, or that of a program in front of this one."""
        if sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)

    def read(self) -> str:
        """The text with the keys that were pressed since the last call."""
        if self._before is not None and select.select([sys.stdin], [], [], 0)[0]:
            self.text = typed(self.text, os.read(sys.stdin.fileno(), 64).decode(errors="ignore"))
        return self.text

    def close(self) -> None:
        if self._before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)


def typed(text: str, keys: str) -> str:
    """A filter after keys. A key that sends several characters, such as an arrow, begins with Escape and clears too."""
    for key in keys:
        if key == ESCAPE:
            return ""
        text = text[:-1] if key in ERASE else text + key if key.isalnum() or key in "_/" else text
    return text
