"""A controller that is told the throttle at which each vehicle's autopilot expects the hover: layout `rates`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.sim.action_mapping import LEAST_COLLECTIVE, collective, thrust
from spike_ctrl.sim.dynamics import HOVER
from spike_ctrl.sim.environment import Environment

Array = NDArray[Any]
_thrust, _collective = (np.vectorize(function, otypes=[np.float32]) for function in (thrust, collective))


class HoverTold:
    """A controller whose collectives, meant for the hover throttle of the environment's airframe, become the vehicle's own.

    So a guide that knows the thrust curve of each vehicle gives the thrust that it means.
    """

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self.controller.begin(vehicles)

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The controller's actions (N, 4), for each vehicle's autopilot. Raises ValueError without one of the layout."""
        if environment is None or environment.airframe.action_layout != "rates":
            raise ValueError("hover throttle: found a vehicle without one, wanted an airframe with the layout 'rates'")
        action = np.asarray(self.controller.act(observation, environment), np.float32).clip(-1, 1)
        meant = _thrust(action[:, 0], np.float64(environment.airframe.hover))
        told: Array = action.copy()
        told[:, 0] = _collective(meant, environment.read(HOVER)).clip(LEAST_COLLECTIVE, 1)
        return told
