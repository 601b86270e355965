"""Whether a state waited in a queue before it was received: its own stamp says so, its time of receipt does not. Pure.

A process that was stopped and woken receives what waited one after the other. If that takes it long, receipts look like
states at the pace of real time. Their delay against the stamps is what tells them apart.

    watch, waited = watch.received(stamp, now)  # s that the state waited at least
"""

from __future__ import annotations

from typing import NamedTuple

from spike_ctrl.flight.state_checks import StateLimits, VehicleClock

LIMITS = StateLimits()
LONGEST = 1.0  # s of a pause in which drift counts
STOOD = 100  # states in a row whose delay does not fall: no queue is emptied, the sender's clock stood still or was set


class QueueWatch(NamedTuple):
    """Delays of the states so far. stamp, at: of the last state (s). stood: states in a row whose delay has not fallen."""

    clock: VehicleClock = VehicleClock()
    stamp: float | None = None
    at: float = 0.0
    before: float = 0.0
    stood: int = 0

    def received(self, stamp: float, at: float) -> tuple[QueueWatch, float]:
        """After a state with this stamp was received at `at` (s), and how long it waited. A stamp of 0 tells nothing."""
        if stamp == 0.0:
            return self, 0.0
        if self.stamp is None or stamp < self.stamp or self.stood >= STOOD:
            return QueueWatch(VehicleClock(stamp - at), stamp, at), 0.0
        drift = LIMITS.drift * min(max(at - self.at, 0.0), LONGEST)
        found = self.clock.delay(stamp, at)
        clock, delay = self.clock.followed(stamp, at, found, drift, LONGEST, LIMITS.lead_memory), max(found, 0.0)
        stood = self.stood + 1 if delay > drift and delay >= self.before - drift else 0
        return QueueWatch(clock, stamp, at, delay, stood), delay
