"""Some seconds of made-up flight, and what a policy answers to it: every machine that flies the policy must answer the same.

Processors round differently, and a membrane that just reaches its threshold would spike on one and not on the other. So the
flight is drawn anew until the answers do not hang on rounding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.policy_protocol import Policy

STEPS, LEAST_STEPS = 128, 100
DRAWS = 32
MARGIN = 1e-5  # least distance of a membrane from its threshold
ROUNDING, AGREEMENT = 1e-6, 1e-5  # change of the observations, and the change of the answers that it may cause


def flight(policy: Policy) -> tuple[NDArray[Any], NDArray[Any]]:
    """Observations [steps, in] of a flight, and the policy's actions [steps, out]; the best of DRAWS where none is safe."""
    best, chosen = -np.inf, np.empty((0, policy.inputs), np.float32)
    for seed in range(DRAWS):
        observations = _plausible_observations(np.random.default_rng(seed), policy.inputs)
        if isinstance(policy, SpikingPolicy):
            safety, enough = _margin(policy, observations), MARGIN
        else:
            safety, enough = -_sensitivity(policy, observations), -AGREEMENT
        if safety > best:
            best, chosen = safety, observations
        if safety > enough:
            break
    return chosen, answers(policy, chosen)


def answers(policy: Policy, observations: NDArray[Any]) -> NDArray[Any]:
    """The policy's actions [steps, out] on a flight [steps, in] from the initial state."""
    state, actions = policy.initial_state(), []
    for observation in observations:
        action, state = policy.step(observation, state)
        actions.append(action)
    return np.stack(actions)


def _margin(policy: SpikingPolicy, observations: NDArray[Any]) -> float:
    """How close any membrane comes to its threshold."""
    least, state = np.inf, policy.initial_state()
    for observation in observations:
        _, state = policy.step(observation, state)
        least = min(least, float(np.abs(state.membrane - policy.theta).min()))
    return least


def _sensitivity(policy: Policy, observations: NDArray[Any]) -> float:
    """How far the actions change with observations that are larger and smaller by a rounding."""
    wanted = answers(policy, observations)
    changed = [answers(policy, (observations * factor).astype(np.float32)) for factor in (1 - ROUNDING, 1 + ROUNDING)]
    return float(max(np.abs(actions - wanted).max() for actions in changed))


def _plausible_observations(rng: np.random.Generator, width: int) -> NDArray[Any]:
    """Smooth random signals of unit size, [steps, width]; the nine of the attitude around the unit matrix."""
    noise = rng.standard_normal((STEPS, width))
    signal = np.empty_like(noise)
    signal[0] = noise[0]
    for step in range(1, STEPS):
        signal[step] = 0.95 * signal[step - 1] + 0.3 * noise[step]
    if width in (18, 19):  # with the voltage at the end
        signal[:, 3:12] = np.eye(3).ravel() + 0.2 * signal[:, 3:12]
    return signal.astype(np.float32)
