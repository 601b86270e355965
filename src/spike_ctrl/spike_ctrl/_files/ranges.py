"""Settings: fields of a dataclass, each declared once with default, bounds, unit and a sentence. `settings` reads files."""

import dataclasses
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any

from spike_ctrl._files.errors import UsageError


def setting(default: Any = dataclasses.MISSING, description: str = "", **limits: Any) -> Any:
    """A field of a dataclass whose metadata holds the description and the limits that are given and not None.

    default: a function, such as dict, is called for each new one. low, high: inclusive bounds of a number, or of each in a
    tuple. unit. choices: allowed values. length: least and most items of a tuple. wanted: what errors say, where type and
    bounds are not enough. read: function of value, source and key that takes the place of the check; schema: function that
    gives its JSON Schema. unwritten: no key of a file sets it. formerly: the key's name in the version before, which is
    still read, with a warning.
    """
    made: dict[str, Any] = {"default_factory" if callable(default) else "default": default}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return dataclasses.field(**made, metadata={"description": description} | given)


def within(
    default: float, low: float, high: float, description: str = "", unit: str | None = None, formerly: str | None = None
) -> Any:
    """A number with the inclusive bounds `low` and `high`: see `setting`."""
    return setting(default, description, low=low, high=high, unit=unit, formerly=formerly)


def check(settings: Any, source: str) -> None:
    """Raise UsageError for the first number outside its bounds in a dataclass of `within` fields and those nested in it."""
    for known in fields(settings):
        value, about = getattr(settings, known.name), known.metadata
        if "low" in about and "high" in about:
            part = known.type in ("int", int) and isinstance(value, float) and value % 1
            if part or not inside(value, about["low"], about["high"]):
                shown = value if isinstance(value, Real) else repr(value)
                limits = f"{about['low']:g} to {about['high']:g}{', a whole number' if part else ''}"
                raise UsageError(f"{source}: {known.name}: found {shown}, wanted {limits}")
        elif is_dataclass(value):
            check(value, f"{source}: {known.name}")


def inside(value: Any, low: float, high: float) -> bool:
    """Whether it is a number within bounds, both allowed; NaN is within none."""
    return isinstance(value, Real) and low <= value <= high  # type: ignore[operator]


def whole(value: Any) -> bool:
    """Whether it is a whole number, of Python or of numpy."""
    return isinstance(value, Integral)


def require(values: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]], prefix: str = "") -> None:
    """Raise UsageError for the first value outside its bounds (low, high). prefix: of names, as "--". None: not given."""
    for name, (low, high) in bounds.items():
        if values.get(name) is not None and not inside(values[name], low, high):
            shown = f"{prefix}{name.replace('_', '-') if prefix else name}"
            value = words(values[name]) if isinstance(values[name], Real) else repr(values[name])
            raise UsageError(f"{shown}: found {value}, wanted {span(low, high)}")


def described(about: Mapping[str, Any]) -> str:
    """The sentence of a field's metadata, with its unit and its bounds."""
    return f"{about.get('description', '')} {', '.join(limits(about)).join('()') if limits(about) else ''}".strip()


def limits(about: Mapping[str, Any]) -> list[str]:
    """Unit and bounds of a field's metadata in words, those that it has."""
    unit = [about["unit"]] if "unit" in about else []
    return unit + ([span(about.get("low"), about.get("high"))] if about.keys() & {"low", "high"} else [])


def bounds(settings: Any) -> dict[str, tuple[float, float]]:
    """The bounds (low, high) of a dataclass's fields that have both, by name, as `require` takes them."""
    declared = {field.name: field.metadata for field in fields(settings)}
    return {name: (about["low"], about["high"]) for name, about in declared.items() if {"low", "high"} <= about.keys()}


def span(low: float | None, high: float | None) -> str:
    """Inclusive bounds in words; None: open."""
    if low is None:
        return "a finite number" if high is None else f"at most {words(high)}"
    return f"at least {words(low)}" if high is None else f"{words(low)} to {words(high)}"


def words(value: float) -> str:
    """A number as messages show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
