"""What stands between a racing vehicle and its policy: an estimate that errs."""

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.observation import NOISE, SIZE
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import SensorErrors, SensorSettings, disturbed


def like_px4(scale: float = 1.0) -> Randomisation:
    """Errors of the estimate like those of PX4 in its own simulation, times `scale`.

    As in the recipe `rates`, whose policy flies there; but its position errs by .11 m in all, as PX4's around its mean error
    (docs/notebook/px4.md). Its correlation time is that of the simulated autopilot, 1 / (.4 rad/s).
    """
    errors = SensorSettings(
        position=0.07 * scale, position_time=2.5, velocity=0.11 * scale, velocity_time=0.8, vertical=0.75,
        gyro=0.07 * scale, gyro_yaw=0.02 * scale,
    )  # fmt: skip
    return Randomisation(noise=0.3 * scale, sensors=errors)


def seen_from(true: Floats, estimate: Floats) -> Floats:
    """Observations (N, 30) of vehicles that take themselves to be at an estimate (N, 18), not where `true` (N, 30) says.

    The gates stand where they stand: their centres and normals in the body frame follow from the estimate.
    """
    turn, turned = true[:, 3:12].reshape(-1, 3, 3), estimate[:, 3:12].reshape(-1, 3, 3)
    gates = np.einsum("nij,nkj->nki", turn, true[:, SIZE:].reshape(len(true), -1, 3))
    gates[:, ::2] += (true[:, :3] - estimate[:, :3])[:, None]  # the centres; the normals have no place
    return np.concatenate([estimate, np.einsum("nji,nkj->nki", turned, gates).reshape(len(true), -1)], 1)


class RaceSenses:
    """The estimates of N vehicles, which err as `noise` and `sensors` of a `Randomisation` say."""

    def __init__(self, differ: Randomisation, vehicles: int) -> None:
        self.noise, self.random = np.float32(differ.noise), np.random.default_rng(0)
        self.errors = None if differ.sensors.exact else SensorErrors(differ.sensors, vehicles, RATE_HZ)

    @property
    def exact(self) -> bool:
        """Whether what is seen is the truth."""
        return not self.noise and self.errors is None

    def seed(self, seed: int) -> None:
        """From now on errors are those of this seed."""
        self.random = np.random.default_rng([seed, 4])

    def sensed(self, true: Floats, heading: Floats, begun: Flags) -> Floats:
        """What policies see (N, 30) of the truth.

        heading (N, 2): cosine and sine of the yaw of each observation's frame, which turns with each gate; errors do not
        turn with it. begun (N,): vehicles whose flight has just begun.
        """
        if self.exact:
            return true
        estimate = true[:, :SIZE]
        if self.errors is not None:
            self.errors.begin(begun, self.random)
            error, (c, s) = self.errors.advance(1, self.random)[0][0].T, heading.T
            for x in (0, 3):  # position and velocity err in the world
                error[:, x], error[:, x + 1] = c * error[:, x] + s * error[:, x + 1], c * error[:, x + 1] - s * error[:, x]
            estimate = disturbed(estimate, error)
        white: Floats = self.random.standard_normal(estimate.shape, dtype=np.float32)
        return seen_from(true, estimate + self.noise * NOISE * white)
