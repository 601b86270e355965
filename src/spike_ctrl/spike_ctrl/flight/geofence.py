"""Where and how the vehicle may fly: a cage in the world and an envelope of attitude, rates, speed and error."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from spike_ctrl._files import ranges
from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.flight.state_checks import Sample, tilt

LOWEST = 0.5  # m above the ground: no set-point lies lower
RECOVERY = 0.8  # m above the ground: nor does a recovery end lower
CRASH = 0.15  # m: nor may a vehicle come lower before its fall could be stopped ...
CATCH, BRAKE = 0.12, 7.0  # s until somebody else's thrust acts, m/s^2 with which it then slows the fall


class CageError(ValueError):
    """A cage that cannot be; one line with found and wanted."""


@dataclass(frozen=True)
class Cage:
    """The inner keep-in box (m, `odom` ENU); the outer fence is the autopilot's.

    low, high: its corners. margin: set-points keep this distance from the walls; at half of it the guide takes over and
    flies to the centre. The floor has none, for the vehicle takes off from it. ground: the height (m) from which it did,
    where that is known: then set-points stay above it, and so does the centre.
    """

    low: tuple[float, float, float] = (-3.0, -3.0, -0.5)
    high: tuple[float, float, float] = (3.0, 3.0, 3.0)
    margin: float = within(0.5, 0.0, 20.0)
    ground: float = -math.inf

    def __post_init__(self):
        ranges.check(self, "cage", CageError)
        numbers = (*self.low, *self.high)
        if len(self.low) != 3 or len(self.high) != 3 or not all(math.isfinite(v) for v in numbers):
            raise CageError(f"cage: found {self.low} to {self.high}, wanted two corners of three finite numbers")
        for axis, low, high in zip("xyz", self.low, self.high, strict=True):
            if high - low <= 2 * self.margin:
                raise CageError(f"cage: {axis}: found {low} to {high} m, wanted more than twice the margin, {self.margin} m")

    @property
    def centre(self) -> tuple[float, float, float]:
        low = (*self.low[:2], max(self.low[2], self.ground))
        return self.clamp(tuple((a + b) / 2 for a, b in zip(low, self.high, strict=True)))

    def over(self, ground: float | None) -> Cage:
        """The same cage over the ground at that height (m), if it is known."""
        return self if ground is None else _over(self, ground)

    @property
    def inner(self) -> str:
        """Where set-points may be, in words."""
        low, high = self._inner()
        return " x ".join(f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)) + " m"

    def clamp(self, position):
        """The point nearest to `position` where a set-point may be."""
        low, high = self._inner()
        return tuple(min(max(p, a), b) for p, a, b in zip(position, low, high, strict=True))

    def slowed(self, position, velocity, time: float):
        """The velocity (m/s) of a set-point at `position` that within `time` (s) leads no nearer to a wall than half of the
        margin."""
        low, high = self._inner()
        to_low = [(p - a + self.margin / 2) / time for p, a in zip(position, low, strict=True)]
        to_high = [(b - p + self.margin / 2) / time for p, b in zip(position, high, strict=True)]
        return tuple(min(max(v, -a), b) for v, a, b in zip(velocity, to_low, to_high, strict=True))

    def check(self, position) -> tuple[Finding, ...]:
        """Whether a vehicle at `position` has left the cage or is near a wall."""
        outside = max(max(a - p, p - b) for p, a, b in zip(position, self.low, self.high, strict=True))
        found = "(" + ", ".join(f"{p:.2f}" for p in position) + ") m"
        if outside > 0:
            return (Finding(Fault.CAGE_LEFT, f"found {found}, {outside:.2f} m outside"),)
        walls = (position[0] - self.low[0], position[1] - self.low[1])
        near = min(*walls, *(b - p for p, b in zip(position, self.high, strict=True)))
        if near < self.margin / 2:
            return (Finding(Fault.CAGE_NEAR, f"found {found}, {near:.2f} m from the wall, wanted {self.margin / 2}"),)
        return ()

    def _inner(self):
        m = self.margin
        low = (self.low[0] + m, self.low[1] + m, max(self.low[2], self.ground + LOWEST))
        return low, tuple(b - m for b in self.high)


@lru_cache(maxsize=4)  # asked for some times in each step of a flight, in which the ground stays where it is
def _over(cage: Cage, ground: float) -> Cage:
    return replace(cage, ground=ground)


@dataclass(frozen=True)
class Envelope:
    """What is still a flight under control. Beyond it the guide recovers, then the autopilot holds."""

    tilt: float = within(math.radians(50), 0.1, math.pi)  # rad
    rate: float = within(12.0, 0.5, 100.0)  # rad/s
    speed: float = within(5.0, 0.1, 50.0)  # m/s
    error: float = within(4.0, 0.1, 100.0)  # m from the set-point

    @property
    def followed(self) -> tuple[float, float]:
        """Tilt (rad) and speed (m/s) that a trajectory may ask for: the rest is for what the vehicle has to correct."""
        return 0.8 * self.tilt, 0.8 * self.speed

    @property
    def reach(self) -> float:
        """How far off (m) a set-point may be when it is given."""
        return 0.9 * self.error

    def check(self, sample: Sample, target: SetPoint | None, ground: float | None = None) -> tuple[Finding, ...]:
        """The worst limit that an airborne vehicle exceeds. ground: height (m) that it must not fall to; None: unknown."""
        if ground is not None and (found := self._falls(sample, ground)):
            return found
        found = [
            ("tilt", tilt(sample.quaternion), self.tilt, "rad"),
            ("body rate", math.hypot(*sample.rates), self.rate, "rad/s"),
            ("speed", math.hypot(*sample.velocity), self.speed, "m/s"),
        ]
        if target is not None:
            found.append(("error", math.dist(sample.position, target.position), self.error, "m"))
        name, value, limit, unit = max(found, key=lambda item: item[1] / item[2])
        if value <= limit:
            return ()
        return (Finding(Fault.ENVELOPE, f"{name} is {value:.2f} {unit}, wanted at most {limit:.2f}"),)

    def _falls(self, sample: Sample, ground: float) -> tuple[Finding, ...]:
        """Whether the ground is nearer than a fall could be stopped."""
        height, sinking = sample.position[2] - ground, max(-sample.velocity[2], 0.0)
        wanted = CRASH + CATCH * sinking + sinking**2 / (2 * BRAKE)
        if height >= wanted:
            return ()
        detail = f"height is {height:.2f} m and falls at {sinking:.2f} m/s, wanted at least {wanted:.2f} m"
        return (Finding(Fault.ENVELOPE, detail),)

    def tumbling(self, sample: Sample) -> bool:
        """Whether it is farther out of the envelope than a sound guide ever flies, whose tilt ends at 60 degrees."""
        return tilt(sample.quaternion) > 1.3 * self.tilt or math.hypot(*sample.rates) > 1.3 * self.rate

    def settled(self, sample: Sample) -> bool:
        """Whether a recovery is over: slow by a fifth of the envelope, level by a third: in wind nobody hovers level."""
        return (
            tilt(sample.quaternion) < self.tilt / 3
            and math.hypot(*sample.rates) < self.rate / 5
            and math.hypot(*sample.velocity) < self.speed / 5
        )
