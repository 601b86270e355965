"""A simulated pilot: what the remote control sends, over a flight of which only the pilot arms and gives the stack control.

The switches are those of `firmware.SETTINGS`: channel 5 arms, 6 is MSP override, 7 is angle mode. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

LOW, HIGH, MIDDLE = 1000, 2000, 1500


class SimulatedPilot(NamedTuple):
    """The plan, s: when the vehicle is armed, when the override is switched on, when the pilot takes it back."""

    arms: float
    gives: float
    takes: float = float("inf")

    def channels(self, now: float, throttle: int = LOW) -> tuple[int, ...]:
        """Pulses (us) of roll, pitch, throttle, yaw and three switches. throttle: the stick after that."""
        armed = HIGH if now >= self.arms else LOW
        given = HIGH if self.gives <= now < self.takes else LOW
        angle = HIGH if now >= self.takes else LOW
        return MIDDLE, MIDDLE, throttle if now >= self.takes else LOW, MIDDLE, armed, given, angle
