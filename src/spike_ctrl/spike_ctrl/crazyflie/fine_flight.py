"""A flight in ticks of 1 ms, as the Crazyflie's firmware counts them: the plant, what its estimator says, who commands.

The plant is one that `evaluation.real_flights` draws, and the estimate errs as it does there, with new errors every 10 ms
and straight lines between them. Position and velocity are late; attitude and body rates, which the vehicle measures itself,
are not.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl.airframe import Airframe
from spike_ctrl.crazyflie.firmware_bindings import FULL, THRUST_MAX, Compensation, Estimate, capped, motor_force
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.policy import voltage_input
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim import dynamics, observation
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_errors import SensorErrors, SensorSettings

TICKS = 10  # in a control step
DT = 1e-3  # s
ANSWER = 3  # ticks from a state to the policy's answer to it
HISTORY = 64  # ticks that are remembered: more than the longest dead time and age of a sample


class DutyCommander(Protocol):
    """Who flies: `begin` before a flight, then `duty` once a tick. See `firmware_bindings.StockController`."""

    def begin(self) -> None: ...

    def duty(self, sight: Estimate, position: Floats, velocity: Floats, volts: float) -> list[float]: ...


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
    """One vehicle, tick by tick. rows: of `plants`. start (3, m): where it hovers. seed: of the estimate's errors."""

    def __init__(self, airframe: Airframe, rows: Floats, sensors: SensorSettings, start: Floats, seed: int) -> None:
        self._buffer = dynamics.allocate(1, airframe)
        dynamics.write(self._buffer, slice(0, dynamics.ROWS), rows[None])
        dynamics.write(self._buffer, slice(0, 3), start[None])
        self._rows = dynamics.rows(self._buffer)[0, :, 0]
        self._plant = dynamics.geometry(airframe), dynamics.extension(airframe, DT, late=True)
        self._random, self._sensors = np.random.default_rng([seed, 6]), sensors
        self._errors = SensorErrors(sensors, 1, 1 / (TICKS * DT))
        self._errors.begin(np.ones(1, bool), self._random)
        self._late, self._dead = (round(TICKS * float(self._errors.delay[0])), round(float(rows[dynamics.DEAD_TIME]) / DT))
        self._places = np.tile(self._rows[[*range(3), *range(dynamics.VELOCITY, dynamics.RATES)]], (HISTORY, 1))
        self._given = np.full((HISTORY, 4), airframe.hover, np.float32)
        self._before = self._after = self._draw()
        self._tick, self._noise = 0, 0.0

    @property
    def position(self) -> Floats:
        """Where it is (3,), m."""
        return self._rows[:3].copy()

    def look(self) -> tuple[Estimate, float]:
        """What the estimator says, and the measured voltage (V)."""
        if self._tick % TICKS == 0:
            self._before, self._after = self._after, self._draw()
            self._noise = self._sensors.voltage * self._random.standard_normal()
        share = np.float32(self._tick % TICKS / TICKS)
        error = (1 - share) * self._before + share * self._after
        place = self._places[(self._tick - self._late) % HISTORY] + error[:6]
        x, y, z, w = self._rows[3:7]
        a, b, c = error[6:9] / 2  # a small turn about the body's axes
        turned = np.array(
            [x + w * a + y * c - z * b, y + w * b + z * a - x * c, z + w * c + x * b - y * a, w - x * a - y * b - z * c]
        )
        rates = self._rows[dynamics.RATES : dynamics.ROTORS] + error[9:]
        sight = Estimate(place[:3], turned / np.linalg.norm(turned), place[3:], rates)
        return sight, float(self._rows[dynamics.VOLTAGE]) + self._noise

    def fly(self, duty: list[float]) -> None:
        """One tick with these duties, which take effect after the vehicle's dead time."""
        self._given[self._tick % HISTORY] = duty
        self._rows[dynamics.COMMAND_ROWS] = self._given[(self._tick - self._dead) % HISTORY]
        dynamics.step(self._buffer, np.float32(DT), *self._plant)
        self._tick += 1
        place = self._places[self._tick % HISTORY]
        place[:3], place[3:] = self._rows[:3], self._rows[dynamics.VELOCITY : dynamics.RATES]

    def _draw(self) -> Floats:
        found: Floats = self._errors.advance(1, self._random)[0][0, :, 0].copy()
        return found


def fly(commander: DutyCommander, vehicle: FineVehicle, position: Floats, velocity: Floats, lost: float) -> Floats:
    """Follow set-points (T, 3), one a tick. Gives positions (T / TICKS, 3); once `lost` (m) off, the rest is NaN."""
    found = np.full((len(position) // TICKS, 3), np.nan)
    commander.begin()
    for tick in range(TICKS * len(found)):
        sight, volts = vehicle.look()
        vehicle.fly(commander.duty(sight, position[tick], velocity[tick], volts))
        if tick % TICKS == TICKS - 1:
            here = found[tick // TICKS] = vehicle.position
            if not np.linalg.norm(here - position[tick]) <= lost:
                break
    return found
