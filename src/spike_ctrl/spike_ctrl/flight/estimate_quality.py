"""How sure the autopilot's estimator is of the state that it tells, and whether that is enough to fly on. Pure.

An estimator that has lost its satellites goes on telling positions, which drift by metres; the autopilot's own geofence
believes them too. What it tells beside them says so: the variances of position, the flags of what it can still estimate, and
how far the measurements lie from what it expects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within

# ESTIMATOR_STATUS.flags of MAVLink. PX4 leaves out AIDED as soon as no measurement bounds the horizontal drift any more.
ATTITUDE, VELOCITY_HORIZONTAL, VELOCITY_VERTICAL, POSITION_HORIZONTAL, POSITION_VERTICAL = 1, 2, 4, 8, 32
CONSTANT_POSITION, AIDED = 128, 256
NEEDED = {
    ATTITUDE: "attitude",
    VELOCITY_HORIZONTAL: "horizontal velocity",
    VELOCITY_VERTICAL: "vertical velocity",
    POSITION_HORIZONTAL: "horizontal position",
    POSITION_VERTICAL: "height",
    AIDED: "a measurement of the horizontal motion",
}
GOOD_FLAGS = sum(NEEDED)
UNKNOWN_FLAGS = -1
INNOVATIONS = ("velocity", "horizontal position", "height", "heading")
STILL = math.inf  # innovation of a velocity whose state stands still while the vehicle shakes: force_consistency.py
UNKNOWN_INNOVATIONS = (math.nan, math.nan, math.nan, math.nan)


@quickly_replaced
class EstimateQuality(NamedTuple):
    """What the estimator tells of itself with a state; NaN and -1 stand for what it does not tell.

    horizontal, vertical: standard deviations of the position (m); the horizontal one is that of both axes together, PX4's
    eph. failed: it says that its estimate is not to be used (ODOMETRY.quality below 0). flags: ESTIMATOR_STATUS.flags.
    innovations: by INNOVATIONS, the measurements' distance from what was expected, over the largest that is accepted. A
    negative one of the velocity is no word of the estimator: so much the specific force contradicts it.
    variances: 9 of position (m^2, odom), attitude (rad^2, about the body's axes) and velocity (odom); empty: not told.
    """

    horizontal: float = math.nan
    vertical: float = math.nan
    failed: bool = False
    flags: int = UNKNOWN_FLAGS
    innovations: tuple[float, float, float, float] = UNKNOWN_INNOVATIONS
    variances: tuple[float, ...] = ()


@dataclass(frozen=True)
class EstimateLimits:
    """Up to where a state may be flown on."""

    horizontal: float = within(0.6, 0.01, 100.0, "Largest standard deviation of the horizontal position.", "m")
    vertical: float = within(1.0, 0.01, 100.0, "Largest standard deviation of the height.", "m")
    innovation: float = within(1.0, 0.1, 100.0, "Largest innovation, as a share of the estimator's own limit.", "")
    time: float = within(0.5, 0.0, 10.0, "An estimate beyond a limit for longer leads to LAND.", "s")
    leaving: float = within(1.0, 0.0, 10.0, "The same in a take-off, while PX4 still says that the vehicle stands.", "s")


class Sign(Enum):
    """What speaks against an estimate. VELOCITY: its innovation. FORCE: the specific force contradicts the velocity.

    STANDING: it takes the vehicle for standing. PX4's estimator learns of a take-off up to .9 s late. STILL: see there.
    """

    FAILED = auto()
    DEVIATION = auto()
    FLAGS = auto()
    STANDING = auto()
    VELOCITY = auto()
    FORCE = auto()
    INNOVATION = auto()
    STILL = auto()


class Objection(NamedTuple):
    """What speaks against an estimate. detail: found and wanted, in words."""

    sign: Sign
    detail: str


def doubt(quality: EstimateQuality, limits: EstimateLimits, standing: bool = False) -> Objection | None:
    """What speaks against an estimate; None where nothing does, or the estimator does not tell.

    standing: of a vehicle on the ground, which PX4 knows to stand still, and whose innovations are not looked at.
    """
    if quality.failed:
        return Objection(Sign.FAILED, "quality: the estimator says that its estimate has failed")
    for name, found, limit in (
        ("horizontal position", quality.horizontal, limits.horizontal),
        ("height", quality.vertical, limits.vertical),
    ):
        if found > limit or math.isinf(found):
            return Objection(Sign.DEVIATION, f"{name}: found a deviation of {found:.2f} m, wanted at most {limit:g} m")
    if quality.flags != UNKNOWN_FLAGS:
        if quality.flags & GOOD_FLAGS != GOOD_FLAGS:
            missing = [name for flag, name in NEEDED.items() if not quality.flags & flag]
            return Objection(
                Sign.FLAGS, f"the estimate is without {', '.join(missing)} (ESTIMATOR_STATUS.flags {quality.flags})"
            )
        if quality.flags & CONSTANT_POSITION and not standing:
            return Objection(
                Sign.STANDING, f"flags: found {quality.flags}: the estimator takes the flying vehicle to stand still"
            )
    if -quality.innovations[0] > 1 and not standing:
        words = f"found {-quality.innovations[0]:.2f} times the allowed difference, wanted at most 1"
        return Objection(Sign.FORCE, f"velocity against the specific force: {words}")
    for name, ratio in () if standing else zip(INNOVATIONS, quality.innovations, strict=True):
        if ratio > limits.innovation:
            if ratio == STILL and name == INNOVATIONS[0]:
                return Objection(Sign.STILL, "the body rates stand still while the accelerometer shakes")
            detail = f"innovation of {name}: found {ratio:.2f} of what it accepts, wanted at most {limits.innovation:g}"
            return Objection(Sign.VELOCITY if name == INNOVATIONS[0] else Sign.INNOVATION, detail)
    return None


class Doubt(NamedTuple):
    """Since when (s) the estimate has been in doubt without a break, and why; None: it is not."""

    since: float | None = None
    objection: Objection | None = None

    def seen(self, quality: EstimateQuality, now: float, limits: EstimateLimits) -> Doubt:
        """After a state with this quality, received at `now` (s)."""
        objection = doubt(quality, limits)
        if objection is None:
            return Doubt()
        stood = self.objection is not None and self.objection.sign is Sign.STANDING
        begins = self.since is None or (stood and objection.sign is not Sign.STANDING)
        return Doubt(now if begins else self.since, objection)
