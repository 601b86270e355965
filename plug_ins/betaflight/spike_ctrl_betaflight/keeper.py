"""HOLD and LAND, which Betaflight does not have: a geometric guide beside the link flies them. Pure.

It holds the place and yaw where it began, or sinks from there at a steady speed.
"""

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight import attitude
from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.state_checks import Sample

SINKING = 0.4  # m/s
IDLE = (-1.0, 0.0, 0.0, 0.0)
WINDUP = 0.5  # m, by which the set-point of a landing may lead the vehicle


class Keeper:
    """Flies one mode from `sample` on. rate: Hz of the samples that follow."""

    def __init__(self, airframe: Airframe, mode: Mode, sample: Sample, rate: float):
        self.mode, self._guide = mode, GeometricGuide(airframe, rate_hz=rate)
        self._state = self._guide.initial_state(1)
        self._place, self._yaw, self._stamp = sample.position, attitude.yaw(sample.quaternion), sample.stamp

    def act(self, sample: Sample) -> tuple[float, float, float, float]:
        """The action for this state."""
        passed, self._stamp = max(0.0, sample.stamp - self._stamp), sample.stamp
        sinking = 0.0
        if self.mode is Mode.LAND:
            x, y, z = self._place
            sinking = -SINKING
            self._place = (x, y, max(z + sinking * passed, sample.position[2] - WINDUP))
        row = observed(sample, SetPoint(self._place, (0.0, 0.0, sinking), self._yaw))
        found, self._state = self._guide.act(np.asarray(row)[None], self._state)
        thrust, roll, pitch, yaw = found[0].tolist()
        return thrust, roll, pitch, yaw
