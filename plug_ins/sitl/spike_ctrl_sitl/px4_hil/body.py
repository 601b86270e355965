"""The dynamics of one vehicle under PX4's own controllers: motor commands in, motion out, flat ground at height 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import (
    AT,
    COMMAND,
    POSITION,
    QUATERNION,
    RATES,
    ROTORS,
    VELOCITY,
    rk4_lane,
    unpack_arms,
)
from spike_ctrl.simulated_px4.plant import attitude_of, stand

_LANE = np.uint64(0)


class BodyMotion(NamedTuple):
    """Position (m), quaternion, velocity (m/s) and acceleration (m/s^2) in ENU, body rates (rad/s) in FLU."""

    position: Vector
    quaternion: Quaternion
    velocity: Vector
    acceleration: Vector
    rates: Vector


class Body:
    """One airframe. It starts at rest on the ground at the origin. yaw: rad from east. dt: s, of a step."""

    def __init__(self, airframe: Airframe, dt: float, yaw: float = math.pi / 2):
        self.airframe, self.dt = airframe, dt
        self.buffer = dynamics.allocate(1, airframe)
        heading = [0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)]
        dynamics.write(self.buffer, slice(QUATERNION, QUATERNION + 4), [heading])
        if airframe.dead_time:
            raise UsageError(f"airframe {airframe.name}: dead_time: found {airframe.dead_time:g} s, wanted 0 beside PX4")
        self._extension = dynamics.extension(airframe, dt)
        self._arms = dynamics.geometry(airframe)
        self._acceleration: Vector = (0.0, 0.0, 0.0)
        self.hardest_touchdown = 0.0  # m/s, downwards

    def advance(self, commands: Sequence[float]) -> None:
        """One step. commands: normalised rotor-speed set-points 0..1 in the airframe's order."""
        before = self.motion.velocity
        dynamics.write(self.buffer, dynamics.COMMAND_ROWS, [commands])
        impact = _advance(self.buffer, np.float32(self.dt), self._arms, self._extension)
        self.hardest_touchdown = max(self.hardest_touchdown, float(impact))
        after = self.motion.velocity
        self._acceleration = tuple((b - a) / self.dt for a, b in zip(before, after, strict=True))

    @property
    def motion(self) -> BodyMotion:
        """The motion. Its acceleration is the mean over the last step, as an integrating accelerometer measures it."""
        row = self.buffer[:: dynamics.LANES].tolist()
        return BodyMotion(
            tuple(row[POSITION:QUATERNION]), tuple(row[QUATERNION:VELOCITY]), tuple(row[VELOCITY:RATES]),
            self._acceleration, tuple(row[RATES:ROTORS]),
        )  # fmt: skip


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _advance(buffer, dt, arms, extension):
    """One step of the vehicle in lane 0; returns the speed (m/s) at which it meets the ground, 0 where it does not."""
    for i in range(4):
        buffer[AT[COMMAND + i]] = min(max(buffer[AT[COMMAND + i]], np.float32(0.0)), np.float32(1.0))
    attitude = attitude_of(buffer)
    rk4_lane(buffer, _LANE, dt, unpack_arms(arms), extension)
    return stand(buffer, attitude)
