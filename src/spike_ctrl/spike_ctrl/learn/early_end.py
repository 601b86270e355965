"""Does it pay to end an episode early? A watch over the rewards that a method learns from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED

LAST_STEPS = 10
CRASHES = 100  # after which the watch has an opinion


class EarlyEndWatch:
    """What the last steps before a crash were worth, over the crashes of N vehicles.

    After a crash comes nothing. If a step alive is worth less than nothing there, a method that maximises its return learns
    to crash sooner.
    """

    def __init__(self, vehicles: int):
        self.crashes, self._sum = 0, 0.0
        self._worth, self._age = np.zeros((LAST_STEPS, vehicles)), np.zeros(vehicles, int)

    def receive(self, worth: NDArray[Any], flags: NDArray[np.uint8]) -> None:
        """One tick: what the step that each vehicle takes now is worth (N,), and the flags of its state (N,)."""
        self._age[(flags & FIRST) > 0] = 0
        for vehicle in np.flatnonzero((flags & TERMINATED) > 0):
            if known := min(int(self._age[vehicle]), LAST_STEPS):
                steps = (self._age[vehicle] - 1 - np.arange(known)) % LAST_STEPS
                self._sum += float(self._worth[steps, vehicle].mean())
                self.crashes += 1
        flying = np.flatnonzero((flags & (TERMINATED | TRUNCATED)) == 0)
        self._worth[self._age[flying] % LAST_STEPS, flying] = worth[flying]
        self._age[flying] += 1

    @property
    def worth(self) -> float | None:
        """Mean worth of a step alive shortly before a crash; None before there were enough crashes to tell."""
        return self._sum / self.crashes if self.crashes >= CRASHES else None
