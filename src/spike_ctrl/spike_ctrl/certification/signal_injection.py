"""What a fault of the state does to states between autopilot and bridge, and one of policy or guide to its actions.

The autopilot's own estimate is sound.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from spike_ctrl._files.arrays import Sums
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.answer_checks import Action
from spike_ctrl.flight.attitude import Quaternion, normalised
from spike_ctrl.flight.state_checks import FIELDS, Sample
from spike_ctrl.sim.observation import NOISE

TILTED_AT_MOST = 0.5  # rad
_NOISE = {"position": NOISE[0], "velocity": NOISE[12], "rates": NOISE[15]}
Signal = TypeVar("Signal", Sample, Action)


class SignalInjection(Generic[Signal]):
    """One fault of a signal. first: the value with which it began. before: the newest values, sound ones included."""

    def __init__(self, fault: InjectedFault, effects: Mapping[str, Callable[[Any, Signal, float], Signal]]) -> None:
        self.fault, self.size = fault, fault.size
        self.effect: Callable[[Any, Signal, float], Signal] = effects[fault.kind]
        self.dice = np.random.default_rng(fault.seed)
        self.before: deque[Signal] = deque(maxlen=max(round(fault.size), 1) + 1)
        self.first: Signal | None = None

    def __call__(self, value: Signal, now: float) -> Signal:
        """What is received instead of the value at `now` (s)."""
        self.before.append(value)
        if not self.fault.acts(now):
            return value
        if self.first is None:
            self.first = value
        return self.effect(self, value, now - self.fault.at)

    def moved(self, vector: Vector, length: float) -> Vector:
        """The vector, moved by this length in the fault's direction."""
        x, y, z = self.fault.direction
        return _plus(vector, (length * x, length * y, length * z))

    def upward(self, length: float) -> float:
        """The length, with the sign of the fault's direction upward."""
        return math.copysign(length, self.fault.direction[2])

    def dithered(self, vector: Vector) -> Vector:
        """The vector with noise of the fault's size."""
        return _plus(vector, self.dice.normal(0, self.size, 3))

    def noisy(self, action: Action) -> Action:
        """The action with noise of the fault's size."""
        return _limited(a + float(n) for a, n in zip(action, self.dice.normal(0, self.size, 4), strict=True))

    def on_axis(self, action: Action, change: Callable[[float], float]) -> Action:
        """The action with one number changed."""
        return _limited(change(a) if n == self.fault.axis else a for n, a in enumerate(action))


def _tilted(f: SignalInjection[Sample], s: Sample, since: float) -> Sample:
    x, y, _ = f.fault.direction
    angle, norm = min(f.size * since, TILTED_AT_MOST), max(math.hypot(x, y), 1e-6)
    return s._replace(quaternion=_turned((angle * x / norm, angle * y / norm, 0.0), s.quaternion))


def _not_finite(f: SignalInjection[Sample], s: Sample, since: float) -> Sample:
    changes: dict[str, Any] = {(name := FIELDS[f.fault.axis]): (math.nan, *getattr(s, name)[1:])}
    return s._replace(**changes)


def _noisy(f: SignalInjection[Sample], s: Sample, since: float) -> Sample:
    noisy: dict[str, Any] = {name: _plus(getattr(s, name), f.dice.normal(0, f.size * by, 3)) for name, by in _NOISE.items()}
    return s._replace(**noisy)


# What becomes of a state, `t` seconds after the fault has begun.
OF_STATES: dict[str, Callable[[Any, Sample, float], Sample]] = {
    "position_drifts": lambda f, s, t: s._replace(position=f.moved(s.position, f.size * t)),
    "height_drifts": lambda f, s, t: s._replace(position=_plus(s.position, (0.0, 0.0, f.upward(f.size * t)))),
    "yaw_drifts": lambda f, s, t: s._replace(quaternion=_turned((0.0, 0.0, f.upward(f.size * t)), s.quaternion)),
    "tilt_drifts": _tilted,
    "velocity_flipped": lambda f, s, t: s._replace(velocity=_opposite(s.velocity)),
    "velocity_stuck": lambda f, s, t: s._replace(velocity=f.dithered(f.first.velocity)),
    "velocity_biased": lambda f, s, t: s._replace(velocity=f.moved(s.velocity, f.size)),
    "position_stuck": lambda f, s, t: s._replace(position=f.dithered(f.first.position)),
    "position_jumps": lambda f, s, t: s._replace(position=f.moved(s.position, f.size)),
    "origin_moved": lambda f, s, t: s._replace(
        position=f.moved(s.position, f.size), reset_counter=(s.reset_counter + 1) % 256
    ),
    "rates_stuck": lambda f, s, t: s._replace(rates=f.dithered(f.first.rates)),
    "rates_flipped": lambda f, s, t: s._replace(rates=_opposite(s.rates)),
    "not_finite": _not_finite,
    "frozen": lambda f, s, t: s._replace(**{name: getattr(f.first, name) for name in FIELDS}),
    "noisy": _noisy,
    "drifts_as_its_velocity": lambda f, s, t: s._replace(
        position=f.moved(s.position, f.size * t), velocity=f.moved(s.velocity, f.size)
    ),
}
# What becomes of an action.
OF_ANSWERS: dict[str, Callable[[Any, Action, float], Action]] = {
    "frozen": lambda f, action, t: _limited(f.first),
    "frozen_with_dither": lambda f, action, t: f.noisy(f.first),
    "flipped": lambda f, action, t: _limited((action[0], -action[1], -action[2], -action[3])),
    "one_axis_flipped": lambda f, action, t: f.on_axis(action, lambda a: -a),
    "scaled": lambda f, action, t: _limited(f.size * a for a in action),
    "biased": lambda f, action, t: f.on_axis(action, lambda a: a + math.copysign(f.size, f.fault.direction[0])),
    "noisy": lambda f, action, t: f.noisy(action),
    "not_finite": lambda f, action, t: f.on_axis(action, lambda a: math.nan),
    "full": lambda f, action, t: _limited(math.copysign(1.0, a) for a in action),
    "falling": lambda f, action, t: _limited((-1.0, *action[1:])),
    "delayed": lambda f, action, t: _limited(f.before[0]),
}


def _limited(numbers: Iterable[float]) -> Action:
    a, b, c, d = (min(max(n, -1.0), 1.0) if math.isfinite(n) else n for n in numbers)
    return a, b, c, d


def _plus(vector: Vector, by: Sequence[float] | Sums) -> Vector:
    return vector[0] + float(by[0]), vector[1] + float(by[1]), vector[2] + float(by[2])


def _opposite(vector: Vector) -> Vector:
    x, y, z = vector
    return -x, -y, -z


def _turned(angle: Vector, attitude: Quaternion) -> Quaternion:
    """The attitude after a turn (rad, world)."""
    size = max(math.hypot(*angle), 1e-9)
    share = math.sin(size / 2) / size
    x, y, z, w = angle[0] * share, angle[1] * share, angle[2] * share, math.cos(size / 2)
    a, b, c, d = attitude
    turned = (w * a + x * d + y * c - z * b, w * b - x * c + y * d + z * a, w * c + x * b - y * a + z * d)
    return normalised((*turned, w * d - x * a - y * b - z * c))
