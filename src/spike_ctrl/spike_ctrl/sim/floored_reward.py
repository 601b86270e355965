"""What a method learns instead of the raw reward: the reward above a floor, and nothing after a crash.

    learned = scale * max(reward - floor, 0)

The raw reward is negative far from the set-point, and a crash ends it. So a method that maximises the sum of raw rewards is
paid to crash soon. The learned reward is never negative. Therefore one more step before a crash never lowers the return,
whatever the discount. It is the return with a crash as an absorbing state that pays `floor` for ever, but for a constant
(time limits in reinforcement learning: Pardo et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.sim.reward import Coefficients, reward
from spike_ctrl.sim.reward_terms import RewardTerm


@dataclass(frozen=True)
class FlooredReward:
    """The floor, in units of the reward, and the scale of what lies above it."""

    floor: float
    scale: float

    def __call__(self, reward: NDArray[Any]) -> NDArray[np.float32]:
        """The learned reward of raw rewards of any shape."""
        above: NDArray[np.float32] = np.maximum(np.asarray(reward, np.float32) - np.float32(self.floor), np.float32(0))
        return above * np.float32(self.scale)


def derive(
    weights: Iterable[Coefficients], box: float, hover: float, terms: Sequence[RewardTerm] = (), unit: float = 0.3
) -> FlooredReward:
    """The floor and scale of a task.

    The floor is what a vehicle earns that rests at the wall, level: the least over all weights that the task will have, and
    over the six walls. At the scale a perfect hover earns `unit` per step; the default fits a discount of .97 to .99.

    box: half-width (m). hover: u that hovers. Raises ValueError where a hover at the set-point earns no more than one at
    the wall.
    """
    walls = np.concatenate([box * np.eye(3), -box * np.eye(3)])
    observation = np.zeros((7, 18), np.float32)
    observation[:6, :3] = walls
    observation[:, 3:12] = np.eye(3).ravel()
    u = np.full((7, 4), hover, np.float32)
    charge = sum((term.weight * np.asarray(term.function(observation, u, u)) for term in terms), np.zeros(7))
    earned = np.array([reward(observation, u, hover, some) - charge for some in weights])
    floor, best = float(earned[:, :6].min()), float(earned[:, 6].max())
    if best <= floor:
        raise ValueError(f"found {best:g} per step at the set-point and {floor:g} at the wall, wanted more at the set-point")
    return FlooredReward(floor, unit / (best - floor))
