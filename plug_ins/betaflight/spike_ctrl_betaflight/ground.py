"""Whether the vehicle stands or flies, which Betaflight does not tell: by its height over where it stood disarmed. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from spike_ctrl.flight.state_checks import Sample

LANDED = (0.1, 0.15, 0.5)  # m over home, m/s, s: lower and slower for as long is landed
HIGH = 0.3  # m over home, from which the ground cannot carry it any more: its thrust is its weight


class Ground(NamedTuple):
    """home: m, the height at which it stood disarmed last; -inf before that, where it counts as in the air.

    low_since: s, since when it has been low and slow; -inf while it is disarmed, inf in the air.
    """

    home: float = -math.inf
    low_since: float = -math.inf

    def seen(self, sample: Sample, disarmed: bool, lifts: bool) -> Ground:
        """After a state. lifts: it is armed, and its command nearly carries it."""
        if disarmed:
            return Ground(sample.position[2])
        height, (low, slow, _) = sample.position[2] - self.home, LANDED
        if height >= low or math.hypot(*sample.velocity) >= slow or (lifts and height > low / 3):
            return self._replace(low_since=math.inf)
        return self if self.low_since < math.inf else self._replace(low_since=sample.received)

    def landed(self, now: float) -> bool:
        """Whether it stands at `now` (s)."""
        return now - self.low_since > LANDED[2]

    def high(self, height: float) -> bool:
        """Whether it flies freely at this height (m)."""
        return height - self.home > HIGH
