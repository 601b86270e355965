"""The parts of an experiment: its options, the units that are measured, and the report on them."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl_studies import SUMMARIES
from spike_ctrl_studies.figures import Figure

Lines = list[dict[str, Any]]
AGREES, DIFFERS, OPEN = "agrees", "differs", "open"


@dataclass(frozen=True)
class StudyOptions:
    """The options of the user. recipe: "" for the experiment's own. seeds: 0 for the experiment's number of this size.

    bags: of recorded flights, for an experiment that learns from them.
    """

    quick: bool = False
    seeds: int = 0
    recipe: str = ""
    airframe: str = "crazyflie"
    bags: tuple[str, ...] = ()


class Unit(NamedTuple):
    """One independent piece: a name that is also a file name, settings that JSON can hold, its share of the work."""

    name: str
    settings: dict[str, Any]
    weight: float = 1.0


class UnitResult(NamedTuple):
    """The result of a unit: lines for its JSONL file, and files to keep, by name."""

    lines: Lines
    files: Mapping[str, bytes] = {}


@dataclass(frozen=True)
class UnitContext:
    """What `measure` gets beside the settings.

    clock: gives CPU seconds of this process. progress: takes the share done, 0 to 1, and a few words.
    scratch: an empty folder. command, commit: origin of the policies that are trained.
    """

    clock: Callable[[], float]
    progress: Callable[[float, str], None]
    scratch: Path
    command: str = ""
    commit: str = ""


class StudyFinding(NamedTuple):
    """A claim, what was measured, and the verdict that follows: AGREES, DIFFERS or OPEN.

    paper: whether the claim is the paper's. Otherwise it is our own.
    """

    claim: str
    measured: str
    verdict: str
    paper: bool = True


@dataclass(frozen=True)
class Report:
    """The report on an experiment.

    table: one mapping per row, all with the same keys. notes: how it was measured, and what cannot be compared.
    """

    title: str
    table: Sequence[Mapping[str, Any]]
    findings: Sequence[StudyFinding] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def find(name: str) -> ModuleType:
    """The module of the experiment `name`. Raises UsageError if there is none."""
    if name not in SUMMARIES:
        raise UsageError(f"experiment: found '{name}', wanted one of {', '.join(SUMMARIES)}")
    return importlib.import_module(f"spike_ctrl_studies.{name}_study")


def of_kind(lines: Lines, kind: str) -> Lines:
    """The lines of this kind."""
    return [line for line in lines if line["kind"] == kind]


def one(lines: Lines, kind: str) -> dict[str, Any]:
    """The only line of this kind. Raises UsageError if there are none or several."""
    found = of_kind(lines, kind)
    if len(found) != 1:
        raise UsageError(f"{kind}: found {len(found)} lines, wanted one")
    return found[0]


def by_variant(results: Mapping[str, Lines], variants: Iterable[str]) -> dict[str, list[Lines]]:
    """The runs of each variant, each run with its lines, in the order of `variants`. Variants without a run are left out."""
    named = [(one(lines, "result")["variant"], lines) for lines in results.values()]
    groups = {name: [lines for variant, lines in named if variant == name] for name in variants}
    return {name: runs for name, runs in groups.items() if runs}


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of the finite values. NaN: the deviation of one value, and both of none."""
    known = np.array([value for value in values if value is not None and np.isfinite(value)], float)
    if not len(known):
        return np.nan, np.nan
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else np.nan


def higher(values: Sequence[float], others: Sequence[float]) -> str:
    """Whether values are higher than others: decided where the means differ by more than both deviations."""
    (mine, my_spread), (its, its_spread) = spread(values), spread(others)
    gap = mine - its
    return OPEN if not abs(gap) > max(my_spread, its_spread) else AGREES if gap > 0 else DIFFERS


def size_of(options: StudyOptions, seeds: int) -> str:
    """The size of an experiment, for a title: "3 seeds each"."""
    return f"{seeds} seed{'s' * (seeds > 1)} each{', quick size' if options.quick else ''}"


def plus_minus(values: Sequence[float], digits: int = 1, scale: float = 1.0) -> str:
    """Mean and deviation times `scale` as text: "412.0 ± 7.1". It ends with the number of values that are missing."""
    mean, deviation = spread(values)
    missing = sum(value is None or not np.isfinite(value) for value in values)
    if np.isnan(mean):
        return "-"
    text = f"{scale * mean:.{digits}f}" + ("" if np.isnan(deviation) else f" ± {scale * deviation:.{digits}f}")
    return text + (f" ({missing} of {len(values)} never)" if missing else "")
