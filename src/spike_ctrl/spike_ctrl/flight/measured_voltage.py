"""Which of the measured voltages a policy is told at a state: the same in flight and in a replay. Pure.

Voltages and states come on two topics, so that one may overtake the other. A voltage therefore counts for states that are
SETTLED younger than it, when it has arrived everywhere. Where no newer one comes, it counts for states up to KEPT younger.
"""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from typing import NamedTuple

SETTLED, STALE, KEPT = 100_000_000, 2_000_000_000, 10_000_000_000  # ns


class MeasuredVoltages(NamedTuple):
    """Stamps (ns, on the clock of the states) and voltages (V) of the last measurements, ever later."""

    measured: tuple[tuple[int, float], ...] = ()

    def heard(self, stamp: int, voltage: float) -> MeasuredVoltages:
        """After one more measurement."""
        first, last = (bisect_left(self.measured, (edge, -inf)) for edge in (stamp - KEPT, stamp))
        return MeasuredVoltages((*self.measured[first:last], (stamp, voltage)))

    def at(self, stamp: int) -> tuple[float | None, int]:
        """The voltage (V) for the state of this stamp (ns), and its age (ns); None where there is none."""
        after = bisect_left(self.measured, (stamp - SETTLED, inf))
        at, voltage = self.measured[after - 1] if after else (stamp - KEPT - 1, 0.0)
        return (voltage, stamp - at) if stamp - at <= KEPT else (None, 0)
