"""Checks that results can be written. A command calls these checks before its work, not after it."""

import errno
import json
import os
import stat
import tempfile
from pathlib import Path

from spike_ctrl._files import atomic_file
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl._files.json_lines import plain

ORIGINALS = {".safetensors": "model", ".mcap": "bag", ".db3": "bag"}


def require_file(what: str, path: Path, made: bool = False, replaced: bool = False) -> None:
    """Raises UsageError if no file can be written at `path`. Creates nothing.

    what: the option that names the file, for the message. made: the writer creates missing parent folders. replaced: the
    writer replaces an old file (`atomic_file.replace`), so the folder must be writable and not the old file. A device or
    pipe would be replaced, too, and is refused.
    """
    mode = _mode(what, path, path)
    if mode is not None and stat.S_ISDIR(mode):
        raise UsageError(f"{what}: found the folder {path}, wanted a file")
    if mode is not None and replaced and not stat.S_ISREG(mode):
        raise UsageError(f"{what}: found {path}, which is no file, wanted one: it would be replaced")
    if mode is not None and not replaced:
        require_no_original(what, path)
        with refused(f"{what} {path}: cannot be written"):
            if stat.S_ISREG(mode):
                os.close(os.open(path, os.O_WRONLY))
            elif not os.access(path, os.W_OK):  # not opened: opening a pipe without a reader blocks
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return
    if made:
        return _require_folder(what, path, path.parent)
    if not stat.S_ISDIR(_mode(what, path, path.parent) or 0):
        raise UsageError(f"{what} {path}: found no folder {path.parent}, wanted one to write to")
    _require_entry(what, path, path.parent)


def require_no_original(what: str, path: Path) -> None:
    """Raises UsageError if there is a model or a bag at `path`: work of hours, or of a flight."""
    if path.suffix in ORIGINALS and path.exists():
        raise UsageError(f"{what}: found the {ORIGINALS[path.suffix]} {path}, wanted a file that is none: it would be lost")


def require_folder(what: str, path: Path) -> None:
    """Raises UsageError if the folder cannot be written, or cannot be created with its parents. Creates nothing."""
    _require_folder(what, path, path)


def require_bag(path: Path) -> None:
    """Raises UsageError if the recorder could not begin a new bag at `path`."""
    if _mode("parameter 'bag':", path, path) is not None:
        raise UsageError(f"bag {path}: exists already, wanted the name of a new bag; move the old one away or name another")
    require_folder("parameter 'bag':", path)


def write_json(what: str, path: Path, figures: object, so: str = "") -> None:
    """Write figures as JSON, null where one is not finite. Raises UsageError, with the option `what` and `so` at its end."""
    with refused(f"{what} {path}: cannot be written", so):
        atomic_file.write_text(path, json.dumps(plain(figures), indent=2, allow_nan=False) + "\n")


def _require_folder(what: str, path: Path, folder: Path) -> None:
    there = folder.absolute()
    while (mode := _mode(what, path, there)) is None:
        there = there.parent
    if not stat.S_ISDIR(mode):
        raise UsageError(f"{what} {path}: found the file {there}, wanted a folder")
    for name in path.absolute().relative_to(there).parts:  # only the first missing folder has been looked at
        _mode(what, path, there / name)
    _require_entry(what, path, there)


def _require_entry(what: str, path: Path, folder: Path) -> None:
    with refused(f"{what} {path}: cannot be written"), tempfile.TemporaryFile(dir=folder):
        pass


def _mode(what: str, path: Path, there: Path) -> int | None:
    """st_mode of what is at `there`, None if nothing is. Raises UsageError if it cannot be read."""
    with refused(f"{what} {path}: cannot be written"):
        try:
            return os.stat(there).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
