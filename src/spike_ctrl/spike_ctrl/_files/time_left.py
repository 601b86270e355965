"""How a time that is left is estimated and written."""

import math

UNKNOWN = "--:--"
FORETOLD, SETTLED = 0.02, 60.0  # share of the work that tells a pace; s of it that tell one, too


class Forecast:
    """The time left, s, by the pace so far. now: s, when nothing was done."""

    def __init__(self, now: float):
        self._first, self._begun, self._base = now, now, 0.0

    def left(self, share: float, now: float) -> float:
        """With this share (0 to 1) done. Infinite before a pace is known: what begins, compiles and starts processes."""
        self._first = self._first if self._base > 0 else now
        if share < FORETOLD and now - self._first < SETTLED:
            self._begun, self._base = now, share
        done, took = share - self._base, now - self._begun
        return took * (1 - share) / done if done >= FORETOLD or (done > 0 and took >= SETTLED) else math.inf


def time_left(seconds: float) -> str:
    """m:ss, from an hour on h:mm:ss; UNKNOWN where it is infinite or NaN.

    >>> time_left(65.9), time_left(3600), time_left(float("inf"))
    ('1:05', '1:00:00', '--:--')
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    minutes, seconds = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{seconds:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
