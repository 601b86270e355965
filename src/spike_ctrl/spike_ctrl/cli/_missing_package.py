"""What a user may do where a package is missing that only some verbs need."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata


def missing_package(error: Exception) -> str | None:
    """One line on the package that an import did not find. None for any other error, and for a module of our own."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    extra = _extra(name) if name else None
    if extra is None or importlib.util.find_spec(name) is not None:
        return None
    return f"{name}: the package is not installed, wanted for this: pip install {name}; the extra '{extra}' has it, too"


def _extra(name: str) -> str | None:
    """The first extra of spike_ctrl that asks for a package."""
    for line in metadata.requires("spike_ctrl") or ():
        asked = re.match(r"""([\w.-]+).*extra\s*==\s*["'](\w+)["']""", line)
        if asked and asked[1].lower().replace("-", "_") == name.lower():
            return asked[2]
    return None
