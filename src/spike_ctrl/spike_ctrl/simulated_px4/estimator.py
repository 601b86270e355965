"""The autopilot's estimate: the true state plus an error that wanders as PX4's does while the motors shake its sensors.

The position error is the integral of the velocity error: a critically damped second-order system that white noise drives.
Attitude errors are first-order. All errors scale with `noise`; 0 gives the true state. With `sensors` the errors that
policies are trained with come on top, see `sim.sensor_noise`.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.kernel import kernel
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.control.trajectory import plus
from spike_ctrl.flight.attitude import turned
from spike_ctrl.flight.estimate_quality import AIDED, GOOD_FLAGS, POSITION_HORIZONTAL, VELOCITY_HORIZONTAL, EstimateQuality
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.sim.sensor_noise import MAX_AGE, SensorErrors, SensorSettings
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
# Without satellites. Measured on PX4: the horizontal deviation that it tells grows from .30 to .69 m in the first second and
# to 1.2 m in the second, its position counts as invalid after 4.4 s, and it was 9.4 m off after 18 s.
DEVIATION, HEIGHT_DEVIATION = 0.2, 0.3  # m, of each axis, and of the height
DEVIATION_GROWTH = 0.32  # m/s, of each axis
DRIFT = 0.06  # m/s^2, of the horizontal position
AIDED_FOR, VALID_FOR = 7.0, 4.4  # s
_SURE = EstimateQuality(math.sqrt(2) * DEVIATION, HEIGHT_DEVIATION, False, GOOD_FLAGS, (0.1, 0.1, 0.1, 0.1))
Array = NDArray[np.float64]
BLOCK = 256  # ticks for which random numbers are drawn at once


class Estimator:
    """The state of the error. generator: source of its random numbers. satellites: whether the GPS receives any.

    sensors: errors beside those of `noise`, see the module.
    """

    def __init__(self, noise: float, generator: np.random.Generator, sensors: SensorSettings | None = None):
        self.noise = noise
        self._errors = SensorErrors(sensors, 1, 1 / TICK) if sensors else None
        if self._errors:
            self._errors.begin(np.ones(1, bool), generator)
        self._truths: deque[PlantState] = deque(maxlen=1 + round(MAX_AGE * 0.01 / TICK))
        self.reset_counter = 0
        self.satellites = True
        self._lost_for = 0.0  # s without satellites
        self._drift = (0.0, 0.0)  # m/s^2
        self.acceleration: Vector = (0.0, 0.0, GRAVITY)  # m/s^2, specific force in FLU with noise
        self.gyro_noise: Vector = (0.0, 0.0, 0.0)  # rad/s, of the next sample
        self._generator = generator
        self._draws: Iterator[Array] = iter(())
        self._error = np.zeros((3, 3))  # of position (m), velocity (m/s) and tilt (rad)
        self.offset: Vector = (0.0, 0.0, 0.0)  # m, by which all positions are shifted
        self.heading = 0.0  # rad, by which the yaw is wrong
        self._last_velocity: Vector | None = None

    def advance(self, truth: PlantState, running: bool, parameters: AutopilotParameters) -> StateEstimate:
        """One tick of the error; gives the estimate. running: the motors turn."""
        if (draw := next(self._draws, None)) is None:
            self._draws = iter(self._generator.standard_normal((BLOCK, 12)))
            draw = next(self._draws)
        tuned = parameters["EKF2_ACC_NOISE"] >= TUNED_ACC_NOISE and parameters["EKF2_GYR_NOISE"] >= TUNED_GYR_NOISE
        level = self.noise * (1.0 if running else QUIET)
        if not self.satellites or self._lost_for:
            self._lose(draw[9])
        before, self._last_velocity = self._last_velocity or truth.velocity, truth.velocity
        position, quaternion, velocity, self.acceleration, self.gyro_noise = _advance(
            truth.position, truth.quaternion, truth.velocity, before, draw, self._error, self.offset, level, tuned
        )
        if self._errors:
            return self._as_trained(truth, self._errors)
        if self.heading:
            quaternion = turned(quaternion, self.heading)
        return StateEstimate(position, quaternion, velocity, truth.gyro)

    def _as_trained(self, truth: PlantState, errors: SensorErrors) -> StateEstimate:
        """The estimate with the errors of `sensors`, of an earlier tick where they are late."""
        (error,), (age,) = errors.advance(1, self._generator)
        error = error[:, 0].tolist()
        self._truths.append(truth)
        seen = self._truths[max(-len(self._truths), -1 - round(float(age[0])))]
        return StateEstimate(
            plus(plus(seen.position, np.add(error[:3], self._error[0]).tolist()), self.offset),
            _turned(seen.quaternion, np.add(error[6:9], self._error[2]).tolist()),
            plus(seen.velocity, np.add(error[3:6], self._error[1]).tolist()),
            plus(seen.gyro, error[9:]),
        )

    def voltage_error(self) -> float:
        """What the battery's next voltage is measured wrong by, V."""
        if not (deviation := self._errors.sensors.voltage if self._errors else 0.0):
            return 0.0
        return deviation * float(self._generator.standard_normal())

    def _lose(self, draw: float) -> None:
        """Without satellites nothing corrects the horizontal error any more: it grows in the direction that is drawn."""
        if self.satellites:
            self._lost_for = 0.0
            return
        if self._lost_for == 0.0:
            self._drift = (DRIFT * math.cos(math.pi * draw), DRIFT * math.sin(math.pi * draw))
        self._lost_for += TICK
        w = WANDER_FREQUENCY
        for axis, drift in enumerate(self._drift):
            self._error[1, axis] += TICK * (2 * w * self._error[1, axis] + w * w * self._error[0, axis] + drift)

    @property
    def quality(self) -> EstimateQuality:
        """What it tells of itself, as PX4 does."""
        if not self._lost_for:
            return _SURE
        deviation = math.sqrt(2) * (DEVIATION + DEVIATION_GROWTH * self._lost_for)
        flags = GOOD_FLAGS if self._lost_for <= AIDED_FOR else GOOD_FLAGS & ~AIDED
        if not self.position_valid:
            flags &= ~(POSITION_HORIZONTAL | VELOCITY_HORIZONTAL)
        return _SURE._replace(horizontal=deviation, flags=flags)

    @property
    def position_valid(self) -> bool:
        """Whether the autopilot's own modes still use the horizontal position."""
        return self._lost_for <= VALID_FOR

    def jump(self, by: Vector, yaw: float = 0.0) -> None:
        """A reset of the estimator: from now on all positions are shifted by so much (m), the yaw is by so much (rad)."""
        self.offset, self.heading = plus(self.offset, by), self.heading + yaw
        self.reset_counter = (self.reset_counter + 1) % 256


def _turned(quaternion: Quaternion, angle: Sequence[float]) -> Quaternion:
    """The attitude after a small turn (rad, body)."""
    from scipy.spatial.transform import Rotation  # not at the top: what flies alone has no scipy

    x, y, z, w = (Rotation.from_quat(quaternion) * Rotation.from_rotvec(angle)).as_quat().tolist()
    return x, y, z, w


@kernel(cache=True, error_model="numpy")
def _advance(
    position: Vector, quaternion: Quaternion, velocity: Vector, before: Vector, draw: Array, error: Array, jump: Vector,
    level: float, tuned: bool,
) -> tuple[Vector, Quaternion, Vector, Vector, Vector]:  # fmt: skip
    """One tick of the errors of position, velocity and tilt (3, 3): estimate, specific force and noise of the next gyro
    sample."""
    # The standard deviation of x'' = -2 w x' - w^2 x + s n, with white noise n, is s / (2 w^1.5).
    w, sigma = WANDER_FREQUENCY, level * (WANDER_TUNED if tuned else WANDER)
    drive = 2 * sigma * w**1.5 / math.sqrt(TICK)
    share = TICK / TILT_TIME
    tilt = math.sqrt(2 * share) * level * (TILT_TUNED if tuned else TILT)
    for i in range(3):
        error[1, i] += TICK * (-2 * w * error[1, i] - w * w * error[0, i] + drive * draw[6 + i])
        error[0, i] += TICK * error[1, i]
        error[2, i] += -share * error[2, i] + tilt * draw[9 + i]
    x, y, z, q = quaternion
    a, b, c = 0.5 * error[2, 0], 0.5 * error[2, 1], 0.5 * error[2, 2]
    tx, ty, tz, tw = (
        x + q * a + y * c - z * b,
        y + q * b + z * a - x * c,
        z + q * c + x * b - y * a,
        q - x * a - y * b - z * c,
    )
    norm = math.sqrt(tx * tx + ty * ty + tz * tz + tw * tw)
    # Gravity and acceleration, turned into the body.
    fx, fy, fz = (
        (velocity[0] - before[0]) / TICK,
        (velocity[1] - before[1]) / TICK,
        (velocity[2] - before[2]) / TICK + GRAVITY,
    )
    ux, uy, uz = 2 * (z * fy - y * fz), 2 * (x * fz - z * fx), 2 * (y * fx - x * fy)
    force = (
        fx + q * ux - (y * uz - z * uy) + level * ACC_NOISE[0] * draw[3],
        fy + q * uy - (z * ux - x * uz) + level * ACC_NOISE[1] * draw[4],
        fz + q * uz - (x * uy - y * ux) + level * ACC_NOISE[2] * draw[5],
    )
    return (
        (position[0] + error[0, 0] + jump[0], position[1] + error[0, 1] + jump[1], position[2] + error[0, 2] + jump[2]),
        (tx / norm, ty / norm, tz / norm, tw / norm),
        (velocity[0] + error[1, 0], velocity[1] + error[1, 1], velocity[2] + error[1, 2]),
        force,
        (level * GYRO_NOISE[0] * draw[0], level * GYRO_NOISE[1] * draw[1], level * GYRO_NOISE[2] * draw[2]),
    )
