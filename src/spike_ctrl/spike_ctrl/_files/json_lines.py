"""Files of results that grow by a line of JSON each, so that a stopped program loses at most the line it was writing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(file: Path, parse: Callable[[Any], T], of: str) -> tuple[list[T], int]:
    """What `parse` makes of each line, and the bytes of all whole lines, after which the next is to be written.

    A last line that was cut off is left out, and a file that is not there has no lines. of: what a line holds, in one word.
    Raises ValueError, which names the line, where `parse` or JSON refuses another one.
    """
    data = file.read_bytes() if file.exists() else b""
    found, lines = [], data.decode(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            found.append(parse(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            if number < len(lines):
                raise ValueError(f"{file}: line {number}: found no {of}, wanted one per line") from None
    return found, data.rfind(b"\n") + 1
