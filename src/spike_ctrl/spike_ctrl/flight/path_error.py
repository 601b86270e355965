"""How well a flight kept to its set-points: the way in the world, leg by leg, on the vehicle's own truth. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.flight.faults import Rung

SETTLING = 2.0  # s of a leg that do not count: the way to its start, and the lead of its trajectory
GOALS = {"hover": 0.10, "figure8": 0.25}  # m, RMSE


@dataclass(frozen=True)
class FlownTrack:
    """time (T,) in s since the policy took over; true, estimate and set_point (T, 3) in m, ENU. NaN where unknown."""

    time: np.ndarray
    true: np.ndarray
    estimate: np.ndarray
    set_point: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Distance (m) of the true position from the set-point."""
        return np.linalg.norm(self.true - self.set_point, axis=1)


class FlownLeg(NamedTuple):
    """One trajectory of a flight. rmse, worst (m) and beyond, the share of samples farther off than PASS_ERROR: after
    SETTLING. settle: of a step, s until it is within PASS_ERROR for good; NaN for others. estimate: RMSE (m) of what the
    autopilot took for the position, which no policy can better.
    """

    name: str
    rmse: float
    worst: float
    beyond: float
    settle: float = math.nan
    estimate: float = math.nan

    @property
    def passed(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        return self.rmse <= GOALS[self.name] if self.name in GOALS else None

    def __str__(self) -> str:
        if self.name == "step":
            return f"step: within {PASS_ERROR} m after {self.settle:.2f} s"
        goal = f", goal {GOALS[self.name]:.2f} m: {'pass' if self.passed else 'FAIL'}" if self.name in GOALS else ""
        far = f"{100 * self.beyond:.1f} % beyond {PASS_ERROR} m"
        off = f"the estimate alone {self.estimate:.3f} m"
        return f"{self.name}: RMSE {self.rmse:.3f} m ({off}), worst {self.worst:.3f} m, {far}{goal}"


def of(log, truth) -> FlownTrack | None:
    """The part of a recorded flight (a `FlightLog`) that the policy flew, by the vehicle's `Truth`; None: there is none."""
    flown = np.flatnonzero(log.rung_at(log.received) == int(Rung.SNN))
    if not len(flown):
        return None
    rows = slice(flown[0], flown[-1] + 1)
    stamp = log.stamp[rows]
    return FlownTrack(stamp - stamp[0], truth.at(stamp), log.position[rows], log.set_point[rows])


def legs(track: FlownTrack, kinds: Sequence[str], duration: float) -> list[FlownLeg]:
    """The legs of a flight whose trajectories took `duration` (s) each. One that was not flown is infinitely far off."""
    found = []
    for number, kind in enumerate(kinds):
        begin = number * duration
        flown = (track.time >= begin) & (track.time < begin + duration)
        rows = flown & (track.time >= begin + SETTLING) & np.isfinite(track.error)
        counts = track.error[rows]
        if not len(counts):
            found.append(FlownLeg(kind, math.inf, math.inf, 1.0))
            continue
        settle = _settle(track, flown) if kind == "step" else math.nan
        rmse = float(np.sqrt((counts**2).mean()))
        estimate = float(np.sqrt(((track.estimate - track.true)[rows] ** 2).sum(axis=1).mean()))
        found.append(FlownLeg(kind, rmse, float(counts.max()), float((counts > PASS_ERROR).mean()), settle, estimate))
    return found


def _settle(track: FlownTrack, flown: np.ndarray) -> float:
    """s from the first jump of the set-point until the vehicle is near it for good, or until it jumps again."""
    time, error, points = track.time[flown], track.error[flown], track.set_point[flown]
    jumps = np.flatnonzero(np.linalg.norm(np.diff(points, axis=0), axis=1) > PASS_ERROR) + 1
    if not len(jumps):
        return math.nan
    end = jumps[1] if len(jumps) > 1 else len(time)
    far = np.flatnonzero(~(error[jumps[0] : end] <= PASS_ERROR))
    return float(time[jumps[0] + far[-1]] - time[jumps[0]]) if len(far) < end - jumps[0] else math.inf
