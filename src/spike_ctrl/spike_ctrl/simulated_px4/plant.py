"""The dynamics of one vehicle with its body-rate loop, on flat ground at height 0, in ticks of 4 ms."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars, Sums
from spike_ctrl._files.kernel import FASTMATH, kernel, spliced
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.flight.attitude import yaw as yaw_of
from spike_ctrl.px4.frames import Quaternion, Vector, from_yaw
from spike_ctrl.sim import action_mapping, dynamics, rate_loop
from spike_ctrl.sim.dynamics import (
    AT,
    CHARGE,
    COMMAND,
    FORCE,
    GYRO,
    POSITION,
    QUATERNION,
    RATE_INTEGRAL,
    RATE_SETPOINT,
    RATES,
    ROTORS,
    VELOCITY,
    VOLTAGE,
    rk4_lane,
    unpack_arms,
)
from spike_ctrl.simulated_px4 import fitted_rate_loop
from spike_ctrl.simulated_px4.cascade import facing

TICK = 0.004  # s; PX4's simulation and rate loop run at 250 Hz
MAX_RATE = np.float32(6 * math.pi)  # rad/s, of its simulated vehicle
GYRO_NOISE = (0.14, 0.07, 0.03)  # rad/s, standard deviation of a sample while the motors turn; roll, pitch, yaw
_LANE, _ZERO = np.uint64(0), np.float32(0.0)
_collective = spliced(action_mapping.collective)
_NO_MOTORS = (0.0, 0.0, 0.0, 0.0)


class PlantState(NamedTuple):
    """The true state, in ENU, FLU and SI units.

    gyro: filtered, with noise. rotors: normalised speeds, commands: their set-points, in the airframe's order.
    """

    position: Vector
    quaternion: Quaternion
    velocity: Vector
    rates: Vector
    gyro: Vector
    rotors: tuple[float, float, float, float]
    commands: tuple[float, float, float, float]


class Plant:
    """One airframe, at rest on the ground at the origin, nose at `yaw` (rad from east)."""

    def __init__(self, airframe: Airframe, yaw: float = 0.0):
        self.airframe = airframe = dataclasses.replace(airframe, rate_loop=(loop := fitted_rate_loop.of(airframe)))
        self.buffer = dynamics.allocate(1, airframe)
        dynamics.write(self.buffer, slice(QUATERNION, VELOCITY), [from_yaw(yaw)])
        self._arms = dynamics.geometry(airframe)
        self._extension = dynamics.extension(airframe, TICK)
        self._loop = rate_loop.constants(airframe, TICK, floor=-1.0)  # the autopilot itself flies without thrust, too
        # A set-point waits half a tick on average for the next one. The rest of the measured delay is added to the rates.
        self._late = [(0.0, 0.0, 0.0)] * max(0, int((loop.delay - TICK / 2) / TICK + 0.5))
        self._earlier = np.zeros((round(airframe.dead_time / TICK), 4), np.float32)  # commands that wait, the latest first
        limits = np.array([airframe.hover, *airframe.max_rates, MAX_RATE])
        self._constants = np.float32(TICK), self._arms, self._loop, self._extension, limits, self._earlier
        self._row = self.buffer[:: dynamics.LANES][: GYRO + 3]  # a view of what `state` tells
        self.hardest_touchdown = 0.0  # m/s, downwards

    def advance(
        self, thrust: float, rates: Vector, running: bool, noise: Vector = (0.0, 0.0, 0.0), airmode: float | None = None,
        motors: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        """One tick. thrust: 0..1. rates: rad/s, FLU. running: where False, the motors are off.

        noise: of the gyro's sample, rad/s. airmode: PX4's MC_AIRMODE, of which 2 counts as 1; None: that of the airframe.
        motors: commands of the rotors, 0..1, in place of thrust and rates.
        """
        if airmode is not None:
            self._loop[rate_loop.AIRMODE] = float(airmode > 0)
        self._late.append(rates)
        rates = self._late.pop(0)
        speed = fitted_rate_loop.speed_of_thrust(self.airframe, thrust)
        direct = _NO_MOTORS if motors is None else tuple(map(float, motors))
        impact = _advance(self.buffer, *self._constants, speed, rates, running, noise, motors is not None, direct)
        self.hardest_touchdown = max(self.hardest_touchdown, impact)

    @property
    def state(self) -> PlantState:
        """The true state."""
        row = tuple(self._row.tolist())
        return PlantState(
            row[POSITION:QUATERNION], row[QUATERNION:VELOCITY], row[VELOCITY:RATES], row[RATES:ROTORS],
            row[GYRO : GYRO + 3], row[ROTORS : ROTORS + 4], row[COMMAND : COMMAND + 4],
        )  # fmt: skip

    def hover_at(self, position: Vector, wind: Vector = (0.0, 0.0, 0.0)) -> None:
        """Put it there (m), at rest in the air, its rotors at hover, tilted against a wind (m/s^2); its nose as it is."""
        (x, y, z), yaw = wind, yaw_of(self.state.quaternion)
        lift = math.hypot(x, y, GRAVITY - z)
        tilted = facing((-x / lift, -y / lift, (GRAVITY - z) / lift), yaw)
        dynamics.write(self.buffer, slice(POSITION, QUATERNION), [position])
        dynamics.write(self.buffer, slice(QUATERNION, VELOCITY), [tilted])
        dynamics.write(self.buffer, dynamics.ROTOR_ROWS, [[self.airframe.hover] * 4])
        self._earlier[:] = self.airframe.hover

    def stand_level(self) -> None:
        """Put it upright and at rest where it is, its nose as it is; the rotors stand."""
        dynamics.write(self.buffer, slice(QUATERNION, VELOCITY), [from_yaw(yaw_of(self.state.quaternion))])
        dynamics.write(self.buffer, slice(VELOCITY, ROTORS), [[0.0] * (ROTORS - VELOCITY)])
        dynamics.write(self.buffer, dynamics.ROTOR_ROWS, [[0.0] * 4])

    def lose_rotor(self, rotor: int, share: float, over: float = 0.0, stuck: float = -1.0) -> None:
        """Rotor number `rotor` loses this share of its thrust from now on, linearly over so many seconds; 0 heals it.

        stuck: the speed, 0 to 1, that it keeps to from now on; negative: it obeys.

        From then on its body rates have no limit: a vehicle without a rotor has to turn fast.
        """
        if self._extension is None or self._extension.fails is None:
            self._extension = dynamics.extension(self.airframe, TICK, fails=True)
            limits = np.array([*self._constants[4][:4], math.inf])
            self._constants = *self._constants[:3], self._extension, limits, self._earlier
        dynamics.lose_rotor(self.buffer, rotor, share, over, stuck)

    def throw(self, quaternion: Sequence[float], velocity: Sequence[float], rates: Sequence[float]) -> None:
        """Give it another attitude, velocity (m/s) and body rates (rad/s) where it is; its rotors turn on."""
        dynamics.write(self.buffer, slice(QUATERNION, ROTORS), [[*quaternion, *velocity, *rates]])

    def blow(self, north: float, east: float) -> None:
        """Wind from north and east (m/s) from now on: by the airframe's linear drag it acts as flight against it would."""
        drag = self.airframe.linear_drag
        dynamics.write(self.buffer, slice(FORCE, FORCE + 2), [(-drag * east, -drag * north)])

    @property
    def battery(self) -> tuple[float, float]:
        """Charge (0..1) and voltage (V) of the airframe's own battery."""
        return float(self.buffer[AT[CHARGE]]), float(self.buffer[AT[VOLTAGE]])


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def _advance(
    buffer: Floats, dt: Number, arms: Floats, loop: Floats, extension: Any, limits: Sums, earlier: Floats, speed: float,
    rates: Vector, running: bool, noise: Vector, direct: bool, motors: Scalars,
) -> Number:  # fmt: skip
    """One tick of the vehicle in lane 0; returns the speed (m/s) at which it meets the ground, 0 where it does not.

    speed: command of each rotor. limits: that of the hover, the highest commanded rates, and the highest rate.
    """
    reach = unpack_arms(arms)
    buffer[AT[RATE_SETPOINT]] = np.float32(_collective(speed, limits[0]))
    for i in range(3):
        buffer[AT[RATE_SETPOINT + 1 + i]] = np.float32(rates[i] / limits[1 + i])
    if running:
        # The rate loop sees the gyro's noise, the dynamics do not.
        x, y, z = buffer[AT[RATES]], buffer[AT[RATES + 1]], buffer[AT[RATES + 2]]
        for i in range(3):
            buffer[AT[RATES + i]] += np.float32(noise[i])
        rate_loop.rate_lane(buffer, _LANE, rate_loop.unpack(loop), (arms[8], arms[9], arms[10], arms[11]))
        buffer[AT[RATES]], buffer[AT[RATES + 1]], buffer[AT[RATES + 2]] = x, y, z
        if direct:
            for i in range(4):
                buffer[AT[COMMAND + i]] = np.float32(motors[i])
            for i in range(3):
                buffer[AT[RATE_INTEGRAL + i]] = _ZERO  # the loop may take over, and nothing has wound up
    else:
        rate_loop.begin(buffer, _LANE)
        for i in range(4):
            buffer[AT[COMMAND + i]] = _ZERO
    for i in range(4):
        newest = buffer[AT[COMMAND + i]]
        for late in range(len(earlier)):
            earlier[late, i], newest = newest, earlier[late, i]
        buffer[AT[COMMAND + i]] = newest
    attitude = attitude_of(buffer)
    rk4_lane(buffer, _LANE, dt, reach, extension)
    fastest = np.float32(limits[4])
    for i in range(3):
        buffer[AT[RATES + i]] = min(max(buffer[AT[RATES + i]], -fastest), fastest)
    return stand(buffer, attitude)


@spliced
def attitude_of(buffer: Floats) -> Scalars:
    """Quaternion of the vehicle in lane 0."""
    return buffer[AT[QUATERNION]], buffer[AT[QUATERNION + 1]], buffer[AT[QUATERNION + 2]], buffer[AT[QUATERNION + 3]]


@spliced
def stand(buffer: Floats, attitude: Scalars) -> Number:
    """Put the vehicle in lane 0 at rest on the ground where it has reached it, with its attitude before this step.

    Returns the speed (m/s) at which it met the ground, 0 where it did not.
    """
    if buffer[AT[POSITION + 2]] > _ZERO or buffer[AT[VELOCITY + 2]] > _ZERO:
        return _ZERO
    impact = -buffer[AT[VELOCITY + 2]]
    buffer[AT[POSITION + 2]] = _ZERO
    for i in range(3):
        buffer[AT[VELOCITY + i]] = _ZERO
        buffer[AT[RATES + i]] = _ZERO
    buffer[AT[QUATERNION]], buffer[AT[QUATERNION + 1]] = attitude[0], attitude[1]
    buffer[AT[QUATERNION + 2]], buffer[AT[QUATERNION + 3]] = attitude[2], attitude[3]
    return impact
