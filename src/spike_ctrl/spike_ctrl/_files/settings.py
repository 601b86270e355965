"""Settings from a file: nested mappings become dataclasses of `ranges.setting` fields, or one line says what is wrong.

msgspec checks each value against its type and bounds, and writes the JSON Schema by which an editor completes and checks a
file. It is imported at the first use, for who makes settings without a file needs none.
"""

import dataclasses
import functools
import inspect
import json
import math
import sys
import types
import typing
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError, meant

Settings = TypeVar("Settings")
WORDS = {
    float: "a number", int: "a whole number", str: "text", bool: "true or false", dict: "a mapping", tuple: "a list",
    list: "a list", types.NoneType: "nothing",
}  # fmt: skip
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def convert(
    kind: type[Settings],
    data: object,
    source: str,
    prefix: str = "",
    without: Collection[str] = (),
    needed: Collection[str] = (),
) -> Settings:
    """The dataclass that a mapping gives; keys that it lacks take their defaults. Raises UsageError in one line.

    source: what an error begins with, such as the file. prefix: path of `data` in it, as "task.". without: fields that are
    no keys here. needed: fields that must be given in spite of their defaults.
    """
    known = {name: field for name, field in _fields(kind).items() if name not in without}
    needed = [name for name, field in known.items() if name in needed or _required(field)]
    found = require_keys(renamed(kind, data, source, prefix), known, source, prefix, needed)
    hints = _hints(typing.cast(Any, kind))
    values = {key: read(hints[key], known[key].metadata, item, source, prefix + key) for key, item in found.items()}
    return kind(**values)


def renamed(kind: Any, data: Any, source: str, prefix: str = "") -> Any:
    """The data, its keys under their present names; a warning tells each former one. Raises UsageError where both are."""
    if not isinstance(data, dict):
        return data
    found, hints = dict(data), _hints(kind)
    for name, field in _fields(kind).items():
        former = field.metadata.get("formerly", name)
        if former != name and former in found:
            old, new = f"{prefix}{former}", f"{prefix}{name}"
            if name in found:
                raise UsageError(f"{source}: {old}: found beside {new}, which is its new name, wanted {new} alone")
            warn_of(f"{source}: {old}", new, old)
            found[name] = found.pop(former)
        if name in found and dataclasses.is_dataclass(block := _not_none(hints[name])):
            found[name] = renamed(block, found[name], source, f"{prefix}{name}.")
    return found


def warn_of(former: str, new: str, name: str) -> None:
    """Warn that a former name is read for the last time. former: with its source, as an error would give it."""
    warnings.warn(f"{former} is now called {new}; the next version refuses {name}", FutureWarning, stacklevel=3)


def require_keys(
    data: object, known: Iterable[str], source: str, prefix: str = "", needed: Iterable[str] = ()
) -> dict[str, Any]:
    """The data, a mapping that has all needed keys and no unknown one. Raises UsageError for any other."""
    if not isinstance(data, dict):
        where = f"{source}: {prefix}".rstrip(":. ")
        raise UsageError(f"{where}: found {kind_of(data)}, wanted a mapping of keys to values")
    known = list(known)
    for key in data:
        if key not in known:
            hint = meant(key, known) or f"; known keys: {', '.join(known)}"
            raise UsageError(f"{source}: unknown key '{prefix}{key}'{hint}")
    for key in needed:
        if key not in data:
            raise UsageError(f"{source}: key '{prefix}{key}' is missing")
    return data


def read(hint: Any, about: Mapping[str, Any], item: object, source: str, key: str) -> Any:
    """A value of this type within the limits of its field's metadata `about`. Raises UsageError, which calls it `key`."""
    import msgspec

    if reader := about.get("read"):
        return reader(item, source, key)
    hint = _not_none(hint)
    if dataclasses.is_dataclass(hint):
        return convert(typing.cast(type, hint), item, source, f"{key}.")
    try:  # YAML 1.1 reads 1e-3 as text
        return msgspec.convert(item, _bounded(hint, about), strict=not (hint is float and isinstance(item, str)))
    except msgspec.ValidationError:
        raise UsageError(f"{source}: {key}: found {item!r}, wanted {wanted(hint, about, item)}".removeprefix(": ")) from None


def wanted(hint: Any, about: Mapping[str, Any], item: object) -> str:
    """In words, what a field takes instead of this value."""
    if "wanted" in about:
        return str(about["wanted"])
    if "choices" in about:
        return f"one of {', '.join(map(str, about['choices']))}"
    number = _number(item) if hint is float else item if hint is int and type(item) is int else None
    if number is None:
        return WORDS[typing.get_origin(hint) or hint]
    low, high = about.get("low"), about.get("high")
    return "a finite number" if None in (low, high) and not math.isfinite(number) else ranges.span(low, high)


def kind_of(item: object) -> str:
    """In words, what a value is."""
    return WORDS.get(type(item), type(item).__name__)


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema of the mappings that `convert` takes."""
    hints, known = _hints(kind), _fields(kind)
    return {
        "type": "object",
        "description": " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split()),
        "properties": {name: _property(hints[name], field) for name, field in known.items()},
        "required": [name for name, field in known.items() if _required(field)],
        "additionalProperties": False,
    }


def any_of(*kinds: type | dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """For `schema` of `ranges.setting`: a value is of one of these dataclasses or fits one of these JSON Schemas."""
    return lambda: {"anyOf": [kind if isinstance(kind, dict) else schema(kind) for kind in kinds]}


def text(title: str, about: Mapping[str, Any]) -> str:
    """A JSON Schema as the text of its file."""
    return json.dumps({"$schema": DIALECT, "title": title, **about}, indent=1) + "\n"


def _property(hint: Any, field: dataclasses.Field[Any]) -> dict[str, Any]:
    import msgspec

    about, hint = field.metadata, _not_none(hint)
    told = {"description": words} if (words := ranges.described(about)) else {}
    if "schema" in about:
        return {**told, **about["schema"]()}
    if dataclasses.is_dataclass(hint):
        return schema(typing.cast(type, hint)) | told
    given = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    default = {} if given in (dataclasses.MISSING, None) else {"default": msgspec.to_builtins(given)}
    return told | msgspec.json.schema(_bounded(hint, about)) | default


def _bounded(hint: Any, about: Mapping[str, Any]) -> Any:
    """The type with its limits, as msgspec takes it."""
    from msgspec import Meta

    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        least, most = about.get("length", (0, None) if items[-1] is Ellipsis else (len(items), len(items)))
        return Annotated[tuple[_bounded(items[0], about), ...], Meta(min_length=least, max_length=most)]  # type: ignore[misc]
    if "choices" in about:
        return Literal[tuple(about["choices"])]
    most = sys.float_info.max if hint is float else None  # infinity is no number, nor is NaN
    limits = {"ge": about.get("low", most and -most), "le": about.get("high", most)}
    return Annotated[hint, Meta(**limits)] if limits != {"ge": None, "le": None} else hint


def _number(item: object) -> float | None:
    try:
        return None if isinstance(item, bool) else float(item)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return math.inf


def _fields(kind: Any) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(kind) if not field.metadata.get("unwritten")}


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _not_none(hint: Any) -> Any:
    """The type itself where it is optional."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else ()
    others = [part for part in parts if part is not type(None)]
    return others[0] if len(others) == 1 else hint
