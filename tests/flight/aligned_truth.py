"""True positions in the frame of a flight's estimate, which the autopilot begins where its own noise says. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spike_ctrl.recordings.flight_log import FlightLog

STANDS = 0.05  # m from where the truth begins: nearer, the vehicle stands

Floats = NDArray[np.float64]


class AlignedTruth:
    """True positions by the stamps of a flight: equal to the estimate in the mean, while the vehicle stands before take-off.

    A single estimate would do for the whole flight: one that errs by some centimetres moves all true positions by as much.
    """

    def __init__(self, log: FlightLog, stamps: Floats, positions: Floats) -> None:
        """stamps (T,) s, growing, by the log's clock; positions (T, 3) m, ENU. Raises ValueError where it never stood."""
        self._stamps, self._positions = stamps, positions
        moved = np.linalg.norm(positions - positions[:1], axis=1) > STANDS
        ends = stamps[moved.argmax()] if moved.any() else np.inf
        standing = (log.stamp < ends) & np.isfinite(self.at(log.stamp)[:, 0])
        if not standing.any():
            raise ValueError("the flight and its true positions have no time in common before take-off")
        self._positions = positions + (log.position - self.at(log.stamp))[standing].mean(0)

    def at(self, stamps: Floats) -> Floats:
        """Positions (T, 3) in m, ENU, at these stamps (s); NaN where unknown."""
        columns = [np.interp(stamps, self._stamps, column, np.nan, np.nan) for column in self._positions.T]
        return np.stack(columns, axis=1)
