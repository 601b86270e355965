"""How a time that is left is written, everywhere."""

from __future__ import annotations

import math

UNKNOWN = "--:--"


def time_left(seconds: float) -> str:
    """m:ss, from an hour on h:mm:ss; UNKNOWN where it is infinite or NaN.

    >>> time_left(65.9), time_left(3600), time_left(float("inf"))
    ('1:05', '1:00:00', '--:--')
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    minutes, seconds = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{seconds:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
