"""Controllers whose commands are corrected for the vehicle that flies: for its battery's voltage, for its hover throttle."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.action_mapping import LEAST_COLLECTIVE, collective, thrusts
from spike_ctrl.sim.dynamics import HOVER, VOLTAGE
from spike_ctrl.sim.environment import Environment

Array = NDArray[Any]
_collective = np.vectorize(collective, otypes=[np.float32])


class _Corrected:
    """A controller with the `begin` of another one, whose actions it corrects."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self.controller.begin(vehicles)


class BatteryCompensated(_Corrected):
    """The firmware's battery compensation: commands u leave as u (nominal / V)^exponent, with the battery's voltage V.

    A command then means the same thrust at every voltage. Where that is more than 1, the rotors give what they can.
    """

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


class HoverTold(_Corrected):
    """Collectives meant for the hover throttle of the environment's airframe become each vehicle's own: layout `rates`.

    So a guide that knows the thrust curve of each vehicle gives the thrust that it means.
    """

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The controller's actions (N, 4), for each vehicle's autopilot. Raises ValueError without one of the layout."""
        if environment is None or environment.airframe.action_layout != "rates":
            raise ValueError("hover throttle: found a vehicle without one, wanted an airframe with the layout 'rates'")
        action = np.asarray(self.controller.act(observation, environment), np.float32).clip(-1, 1)
        meant = thrusts(action[:, 0], environment.airframe.hover).astype(np.float32)
        told: Array = action.copy()
        told[:, 0] = _collective(meant, environment.read(HOVER)).clip(LEAST_COLLECTIVE, 1)
        return told
