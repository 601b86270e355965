"""The cascaded PID of the Crazyflie firmware as a baseline: position, velocity, attitude and body rates, three PIDs each.

Structure and gains are facts of bitcraze/crazyflie-firmware (2025): controller_pid.c, position_controller_pid.c,
attitude_pid_controller.c, pid.c and platform_defaults_cf2.h. As there, the derivative is that of the measurement, angles are
in degrees and outputs in counts of thrust.

Three things differ. All loops run at the control rate; the firmware's attitude and rates at 500 Hz. The thrust's base is the
airframe's weight; there it is a parameter, 36000. The observation's velocity is relative to the set-point's, so a set-point
that moves is fed forward; the firmware leaves that out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl import airframe as airframes
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import action_mapping
from spike_ctrl_benchmark import motor_counts

Array = NDArray[Any]
Three = tuple[float, float, float]
_NONE, _FREE = (0.0, 0.0, 0.0), (5000.0, 5000.0, 5000.0)


class PidLevel(NamedTuple):
    """Gains of the three PIDs of one level (x, y, z or roll, pitch, yaw), and the limits of their integrals."""

    proportional: Three
    integral: Three = _NONE
    derivative: Three = _NONE
    limit: Three = _FREE


@dataclass(frozen=True)
class PidGains:
    """The firmware's defaults. Tilt in degrees, climb in 1000 counts, rates in degrees/s, their outputs in counts."""

    position: PidLevel = PidLevel((2.0, 2.0, 2.0), (0.0, 0.0, 0.5))  # m to m/s
    velocity: PidLevel = PidLevel((25.0, 25.0, 25.0), (1.0, 1.0, 15.0))  # m/s to tilt and climb
    attitude: PidLevel = PidLevel((6.0, 6.0, 6.0), (3.0, 3.0, 1.0), (0.0, 0.0, 0.35), (20.0, 20.0, 360.0))  # to rates
    rates: PidLevel = PidLevel(
        (250.0, 250.0, 120.0), (500.0, 500.0, 16.7), (2.5, 2.5, 0.0), (33.3, 33.3, 166.7)
    )  # to counts
    max_velocity: float = 1.1  # m/s
    max_tilt: float = 20.0  # degrees, of roll and of pitch
    lowest: float = 20000.0  # counts of the collective


class PidState(NamedTuple):
    """Integrals (N, 4, 3) of the four levels; angles and rates (N, 2, 3) of the step before, NaN in the first one."""

    integral: Array
    before: Array


class FirmwarePid:
    """The PID for a batch of vehicles of one airframe with motor commands: a `Guide` that needs nothing privileged.

    airframe: an `Airframe`, its name or the path of its file. rate_hz: control steps per second. Raises UsageError.

    >>> pid = FirmwarePid("crazyflie")
    >>> level = np.float32([[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]])  # at rest on the set-point
    >>> action, state = pid.act(level, pid.initial_state(vehicles=1))
    >>> action.round(2)  # the hover: .66 of the full speed of the rotors
    array([[0.32, 0.32, 0.32, 0.32]], dtype=float32)
    """

    def __init__(self, airframe: str | Path | Airframe, gains: PidGains = PidGains(), rate_hz: float = 100.0) -> None:
        self.airframe = airframes.load(airframe)
        self.airframe.require_layout("motors")
        self.gains, self._dt = gains, 1.0 / rate_hz

    def initial_state(self, vehicles: int) -> PidState:
        """What the PIDs remember before the first step: nothing."""
        return PidState(np.zeros((vehicles, 4, 3)), np.full((vehicles, 2, 3), np.nan))

    def reset_rows(self, state: PidState, mask: Array) -> PidState:
        """The state with the vehicles of the mask (N,) at its beginning."""
        fresh = self.initial_state(1)
        return PidState(*(np.where(mask[:, None, None], new, old) for new, old in zip(fresh, state, strict=True)))

    def act(
        self,
        observation: Array,
        state: PidState,
        rotor_speed: Array | None = None,
        disturbance: Array | None = None,
        plant: Array | None = None,
    ) -> tuple[Array, PidState]:
        """Actions (N, 4) in [-1, 1] and the next state; it looks at the observation (N, 18) alone."""
        seen, g, integral = np.asarray(observation, float), self.gains, state.integral.copy()
        matrix = seen[:, 3:12].reshape(-1, 3, 3)
        yaw = np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])
        roll, pitch = np.arctan2(matrix[:, 2, 1], matrix[:, 2, 2]), -np.arcsin(np.clip(matrix[:, 2, 0], -1, 1))
        angles, rates = np.degrees(np.stack([roll, pitch, yaw], axis=1)), np.degrees(seen[:, 15:18])
        now = np.stack([angles, rates], axis=1)
        change = np.nan_to_num(now - state.before)
        change[:, 0] = (change[:, 0] + 180) % 360 - 180
        velocity = np.clip(
            self._level(g.position, -_turned(seen[:, 0:3], yaw), integral[:, 0]), -g.max_velocity, g.max_velocity
        )
        forward, left, climb = self._level(g.velocity, velocity - _turned(seen[:, 12:15], yaw), integral[:, 1]).T
        # In FLU pitching down is positive and moves the vehicle forward, and rolling right is positive.
        tilt = np.clip(np.stack([-left, forward], axis=1), -g.max_tilt, g.max_tilt)
        error = np.concatenate([tilt, np.zeros((len(tilt), 1))], axis=1) - angles
        spin = self._level(g.attitude, error, integral[:, 2], change[:, 0])
        turn = np.clip(
            self._level(g.rates, spin - rates, integral[:, 3], change[:, 1]), -motor_counts.HALF, motor_counts.HALF
        )
        thrust = 1000 * np.clip(climb, -motor_counts.HALF / 1000, motor_counts.HALF / 1000) + motor_counts.hover(
            self.airframe
        )
        counts = motor_counts.mixed(self.airframe, np.clip(thrust, g.lowest, motor_counts.FULL), turn)
        action = action_mapping.action(motor_counts.commands(self.airframe, counts))
        return action.astype(np.float32), PidState(integral, now)

    def _level(self, level: PidLevel, error: Array, integral: Array, change: Array | float = 0.0) -> Array:
        """Outputs (N, 3) of a level; `integral` (N, 3) moves on in place; change: the measurement's in one step."""
        gains = np.array(level)
        integral[:] = np.clip(integral + error * self._dt, -gains[3], gains[3])
        output: Array = gains[0] * error + gains[1] * integral - gains[2] * change / self._dt
        return output


def _turned(vector: Array, yaw: Array) -> Array:
    """Vectors (N, 3) in the frame that is turned by the yaw (N,)."""
    (x, y, z), cos, sin = vector.T, np.cos(yaw), np.sin(yaw)
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)
