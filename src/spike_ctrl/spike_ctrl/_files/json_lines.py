"""Results as JSON: files that grow by a line each, so that a stopped program loses at most the last one, and figures."""

import dataclasses
import fcntl
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

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


def plain(value: Any) -> Any:
    """The value in types of JSON: mappings, lists, texts, numbers. A number that is not finite becomes None.

    >>> plain({"hover": (0.5, math.nan)})
    {'hover': [0.5, None]}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def alone(file: Path) -> Iterator[TextIO]:
    """The file, open to add lines, until this process ends or leaves it. Raises UsageError where another one has it."""
    with refused(f"{file}: cannot be opened"):
        opened = file.open("a")
    with opened as lines:
        try:
            fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{file}: another process is writing to it: wait until it ends, or give another --folder"
            ) from None
        except OSError as error:
            raise UsageError(f"{file}: cannot be locked: {error.strerror}; give a --folder on another disk") from None
        yield lines
