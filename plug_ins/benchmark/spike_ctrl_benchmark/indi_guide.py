"""The guide with incremental nonlinear dynamic inversion (INDI): it measures what disturbs the vehicle and balances it.

After Smeur, de Croon and Chu (2018), with first-order filters in place of Butterworth's. The filtered slopes of velocity and
body rates show the force and torque that acted. What the commands should have given, through the rotors' lag and the same
filters, is taken off. The rest is the disturbance that the geometric guide is told, a wrong mass or thrust included.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
from spike_ctrl.sim import action_mapping

Array = NDArray[Any]
STAGES = 2  # of each filter


class IndiState(NamedTuple):
    """rotors: speeds at the last state (N, 4), as commands and lag make them. action: since then (N, 4), its own as a rule.

    The rest are the stages of the filters (N, STAGES, 3): velocity (m/s) and force (N) in the set-point frame, rates (rad/s)
    and torque (N m) in the body. Before the first step velocity and rates are NaN, and nothing disturbs.
    """

    rotors: Array
    action: Array
    velocity: Array
    force: Array
    rates: Array
    torque: Array


class IndiGuide:
    """A `Guide` that needs nothing privileged, for both layouts; with `rates` the autopilot's loop sees to the torque.

    It has to see every step that is flown. Where another commands, the action in the state has to be that one's. It takes
    commands to act at once, as long as the filters are slow beside the airframe's dead time.
    airframe: an `Airframe`, its name or its file's path. cutoff: of the filters, Hz. Raises UsageError.

    >>> guide = IndiGuide("crazyflie")
    >>> level = np.float32([[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]])  # at rest on the set-point
    >>> action, state = guide.act(level, guide.initial_state(vehicles=1))
    >>> action.round(2)  # the hover: .66 of the full speed of the rotors
    array([[0.32, 0.32, 0.32, 0.32]], dtype=float32)
    """

    def __init__(
        self, airframe: str | Path | Airframe, cutoff: float = 1.5, gains: Gains = Gains(), rate_hz: float = 100.0
    ) -> None:
        self.guide = GeometricGuide(airframe, replace(gains, integral=0.0), rate_hz)
        self.airframe = craft = self.guide.airframe
        self._dt = 1.0 / rate_hz
        self._share = 1.0 - np.exp(-2 * np.pi * cutoff * self._dt)
        x, y = np.array(craft.rotor_x), np.array(craft.rotor_y)
        self._moments = np.array([y, -x, np.array(craft.rotor_spin) * craft.torque_per_thrust])

    def initial_state(self, vehicles: int) -> IndiState:
        """Rotors at hover, nothing measured, and the force that carries the weight."""
        velocity, rates = (np.full((vehicles, STAGES, 3), np.nan) for _ in range(2))
        force, torque = (np.zeros((vehicles, STAGES, 3)) for _ in range(2))
        force[:, :, 2] = self.airframe.mass * GRAVITY
        action = np.full((vehicles, 4), action_mapping.at_hover(self.airframe))
        return IndiState(np.full((vehicles, 4), self.airframe.hover), action, velocity, force, rates, torque)

    def reset_rows(self, state: IndiState, mask: Array) -> IndiState:
        """The state with the vehicles of the mask (N,) at the initial one."""
        fresh = self.initial_state(len(mask))
        pairs = zip(fresh, state, strict=True)
        return IndiState(*(np.where(mask.reshape(-1, *[1] * (old.ndim - 1)), new, old) for new, old in pairs))

    def act(
        self,
        observation: Array,
        state: IndiState,
        rotor_speed: Array | None = None,
        disturbance: Array | None = None,
        plant: Array | None = None,
    ) -> tuple[Array, IndiState]:
        """Actions (N, 4) in [-1, 1] and the next state; it looks at the observation (N, 18) alone."""
        craft, seen = self.airframe, np.asarray(observation, float)
        inertia, velocity, rates = np.array(craft.inertia), seen[:, 12:15], seen[:, 15:18]
        rotors = self._turned(state.rotors, state.action)
        thrust = craft.thrust(rotors)
        force = thrust.sum(1)[:, None] * seen[:, [5, 8, 11]]
        torque = thrust @ self._moments.T - np.cross(rates, inertia * rates)
        kept = IndiState(rotors, state.action, *(
            self._filtered(value, stages)
            for value, stages in zip((velocity, force, rates, torque), state[2:], strict=True)
        ))  # fmt: skip
        told = self.disturbance(kept).astype(np.float32)
        action, _ = self.guide.act(observation, self.guide.initial_state(len(seen)), None, told, measured=True)
        return action, kept._replace(action=action)

    def disturbance(self, state: IndiState) -> Array:
        """What acts beside the commands (N, 6): force N in the set-point frame, torque N m in the body (0 with `rates`)."""
        craft = self.airframe
        found = np.zeros((len(state.rotors), 6))
        found[:, :3] = craft.mass * self._slope(state.velocity) - state.force[:, -1]
        found[:, 2] += craft.mass * GRAVITY
        if craft.action_layout == "motors":
            found[:, 3:] = craft.inertia * self._slope(state.rates) - state.torque[:, -1]
        return found

    def _filtered(self, value: Array, stages: Array) -> Array:
        """The stages (N, STAGES, 3) after one more value (N, 3)."""
        found = []
        for stage in stages.transpose(1, 0, 2):
            value = np.where(np.isnan(stage), value, stage + self._share * (value - stage))
            found.append(value)
        return np.stack(found, 1)

    def _slope(self, stages: Array) -> Array:
        """The last stage's slope (N, 3), per s: as late as the last stage of what did not have to be derived."""
        ahead, behind = stages[:, -2], stages[:, -1]
        return np.asarray((ahead - behind) * self._share / (1 - self._share) / self._dt)

    def _turned(self, rotors: Array, action: Array) -> Array:
        """The rotors' speeds (N, 4) after a step with this action (N, 4)."""
        if self.airframe.action_layout == "rates":
            share = action_mapping.thrusts(action[:, :1], self.airframe.hover)
        else:
            share = action_mapping.command(action)
        lag = np.where(share > rotors, self.airframe.lag_up, self.airframe.lag_down)
        return np.asarray(rotors + (share - rotors) * (1.0 - np.exp(-self._dt / lag)))
