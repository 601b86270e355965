"""Predicts recorded flight open loop: state in, recorded motor commands and voltage in, and the simulation flies on.

Each prediction has two parts. In the second before its start, the history, the observer corrects the simulation by what was
measured, so that rotors, state and disturbance are known at the start. From there on the simulation sees commands and
voltage only; the trim stays, and the gust fades.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import POSITION, QUATERNION, RATES, ROTORS, VELOCITY
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify.observed_flight import HISTORY, ObservedFlight
from spike_ctrl_identify.observed_step import fly_observed
from spike_ctrl_identify.observer import ROTATION, TRANSLATION, TRUST, gains

GROUPS = ("position", "velocity", "attitude", "rates")
UNITS = ("m", "m/s", "deg", "rad/s")
ROTATION_GAINS, TRANSLATION_GAINS = (
    gains(noise, HISTORY, 1 / RATE_HZ).astype(np.float32) for noise in (ROTATION, TRANSLATION)
)
ROTATION_GAINS[-1, 0] += TRUST * (np.array([1, 0], np.float32) - ROTATION_GAINS[-1, 0])
FADES = np.exp(-1 / (RATE_HZ * np.array([TRANSLATION.time, ROTATION.time]))).astype(np.float32)  # of the gusts, in a step


class Starts(NamedTuple):
    """W starts with HISTORY steps before and `ahead` after them: T = HISTORY + ahead + 1.

    state (T, W, 13), command (T, W, 4), voltage (T, W): as in ObservedFlight. flight (W,): number of the flight.
    """

    state: np.ndarray
    command: np.ndarray
    voltage: np.ndarray
    flight: np.ndarray

    @property
    def count(self) -> int:
        """Number of starts, W."""
        return len(self.flight)


class Predicted(NamedTuple):
    """States (H, W, 13) at H horizons, and the observer's trim (W, 6): m/s^2 in the world, rad/s^2 in the body."""

    state: np.ndarray
    push: np.ndarray


def starts(flights: Sequence[ObservedFlight], every: int, ahead: int) -> Starts:
    """All starts of these flights, one each `every` steps."""
    parts = []
    for number, flight in enumerate(flights):
        rows = flight.starts(every, ahead) + np.arange(-HISTORY, ahead + 1)[:, None]
        who = np.full(rows.shape[1], number)
        parts.append((flight.state[rows].astype(np.float32), flight.command[rows], flight.voltage[rows], who))
    state, command, voltage, who = zip(*parts, strict=True)
    joined = (np.concatenate(part, axis=1).astype(np.float32) for part in (state, command, voltage))
    return Starts(*joined, np.concatenate(who))


def predict(craft: Airframe, at: Starts, horizons: Sequence[int]) -> Predicted:
    """Fly from each start with the airframe `craft` and give the states at these horizons (steps, growing)."""
    buffer, tick = dynamics.allocate(at.count, craft), np.float32(1 / RATE_HZ)
    dynamics.write(buffer, slice(POSITION, ROTORS), at.state[0])
    battery = craft.battery
    factor = battery.factor(at.voltage[0]) if battery else np.ones(at.count)
    dynamics.write(buffer, dynamics.ROTOR_ROWS, factor[:, None] * at.command[0])  # as if that had been commanded for long
    earlier = slice(dynamics.EARLIER, dynamics.EARLIER + 4 * dynamics.HISTORY)
    dynamics.write(buffer, earlier, np.tile(at.command[0], (1, dynamics.HISTORY)))
    found = np.empty((len(horizons), at.count, ROTORS), np.float32)
    push = np.zeros((at.count, 12), np.float32)  # trim, then gust: linear and angular acceleration
    push[:, 3:6] = np.array(craft.trim_moment) / np.array(craft.inertia)
    volts = at.voltage if battery else np.zeros_like(at.voltage)
    shape = dynamics.geometry(craft), dynamics.extension(craft, 1 / RATE_HZ, late=True)
    ends = np.array(horizons)
    fly_observed(
        buffer, at.state, at.command, volts, TRANSLATION_GAINS, ROTATION_GAINS, FADES, ends, tick, *shape, push, found
    )
    return Predicted(found, push[:, :6])


def difference(state: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What was seen minus the state (..., 13): position, velocity, rotation vector (body, rad), rates (..., 12)."""
    found = np.empty((*state.shape[:-1], 12), np.float32)
    found[..., 0:3] = seen[..., POSITION:QUATERNION] - state[..., POSITION:QUATERNION]
    found[..., 3:6] = seen[..., VELOCITY:RATES] - state[..., VELOCITY:RATES]
    a, b = state[..., QUATERNION:VELOCITY], seen[..., QUATERNION:VELOCITY]
    vector = a[..., 3:] * b[..., :3] - b[..., 3:] * a[..., :3] - np.cross(a[..., :3], b[..., :3])
    length, scalar = np.linalg.norm(vector, axis=-1, keepdims=True), (a * b).sum(-1, keepdims=True)
    angle = 2 * np.arctan2(length, np.abs(scalar))
    found[..., 6:9] = np.sign(scalar) * vector * angle / np.maximum(length, 1e-9)
    found[..., 9:12] = seen[..., RATES:] - state[..., RATES:]
    return found


def norms(errors: np.ndarray) -> np.ndarray:
    """Norms (..., 4) of errors (..., 12) in GROUPS: m, m/s, deg, rad/s."""
    return np.linalg.norm(errors.reshape(*errors.shape[:-1], 4, 3), axis=-1) * (1, 1, 180 / np.pi, 1)
