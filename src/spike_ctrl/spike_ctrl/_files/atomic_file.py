"""Replaces a file atomically: a kill at any moment leaves the complete old file or the complete new one."""

import errno
import glob
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# The folder takes no other file, or not over another user's; the name leaves no room for the temporary one's.
IN_PLACE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENAMETOOLONG)


def replace(path: Path, write: Callable[[str], None]) -> None:
    """Replace the file at `path`. `write` is called with the name of a temporary file beside it, which it must fill.

    The temporary file is forced to the disk before it takes the name. Raises OSError and whatever `write` raises; then the
    old file is unchanged and the temporary file is gone.
    """
    _remove_leftovers(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        write(str(temporary))
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o777)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def write(path: Path, data: bytes) -> None:
    """Replace the file at `path` by one of these bytes: see `replace`."""
    replace(path, lambda temporary: fill(temporary, data))


def write_text(path: Path, text: str) -> None:
    """The same of text. A pipe, a device, a link or a file that cannot be replaced where it lies is written in place."""
    data = text.encode()
    if not path.is_symlink() and (path.is_file() or not path.exists()):
        try:
            return write(path, data)
        except OSError as error:
            if error.errno not in IN_PLACE:
                raise
    fill(str(path), data)


def fill(path: str, data: bytes) -> None:
    """Write all of `data` to the file at `path`. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def full(error: Exception) -> bool:
    """Whether a file could not be written for want of space."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space" in str(error)


def reason(error: Exception) -> str:
    """Why a file could not be written, as a phrase for an error message."""
    number = getattr(error, "errno", None)
    if full(error):
        return "no space left on the disk"
    return getattr(error, "strerror", None) or (os.strerror(number) if number else str(error))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Delete the temporary files of this path whose process has ended."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.name.removeprefix(f".{path.name}.").split(".")[0]
        if not process.isdecimal():
            continue
        try:
            with suppress(PermissionError, OverflowError):
                os.kill(int(process), 0)
        except ProcessLookupError:
            with suppress(OSError):
                leftover.unlink()
