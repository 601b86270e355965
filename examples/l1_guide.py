"""Other people's controller as a guide: our geometric one with the L1 adaptation of the package mini-quadlib.

It needs `pip install mini-quadlib==0.2.0`, Linux on x86-64, and an airframe with motor commands. Where the vehicle changes:
  spike-ctrl adapt models/crazyflie_robust.safetensors --who policy guide examples.l1_guide:L1Guide
"""

from typing import Any

import mini_quadlib as quad
import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe, rotor_speed
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.sim import action_mapping

TURN = np.diag([1.0, -1.0, -1.0])  # between axes that point forward, left, up and those that point forward, right, down
NOTHING = np.zeros((1, 6), np.float32)


class L1Guide:
    """It adapts to what velocity and body rates show of thrust and moments. A force across the thrust is not balanced.

    adaptation: arguments of `mini_quadlib.l1_adaptive_control`, each of which has a default.
    """

    def __init__(self, airframe: Airframe, rate_hz: float = 100.0, **adaptation: float):
        airframe.require_layout("motors")
        self.airframe, self.dt, self.adaptation = airframe, 1.0 / rate_hz, adaptation
        self.guide = GeometricGuide(airframe, rate_hz=rate_hz)
        spin = np.array(airframe.rotor_spin) * airframe.torque_per_thrust
        self.effect = np.array([np.ones(4), airframe.rotor_y, -np.array(airframe.rotor_x), spin])

    def initial_state(self, vehicles: int) -> list[Any]:
        """Each vehicle's state of the adaptation; None before its first step."""
        return [None] * vehicles

    def reset_rows(self, state: list[Any], mask: NDArray[Any]) -> list[Any]:
        """The vehicles of the mask (N,) begin anew."""
        return [None if begins else old for old, begins in zip(state, mask, strict=True)]

    def act(self, observation: NDArray[Any], state: list[Any], *privileged: object) -> tuple[NDArray[Any], list[Any]]:
        """Actions (N, 4) in [-1, 1] and the next state; it looks at the observation (N, 18) alone."""
        plain, _ = self.guide.act(observation, self.guide.initial_state(len(state)), None, NOTHING)
        found = [self._adapted(*one) for one in zip(observation.astype(float), plain.astype(float), state, strict=True)]
        return np.array([action for action, _ in found], np.float32), [after for _, after in found]

    def _adapted(self, seen: NDArray[Any], plain: NDArray[Any], before: Any) -> tuple[NDArray[Any], Any]:
        craft = self.airframe
        force, *moments = self.effect @ craft.thrust(action_mapping.command(plain))
        baseline = np.array([force, *(TURN @ moments)])
        attitude = quad.rotation_matrix_to_quaternion(quad.RotationMatrix(TURN @ seen[3:12].reshape(3, 3) @ TURN))
        if before is None:
            before = quad.L1AdaptiveState()
            before.baseline_control = baseline
        after = quad.l1_adaptive_control(
            before, TURN @ seen[12:15], TURN @ seen[15:18], attitude, baseline, self.dt,
            mass=craft.mass, inertia=np.array(craft.inertia), **self.adaptation,
        )  # fmt: skip
        force, *moments = after.get_total_control()
        thrusts = np.linalg.solve(self.effect, [force, *(TURN @ moments)])
        speed = rotor_speed(craft.thrust_curve, np.clip(thrusts, craft.thrust(0.0), craft.thrust(1.0)))
        return action_mapping.action(np.clip(speed, 0.0, 1.0)), after
