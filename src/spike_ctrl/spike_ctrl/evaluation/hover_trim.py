"""Removes a policy's steady hover offset by adding it to the bias of the first layer.

Nothing in the flight depends on where the set-point is. A policy that rests at p from it, as the policy sees it, therefore
rests at 0 when p is added to what it sees. With a spiking network that is a change of the first bias alone:

    W (s + p) + b = W s + (b + W p)        for the three columns of W that see the position

p is measured in flight, without noise and without a model. A network that circles its set-point keeps its circle.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation import tracking
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.snn.neuron import Neuron

VEHICLES, SECONDS, REST = 16, 6.0, 3.0  # of a flight, and from when on it counts
ROUNDS = 3  # a spiking network answers errors of a centimetre by steps
SEEN = slice(0, 3)  # the position in an observation
FARTHEST = 0.5  # m: who is farther away does not hover


def hover_offset(policy: Policy, airframe: Airframe) -> NDArray[Any]:
    """Mean position (3,) beside the set-point, m, in the set-point's frame, as the policy sees it in a hover; float32."""
    steps = round(SECONDS * RATE_HZ)
    environment, observation = tracking.hovering(airframe, VEHICLES, steps, Randomisation())
    state, seen = policy.initial_state(VEHICLES), []
    for step in range(steps):
        action, state = policy.step(observation, state)
        observation, *_ = environment.step(action)
        if step >= REST * RATE_HZ:
            seen.append(observation[:, SEEN])
    return np.asarray(np.mean(seen, axis=(0, 1), dtype=np.float64), np.float32)


def trimmed(weights: Mapping[str, NDArray[Any]], neuron: Neuron, airframe: Airframe) -> dict[str, NDArray[Any]]:
    """The weights with the first bias of ROUNDS that leaves the policy nearest to its set-point; as they are where it does
    not hover, or hovers no nearer.
    """
    tried = best = dict(weights)
    nearest = FARTHEST
    for _ in range(ROUNDS + 1):
        offset = hover_offset(SpikingPolicy(tried, neuron), airframe)
        if not (distance := float(np.linalg.norm(offset))) <= nearest:  # NaN is no distance
            break
        best, nearest = tried, distance
        bias = tried["layer0.bias"] + tried["layer0.weight"][:, SEEN] @ offset
        tried = tried | {"layer0.bias": bias.astype(tried["layer0.bias"].dtype)}
    return best
