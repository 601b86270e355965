"""What users get wrong: one base of its errors, and what they may have meant."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class UsageError(ValueError):
    """An argument, a file or an installation cannot be used. One line: where, what was found, what is wanted.

    `spike-ctrl` and the nodes print the line and end with exit code 2. Every other exception is a bug and is raised.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


@contextmanager
def refused(what: str, so: str = "") -> Iterator[None]:
    """Work with a user's files: an OSError becomes a UsageError. what: as "FILE: cannot be read". so: ends the line."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what} ({error.strerror}){so}") from None


def meant(word: object, known: Iterable[str]) -> str:
    """The known name that is nearest to an unknown one, as the end of a message; empty where none is near."""
    near = difflib.get_close_matches(str(word), list(known), 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a user's function returns. Raises UsageError where it fails, with `name`, its error, file and line."""
    try:
        return function(*arguments)
    except Exception as error:
        frame = error.__traceback__.tb_next if error.__traceback__ else None
        line = f" ({Path(frame.tb_frame.f_code.co_filename).name} line {frame.tb_lineno})" if frame else ""
        raise UsageError(f"{name}: {type(error).__name__}: {error}{line}") from error
