"""The Mellinger controller of the Crazyflie firmware as a baseline (after Mellinger and Kumar, ICRA 2011, with integrals).

Structure and gains are facts of bitcraze/crazyflie-firmware (2025), controller_mellinger.c: the attitude error without the
factor one half, moments in counts of thrust, a derivative of the body rates. Two things differ: it runs at the control rate,
there at 500 Hz; the force is that of the airframe, there `massThrust` counts per newton.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl import airframe as airframes
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.sim import action_mapping
from spike_ctrl_benchmark import motor_counts

Array = NDArray[Any]
Three = tuple[float, float, float]


@dataclass(frozen=True)
class MellingerGains:
    """The firmware's defaults. Position in N per m, m/s and m s, moments in counts per rad, rad/s, rad s and rad/s^2."""

    position: Three = (0.4, 0.4, 1.25)
    velocity: Three = (0.2, 0.2, 0.4)
    position_integral: Three = (0.05, 0.05, 0.05)
    position_limit: Three = (2.0, 2.0, 0.4)  # m s
    attitude: Three = (70000.0, 70000.0, 60000.0)
    rates: Three = (20000.0, 20000.0, 12000.0)
    attitude_integral: Three = (0.0, 0.0, 500.0)
    attitude_limit: Three = (1.0, 1.0, 1500.0)  # rad s
    rates_derivative: Three = (200.0, 200.0, 0.0)
    max_moment: float = 32000.0  # counts


class MellingerState(NamedTuple):
    """Integrals of position (N, 3, m s) and attitude (N, 3, rad s) errors; body rates (N, 3) of the step before, or NaN."""

    position: Array
    attitude: Array
    rates: Array


class Mellinger:
    """The controller for a batch of vehicles of one airframe with motor commands: a `Guide` that needs nothing privileged.

    airframe: an `Airframe`, its name or the path of its file. rate_hz: control steps per second. Raises UsageError.

    >>> mellinger = Mellinger("crazyflie")
    >>> level = np.float32([[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]])  # at rest on the set-point
    >>> action, state = mellinger.act(level, mellinger.initial_state(vehicles=1))
    >>> action.round(2)  # the hover: .66 of the full speed of the rotors
    array([[0.32, 0.32, 0.32, 0.32]], dtype=float32)
    """

    def __init__(
        self, airframe: str | Path | Airframe, gains: MellingerGains = MellingerGains(), rate_hz: float = 100.0
    ) -> None:
        self.airframe = airframes.load(airframe)
        self.airframe.require_layout("motors")
        self.gains, self._dt = gains, 1.0 / rate_hz

    def initial_state(self, vehicles: int) -> MellingerState:
        """What it remembers before the first step: nothing."""
        return MellingerState(np.zeros((vehicles, 3)), np.zeros((vehicles, 3)), np.full((vehicles, 3), np.nan))

    def reset_rows(self, state: MellingerState, mask: Array) -> MellingerState:
        """The state with the vehicles of the mask (N,) at its beginning."""
        fresh = self.initial_state(1)
        return MellingerState(*(np.where(mask[:, None], new, old) for new, old in zip(fresh, state, strict=True)))

    def act(
        self,
        observation: Array,
        state: MellingerState,
        rotor_speed: Array | None = None,
        disturbance: Array | None = None,
        plant: Array | None = None,
    ) -> tuple[Array, MellingerState]:
        """Actions (N, 4) in [-1, 1] and the next state; it looks at the observation (N, 18) alone."""
        force, moment, state = self.wrench(observation, state)
        counts = motor_counts.mixed(self.airframe, motor_counts.of_force(self.airframe, force), moment)
        action = action_mapping.action(motor_counts.commands(self.airframe, counts))
        return action.astype(np.float32), state

    def wrench(self, observation: Array, state: MellingerState) -> tuple[Array, Array, MellingerState]:
        """Collective force (N,) in N, moments (N, 3) in counts, and the next state."""
        seen, g = np.asarray(observation, float), self.gains
        matrix, rates = seen[:, 3:12].reshape(-1, 3, 3), seen[:, 15:18]
        error = -seen[:, 0:3]
        far = np.clip(state.position + error * self._dt, -np.array(g.position_limit), g.position_limit)
        wanted = np.array(g.position) * error - np.array(g.velocity) * seen[:, 12:15] + np.array(g.position_integral) * far
        wanted[:, 2] += self.airframe.mass * GRAVITY
        force = np.einsum("ni,ni->n", wanted, matrix[:, :, 2])
        # Desired axes: z along the force, and x as near to the set-point's heading as that allows.
        z = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
        y = np.cross(z, (1.0, 0.0, 0.0))
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        turned = np.stack([np.cross(y, z), y, z], axis=2).transpose(0, 2, 1) @ matrix
        skew = turned - turned.transpose(0, 2, 1)
        off = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
        tilted = np.clip(state.attitude - off * self._dt, -np.array(g.attitude_limit), g.attitude_limit)
        slope = np.nan_to_num(rates - state.rates) / self._dt
        kr, kw, ki, kd = (np.array(gain) for gain in (g.attitude, g.rates, g.attitude_integral, g.rates_derivative))
        moment = -kr * off - kw * rates + ki * tilted - kd * slope
        moment = np.where(force[:, None] > 0, np.clip(moment, -g.max_moment, g.max_moment), 0.0)
        return np.maximum(force, 0.0), moment, MellingerState(far, tilted, rates)
