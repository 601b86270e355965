"""Code that a recipe or a command line names: `mypackage.module:Name`. A file of weights never names code."""

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spike_ctrl._files.errors import UsageError, meant

SCHEMA = {"type": "string", "pattern": r"^[^\W\d][\w.]*:[^\W\d][\w.]*$"}
SCHEMAS: tuple[dict[str, Any], ...] = (SCHEMA, {"type": "object", "properties": {"class": SCHEMA}, "required": ["class"]})
"""JSON Schemas of code in a file: by its name, or a mapping of its name as `class` and its arguments."""


@dataclass(frozen=True)
class NamedObject:
    """A class or function by name, and the keyword arguments that it is called with."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def make(self, key: str, *given: Any, **more: Any) -> Any:
        """What the class makes of the given arguments and its own. key: what errors call it. Raises UsageError where it
        does not take them or refuses them."""
        kind = find(self.name, key)
        try:
            return kind(*given, **more, **self.arguments)
        except (TypeError, ValueError) as found:
            raise UsageError(f"{key}: {self.name}: {found}") from found

    def function(self, key: str) -> Callable[..., Any]:
        """The function of that name, which takes the arguments too; of a class, what it makes of them. key, error: as of
        `make`."""
        found = find(self.name, key)
        if inspect.isclass(found):
            return self.make(key)  # type: ignore[no-any-return]
        if not self.arguments:
            return found
        try:
            inspect.signature(found).bind_partial(**self.arguments)
        except (TypeError, ValueError) as wrong:
            raise UsageError(f"{key}: {self.name}: {wrong}") from None
        return functools.partial(found, **self.arguments)


def is_name(text: object) -> bool:
    """Whether a value is written as the name of code is: `module:Name` with dots between packages."""
    if not isinstance(text, str) or text.count(":") != 1:
        return False
    return all(part.isidentifier() for part in text.replace(":", ".").split("."))


def find(name: str, key: str) -> Callable[..., Any]:
    """The class or function of that name, from `sys.path` or the current folder.

    key: what errors call it. Raises UsageError for a name of another form, and where module or attribute are not found.
    """
    if not is_name(name):
        raise UsageError(f"{key}: found {name!r}, wanted module:Name, as mypackage.module:MyClass")
    path, _, attribute = name.partition(":")
    places, folder = sys.path, os.getcwd()
    places.append(
        folder
    )  # last, so that a file there cannot take the place of a module that others import, such as `random`
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{path}.".startswith(f"{missing.name}."):
            raise UsageError(f"{key}: {path} imports {missing.name}, which is not installed") from missing
        raise UsageError(
            f"{key}: found no module {missing.name} for {name!r}, wanted one in {os.getcwd()} or on PYTHONPATH"
        ) from None
    except Exception as broken:
        raise UsageError(f"{key}: {path} cannot be imported: {type(broken).__name__}: {broken}") from broken
    finally:
        del places[len(places) - 1 - places[::-1].index(folder)]
    found = getattr(module, attribute, None)
    if found is None:
        own = [n for n, value in vars(module).items() if callable(value) and getattr(value, "__module__", None) == path]
        known = ", ".join(sorted(own)) or "none"
        raise UsageError(
            f"{key}: found no {attribute} in {path}, wanted one of its classes and functions: {known}{meant(attribute, own)}"
        )
    if not callable(found):
        raise UsageError(f"{key}: found {name} of type {type(found).__name__}, wanted a class or a function")
    return found  # type: ignore[no-any-return]


def require(instance: object, members: tuple[str, ...], key: str, name: str) -> None:
    """Raise UsageError where the object that `name` made lacks one of these methods."""
    lacking = [member for member in members if not callable(getattr(instance, member, None))]
    if lacking:
        raise UsageError(f"{key}: found {name} without {', '.join(lacking)}, wanted the methods {', '.join(members)}")
