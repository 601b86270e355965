"""Betaflight's rate curves, and their inversion: from a wanted body rate to the pulse that commands it.

A pulse of MIDDLE + d us, less the deadband, is the deflection x in [-1, 1] of a stick. With c, s, e the values RC_RATE, RATE
and EXPO of the CLI (the first two have other names for some kinds), the five kinds of `rates_type` are, for x >= 0 in deg/s:

    BETAFLIGHT   200 r y / (1 - x s / 100)          y = x + e (x^4 - x), r = c / 100, above 2: r + 14.54 (r - 2)
    RACEFLIGHT   10 c y (1 + x s / 100)             y = x + e (x^3 - x)
    KISS         2 c y / (1 - x s / 100)            y = x + e (x^3 - x)
    ACTUAL       10 c x + max(0, 10 s - 10 c) y     y = x (x + e (x^5 - x))
    QUICK        2 c x / (1 - y (1 - 2 c / m))      y = x + e (x^3 - x), m = max(10 s, 2 c)

(fc/rc.c of Betaflight 4.5 to 2026.12). A curve is odd, grows, and has one value for each whole us, so that the inverse is
the pulse whose rate is nearest to the wanted one.
"""

import bisect
import math
from collections.abc import Sequence

from spike_ctrl._files.errors import UsageError

KINDS = ("BETAFLIGHT", "RACEFLIGHT", "KISS", "ACTUAL", "QUICK")
MIDDLE, REACH = 1500, 500  # us
STEEPEST = 14.54  # of r above 2, BETAFLIGHT
FASTEST = 1998.0  # deg/s: what KISS and QUICK never exceed


def forward(kind: str, rc_rate: float, rate: float, expo: float, x: float) -> float:
    """The body rate (deg/s) of a deflection x in [-1, 1]. rc_rate, rate, expo: whole numbers as MSP_RC_TUNING has them."""
    if x < 0:
        return -forward(kind, rc_rate, rate, expo, -x)
    e = expo / 100
    if kind == "BETAFLIGHT":
        r = rc_rate / 100
        r += STEEPEST * max(0.0, r - 2)
        return 200 * r * (x + e * (x**4 - x)) / _room(x * rate / 100)
    if kind == "RACEFLIGHT":
        return 10 * rc_rate * (x + e * (x**3 - x)) * (1 + x * rate / 100)
    if kind == "KISS":
        return min(2 * rc_rate * (x + e * (x**3 - x)) / _room(x * rate / 100), FASTEST)
    if kind == "ACTUAL":
        return 10 * rc_rate * x + max(0.0, 10 * rate - 10 * rc_rate) * x * (x + e * (x**5 - x))
    if kind == "QUICK":
        if not rc_rate:
            return 0.0
        share = 1 - 2 * rc_rate / max(10 * rate, 2 * rc_rate)
        return min(2 * rc_rate * x / _room(share * (x + e * (x**3 - x))), FASTEST)
    raise UsageError(f"rates_type: found '{kind}', wanted one of {', '.join(KINDS)}")


def _room(share: float) -> float:
    return min(max(1 - share, 0.01), 1.0)


class RateCurve:
    """The curve of one axis. limit: deg/s, rate_limit of the CLI. deadband: us. reversed_: the stick to the right commands
    a turn to the left, as that of yaw does: its rates grow to the left, as in FLU.
    """

    def __init__(
        self, kind: str, rc_rate: int, rate: int, expo: int, limit: int = 1998, deadband: int = 0, reversed_: bool = False
    ):
        self.sign = -1 if reversed_ else 1
        self.rates = [
            math.radians(min(forward(kind, rc_rate, rate, expo, max(0, d - deadband) / (REACH - deadband)), limit))
            for d in range(REACH + 1)
        ]
        if any(b < a for a, b in zip(self.rates, self.rates[1:], strict=False)):
            raise UsageError(f"rates: found a curve of {kind} that falls (expo {expo}), wanted one that grows")

    @property
    def fastest(self) -> float:
        """The largest rate (rad/s) that it commands."""
        return self.rates[-1]

    @property
    def coarsest(self) -> float:
        """The largest step (rad/s) between two pulses below half of the stick."""
        return max(b - a for a, b in zip(self.rates[:250], self.rates[1:251], strict=True))

    def pulse(self, rate: float) -> int:
        """The pulse (us) that commands this rate (rad/s, FLU), or the one nearest to it."""
        wanted = abs(rate)
        place = bisect.bisect_left(self.rates, wanted)
        if place > REACH:
            place = bisect.bisect_left(self.rates, self.rates[-1])  # of equal rates at its end the least deflection
        elif place and wanted - self.rates[place - 1] <= self.rates[place] - wanted:
            place = bisect.bisect_left(self.rates, self.rates[place - 1])
        return MIDDLE + self.sign * (place if rate > 0 else -place)

    def rate(self, pulse: int) -> float:
        """The rate (rad/s, FLU) that a pulse (us) commands."""
        off = min(max(pulse - MIDDLE, -REACH), REACH)
        return self.sign * math.copysign(self.rates[abs(off)], off)


def curves(
    kind: str,
    rc_rates: Sequence[int],
    rates: Sequence[int],
    expo: Sequence[int],
    limits: Sequence[int],
    deadband: int = 0,
    yaw_deadband: int = 0,
) -> tuple[RateCurve, RateCurve, RateCurve]:
    """The curves of roll, pitch and yaw. Raises UsageError."""
    roll, pitch, yaw = (
        RateCurve(kind, c, s, e, limit, dead, axis == 2)
        for axis, (c, s, e, limit, dead) in enumerate(
            zip(rc_rates, rates, expo, limits, (deadband, deadband, yaw_deadband), strict=True)
        )
    )
    return roll, pitch, yaw
