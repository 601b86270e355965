"""What experiments are made of: options go in, units are measured, a report comes out."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl.report.figures import Figure
from spike_ctrl_studies import SUMMARIES

Lines = list[dict[str, Any]]
AGREES, DIFFERS, OPEN = "agrees", "differs", "open"


class ExperimentError(ValueError):
    """An experiment that cannot run or go on; one line says why and what to do."""


@dataclass(frozen=True)
class StudyOptions:
    """What the user asked for. recipe "" is the experiment's own choice, seeds 0 the number of its size."""

    quick: bool = False
    seeds: int = 0
    recipe: str = ""
    airframe: str = "crazyflie"


class Unit(NamedTuple):
    """One independent piece: a name that is good for a file, plain settings, and its share of the work."""

    name: str
    settings: dict[str, Any]
    weight: float = 1.0


class UnitResult(NamedTuple):
    """What a unit gave: lines for its JSONL, and files by name."""

    lines: Lines
    files: Mapping[str, bytes] = {}


@dataclass(frozen=True)
class UnitContext:
    """What a unit is given beside its settings.

    clock: wall seconds. progress: takes the share done, 0 to 1, and a few words. scratch: an empty folder.
    """

    clock: Callable[[], float]
    progress: Callable[[float, str], None]
    scratch: Path
    command: str = ""
    commit: str = ""


class StudyFinding(NamedTuple):
    """A claim, what was measured, and the verdict that follows from the numbers: AGREES, DIFFERS or OPEN.

    paper: whether the paper claims it; else it is a goal or a question of ours.
    """

    claim: str
    measured: str
    verdict: str
    paper: bool = True


@dataclass(frozen=True)
class Report:
    """table: one mapping per row, all with the same keys. notes: how it was measured, and what cannot be compared."""

    title: str
    table: Sequence[Mapping[str, Any]]
    findings: Sequence[StudyFinding] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def find(name: str) -> ModuleType:
    """The module of an experiment."""
    if name not in SUMMARIES:
        raise ExperimentError(f"experiment: found '{name}', wanted one of {', '.join(SUMMARIES)}")
    return importlib.import_module(f"spike_ctrl_studies.{name}_study")


def of_kind(lines: Lines, kind: str) -> Lines:
    return [line for line in lines if line["kind"] == kind]


def one(lines: Lines, kind: str) -> dict[str, Any]:
    """The only line of a kind."""
    found = of_kind(lines, kind)
    if len(found) != 1:
        raise ExperimentError(f"{kind}: found {len(found)} lines, wanted one")
    return found[0]


def by_variant(results: Mapping[str, Lines], variants: Iterable[str]) -> dict[str, list[Lines]]:
    """The lines of the runs of each variant that has any, in the order of `variants`; a run's result names its variant."""
    named = [(one(lines, "result")["variant"], lines) for lines in results.values()]
    groups = {name: [lines for variant, lines in named if variant == name] for name in variants}
    return {name: runs for name, runs in groups.items() if runs}


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of what is finite; the deviation of one value is NaN, as is all of none."""
    known = np.array([value for value in values if value is not None and np.isfinite(value)], float)
    if not len(known):
        return np.nan, np.nan
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else np.nan


def size_of(options: StudyOptions, seeds: int) -> str:
    """How large it was, for a title: "3 seeds each"."""
    return f"{seeds} seed{'s' * (seeds > 1)} each{', quick size' if options.quick else ''}"


def plus_minus(values: Sequence[float], digits: int = 1, scale: float = 1.0) -> str:
    """Mean and deviation as text, "412.0 ± 7.1"; how many of several were not reached is said."""
    mean, deviation = spread(values)
    missing = sum(value is None or not np.isfinite(value) for value in values)
    if np.isnan(mean):
        return "-"
    text = f"{scale * mean:.{digits}f}" + ("" if np.isnan(deviation) else f" ± {scale * deviation:.{digits}f}")
    return text + (f" ({missing} of {len(values)} never)" if missing else "")
