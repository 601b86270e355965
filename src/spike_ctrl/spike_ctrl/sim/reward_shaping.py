"""What a method learns instead of the raw reward: how far the reward lies above a floor, and nothing after a crash.

    share   = (reward - floor) / (best - floor), kept within [0, 1]
    learned = scale * (1 - (1 - share)^exponent)

The raw reward is negative far from the set-point, and a crash ends it. So a method that maximises the sum of raw rewards is
paid to crash soon. What is learned here is never negative. Therefore one more step before a crash never lowers the return,
whatever the discount. With exponent 1 it is the return with a crash as an absorbing state that pays the floor for ever, but
for a constant. The costs of the paper are squares, which say next to nothing about the last centimetres. With exponent 1/2
the shaped reward is linear in the distance; with less the last centimetres count most.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.sim.reward import Coefficients, reward
from spike_ctrl.sim.reward_terms import RewardTerm


@dataclass(frozen=True)
class ShapedReward:
    """What is learned of rewards between a floor and the best, in units of the reward.

    exponent: of what is missing to the best, in (0, 1]. scale: what the best is worth.
    """

    floor: float
    best: float
    exponent: float = 1.0
    scale: float = 0.3

    def __call__(self, reward: NDArray[Any]) -> NDArray[np.float32]:
        """What is learned of raw rewards of any shape."""
        share = (np.asarray(reward, np.float32) - np.float32(self.floor)) / np.float32(self.best - self.floor)
        missing = 1 - np.clip(share, 0, 1)
        learned: NDArray[np.float32] = np.float32(self.scale) * (1 - missing ** np.float32(self.exponent))
        return learned


def derive(
    weights: Iterable[Coefficients], box: float, hover: float, terms: Sequence[RewardTerm] = (), exponent: float = 1.0
) -> ShapedReward:
    """The learned reward of a task.

    The floor is what a vehicle earns that rests at the wall, level: the least over all weights that the task will have, and
    over the six walls. The best is what it earns at the set-point. The scale fits a discount of .97 to .99.

    box: half-width (m). hover: u that hovers. Raises ValueError where a hover at the set-point earns no more than one at
    the wall.
    """
    walls = np.concatenate([box * np.eye(3), -box * np.eye(3)])
    observation = np.zeros((7, 18), np.float32)
    observation[:6, :3] = walls
    observation[:, 3:12] = np.eye(3).ravel()
    u = np.full((7, 4), hover, np.float32)
    charge = sum((term.weight * term.cost(observation, u, u) for term in terms), np.zeros(7))
    earned = np.array([reward(observation, u, hover, some) - charge for some in weights])
    floor, best = float(earned[:, :6].min()), float(earned[:, 6].max())
    if best <= floor:
        raise ValueError(f"found {best:g} per step at the set-point and {floor:g} at the wall, wanted more at the set-point")
    return ShapedReward(floor, best, exponent)
