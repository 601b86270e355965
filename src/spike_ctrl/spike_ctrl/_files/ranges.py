"""Bounded settings: a number in a dataclass with its default and the range that a recipe must respect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from typing import Any

from spike_ctrl._files.errors import UsageError


def within(default: float, low: float, high: float, unit: str = "", about: str = "") -> Any:
    """A dataclass field with the inclusive bounds `low` and `high`, its unit and what it is about in its metadata."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "about": about})


def check(settings: Any, source: str, error: type[Exception]) -> None:
    """Raise `error` for the first number outside its bounds, in a dataclass with `within` fields and in those nested in it.

    source: what the message begins with, such as the file.
    """
    for known in fields(settings):
        value = getattr(settings, known.name)
        if is_dataclass(value):
            check(value, f"{source}: {known.name}", error)
        elif "low" in known.metadata:
            low, high = known.metadata["low"], known.metadata["high"]
            if not low <= value <= high:  # NaN is in no range
                raise error(f"{source}: {known.name}: found {value}, wanted {low:g} to {high:g}")


def require(values: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]], prefix: str = "") -> None:
    """Raise UsageError for the first value, by name, outside its bounds (low, high), both allowed.

    prefix: what users write before a name, as "--" before options.
    """
    for name, (low, high) in bounds.items():
        if name in values and not low <= values[name] <= high:
            shown = f"{prefix}{name.replace('_', '-') if prefix else name}"
            raise UsageError(f"{shown}: found {_words(values[name])}, wanted {_words(low)} to {_words(high)}")


def _words(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
