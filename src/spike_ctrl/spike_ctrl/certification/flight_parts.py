"""Who flies in a certified flight, by which clock, and what is kept of it."""

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.flight.faults import Rung
from spike_ctrl.policy.policy_protocol import Policy


class Competitors(NamedTuple):
    """Who flies: the policy with its name, the guide and the airframe that both were made for. told: as tell_commands."""

    name: str
    policy: Policy
    guide: Guide
    airframe: Airframe
    told: bool = False


class FlownStep(NamedTuple):
    """The truth at one state: time (s), position and what was estimated of it (m), set-point (m), who flew."""

    time: float
    position: tuple[float, float, float]
    estimated: tuple[float, float, float]
    wanted: tuple[float, float, float]
    rung: Rung


class VirtualClock:
    """Calls by the virtual time at which they are due; of equal times in the order in which they were asked for. now: s."""

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
