"""The dynamics of one vehicle under Betaflight's motor commands: motor commands in, motion out, flat ground at height 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.frames import Vector
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import AT, COMMAND, POSITION, QUATERNION, RATES, ROTORS, VELOCITY, rk4_lane, unpack_arms
from spike_ctrl.simulated_px4.plant import attitude_of, stand
from spike_ctrl_betaflight.sitl_packets import SensedMotion, felt

_LANE = np.uint64(0)


class FlownBody:
    """One airframe. It starts at rest on the ground at the origin. dt: s, of a step. yaw: rad from east."""

    def __init__(self, airframe: Airframe, dt: float, yaw: float = 0.0):
        self.airframe, self.dt = airframe, dt
        self.buffer = dynamics.allocate(1, airframe)
        heading = [0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)]
        dynamics.write(self.buffer, slice(QUATERNION, QUATERNION + 4), [heading])
        self._extension = dynamics.extension(airframe, dt)
        self._arms = dynamics.geometry(airframe)
        self._row = self.buffer[:: dynamics.LANES]
        self._acceleration: Vector = (0.0, 0.0, 0.0)
        self.hardest_touchdown = 0.0  # m/s, downwards

    def advance(self, commands: Sequence[float]) -> None:
        """One step. commands: 0..1 in the airframe's order."""
        before = self._row[VELOCITY:RATES].tolist()
        dynamics.write(self.buffer, dynamics.COMMAND_ROWS, [commands])
        impact = _advance(self.buffer, np.float32(self.dt), self._arms, self._extension)
        self.hardest_touchdown = max(self.hardest_touchdown, float(impact))
        after = self._row[VELOCITY:RATES].tolist()
        x, y, z = ((b - a) / self.dt for a, b in zip(before, after, strict=True))
        self._acceleration = (x, y, z)

    @property
    def sensed(self) -> SensedMotion:
        """The true motion. Its force is the mean over the last step, as an integrating accelerometer measures it."""
        row = self._row.tolist()
        quaternion = tuple(row[QUATERNION:VELOCITY])
        return SensedMotion(
            tuple(row[RATES:ROTORS]), felt(self._acceleration, quaternion), quaternion,
            tuple(row[VELOCITY:RATES]), tuple(row[POSITION:QUATERNION]),
        )  # fmt: skip


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _advance(buffer: Floats, dt: np.float32, arms: Floats, extension: Any) -> Any:
    """One step of the vehicle in lane 0; returns the speed (m/s) at which it meets the ground, 0 where it does not."""
    for i in range(4):
        buffer[AT[COMMAND + i]] = min(max(buffer[AT[COMMAND + i]], np.float32(0.0)), np.float32(1.0))
    attitude = attitude_of(buffer)
    rk4_lane(buffer, _LANE, dt, unpack_arms(arms), extension)
    return stand(buffer, attitude)
