"""The true states that `spike-ctrl vehicle --truth` and `spike-ctrl truth` have written, read back."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.simulated_px4.ground_truth import COLUMNS


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
