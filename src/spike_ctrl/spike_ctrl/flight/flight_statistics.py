"""Statistics of a flight: who flew how long, how well the policy held its set-point, how often it missed its deadline."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from spike_ctrl.control.trajectory import PASS_ERROR, Vector
from spike_ctrl.flight.faults import Rung

SLOW = 0.995  # a flight at this share of real time or more is told as one in real time


class Tally(NamedTuple):
    """Sums over a flight. time: s on each rung. All others count while the policy flies."""

    time: Mapping[Rung, float] = {}
    states: int = 0
    followed: int = 0  # states in which it flew to the set-point
    squares: float = 0.0  # m^2, of the distance from the set-point
    worst: float = 0.0  # m
    far: int = 0  # states farther than PASS_ERROR from the set-point
    commands: int = 0
    late: int = 0
    spikes: float = 0.0  # sum of the spike rates
    answers: int = 0  # with a spike rate
    real: float = 0.0  # s of the computer's clock while policy or guide fly

    def passed(self, rung: Rung, seconds: float, real: float | None = None) -> Tally:
        """After so many seconds on a rung. real: on the computer's clock; None: the same."""
        time = {**self.time, rung: self.time.get(rung, 0.0) + seconds}
        flown = (seconds if real is None else real) if rung <= Rung.GUIDE else 0.0
        return self._replace(time=time, real=self.real + flown)

    def saw(self, position: Vector, set_point: Vector | None) -> Tally:
        """After a state came while the policy flies. Both in m; None: it flies a course, and not to the set-point."""
        if set_point is None:
            return self._replace(states=self.states + 1)
        error = math.dist(position, set_point)
        return self._replace(
            states=self.states + 1,
            followed=self.followed + 1,
            squares=self.squares + error * error,
            worst=max(self.worst, error),
            far=self.far + (error > PASS_ERROR),
        )

    def sent(self, age: float, period: float, spike_rate: tuple[float, ...]) -> Tally:
        """After a command of the policy left, `age` (s) after its state was received. period: s, of the control."""
        rate = sum(spike_rate) / len(spike_rate) if spike_rate else math.nan
        return self._replace(
            commands=self.commands + 1,
            late=self.late + (age > period),
            spikes=self.spikes + (0.0 if math.isnan(rate) else rate),
            answers=self.answers + (not math.isnan(rate)),
        )

    @property
    def rmse(self) -> float:
        """Root mean square distance (m) from the set-point; NaN where the policy did not fly to one."""
        return math.sqrt(self.squares / self.followed) if self.followed else math.nan

    @property
    def pace(self) -> float:
        """The flight's seconds in one second of the computer's clock, while policy or guide fly."""
        flown = self.time.get(Rung.SNN, 0.0) + self.time.get(Rung.GUIDE, 0.0)
        return flown / self.real if self.real > 0 else 1.0

    @property
    def missed(self) -> int:
        """Control periods of the policy without a command in time."""
        return max(self.states - self.commands, 0) + self.late

    def __str__(self) -> str:
        times = ", ".join(f"{rung.name} {self.time[rung]:.1f} s" for rung in Rung if self.time.get(rung, 0.0) >= 0.05)
        times += f"; at {self.pace:.2f} of real time" if self.pace < SLOW else ""
        if not self.states:
            return f"flight: the policy did not fly; {times}"
        held = f"{self.states} states on a course"
        if self.followed:
            share = f"{100 * self.far / self.followed:.1f} % of {self.followed} states beyond {PASS_ERROR} m"
            held = f"RMSE {self.rmse:.3f} m, worst {self.worst:.3f} m, {share}"
        spikes = f"spike rate {self.spikes / self.answers:.3f}" if self.answers else "no spikes"
        return f"flight: policy: {held}; deadline misses {self.missed}; {spikes}; {times}"


class Latencies:
    """Times (s) from the receipt of a state to the command that answers it, over the last minute at 100 Hz."""

    COMMANDS = 6000

    def __init__(self, counted: str = "command") -> None:
        self._counted = counted
        self._seconds: deque[float] = deque(maxlen=self.COMMANDS)

    def add(self, seconds: float) -> None:
        """Add one time (s)."""
        self._seconds.append(seconds)

    def __str__(self) -> str:
        if not self._seconds:
            return f"no {self._counted} yet"
        median, late, worst = np.percentile(self._seconds, (50, 99, 100)) * 1e3
        return f"median {median:.2f} ms, p99 {late:.2f} ms, max {worst:.2f} ms over {len(self._seconds)} {self._counted}s"
