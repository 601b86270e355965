"""RAPTOR, a foundation policy for quadrotors (package foundation-policy), as the teacher of a spiking network.

    guide: {class: examples.raptor_teacher:Raptor, reach: 0.5}

It gives motor commands from the observation and its own last action, and tells from both which vehicle it flies.
"""

from typing import Any, NamedTuple

import numpy as np
from foundation_policy import Raptor as load
from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe


class RaptorState(NamedTuple):
    """What its recurrent layer remembers (N, 16), and its last action (N, 4)."""

    hidden: NDArray[Any]
    action: NDArray[np.float32]


class Raptor:
    """The foundation policy for N vehicles with `motors` actions. reach: metres at which it sees a set-point at most."""

    def __init__(self, airframe: Airframe, reach: float = 0.5):
        airframe.require_layout("motors")
        self.policy, self.reach = load(), reach
        self.memory = next(layer for layer in self.policy.layers if hasattr(layer, "initial_hidden_state"))

    def initial_state(self, vehicles: int) -> RaptorState:
        """As after the package's `reset`."""
        hidden = np.tile(self.memory.initial_hidden_state, (vehicles, 1))
        return RaptorState(hidden, np.zeros((vehicles, 4), np.float32))

    def act(
        self, observation: NDArray[Any], state: RaptorState, *privileged: NDArray[Any] | None
    ) -> tuple[NDArray[Any], RaptorState]:
        """Actions (N, 4) in [-1, 1] and the next state; what is privileged it does not need."""
        seen = np.concatenate([observation, state.action], axis=1)
        seen[:, :3] = seen[:, :3].clip(-self.reach, self.reach)
        self.memory.state = state.hidden  # which the package keeps in the layer
        action = self.policy.evaluate_step(seen).clip(-1, 1).astype(np.float32)
        return action, RaptorState(self.memory.state, action)

    def reset_rows(self, state: RaptorState, mask: NDArray[Any]) -> RaptorState:
        """The vehicles of the mask (N,) begin anew."""
        fresh = self.initial_state(len(mask))
        return RaptorState(*(np.where(mask[:, None], new, old) for new, old in zip(fresh, state, strict=True)))
