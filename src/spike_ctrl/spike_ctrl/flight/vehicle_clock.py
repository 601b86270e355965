"""The vehicle's clock against the companion's: the delay of a state, and a jump of the clock.

The two clocks have an unknown offset, and drift. The state with the least delay shows the offset best: its stamp leads its
receipt the most. That lead is remembered, and every later state is measured against it. Pure; all times are in seconds.
"""

from __future__ import annotations

from typing import NamedTuple


class VehicleClock(NamedTuple):
    """What is known of the vehicle's clock.

    lead: stamp minus receipt (s) of the least delayed state, None before the first. decay: by how much (s) the lead has
    shrunk lately, because states came with a growing delay or the clocks drifted apart.
    """

    lead: float | None = None
    decay: float = 0.0

    def delay(self, stamp: float, received: float) -> float:
        """How much later (s) a state came than the least delayed one. Negative where its stamp is ahead of that."""
        return 0.0 if self.lead is None else self.lead - (stamp - received)

    def followed(
        self, stamp: float, received: float, delay: float, drift: float, most: float, memory: float
    ) -> VehicleClock:
        """The clock after an accepted state with this `delay`. drift: how far (s) the clocks may have drifted apart since
        the state before.

        The lead shrinks by at most `drift` per state. most: upper bound (s) of the remembered decay. A delay that
        grew within about a second may also end at once, and is then no clock jump. memory: the share of the decay that is
        still remembered one state later.
        """
        decay = min(max(memory * self.decay + min(delay, drift), 0.0), most)
        return VehicleClock(stamp - received + max(delay - drift, 0.0), decay)
