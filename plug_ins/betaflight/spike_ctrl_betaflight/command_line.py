"""Betaflight's command line (CLI) over a line that else carries MSP. Arming is barred from its first word to the restart."""

import re
import time

from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight.msp_line import MspLine

PATIENCE, PAUSE = 10.0, 0.3  # s until the prompt; without a byte, after which an answer without a prompt is over
PROMPT = b"\n#"


class CommandLine:
    """Types into the CLI. Raises UsageError where it does not answer. It ends by `save` or `leave`, which restart."""

    def __init__(self, line: MspLine):
        self.line = line
        self.type("#", "")  # a line's end after it would call it off

    def type(self, text: str, end_of_line: str = "\n") -> str:
        """Type one line; what the CLI says up to its prompt, its echo included."""
        self.line.send(f"{text}{end_of_line}".encode())
        said, end = b"", time.monotonic() + PATIENCE
        while not said.rstrip(b" ").endswith(PROMPT):
            more = self.line.read(PAUSE)
            said += more
            if said and not more:
                break
            if time.monotonic() > end:
                raise UsageError(f"connection {self.line.text}: the CLI has no prompt after '{text}'")
        return said.decode(errors="replace")

    def do(self, text: str) -> str:
        """Type one line; what it refuses, in one line, or nothing."""
        said = self.type(text)
        return "" if "###" not in said else next(word for word in said.splitlines() if "###" in word).strip("# ")

    def get(self, name: str) -> str | None:
        """The value of a setting; None where this firmware has no such setting."""
        found = re.search(rf"^{name} = (.*?)\r?$", self.type(f"get {name}"), re.MULTILINE)
        return found[1].strip() if found else None

    def save(self) -> None:
        """Keep what was set. The flight controller restarts."""
        self._end("save")

    def leave(self) -> None:
        """Keep nothing. The flight controller restarts."""
        self._end("exit")

    def _end(self, text: str) -> None:
        self.line.send(f"{text}\n".encode())
        while not self.line.lost and self.line.read(PAUSE):  # a SITL does not end before its last words were read
            pass
