"""The firmware's battery compensation for any controller: a command means the same thrust at every voltage."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.dynamics import VOLTAGE
from spike_ctrl.sim.environment import Environment

Array = NDArray[Any]


class BatteryCompensated:
    """A controller whose commands u leave as u (nominal / V)^exponent, with the voltage V of the vehicle's battery.

    Where that is more than 1, the rotors give what they can.
    """

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self.controller.begin(vehicles)

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The controller's actions (N, 4), compensated. Raises ValueError for a vehicle without a battery."""
        battery = environment.airframe.battery if environment else None
        if environment is None or battery is None:
            raise ValueError("battery compensation: found a vehicle without a battery, wanted an airframe with one")
        factor = battery.factor(environment.read(VOLTAGE))
        action = np.asarray(self.controller.act(observation, environment), np.float32)
        command = action_mapping.command(action.clip(-1, 1)) / factor[:, None]
        compensated: Array = action_mapping.action(command.clip(0, 1))
        return compensated
