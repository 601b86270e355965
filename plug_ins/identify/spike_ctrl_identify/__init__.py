"""Identifies the parameters of an airframe: those with which the simulation moves as the recorded vehicle did."""

from collections.abc import Callable

Show = Callable[[str, float], None]
"""Takes a line of progress, and the share of the work that is done, 0 to 1; NaN where nobody knows."""


FIT_AHEAD = 0.2
"""How far ahead (s) a fit to flights by motor commands predicts, unless it is told otherwise."""


def hide(line: str, share: float) -> None:
    """The `Show` that shows nothing."""


class IdentifyError(ValueError):
    """Nothing can be identified from a flight. The message is one line that says what is missing."""
