"""Files of results that grow by a line of JSON each, so that a stopped program loses at most the line it was writing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from spike_ctrl._files.errors import UsageError, refused

T = TypeVar("T")


class BrokenLine(UsageError):
    """A line that is refused, though it is not the last: its number, from 1, and its text."""

    def __init__(self, message: str, number: int, text: str) -> None:
        super().__init__(message)
        self.number, self.text = number, text


def read(file: Path, parse: Callable[[Any], T], of: str) -> tuple[list[T], int]:
    """What `parse` makes of each line, and the bytes of all whole lines, after which the next is to be written.

    A last line that was cut off is left out, and a file that is not there has no lines. of: what a line holds, in one word.
    Raises BrokenLine where `parse` or JSON refuses another one, UsageError where the file cannot be read.
    """
    with refused(f"{file}: cannot be read"):
        data = file.read_bytes() if file.exists() else b""
    found, lines = [], data.decode(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            found.append(parse(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError):
            if number < len(lines):
                message = f"{file}: line {number}: found no {of}, wanted one per line"
                raise BrokenLine(message, number, line) from None
    return found, data.rfind(b"\n") + 1
