"""The dynamics of one vehicle under a firmware's motor commands: motor commands in, motion out, flat ground at height 0."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats, Number
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.frames import Quaternion, Vector, from_yaw
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import AT, COMMAND, POSITION, QUATERNION, RATES, ROTORS, VELOCITY, rk4_lane, unpack_arms
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
    """One airframe. It starts at rest on the ground at the origin.

    dt: s, of a step. yaw: rad from east. fails: `lose_rotor` may be called; nothing is compiled in flight then.
    """

    def __init__(self, airframe: Airframe, dt: float, yaw: float = 0.0, fails: bool = False):
        self.airframe, self.dt = airframe, dt
        self.buffer = dynamics.allocate(1, airframe)
        dynamics.write(self.buffer, slice(QUATERNION, VELOCITY), [from_yaw(yaw)])
        self._extension = dynamics.extension(airframe, dt, fails=fails)
        self._arms = dynamics.geometry(airframe)
        self._row = self.buffer[:: dynamics.LANES]
        self._acceleration: Vector = (0.0, 0.0, 0.0)
        self.hardest_touchdown = 0.0  # m/s, downwards

    def advance(self, commands: Sequence[float]) -> None:
        """One step. commands: normalised rotor-speed set-points 0..1 in the airframe's order."""
        before = self._row[VELOCITY:RATES].tolist()
        dynamics.write(self.buffer, dynamics.COMMAND_ROWS, [commands])
        impact = _advance(self.buffer, np.float32(self.dt), self._arms, self._extension)
        self.hardest_touchdown = max(self.hardest_touchdown, float(impact))
        after = self._row[VELOCITY:RATES].tolist()
        x, y, z = ((b - a) / self.dt for a, b in zip(before, after, strict=True))
        self._acceleration = (x, y, z)

    def lose_rotor(self, rotor: int, share: float, stuck: float = -1.0) -> None:
        """Rotor number `rotor` of the airframe loses this share of its thrust from now on, or keeps to a speed, 0 to 1."""
        dynamics.lose_rotor(self.buffer, rotor, share, stuck=stuck)

    @property
    def motion(self) -> BodyMotion:
        """The motion. Its acceleration is the mean over the last step, as an integrating accelerometer measures it."""
        row = tuple(self._row.tolist())
        return BodyMotion(
            row[POSITION:QUATERNION], row[QUATERNION:VELOCITY], row[VELOCITY:RATES], self._acceleration, row[RATES:ROTORS]
        )


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _advance(buffer: Floats, dt: np.float32, arms: Floats, extension: Any) -> Number:
    """One step of the vehicle in lane 0; returns the speed (m/s) at which it meets the ground, 0 where it does not."""
    for i in range(4):
        buffer[AT[COMMAND + i]] = min(max(buffer[AT[COMMAND + i]], np.float32(0.0)), np.float32(1.0))
    attitude = attitude_of(buffer)
    rk4_lane(buffer, _LANE, dt, unpack_arms(arms), extension)
    return stand(buffer, attitude)
