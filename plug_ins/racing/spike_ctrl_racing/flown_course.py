"""Whether a recorded flight passed the gates of its course, by the positions that the autopilot told."""

from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings.flight_log import FlightLog
from spike_ctrl_racing import course_path
from spike_ctrl_racing.track import Track

STAYS = 1.0  # m: the set-point of a race stays at the start, but for resets of the estimator


class FlownCourse(NamedTuple):
    """Gates passed in their order, frames touched, root mean square off the centres (m), time (s), speeds (m/s)."""

    name: str
    gates: int  # of a round
    passed: int
    touched: int
    off_centre: float
    time: float
    mean: float
    top: float

    @property
    def complete(self) -> bool:
        """Whether each gate was passed, in whole rounds, and nothing was touched."""
        return self.passed > 0 and self.passed % self.gates == 0 and not self.touched

    def __str__(self) -> str:
        what = f"{self.name}: {self.passed} gates passed, of {self.gates} a round; {self.touched} frames touched"
        fast = f"{self.time:.1f} s at {self.mean:.2f}, at most {self.top:.2f} m/s"
        return f"{what}; {self.off_centre:.2f} m off the centres; {fast}"


def judge(log: FlightLog, track: Track) -> FlownCourse:
    """What the policy's flight made of a course, whose start lies where the policy was engaged. Raises UsageError."""
    flies = log.rung_at(log.received) == int(Rung.SNN)
    if not flies.any():
        raise UsageError("--bag: found no time in which the policy flew, wanted some")
    position, points, start = log.position[flies], log.set_point[flies], course_path.start(track)
    races = np.ptp(points, axis=0).max() < STAYS  # else the set-point flies the course, whose heights stay
    up = points[0, 2] - start[2] if races else 0.0
    moved = position - np.array([points[0, 0] - start[0], points[0, 1] - start[1], up])
    passed, touched, off = course_path.passed(moved, track, rounds=100)
    way = np.linalg.norm(np.diff(position, axis=0), axis=1)
    time = log.stamp[flies]
    took, moving = float(time[-1] - time[0]), way > 1e-3
    fast = way / np.maximum(np.diff(time), 1e-3)
    return FlownCourse(
        track.name, len(track.gates), passed, touched, off, took, float(fast[moving].mean()), float(fast.max())
    )
