"""What a fault of the policy or the guide does to its actions."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.flight.answer_checks import Action


class AnswerInjection:
    """One fault of a controller. It remembers the action with which it began."""

    def __init__(self, fault: InjectedFault):
        self.fault = fault
        self.first: Action | None = None
        self.dice = np.random.default_rng(fault.seed)
        self.before: deque[Action] = deque(maxlen=max(round(fault.size), 1) + 1)

    def __call__(self, action: Action, now: float) -> Action:
        """The action that the supervisor gets at `now` (s)."""
        self.before.append(action)
        if not self.fault.acts(now):
            return action
        if self.first is None:
            self.first = action
        return _action(self._changed(action, self.first))

    def _changed(self, action: Action, first: Action) -> list[float]:
        kind, size, axis = self.fault.kind, self.fault.size, self.fault.axis
        if kind == "frozen":
            return list(first)
        if kind == "frozen_with_dither":
            return [a + float(n) for a, n in zip(first, self.dice.normal(0, size, 4), strict=True)]
        if kind == "flipped":
            return [action[0], -action[1], -action[2], -action[3]]
        if kind == "one_axis_flipped":
            return [-a if n == axis else a for n, a in enumerate(action)]
        if kind == "scaled":
            return [size * a for a in action]
        if kind == "biased":
            by = math.copysign(size, self.fault.direction[0])
            return [a + by if n == axis else a for n, a in enumerate(action)]
        if kind == "noisy":
            return [a + float(n) for a, n in zip(action, self.dice.normal(0, size, 4), strict=True)]
        if kind == "not_finite":
            return [math.nan if n == axis else a for n, a in enumerate(action)]
        if kind == "full":
            return [math.copysign(1.0, a) for a in action]
        if kind == "falling":
            return [-1.0, *action[1:]]
        if kind == "delayed":
            return list(self.before[0])
        raise KeyError(kind)


def _action(numbers: list[float]) -> Action:
    a, b, c, d = (min(max(n, -1.0), 1.0) if math.isfinite(n) else n for n in numbers)
    return a, b, c, d
