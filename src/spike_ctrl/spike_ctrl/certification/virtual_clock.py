"""What happens when in virtual time: calls that are due, oldest first."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any


class VirtualClock:
    """now: s. Calls at the same time happen in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, time: float, call: Callable[..., object], *arguments: Any) -> None:
        """Call at `time` (s), which may be infinite: never."""
        if time < math.inf:
            heapq.heappush(self._due, (time, next(self._order), call, arguments))

    def run(self, until: float) -> None:
        """All calls that are due before `until` (s), those that they ask for included."""
        due = self._due
        while due and due[0][0] < until:
            self.now, _, call, arguments = heapq.heappop(due)
            call(*arguments)
        self.now = until
