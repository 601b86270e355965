"""Where numba keeps our compiled kernels: one folder for each state of the sources that they are made of.

numba looks only at the file that defines a kernel. Ours inline functions and constants of other files, so that a change
there would leave stale machine code in use.
"""

from __future__ import annotations

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

import numba

PACKAGE = Path(__file__).parents[1]
KERNEL = b"njit", b"_files.kernel import"
IMPORT = rb"^\s*(?:from (%b[\w.]*) import (\([^)]*\)|[^\n]*)|import (%b[\w.]*))"


@contextmanager
def ours() -> Iterator[None]:
    """Functions that are decorated within are kept in the folder for our sources, unless NUMBA_CACHE_DIR names another.

    A user's own functions are kept where numba keeps them.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = before or _our_folder()
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@cache
def _our_folder() -> str:
    return str(folder(PACKAGE))


def folder(package: Path) -> Path:
    """The folder for the sources in `package` as they are now: in it, or else the user's cache, or else a temporary one."""
    digest = hashlib.sha256()
    for source in sources(package):
        digest.update(source.read_bytes())
    home = package if os.access(package, os.W_OK) else _cache() / package.name
    return home / "__pycache__" / f"kernels-{digest.hexdigest()[:12]}"


def _cache() -> Path:
    """The user's folder for what can be made anew; a new one of this process where the home is read-only or missing."""
    with suppress(OSError, RuntimeError):  # a home that may not be looked at, or none
        user = Path.home() / ".cache"
        if os.access(next(path for path in (user, *user.parents) if path.exists()), os.W_OK):
            return user
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
