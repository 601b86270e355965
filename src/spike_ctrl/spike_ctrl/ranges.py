"""Ranges of settings: a number in a dataclass, its default and the bounds that a recipe is checked against."""

from __future__ import annotations

from dataclasses import field


def within(default: float, low: float, high: float):
    """A dataclass field whose metadata says `low` and `high`, both allowed."""
    return field(default=default, metadata={"low": low, "high": high})
