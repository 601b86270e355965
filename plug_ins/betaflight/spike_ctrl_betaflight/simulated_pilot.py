"""A simulated pilot: what the remote control sends, over flights of which only the pilot arms and gives the stack control.

The switches are those of `firmware.SETTINGS`: channel 5 arms, 6 is MSP override, 7 is angle mode. Pure: the pilot has a
computer's patience, and sees the true motion.
"""

import math
from dataclasses import dataclass, field

from spike_ctrl.px4.frames import Vector

LOW, HIGH, MIDDLE = 1000, 2000, 1500
FLOWN, GROUND, STANDS = 0.3, 0.1, 1.5  # m, m, s: it has flown; lower and still for as long it has landed, and is disarmed
NOTICED = 1.0  # s after a flight has vanished, or the vehicle has left, until the pilot takes over
FAR, FAST = 3.0, 3.0  # m from where it stood, m/s downwards: the pilot takes over, if nothing else is said
SINKING, PER_SPEED = 0.5, 200.0  # m/s of the pilot's own landing; us of the throttle stick per m/s


@dataclass
class SimulatedPilot:
    """The plan, s after a flight is there: when to arm, when to switch the override on, when to take it back.

    hover: pulse (us) of the throttle stick that hovers. It stays there while the stack flies, as a pilot's should.
    far: m from where it stood, beyond which the pilot takes over. again: arm again after a landing, while a flight is there.
    """

    arms: float
    gives: float
    takes: float = math.inf
    hover: int = MIDDLE
    far: float = FAR
    again: bool = False
    taken: bool = False
    since: float | None = field(default=None, init=False)  # when the flight was there first, s
    _seen: float = field(default=0.0, init=False)
    _well: float = field(default=0.0, init=False)
    _home: Vector = field(default=(0.0, 0.0, 0.0), init=False)
    _flown: bool = field(default=False, init=False)
    _moved: float = field(default=0.0, init=False)
    _done: bool = field(default=False, init=False)

    def channels(self, now: float, there: bool, position: Vector, velocity: Vector) -> tuple[int, ...]:
        """Pulses (us) of roll, pitch, throttle, yaw and three switches at `now` (s).

        there: whether a flight waits or flies. position, velocity: of the vehicle, m and m/s, ENU.
        """
        if there:
            self._seen = now
        elif not self._flown and now - self._seen > NOTICED:
            self.since, self._done, self.taken = None, False, False
        if there and self._done and self.again:
            self.since, self._done, self.taken = None, False, False
        if there and self.since is None:
            self.since, self._home = now, position
        if self.since is None or self._done or now - self.since < self.arms:
            return MIDDLE, MIDDLE, LOW, MIDDLE, LOW, LOW, LOW
        self._watch(now, there, position, velocity)
        if self._done:
            return MIDDLE, MIDDLE, LOW, MIDDLE, LOW, LOW, LOW
        given = now - self.since >= self.gives and not self.taken
        throttle = self.hover if self._flown else LOW
        if self.taken and self._flown:
            throttle = round(min(max(self.hover + PER_SPEED * (-SINKING - velocity[2]), LOW + 100), HIGH))
        return MIDDLE, MIDDLE, throttle, MIDDLE, HIGH, HIGH if given else LOW, HIGH if self.taken else LOW

    def _watch(self, now: float, there: bool, position: Vector, velocity: Vector) -> None:
        """See whether it has flown, has landed, or must be taken over."""
        assert self.since is not None
        x, y, z = (a - b for a, b in zip(position, self._home, strict=True))
        self._flown = self._flown or z > FLOWN
        if z > GROUND or math.hypot(*velocity) > GROUND:
            self._moved = now
        if self._flown and now - self._moved > STANDS:
            self._done, self._flown = True, False
        if there and math.hypot(x, y, z) < self.far and velocity[2] > -FAST:
            self._well = now
        if self._flown and (now - self.since >= self.takes or now - self._well > NOTICED):
            self.taken = True
