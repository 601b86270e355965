"""The true states of a simulated vehicle as a CSV file, at the times of its ODOMETRY."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.simulated_px4.vehicle import Vehicle

COLUMNS = ("time", "x", "y", "z", "qx", "qy", "qz", "qw", "vx", "vy", "vz", "p", "q", "r")
INTERVAL = 0.0075  # s between two rows, at least: every second tick


class Truth(NamedTuple):
    """True states: time (T,) s, growing; position (T, 3) m, ENU; quaternion (T, 4) x y z w; velocity (T, 3) m/s, ENU; rates
    (T, 3) rad/s, FLU."""

    time: np.ndarray
    position: np.ndarray
    quaternion: np.ndarray
    velocity: np.ndarray
    rates: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Positions (m) at these times (s): linear between rows, NaN beyond the first and last."""
        columns = [np.interp(times, self.time, column, np.nan, np.nan) for column in self.position.T]
        return np.stack(columns, axis=1)


class Log:
    """Writes a row at most every INTERVAL seconds. Raises UsageError."""

    def __init__(self, path: Path):
        with refused(f"--truth {path}: cannot be written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w")
        self._file.write(",".join(COLUMNS) + "\n")
        self._seen = -INTERVAL

    def see(self, vehicle: Vehicle) -> None:
        """Write the vehicle's true state."""
        true = vehicle.truth
        self.row(vehicle.now, true.position, true.quaternion, true.velocity, true.rates)

    def row(self, now: float, position: Vector, quaternion: Quaternion, velocity: Vector, rates: Vector) -> bool:
        """Write one state. False where the last row is younger than INTERVAL."""
        if now - self._seen < INTERVAL:
            return False
        self._seen = now
        numbers = (now, *position, *quaternion, *velocity, *rates)
        self._file.write(",".join(f"{number:.5f}" for number in numbers) + "\n")
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Truth:
    """The states in a CSV file. Raises UsageError."""
    try:
        with path.open() as file:
            head = file.readline().strip()
            rows = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise UsageError(f"truth {path}: cannot be read ({error})") from None
    if head != ",".join(COLUMNS) or rows.shape[1:] != (len(COLUMNS),):
        raise UsageError(f"truth {path}: found '{head[:60]}', wanted the columns {','.join(COLUMNS)}")
    return Truth(rows[:, 0], rows[:, 1:4], rows[:, 4:8], rows[:, 8:11], rows[:, 11:14])
