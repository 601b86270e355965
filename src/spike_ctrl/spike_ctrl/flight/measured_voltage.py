"""Which of the measured voltages a policy is told at a state: the same in flight and in a replay. Pure.

Voltages and states come on two topics, so that one may overtake the other. A voltage therefore counts for states that are
SETTLED younger than it, when it has arrived everywhere. Where no newer one comes, it counts for states up to KEPT younger.
"""

from __future__ import annotations

from typing import NamedTuple

SETTLED, STALE, KEPT = 100_000_000, 2_000_000_000, 10_000_000_000  # ns


class MeasuredVoltages(NamedTuple):
    """Stamps (ns, on the clock of the states) and voltages (V) of the last measurements, in the order of their receipt."""

    measured: tuple[tuple[int, float], ...] = ()

    def heard(self, stamp: int, voltage: float) -> MeasuredVoltages:
        """After one more measurement."""
        return MeasuredVoltages((*(one for one in self.measured if 0 < stamp - one[0] <= KEPT), (stamp, voltage)))

    def at(self, stamp: int) -> tuple[float | None, int]:
        """The voltage (V) for the state of this stamp (ns), and its age (ns); None where there is none."""
        ages = [(stamp - at, voltage) for at, voltage in self.measured if SETTLED <= stamp - at <= KEPT]
        if not ages:
            return None, 0
        age, voltage = min(ages)
        return voltage, age
