"""The trial of a checkpoint that has taken over in flight: the distance from the set-point says whether it is kept.

    trial = trial.watched(now, distance)          # for each state while a policy flies; None: the set-point is on its way
    trial = trial.begun(now, child, parent)       # the child has taken over
    trial, verdict = trial.judged(now, flies)     # at each step

The child is worse where the mean distance in JUDGED seconds, SETTLES after it took over, exceeds that of its parent in the
seconds before by WORSE and by the share WORSE_SHARE; at once where it moves the vehicle away by AWAY. What children that
were kept have lost counts against the next ones: a hundred that are a little worse are not kept. One that cannot be judged,
because the set-point is always on its way or another than the policy flies, is rolled back, too. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl.flight.answer_checks import Identity

MEMORY = 1.5  # s, over which the distance is averaged
SETTLES, JUDGED, LATEST = 1.5, 2.0, 15.0  # s after the swap
WORSE, WORSE_SHARE, AWAY = 0.02, 0.25, 0.4  # m; share; m. Judged in a hover, equal policies differ by .01 m at most
RETURNING = 1.0  # s, by which the parent must have taken over again


class TrialVerdict(NamedTuple):
    """kept: the child; otherwise the parent is to take over. text: why."""

    kept: bool
    text: str


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

    def watched(self, now: float, distance: float | None) -> SwapTrial:
        """After a state at that distance (m) from the set-point."""
        step = min(now - self.seen, 0.1) if self.seen is not None else 0.0
        if distance is None:
            return self._replace(seen=now)
        mean = distance if self.distance is None else self.distance + min(step / MEMORY, 1.0) * (distance - self.distance)
        trial = self._replace(seen=now, distance=mean)
        if self.child is None or now - self.since < SETTLES:
            return trial
        return trial._replace(total=self.total + step * distance, time=self.time + step)

    def begun(self, now: float, child: Identity, parent: Identity | None) -> SwapTrial:
        """The child has taken over from its parent."""
        if parent is None or self.distance is None:  # nobody to go back to, or nothing to compare with
            return self._replace(child=None, parent=None)
        return self._replace(child=child, parent=parent, since=now, before=self.distance, total=0.0, time=0.0)

    def judged(self, now: float, flies: bool) -> tuple[SwapTrial, TrialVerdict | None]:
        """The verdict, once there is one. flies: whether the child commands the vehicle."""
        if self.child is None or self.parent is None or self.returning is not None:
            return self, None
        name = f"{self.child.checkpoint_id} (epoch {self.child.epoch})"
        back = f"{name} rolled back to {self.parent.checkpoint_id} (epoch {self.parent.epoch})"
        if not flies:
            return self._rolled_back(now, f"{back}: it lost command")
        if self.distance is not None and self.distance > self.before + AWAY:
            return self._rolled_back(now, f"{back}: {self.distance:.2f} m off, {self.before:.2f} m before")
        if self.time >= JUDGED:
            mean = self.total / self.time
            lost = max(self.lost + mean - self.before, 0.0)
            told = f"{mean:.2f} m off, {self.before:.2f} m before"
            if not lost <= max(WORSE, WORSE_SHARE * self.before):
                others = f", {self.lost:.2f} m were lost by others" if self.lost >= 0.01 else ""
                return self._rolled_back(now, f"{back}: {told}{others}")
            return self._replace(child=None, parent=None, lost=lost), TrialVerdict(True, f"{name} kept: {told}")
        if now - self.since > LATEST:
            return self._rolled_back(now, f"{back}: it could not be judged within {LATEST:g} s")
        return self, None

    def returned(self, now: float, flying: Identity | None) -> tuple[SwapTrial, str]:
        """Once the parent has taken over again, or has not in time; then also words."""
        if self.returning is None or self.parent is None:
            return self, ""
        over = self._replace(child=None, parent=None, returning=None)
        if flying == self.parent:
            return over, ""
        late = now - self.returning > RETURNING
        return (over, f"{self.parent.checkpoint_id} has not taken over again") if late else (self, "")

    def _rolled_back(self, now: float, text: str) -> tuple[SwapTrial, TrialVerdict]:
        barred = self.barred if self.child is None else self.barred | {self.child}
        return self._replace(returning=now, barred=barred), TrialVerdict(False, text)
