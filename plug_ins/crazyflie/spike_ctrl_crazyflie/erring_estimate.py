"""An estimate that errs as one of a real vehicle was measured to err, in ticks of 1 ms.

The errors are those of `sim.sensor_noise`, new ones every 10 ms with straight lines between them. Position and velocity are
late; attitude and body rates, which the vehicle measures itself, are not.
"""

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl.sim.sensor_noise import SensorErrors, SensorSettings
from spike_ctrl_crazyflie.fine_flight import DT, TICKS, FineVehicle
from spike_ctrl_crazyflie.firmware_bindings import Estimate


class ErringEstimate:
    """The true state of one vehicle with errors. seed: of the errors."""

    def __init__(self, sensors: SensorSettings, seed: int) -> None:
        self._random, self._sensors = np.random.default_rng([seed, 6]), sensors
        self._errors = SensorErrors(sensors, 1, 1 / (TICKS * DT))
        self._errors.begin(np.ones(1, bool), self._random)
        self.late = round(TICKS * float(self._errors.delay[0]))
        self._before = self._after = self._draw()
        self._noise = 0.0

    def look(self, vehicle: FineVehicle) -> tuple[Estimate, float]:
        """What the estimator says, and the measured voltage (V)."""
        if vehicle.tick % TICKS == 0:
            self._before, self._after = self._after, self._draw()
            self._noise = self._sensors.voltage * self._random.standard_normal()
        share = np.float32(vehicle.tick % TICKS / TICKS)
        error = (1 - share) * self._before + share * self._after
        now, then = vehicle.ago(0), vehicle.ago(self.late)
        sight = Estimate(
            then.position + error[:3], turned(now.quaternion, error[6:9]), then.velocity + error[3:6], now.rates + error[9:]
        )
        return sight, vehicle.volts + self._noise

    def _draw(self) -> Floats:
        found: Floats = self._errors.advance(1, self._random)[0][0, :, 0].copy()
        return found


def turned(quaternion: Floats, angle: Floats) -> Floats:
    """A quaternion (4,) after a small turn (3,), rad, about the body's axes."""
    x, y, z, w = quaternion
    a, b, c = angle / 2
    found = np.array(
        [x + w * a + y * c - z * b, y + w * b + z * a - x * c, z + w * c + x * b - y * a, w - x * a - y * b - z * c]
    )
    unit: Floats = found / np.linalg.norm(found)
    return unit
