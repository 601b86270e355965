"""A flight in ticks of 1 ms, as the Crazyflie's firmware counts them: the plant, who estimates, who commands.

The plant is one that `spike_ctrl_benchmark.real_plants` describes.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.flight.attitude import rotate_back
from spike_ctrl.policy import voltage_input
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim import dynamics, observation
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_crazyflie.firmware_bindings import FULL, THRUST_MAX, Compensation, Estimate, capped, motor_force

TICKS = 10  # in a control step
DT = 1e-3  # s
ANSWER = 3  # ticks from a state to the policy's answer to it
HISTORY = 64  # ticks that are remembered: more than the longest dead time and age of a sample


class DutyCommander(Protocol):
    """Who flies: `begin` before a flight, then `duty` once a tick. See `firmware_bindings.StockController`."""

    def begin(self) -> None: ...

    def duty(self, sight: Estimate, position: Floats, velocity: Floats, volts: float) -> list[float]: ...


class StateEstimator(Protocol):
    """Who sees: `look` once a tick gives an estimate of the vehicle's state, and the measured voltage (V)."""

    def look(self, vehicle: FineVehicle) -> tuple[Estimate, float]: ...


class PolicyOnBoard:
    """A policy as the Crazyflie's app flies it: at 100 Hz, its forces through the firmware's battery compensation.

    policy: of layout motors, whose command u is the duty (duty) or stands for the airframe's thrust at u.
    """

    def __init__(self, policy: Policy, airframe: Airframe) -> None:
        self.policy, self.airframe = policy, airframe
        self.commands_duty = airframe.battery is not None

    def begin(self) -> None:
        """A vehicle that hovers."""
        self.compensation, self._tick = Compensation(), 0
        self._state, hover = self.policy.initial_state(), self.airframe.hover
        self._forces = self._next = self._as_forces(np.full(4, hover), self.compensation.supply)

    def duty(self, sight: Estimate, position: Floats, velocity: Floats, volts: float) -> list[float]:
        """Duties (4) in 0..1 in this tick."""
        if self._tick % TICKS == 0:
            seen = observation.build(*sight, target=position)
            seen[12:15] -= velocity
            action, self._state = self.policy.step(voltage_input.complete(self.policy, seen, volts), self._state)
            self._next = self._as_forces((np.clip(action, -1, 1) + 1) / 2, volts)
        if self._tick % TICKS == ANSWER:
            self._forces = self._next
        self._tick += 1
        self.compensation.tick(volts)
        return capped([self.compensation.count(int(force * FULL)) for force in self._forces])

    def _as_forces(self, command: Floats, volts: float) -> list[float]:
        """Shares of the firmware's largest thrust (THRUST_MAX) that give the commands their meaning."""
        most = motor_force(volts)
        thrusts = [motor_force(u * volts) for u in command] if self.commands_duty else self.airframe.thrust(command)
        return [max(min(float(thrust), most) / THRUST_MAX, 0.0) for thrust in thrusts]


def plants(airframe: Airframe, spread: Randomisation, count: int) -> list[Floats]:
    """The rows of `dynamics` of `count` vehicles that hover, each with a plant and a battery of its own."""
    environment, _ = hovering(airframe, count, 1, spread)
    return list(environment.read(slice(0, dynamics.ROWS)))


class FineVehicle:
    """One vehicle, tick by tick. rows: of `plants`. start (3, m): where it hovers."""

    def __init__(self, airframe: Airframe, rows: Floats, start: Floats) -> None:
        self._buffer = dynamics.allocate(1, airframe)
        dynamics.write(self._buffer, slice(0, dynamics.ROWS), rows[None])
        dynamics.write(self._buffer, slice(0, 3), start[None])
        self._rows = dynamics.rows(self._buffer)[0, :, 0]
        self._plant = dynamics.geometry(airframe), dynamics.extension(airframe, DT, late=True)
        self._dead = round(float(rows[dynamics.DEAD_TIME]) / DT)
        self._states = np.tile(self._rows[: dynamics.ROTORS], (HISTORY, 1))
        self._given = np.full((HISTORY, 4), airframe.hover, np.float32)
        self.tick = 0

    @property
    def position(self) -> Floats:
        """Where it is (3,), m."""
        return self._rows[:3].copy()

    @property
    def volts(self) -> float:
        """Of its battery."""
        return float(self._rows[dynamics.VOLTAGE])

    def ago(self, ticks: int) -> Estimate:
        """Its true state, at most HISTORY ticks ago."""
        state = self._states[(self.tick - ticks) % HISTORY]
        cuts = dynamics.QUATERNION, dynamics.VELOCITY, dynamics.RATES
        return Estimate(*(part.copy() for part in np.split(state, cuts)))

    @property
    def specific_force(self) -> Floats:
        """What an accelerometer shows: acceleration less gravity (3,), m/s^2, in the body's axes, over the last tick."""
        now, before = self.ago(0), self.ago(1)
        a, b, c = (now.velocity - before.velocity) / DT
        x, y, z, w = map(float, now.quaternion)
        return np.array(rotate_back((x, y, z, w), (float(a), float(b), float(c) + GRAVITY)))

    def fly(self, duty: list[float]) -> None:
        """One tick with these duties, which take effect after the vehicle's dead time."""
        self._given[self.tick % HISTORY] = duty
        self._rows[dynamics.COMMAND_ROWS] = self._given[(self.tick - self._dead) % HISTORY]
        dynamics.step(self._buffer, np.float32(DT), *self._plant)
        self.tick += 1
        self._states[self.tick % HISTORY] = self._rows[: dynamics.ROTORS]


class FineFlight(NamedTuple):
    """A flight, every 10 ms; NaN once it is lost. position (T, 3, m). error (T, 3): how far the estimate was from the true
    state, in position (m), velocity (m/s) and attitude (rad)."""

    position: Floats
    error: Floats


def fly_ticks(
    commander: DutyCommander,
    vehicle: FineVehicle,
    estimator: StateEstimator,
    position: Floats,
    velocity: Floats,
    lost: float,
) -> FineFlight:
    """Follow set-points (T, 3), one a tick, until they end or the vehicle is `lost` (m) off."""
    found = FineFlight(*(np.full((len(position) // TICKS, 3), np.nan) for _ in range(2)))
    commander.begin()
    for tick in range(TICKS * len(found.position)):
        sight, volts = estimator.look(vehicle)
        if tick % TICKS == 0:
            found.error[tick // TICKS] = _distances(sight, vehicle.ago(0))
        vehicle.fly(commander.duty(sight, position[tick], velocity[tick], volts))
        if tick % TICKS == TICKS - 1:
            here = found.position[tick // TICKS] = vehicle.position
            if not np.linalg.norm(here - position[tick]) <= lost:
                break
    return found


def _distances(sight: Estimate, true: Estimate) -> tuple[float, float, float]:
    near = min(1.0, abs(float(np.dot(sight.quaternion, true.quaternion))))
    apart = [float(np.linalg.norm(a - b)) for a, b in ((sight.position, true.position), (sight.velocity, true.velocity))]
    return apart[0], apart[1], 2 * math.acos(near)
