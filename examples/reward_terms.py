"""Terms of the reward: costs (N,) of N vehicles at once, see `spike_ctrl.sim.reward_terms.RewardTerm`.

task:
  reward: {position: 2, velocity: 0.1}
  terms:
    smooth: {function: examples.reward_terms:smooth, weight: 0.5}
    level: {function: examples.reward_terms:level, weight: 0.2}
"""

from typing import Any

from numpy.typing import NDArray


def smooth(observation: NDArray[Any], u: NDArray[Any], previous: NDArray[Any]) -> NDArray[Any]:
    """Squared change of the motor commands u (N, 4) in [0, 1] from step to step."""
    return ((u - previous) ** 2).sum(1)


def level(observation: NDArray[Any], u: NDArray[Any], previous: NDArray[Any]) -> NDArray[Any]:
    """1 - cos of the tilt, from the rotation matrix in the observation (N, 18)."""
    return 1 - observation[:, 11]
