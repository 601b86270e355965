"""Where numba keeps our compiled kernels: one folder for each state of the sources that they are made of.

numba looks only at the file that defines a kernel. Ours inline functions and constants of other files, so that a change
there would leave stale machine code in use. Nothing in the folder depends on where the sources lie: another checkout of
the same sources may use a copy of it.
"""

import atexit
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import UserProvidedCacheLocator

PACKAGE = Path(__file__).parents[1]
KERNEL = b"njit", b"_files.kernel import"
LOCATORS = f"{__name__}.ByModule,InTreeCacheLocator,UserWideCacheLocator,IPythonCacheLocator,ZipCacheLocator"
IMPORT = rb"^\s*(?:from (%b[\w.]*) import (\([^)]*\)|[^\n]*)|import (%b[\w.]*))"


class ByModule(UserProvidedCacheLocator):  # type: ignore[misc]
    """Within the folder, a folder for each module. numba would name it by the path of the module's file."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        self._cache_path = os.path.join(numba.config.CACHE_DIR, function.__module__)


@contextmanager
def ours() -> Iterator[None]:
    """Functions that are decorated within are kept in the folder for our sources, unless NUMBA_CACHE_DIR names another.

    A user's own functions are kept where numba keeps them.
    """
    config = numba.config
    before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
    config.CACHE_DIR = before[0] or _our_folder()
    config.CACHE_LOCATOR_CLASSES = before[1] or LOCATORS
    try:
        yield
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = before


@cache
def _our_folder() -> str:
    return str(folder(PACKAGE))


def folder(package: Path) -> Path:
    """The folder for the sources in `package` as they are now: in it, or in `user_cache` where it may not be written."""
    digest = hashlib.sha256()
    for source in sources(package):
        digest.update(source.read_bytes())
    home = package / "__pycache__" if os.access(package, os.W_OK) else user_cache()
    return home / f"kernels-{digest.hexdigest()[:12]}"


def user_cache() -> Path:
    """The user's folder for what can be made anew; a new one of this process where the home is read-only or missing."""
    with suppress(OSError, RuntimeError):  # a home that may not be looked at, or none
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        if os.access(next(path for path in (user, *user.parents) if path.exists()), os.W_OK):
            return user / PACKAGE.name
    made = tempfile.mkdtemp(prefix="spike_ctrl-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def sources(package: Path) -> list[Path]:
    """The files that define kernels, and all of the package that these import, directly or not."""
    texts = {source: source.read_bytes() for source in package.rglob("*.py")}
    wanted = [source for source, text in texts.items() if any(word in text for word in KERNEL)]
    found = set(wanted)
    while wanted:
        new = set(_imported(texts[wanted.pop()], package)) & texts.keys() - found
        found |= new
        wanted += new
    return sorted(found)


def _imported(text: bytes, package: Path) -> Iterator[Path]:
    """Files that the imports in a source may mean: `from a.b import c` is c in a/b.py, or a/b/c.py."""
    name = package.name.encode()
    for module, names, alone in re.findall(IMPORT % (name, name), text, re.MULTILINE):
        parts = (module or alone).decode().split(".")[1:]
        if parts:
            yield package.joinpath(*parts).with_suffix(".py")
            yield package.joinpath(*parts, "__init__.py")
        for name in re.findall(r"\w+", names.decode()):
            yield package.joinpath(*parts, f"{name}.py")
