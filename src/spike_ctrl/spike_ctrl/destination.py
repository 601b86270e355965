"""Where results go: what cannot be written there is refused before the work, not after it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from spike_ctrl.usage import UsageError


def require_file(what: str, path: Path, made: bool = False) -> None:
    """Raises UsageError where no file can be written. Leaves nothing there.

    what: the option that names it. made: whoever writes it makes the folders that lead there.
    """
    if path.is_dir():
        raise UsageError(f"{what}: found the folder {path}, wanted a file")
    if path.exists():
        if not os.access(path, os.W_OK):
            raise UsageError(f"{what} {path}: cannot be written (Permission denied)")
        return
    if made:
        return _require_folder(what, path, path.parent)
    if not path.parent.is_dir():
        raise UsageError(f"{what} {path}: found no folder {path.parent}, wanted one to write to")
    _require_entry(what, path, path.parent)


def require_folder(what: str, path: Path) -> None:
    """Raises UsageError where the folder cannot be written or, with its parents, made. Leaves nothing there."""
    _require_folder(what, path, path)


def require_bag(path: Path) -> None:
    """Raises UsageError where no new bag can be begun, as the recorder does."""
    if path.exists():
        raise UsageError(f"parameter 'bag': {path}: exists already, wanted the name of a new bag")
    require_folder("parameter 'bag':", path)


def _require_folder(what: str, path: Path, folder: Path) -> None:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{what} {path}: found the file {there}, wanted a folder")
    _require_entry(what, path, there)


def _require_entry(what: str, path: Path, folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{what} {path}: cannot be written ({error.strerror})") from None
