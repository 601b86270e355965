"""The autopilot's estimate: the true state plus an error that wanders as PX4's does while the motors shake its sensors.

The position error is the integral of the velocity error: a critically damped second-order system that white noise drives.
Attitude errors are first-order. All errors scale with `noise`; 0 gives the true state.
"""

from __future__ import annotations

import math

import numpy as np

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.px4 import frames
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.simulated_px4.cascade import StateEstimate
from spike_ctrl.simulated_px4.plant import GYRO_NOISE, TICK, PlantState
from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters

# Standard deviation of the position error (m). Measured on PX4: 0.3 to 0.9 m with EKF2's defaults, 0.02 to 0.15 m with
# noise parameters that fit the simulated sensors.
WANDER, WANDER_TUNED = 0.4, 0.05
TUNED_ACC_NOISE, TUNED_GYR_NOISE = 1.0, 0.1
WANDER_FREQUENCY = 0.4  # rad/s
TILT, TILT_TUNED, TILT_TIME = math.radians(0.8), math.radians(0.2), 2.0  # standard deviation (rad), time constant (s)
ACC_NOISE = (0.5, 1.7, 1.4)  # m/s^2, standard deviation of a sample while the motors turn
QUIET = 0.02  # factor of all noise while the motors stand
BLOCK = 256  # ticks for which random numbers are drawn at once


class Estimator:
    """The state of the error. generator: source of its random numbers."""

    def __init__(self, noise: float, generator: np.random.Generator):
        self.noise = noise
        self.reset_counter = 0
        self.acceleration: Vector = (0.0, 0.0, GRAVITY)  # m/s^2, specific force in FLU with noise
        self.gyro_noise: Vector = (0.0, 0.0, 0.0)  # rad/s, of the next sample
        self._generator = generator
        self._draws = iter(())
        self._offset = np.zeros(3)
        self._velocity = np.zeros(3)
        self._tilt = np.zeros(3)
        self._jump = (0.0, 0.0, 0.0)
        self._last_velocity: Vector | None = None

    def advance(self, truth: PlantState, running: bool, parameters: AutopilotParameters) -> StateEstimate:
        """One tick of the error; gives the estimate. running: the motors turn."""
        if (draw := next(self._draws, None)) is None:
            self._draws = iter(self._generator.standard_normal((BLOCK, 12)))
            draw = next(self._draws)
        level = self.noise * (1.0 if running else QUIET)
        self.gyro_noise = tuple(float(level * s * n) for s, n in zip(GYRO_NOISE, draw[:3], strict=True))
        self._sense(truth, [level * s * n for s, n in zip(ACC_NOISE, draw[3:6], strict=True)])
        tuned = parameters["EKF2_ACC_NOISE"] >= TUNED_ACC_NOISE and parameters["EKF2_GYR_NOISE"] >= TUNED_GYR_NOISE
        # The standard deviation of x'' = -2 w x' - w^2 x + s n, with white noise n, is s / (2 w^1.5).
        w, sigma = WANDER_FREQUENCY, level * (WANDER_TUNED if tuned else WANDER)
        drive = 2 * sigma * w**1.5 / math.sqrt(TICK)
        self._velocity += TICK * (-2 * w * self._velocity - w * w * self._offset + drive * draw[6:9])
        self._offset += TICK * self._velocity
        share = TICK / TILT_TIME
        tilt = level * (TILT_TUNED if tuned else TILT)
        self._tilt += -share * self._tilt + math.sqrt(2 * share) * tilt * draw[9:12]
        return StateEstimate(
            _plus(_plus(truth.position, self._offset.tolist()), self._jump),
            _turned(truth.quaternion, self._tilt.tolist()),
            _plus(truth.velocity, self._velocity.tolist()),
            truth.gyro,
        )

    def jump(self, by: Vector) -> None:
        """A reset of the estimator: from now on all positions are shifted by so much (m)."""
        self._jump = _plus(self._jump, by)
        self.reset_counter = (self.reset_counter + 1) % 256

    def _sense(self, truth: PlantState, noise) -> None:
        before, self._last_velocity = self._last_velocity or truth.velocity, truth.velocity
        force = tuple((v - b) / TICK for v, b in zip(truth.velocity, before, strict=True))
        x, y, z, w = truth.quaternion
        body = frames.rotate((-x, -y, -z, w), (force[0], force[1], force[2] + GRAVITY))
        self.acceleration = tuple(float(a + n) for a, n in zip(body, noise, strict=True))


def _plus(a, b) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _turned(q: Quaternion, angle) -> Quaternion:
    """The attitude after a small turn (rad, body)."""
    x, y, z, w = q
    a, b, c = (0.5 * value for value in angle)
    turned = (x + w * a + y * c - z * b, y + w * b + z * a - x * c, z + w * c + x * b - y * a, w - x * a - y * b - z * c)
    norm = math.sqrt(sum(value * value for value in turned))
    return tuple(value / norm for value in turned)
