"""A rotor of the simulated vehicle that fails in flight, as users name it: rotor:NUMBER:PERCENT[:SECONDS]."""

from __future__ import annotations

from typing import NamedTuple

from spike_ctrl._files.errors import UsageError


class RotorFailure(NamedTuple):
    """rotor: from 0 on, clockwise from front-right. share: of its thrust, that it loses. after: s in the air."""

    rotor: int
    share: float
    after: float = 12.0

    def __str__(self) -> str:
        return f"rotor {self.rotor + 1} loses {self.share:.0%} of its thrust"


def parse(text: str) -> RotorFailure:
    """The failure that a user names. Raises UsageError.

    >>> str(parse("rotor:2:100"))
    'rotor 2 loses 100% of its thrust'
    """
    kind, *words = text.split(":")
    try:
        number, percent, after = map(float, (*words, str(RotorFailure(0, 0.0).after))[:3])
    except ValueError:
        number = percent = after = -1.0
    known = kind == "rotor" and number in (1, 2, 3, 4) and len(words) < 4
    if not (known and 0 < percent <= 100 and 0 <= after < 1e5):
        wanted = "rotor:NUMBER:PERCENT or rotor:NUMBER:PERCENT:SECONDS with a rotor of 1 to 4 and at most 100 %"
        raise UsageError(f"fault: found '{text}', wanted {wanted}")
    return RotorFailure(int(number) - 1, percent / 100, after)
