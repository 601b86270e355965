"""Terms that a researcher adds to the reward: functions of what the vehicles observe and command.

reward = survive - sum of the paper's terms - sum_i weight_i cost_i(observation, u, previous)
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError, call

TermFunction = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[Any]]


class RewardTerm(NamedTuple):
    """A cost per step and its weight; a negative weight or a negative cost is a bonus.

    function(observation, u, previous) gives the costs (N,) of N vehicles at once. observation (N, 18) is the state that
    was reached, without the sensors' noise: position (m), rotation matrix row by row, velocity (m/s), body rates (rad/s),
    in the set-point's frame. u (N, 4) are the motor commands in [0, 1] that led there, previous (N, 4) those of the step
    before. Before an episode's first step the vehicle hovers.
    """

    name: str
    function: TermFunction
    weight: float

    def cost(self, observation: NDArray[np.float32], u: NDArray[np.float32], previous: NDArray[np.float32]) -> NDArray[Any]:
        """The costs (N,). Raises UsageError where the function fails or gives another shape."""
        found = np.asarray(call(f"reward term {self.name}", self.function, observation, u, previous))
        if found.shape != (len(u),):
            raise UsageError(f"reward term {self.name}: found costs of shape {found.shape}, wanted ({len(u)},)")
        return found


class RewardTerms:
    """The own terms of N vehicles, with the commands of the last step and the costs summed over each episode."""

    def __init__(self, terms: Sequence[RewardTerm], vehicles: int, hover: float):
        self.terms, self._hover = tuple(terms), np.float32(hover)
        self._previous = np.full((vehicles, 4), hover, np.float32)
        self._sums = np.zeros((len(self.terms), vehicles), np.float32)

    def reset(self, who: NDArray[np.bool_]) -> None:
        """The vehicles with who[n] start new episodes."""
        self._previous[who] = self._hover
        self._sums[:, who] = 0

    def charge(
        self, observation: NDArray[np.float32], u: NDArray[np.float32], begun: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """What to take from the reward (N,), and each term's cost summed over the episode so far, as "cost_NAME".

        begun (N,): vehicles that started a new episode in this step; they pay nothing.
        """
        costs = np.stack([np.asarray(term.cost(observation, u, self._previous), np.float32) for term in self.terms])
        costs = np.where(begun, np.float32(0), costs)
        self._sums = np.where(begun, np.float32(0), self._sums + costs)
        self._previous = np.where(begun[:, None], self._hover, u)
        weights = np.array([term.weight for term in self.terms], np.float32)
        named = {f"cost_{term.name}": sums for term, sums in zip(self.terms, self._sums, strict=True)}
        return weights @ costs, named

    def charged(self) -> NDArray[np.float32]:
        """What was taken from each vehicle's return (N,) in its episode so far."""
        return np.array([term.weight for term in self.terms], np.float32) @ self._sums
