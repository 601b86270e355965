"""Schedules of the surrogate slope k (larger is narrower) as pure updates, one per training iteration.

`score` is the mean episode return of the iteration (a perfect hover of 500 steps is worth 500), `progress` the share of
the training budget that is spent, 0 to 1. Equations: arXiv 2510.24461, section on slope scheduling.
"""

import dataclasses
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spike_ctrl._files import settings

WINDOW = 10


@dataclass(frozen=True)
class SlopeState:
    """The slope k now, and the scores that the schedule still needs, oldest first."""

    k: float
    history: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"k": self.k, "history": list(self.history)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SlopeState":
        if set(data) != {"k", "history"}:
            raise ValueError(f"slope state: found fields {sorted(data)}, wanted ['history', 'k']")
        return cls(float(data["k"]), tuple(float(score) for score in data["history"]))


@dataclass(frozen=True)
class Fixed:
    """The same k throughout. In the paper's RL experiments k = 2 is as good as any schedule."""

    k: float = 2.0

    def __post_init__(self) -> None:
        _require(self.k > 0, "k", self.k, "a number above 0")

    def initial(self) -> SlopeState:
        return SlopeState(self.k)

    def update(self, state: SlopeState, score: float, progress: float) -> SlopeState:
        return state


@dataclass(frozen=True)
class Interval:
    """From k_start to k_end in equal steps, one at each of the given shares of the training budget."""

    k_start: float = 1.0
    k_end: float = 100.0
    times: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", tuple(self.times))
        _require(self.k_start > 0, "k_start", self.k_start, "a number above 0")
        _require(self.k_end > 0, "k_end", self.k_end, "a number above 0")
        rising = all(0 <= time <= 1 for time in self.times) and list(self.times) == sorted(self.times)
        _require(self.times and rising, "times", self.times, "rising numbers in [0, 1]")

    def initial(self) -> SlopeState:
        return SlopeState(self.k_start)

    def update(self, state: SlopeState, score: float, progress: float) -> SlopeState:
        passed = sum(progress >= time for time in self.times) / len(self.times)
        return SlopeState(self.k_start + (self.k_end - self.k_start) * passed)


@dataclass(frozen=True)
class Adaptive:
    """Equation 7: k = mean over the last ten iterations of (r + r') / 2, clamped to [k_min, k_max].

    The paper gives no scale for the reward score r. Here r = 2 k_max (score - return_low) / (return_high - return_low)
    and r' is its first difference, negative ones included. So a steady score moves k linearly from k_min at return_low
    to k_max at return_high, and each improvement lifts it for ten iterations. Until there are ten scores the mean is
    over those there are; the first has no difference.
    """

    k_min: float = 1.0
    k_max: float = 100.0
    return_low: float = 0.0
    return_high: float = 500.0

    def __post_init__(self) -> None:
        _require_range(self)

    def initial(self) -> SlopeState:
        return SlopeState(self.k_min)

    def update(self, state: SlopeState, score: float, progress: float) -> SlopeState:
        history = (*state.history, score)[-WINDOW - 1 :]
        scale = 2 * self.k_max / (self.return_high - self.return_low)
        r = [scale * (past - self.return_low) for past in history]
        recent = r[-WINDOW:]
        differences = r[-1] - r[0]  # the sum of up to ten first differences
        k = 0.5 * (sum(recent) + differences) / len(recent)
        return SlopeState(_clamp(k, self.k_min, self.k_max), history)


@dataclass(frozen=True)
class AdaptiveTrend:
    """The recursive rule of the paper's later code: the level and the trend of the normalised score n pull on k.

        k <- clamp(.2 (k_offset + n k_max) + .8 (k + (tanh(2 d) - .05) k_max), k_min, k_max)

    n = (score - return_low) / (return_high - return_low), d the mean of its last ten differences (0 before there is
    one). The history holds n.
    """

    k_min: float = 1.0
    k_max: float = 20.0
    k_offset: float = 2.0
    return_low: float = -400.0
    return_high: float = 400.0

    def __post_init__(self) -> None:
        _require_range(self)

    def initial(self) -> SlopeState:
        return SlopeState(_clamp(self.k_offset, self.k_min, self.k_max))

    def update(self, state: SlopeState, score: float, progress: float) -> SlopeState:
        n = (score - self.return_low) / (self.return_high - self.return_low)
        history = (*state.history, n)[-WINDOW - 1 :]
        d = (history[-1] - history[0]) / max(len(history) - 1, 1)
        level = self.k_offset + n * self.k_max
        trend = state.k + (math.tanh(2 * d) - 0.05) * self.k_max
        return SlopeState(_clamp(0.2 * level + 0.8 * trend, self.k_min, self.k_max), history)


Schedule = Fixed | Interval | Adaptive | AdaptiveTrend

KINDS: dict[str, type] = {"fixed": Fixed, "interval": Interval, "adaptive": Adaptive, "adaptive_trend": AdaptiveTrend}


def from_config(config: Mapping[str, Any]) -> Schedule:
    """Make a schedule from `{"kind": "adaptive", "k_max": 50}`. Raises ValueError naming key, found and wanted."""
    given = dict(config)
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"slope.kind: found {kind!r}, wanted one of {', '.join(KINDS)}")
    known = [field.name for field in dataclasses.fields(KINDS[kind])]
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"slope.{key}: no such key for {kind}, wanted one of {', '.join(known)}")
        numbers = value if key == "times" else [value]
        if not isinstance(numbers, list | tuple) or not all(map(_is_number, numbers)):
            raise ValueError(f"slope.{key}: found {value!r}, wanted {'a list of numbers' if key == 'times' else 'a number'}")
    schedule: Schedule = KINDS[kind](**given)
    return schedule


def schema() -> dict[str, Any]:
    """The JSON Schema of what `from_config` takes."""

    def of(name: str, kind: type) -> dict[str, Any]:
        about = settings.schema(kind)
        return about | {"properties": {"kind": {"const": name}, **about["properties"]}, "required": ["kind"]}

    return {"anyOf": [of(name, kind) for name, kind in KINDS.items()]}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _require(satisfied: Any, field: str, found: Any, wanted: str) -> None:
    if not satisfied:
        raise ValueError(f"slope.{field}: found {found!r}, wanted {wanted}")


def _require_range(schedule: Any) -> None:
    _require(schedule.k_min > 0, "k_min", schedule.k_min, "a number above 0")
    _require(schedule.k_max > schedule.k_min, "k_max", schedule.k_max, f"more than k_min, {schedule.k_min}")
    low, high = schedule.return_low, schedule.return_high
    _require(high > low, "return_high", high, f"more than return_low, {low}")
