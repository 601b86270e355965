"""The line of progress of flights that come one after another."""

import time
from collections.abc import Callable

from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli._terminal import show_progress


def shares(who: str, before: int, parts: int, begun: float) -> Callable[[float], None]:
    """Shows progress and time left from the share of a part that is done, of which `before` are over since `begun`."""

    def shown(share: float) -> None:
        done = (before + share) / parts
        left = (time.monotonic() - begun) * (1 - done) / done
        show_progress(f"{100 * done:.0f} %, {time_left(left)} left, {who}")

    return shown
