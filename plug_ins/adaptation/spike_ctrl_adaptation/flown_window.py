"""The last seconds of a flight as adaptation sees them: states, and the actions that flew."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SPAN = 10.0  # s that are kept


class FlownWindow(NamedTuple):
    """T states in a row.

    time (T,) s; quaternion (T, 4), body to world; velocity (T, 3) m/s, world; rates (T, 3) rad/s, body; action (T, 4),
    commanded from that state on.
    """

    time: Floats
    quaternion: Floats
    velocity: Floats
    rates: Floats
    action: Floats

    def last(self, seconds: float, earlier: float = 0.0) -> FlownWindow:
        """The part that ended `earlier` (s) before the last state and took `seconds` (s)."""
        end = self.time[-1] - earlier if len(self.time) else 0.0
        kept = (self.time > end - seconds) & (self.time <= end)
        return FlownWindow(*(part[kept] for part in self))

    @property
    def seconds(self) -> float:
        """Time (s) from the first to the last state."""
        return float(self.time[-1] - self.time[0]) if len(self.time) > 1 else 0.0


class FlightMemory:
    """The last SPAN seconds. A state counts once its command is known; whatever is not finite is left out."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, ...]] = deque()

    def add(
        self,
        time: float,
        quaternion: tuple[float, ...],
        velocity: tuple[float, ...],
        rates: tuple[float, ...],
        action: tuple[float, ...],
    ) -> None:
        """A state and the action that was commanded upon it. One that is not newer than the last begins a new memory."""
        row = (time, *quaternion, *velocity, *rates, *action)
        if len(row) != 15 or not np.isfinite(row).all():
            return
        if self._rows and time <= self._rows[-1][0]:
            self.clear()
        self._rows.append(row)
        while time - self._rows[0][0] > SPAN:
            self._rows.popleft()

    def clear(self) -> None:
        """Forget everything, as when another than the policy has flown."""
        self._rows.clear()

    def window(self) -> FlownWindow:
        """All that is remembered."""
        rows = np.array(self._rows, float).reshape(-1, 15)
        return FlownWindow(rows[:, 0], rows[:, 1:5], rows[:, 5:8], rows[:, 8:11], rows[:, 11:])
