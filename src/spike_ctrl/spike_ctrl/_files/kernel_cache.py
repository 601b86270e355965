"""Where numba keeps our compiled kernels: one folder for each state of the sources that they are made of.

numba looks only at the file that defines a kernel. Ours inline functions and constants of other files, so that a change
there would leave stale machine code in use.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

VARIABLE = "NUMBA_CACHE_DIR"
KERNEL = re.compile(rb"\bnjit\b|_files\.kernel import")
IMPORT = rb"^\s*(?:from (%b[\w.]*) import (\([^)]*\)|[^\n]*)|import (%b[\w.]*))"


def use(package: Path) -> None:
    """Have numba keep compiled kernels in the folder for the sources in `package`, unless NUMBA_CACHE_DIR names another.

    It makes no difference whether numba has been imported before. Where it has not, the sources are read when it is: that
    takes a tenth of a second, which a program without kernels need not wait.
    """
    if VARIABLE in os.environ:
        return
    if "numba" not in sys.modules:
        sys.meta_path.insert(0, _BeforeNumba(package))
        return
    os.environ[VARIABLE] = str(folder(package))
    sys.modules["numba"].config.CACHE_DIR = os.environ[VARIABLE]  # it has read its environment


class _BeforeNumba:
    """Finds nothing. It names the folder as soon as numba is looked for, which reads its environment when it is loaded."""

    def __init__(self, package: Path) -> None:
        self.package = package

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Nothing; see the class."""
        if name == "numba" and self in sys.meta_path:
            sys.meta_path.remove(self)
            os.environ.setdefault(VARIABLE, str(folder(self.package)))


def folder(package: Path) -> Path:
    """The folder for the sources in `package` as they are now, in it, or where it is read-only in the user's cache."""
    digest = hashlib.sha256()
    for source in sources(package):
        digest.update(source.read_bytes())
    home = package if os.access(package, os.W_OK) else Path.home() / ".cache" / package.name
    return home / "__pycache__" / f"kernels-{digest.hexdigest()[:12]}"


def sources(package: Path) -> list[Path]:
    """The files that define kernels, and all of the package that these import, directly or not."""
    texts = {source: source.read_bytes() for source in package.rglob("*.py")}
    wanted = [source for source, text in texts.items() if KERNEL.search(text)]
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
