"""Whether a policy in shadow answers what changes as the guide does: by sign, whatever its gain. Pure.

While the estimate wanders, a sound policy of another gain differs from the guide by as much as an inverted one, and no mean
of the difference tells the two apart. Their answers to the same noise do: what changes within some answers has the same sign
in both. So the changes of the first three numbers are correlated, each over some seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within

Three = tuple[float, float, float]
ZERO: Three = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class LikenessLimits:
    """When answers are alike that differ by more than `disagreement` of AnswerLimits."""

    disagreement: float = within(0.45, 0.001, 2.0, "In noise: largest mean difference from the guide's action.", "")
    answers: int = within(250, 1, 100_000, "In noise: answers before the policy may fly.", "")
    slow: int = within(15, 1, 1000, "Answers whose mean is subtracted to give an answer's change.", "")
    memory: int = within(300, 1, 100_000, "Answers over which the changes' correlation is taken.", "")
    first: float = within(0.3, -1.0, 1.0, "Least correlation of the actions' first numbers.", "")
    turns: float = within(0.1, -1.0, 1.0, "Least correlation of the second numbers, and of the third.", "")


class Likeness(NamedTuple):
    """Of the first three numbers of an answer.

    apart: mean size of the difference. policy, guide: the mean answers. own, others, both: sums of products of changes.
    """

    answers: int = 0
    apart: Three = ZERO
    policy: Three = ZERO
    guide: Three = ZERO
    own: Three = ZERO
    others: Three = ZERO
    both: Three = ZERO

    def after(self, policy: tuple[float, ...], guide: tuple[float, ...], limits: LikenessLimits) -> Likeness:
        """After both have answered a state."""
        (a, b, c, *_), (d, e, f, *_) = policy, guide
        if self.answers == 0:
            return Likeness(1, (abs(a - d), abs(b - e), abs(c - f)), (a, b, c), (d, e, f))
        (x, y, z), share = self.apart, max(1.0 / (self.answers + 1), 1.0 / limits.memory)
        apart = x + share * (abs(a - d) - x), y + share * (abs(b - e) - y), z + share * (abs(c - f) - z)
        (p, q, r), (u, v, w), share = self.policy, self.guide, 1.0 / limits.slow
        a, b, c, d, e, f = a - p, b - q, c - r, d - u, e - v, f - w
        (g, h, i), (j, k, m), (x, y, z), kept = self.own, self.others, self.both, 1.0 - 1.0 / limits.memory
        return Likeness(
            self.answers + 1, apart, (p + share * a, q + share * b, r + share * c),
            (u + share * d, v + share * e, w + share * f), (kept * g + a * a, kept * h + b * b, kept * i + c * c),
            (kept * j + d * d, kept * k + e * e, kept * m + f * f), (kept * x + a * d, kept * y + b * e, kept * z + c * f),
        )  # fmt: skip

    def alike(self, limits: LikenessLimits) -> bool:
        """Whether the two have answered changes alike for long enough. What does not change is not alike."""
        first, *turns = (
            both / size if (size := math.sqrt(own * other)) > 0 else -1.0
            for own, other, both in zip(self.own, self.others, self.both, strict=True)
        )
        near = self.answers >= limits.answers and max(self.apart) <= limits.disagreement
        return near and first >= limits.first and min(turns) >= limits.turns
