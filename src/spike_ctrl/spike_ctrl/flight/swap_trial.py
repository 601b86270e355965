"""The trial of a checkpoint that has taken over in flight: the distance from the set-point says whether it is kept.

    trial = trial.watched(now, distance, limits)       # for each state; distance None: the set-point is on its way
    trial = trial.begun(now, child, parent)            # the child has taken over
    trial, verdict = trial.judged(now, flies, limits)  # at each step

The child is worse where its mean distance, once it has settled, exceeds that of its parent before by `worse` and by the
share `worse_share`; at once where it moves the vehicle away. What children that were kept have lost counts against the next
ones: a hundred that are a little worse are not kept. One that cannot be judged, because the set-point is always on its way
or another than the policy flies, is rolled back, too. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.flight.answer_checks import Identity


@dataclass(frozen=True)
class TrialLimits:
    """How a checkpoint that has taken over is judged. In a hover, equal policies differ by .01 m at most."""

    memory: float = within(1.5, 0.1, 100.0, "Time over which the distance from the set-point is averaged.", "s")
    step: float = within(0.1, 0.001, 10.0, "Longest pause between states that counts as flown.", "s")
    settles: float = within(1.5, 0.0, 100.0, "Time from the swap to the start of the trial.", "s")
    judged: float = within(2.0, 0.1, 100.0, "Length of the trial.", "s")
    latest: float = within(15.0, 0.1, 1000.0, "Longest time from the swap to the end of the trial.", "s")
    worse: float = within(0.02, 0.0, 10.0, "The candidate's mean distance may exceed the parent's by this,", "m")
    worse_share: float = within(0.25, 0.0, 10.0, "or by this share of the parent's.", "")
    away: float = within(0.4, 0.01, 100.0, "A candidate farther off than its parent by more is rolled back at once.", "m")
    returning: float = within(1.0, 0.1, 100.0, "Longest time until the parent has taken over again.", "s")


class TrialEnd(Enum):
    """How a trial ends. In all cases but the first the parent is to take over."""

    KEPT = auto()
    LOST_COMMAND = auto()
    WENT_AWAY = auto()
    WORSE = auto()
    NOT_JUDGED = auto()


class TrialVerdict(NamedTuple):
    """How the trial of a child ended. Distances in m from the set-point: with it, and with its parent before.

    others: m that children before it have lost. latest: s within which it had to be judged.
    """

    end: TrialEnd
    child: Identity
    parent: Identity
    distance: float = math.nan
    before: float = math.nan
    others: float = 0.0
    latest: float = math.nan

    @property
    def kept(self) -> bool:
        """Whether the child goes on; otherwise its parent is to take over."""
        return self.end is TrialEnd.KEPT


@quickly_replaced
class SwapTrial(NamedTuple):
    """distance: mean (m) while a policy flies. child, parent: of the trial that runs.

    lost: m, by which children that were kept are worse than the first policy; what they were better is taken off.
    returning: since when (s) the parent is asked back. barred: children that were rolled back and may not try again.
    """

    distance: float | None = None
    seen: float | None = None  # s
    child: Identity | None = None
    parent: Identity | None = None
    since: float = 0.0
    before: float = 0.0  # m
    total: float = 0.0  # m s
    time: float = 0.0  # s that were judged
    lost: float = 0.0
    returning: float | None = None
    barred: frozenset[Identity] = frozenset()

    def watched(self, now: float, distance: float | None, limits: TrialLimits) -> SwapTrial:
        """After a state at that distance (m) from the set-point."""
        step = min(now - self.seen, limits.step) if self.seen is not None else 0.0
        if distance is None:
            return self._replace(seen=now)
        known, share = distance if self.distance is None else self.distance, min(step / limits.memory, 1.0)
        mean = known + share * (distance - known)
        trial = self._replace(seen=now, distance=mean)
        if self.child is None or now - self.since < limits.settles:
            return trial
        return trial._replace(total=self.total + step * distance, time=self.time + step)

    def begun(self, now: float, child: Identity, parent: Identity | None) -> SwapTrial:
        """The child has taken over from its parent."""
        if parent is None or self.distance is None:  # nobody to go back to, or nothing to compare with
            return self._replace(child=None, parent=None)
        return self._replace(child=child, parent=parent, since=now, before=self.distance, total=0.0, time=0.0)

    def judged(self, now: float, flies: bool, limits: TrialLimits) -> tuple[SwapTrial, TrialVerdict | None]:
        """The verdict, once there is one. flies: whether the child commands the vehicle."""
        if self.child is None or self.parent is None or self.returning is not None:
            return self, None
        who = self.child, self.parent
        if not flies:
            return self._rolled_back(now, TrialVerdict(TrialEnd.LOST_COMMAND, *who))
        if self.distance is not None and self.distance > self.before + limits.away:
            return self._rolled_back(now, TrialVerdict(TrialEnd.WENT_AWAY, *who, self.distance, self.before))
        if self.time >= limits.judged:
            mean = self.total / self.time
            lost = max(self.lost + mean - self.before, 0.0)
            if not lost <= max(limits.worse, limits.worse_share * self.before):
                return self._rolled_back(now, TrialVerdict(TrialEnd.WORSE, *who, mean, self.before, self.lost))
            kept = TrialVerdict(TrialEnd.KEPT, *who, mean, self.before)
            return self._replace(child=None, parent=None, lost=lost), kept
        if now - self.since > limits.latest:
            return self._rolled_back(now, TrialVerdict(TrialEnd.NOT_JUDGED, *who, latest=limits.latest))
        return self, None

    def returned(self, now: float, flying: Identity | None, limits: TrialLimits) -> tuple[SwapTrial, bool]:
        """Once the parent has taken over again, or has not in time: then True."""
        if self.returning is None or self.parent is None:
            return self, False
        over = self._replace(child=None, parent=None, returning=None)
        if flying == self.parent:
            return over, False
        late = now - self.returning > limits.returning
        return (over if late else self), late

    def _rolled_back(self, now: float, verdict: TrialVerdict) -> tuple[SwapTrial, TrialVerdict]:
        return self._replace(returning=now, barred=self.barred | {verdict.child}), verdict
