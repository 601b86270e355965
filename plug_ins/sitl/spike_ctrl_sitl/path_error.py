"""How well a flight kept to its set-points, trajectory by trajectory, measured by the vehicle's true positions. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.flight.faults import Rung

if TYPE_CHECKING:
    from spike_ctrl.recordings.flight_log import FlightLog
    from spike_ctrl_sitl.true_states import Truth

SETTLING_TIME = 2.0  # s at the start of a trajectory that do not count: the way to its start, and its lead
STILL, PAUSE = 1e-3, 0.5  # m from state to state; s without such a move between two steps
GOALS = {"hover": 0.10, "figure8": 0.25}  # m, RMSE

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FlownTrack:
    """time (T,) in s since the policy took over; true, estimate and set_point (T, 3) in m, ENU. NaN where unknown."""

    time: Floats
    true: Floats
    estimate: Floats
    set_point: Floats

    @property
    def error(self) -> Floats:
        """Distance (T,) in m of the true position from the set-point."""
        distance: Floats = np.linalg.norm(self.true - self.set_point, axis=1)
        return distance


class FlownLeg(NamedTuple):
    """One trajectory of a flight, after SETTLING_TIME.

    rmse, worst: error (m). beyond: share of the samples with an error above PASS_ERROR. settle: time (s) from a step of the
    set-point until the error stays within PASS_ERROR, NaN for other trajectories. estimate: RMSE (m) of the position that
    the autopilot estimated; no policy can do better.
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
        estimate = f"the estimate alone {self.estimate:.3f} m"
        return f"{self.name}: RMSE {self.rmse:.3f} m ({estimate}), worst {self.worst:.3f} m, {far}{goal}"


def flown_track(log: FlightLog, truth: Truth) -> FlownTrack | None:
    """The part of a recorded flight that the policy flew; None: it never flew."""
    flown = np.flatnonzero(log.rung_at(log.received) == int(Rung.SNN))
    if not len(flown):
        return None
    rows = slice(flown[0], flown[-1] + 1)
    stamp = log.stamp[rows]
    return FlownTrack(stamp - stamp[0], truth.at(stamp), log.position[rows], log.set_point[rows])


def legs(track: FlownTrack, kinds: Sequence[str], duration: float) -> list[FlownLeg]:
    """The trajectories of a flight, `duration` (s) each. The error of one that was not flown is infinite."""
    found = []
    for number, kind in enumerate(kinds):
        begin = number * duration
        flown = (track.time >= begin) & (track.time < begin + duration)
        rows = flown & (track.time >= begin + SETTLING_TIME) & np.isfinite(track.error)
        error = track.error[rows]
        if not len(error):
            found.append(FlownLeg(kind, math.inf, math.inf, 1.0))
            continue
        settle = _settle(track, flown) if kind == "step" else math.nan
        rmse = float(np.sqrt((error**2).mean()))
        estimate = float(np.sqrt(((track.estimate - track.true)[rows] ** 2).sum(axis=1).mean()))
        found.append(FlownLeg(kind, rmse, float(error.max()), float((error > PASS_ERROR).mean()), settle, estimate))
    return found


def _settle(track: FlownTrack, flown: NDArray[np.bool_]) -> float:
    """Time (s) from the first step of the set-point until the vehicle stays near its end, at most until the next step.

    A step may be granted as a way on which the set-point moves.
    """
    time, points = track.time[flown], track.set_point[flown]
    moves = np.flatnonzero(np.linalg.norm(np.diff(points, axis=0), axis=1) > STILL) + 1
    if not len(moves):
        return math.nan
    steps = moves[np.concatenate([[True], np.diff(time[moves]) > PAUSE])]
    begin, end = steps[0], steps[1] if len(steps) > 1 else len(time)
    far = np.flatnonzero(~(np.linalg.norm(track.true[flown][begin:end] - points[end - 1], axis=1) <= PASS_ERROR))
    return float(time[begin + far[-1]] - time[begin]) if len(far) < end - begin else math.inf
