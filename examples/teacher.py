"""A teacher of your own: the geometric guide with a steadier hand. Its student learns commands that change less.

guide: {class: examples.teacher:SmoothGuide, share: 0.4}
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.sim.action_mapping import at_hover


class SmoothState(NamedTuple):
    """What the guide remembers, and its last action (N, 4)."""

    guide: NDArray[np.float32]
    action: NDArray[np.float32]


class SmoothGuide:
    """action = share of the geometric guide's + the rest of the last one."""

    def __init__(self, airframe: Airframe, share: float = 0.5):
        self.guide, self.share = GeometricGuide(airframe), np.float32(share)
        self.hover = np.float32(at_hover(airframe))

    def initial_state(self, vehicles: int) -> SmoothState:
        """Nothing integrated, hovering."""
        return SmoothState(self.guide.initial_state(vehicles), np.full((vehicles, 4), self.hover))

    def act(
        self, observation: NDArray[Any], state: SmoothState, *privileged: NDArray[Any] | None
    ) -> tuple[NDArray[Any], SmoothState]:
        """Actions (N, 4) in [-1, 1] and the next state. privileged: rotor speeds, disturbance, plant."""
        wanted, guide = self.guide.act(observation, state.guide, *privileged)
        action = self.share * wanted + (1 - self.share) * state.action
        return action, SmoothState(guide, action)

    def reset_rows(self, state: SmoothState, mask: NDArray[Any]) -> SmoothState:
        """The vehicles of the mask (N,) begin anew."""
        fresh = self.initial_state(len(mask))
        return SmoothState(*(np.where(mask[:, None], new, old) for new, old in zip(fresh, state, strict=True)))
