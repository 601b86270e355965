"""The mixer between a pilot's CRSF receiver and Betaflight: what the stack may change in the pilot's frames. Pure.

Every frame of the pilot goes on at once, and no frame is made without one: where the receiver falls silent, the mixer does
too, and Betaflight's failsafe acts. Roll, pitch, throttle and yaw are the stack's only while

- the pilot's override switch is on, and was off since the stack was last silent,
- the stack's newest sticks are not older than SILENT, and
- the receiver hears its transmitter.

All other channels, arming among them, are always the pilot's. So are frames of every other type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spike_ctrl_betaflight import crsf
from spike_ctrl_betaflight.crsf import CrsfFrame

SILENT = 0.1  # s without the stack's sticks, after which the pilot flies
ON = 1700.0  # us, from which a switch is on
STICKS = 4  # the first channels
PULSES = (900.0, 2100.0)  # us, the least and the most of a stick


class CrsfMixer(NamedTuple):
    """What is known when a frame comes. All times in s of one clock.

    override: the channel, from 0, of the pilot's override switch. sticks: the stack's pulses (us) of the first four
    channels. heard: when they came. barred: whether the pilot must switch off before the stack may fly. linked: whether the
    receiver hears its transmitter. mixed: whether the last frame of channels had the stack's sticks.
    """

    override: int = 5
    sticks: tuple[float, ...] = ()
    heard: float = float("-inf")
    barred: bool = True
    linked: bool = True
    mixed: bool = False

    def told(self, pulses: Sequence[float], now: float) -> CrsfMixer:
        """After the stack has sent its four sticks, as pulses (us) in the order of the receiver's channels.

        Fewer, and pulses that are none, count as silence.
        """
        if len(pulses) < STICKS or not all(PULSES[0] <= one <= PULSES[1] for one in pulses[:STICKS]):
            return self
        return self._replace(sticks=tuple(pulses[:STICKS]), heard=now)

    def passed(self, frame: CrsfFrame, now: float) -> tuple[CrsfMixer, CrsfFrame | None]:
        """After a frame of the pilot's receiver, and the frame that goes on to Betaflight.

        None: a proposal of another baud rate, at which the mixer would hear nothing; unanswered, the rate stays.
        """
        if frame.kind == crsf.COMMAND and frame.payload[2:4] == crsf.NEW_BAUD:
            return self, None
        if frame.kind == crsf.LINK_STATISTICS and len(frame.payload) >= 3:
            return self._replace(linked=frame.payload[2] > 0), frame  # uplink quality, %
        if frame.kind != crsf.CHANNELS or len(frame.payload) != crsf.PACKED:
            return self, frame
        pilot = crsf.channels(frame)
        on, fresh = crsf.pulse(pilot[self.override]) >= ON, now - self.heard <= SILENT
        barred = (self.barred and on) or not fresh
        if not on or barred or not self.linked:
            return self._replace(barred=barred, mixed=False), frame
        stack = [crsf.channel(pulse) for pulse in self.sticks]
        return self._replace(barred=False, mixed=True), crsf.packed([*stack, *pilot[STICKS:]], frame.data[0])
