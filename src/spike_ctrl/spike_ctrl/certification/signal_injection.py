"""What a fault of the state does to states between autopilot and bridge, and one of policy or guide to its actions.

The autopilot's own estimate is sound.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.control.trajectory import Vector, plus
from spike_ctrl.flight.answer_checks import Action
from spike_ctrl.flight.attitude import Quaternion, normalised, product
from spike_ctrl.flight.state_checks import FIELDS, Sample
from spike_ctrl.sim.observation import NOISE

TILTED_AT_MOST = 0.5  # rad
_NOISE = {"position": NOISE[0], "velocity": NOISE[12], "rates": NOISE[15]}
Signal = TypeVar("Signal", Sample, Action, Vector)


class SignalInjection(Generic[Signal]):
    """One fault of a signal. first: value with which it began. count: of those since. before: the newest, sound or not."""

    def __init__(self, fault: InjectedFault, effects: Mapping[str, Callable[[Any, Signal, float], Signal]]) -> None:
        self.fault, self.size = fault, fault.size
        self.effect: Callable[[Any, Signal, float], Signal] = effects[fault.kind]
        self.dice = np.random.default_rng(fault.seed)
        self.before: deque[Signal] = deque(maxlen=max(round(fault.size), 1) + 1)
        self.first: Signal | None = None
        self.count = -1

    def __call__(self, value: Signal, now: float) -> Signal:
        """What is received instead of the value at `now` (s)."""
        self.before.append(value)
        if not self.fault.acts(now):
            return value
        if self.first is None:
            self.first = value
        self.count += 1
        return self.effect(self, value, now - self.fault.at)

    def moved(self, vector: Vector, length: float) -> Vector:
        """The vector, moved by this length in the fault's direction."""
        return plus(vector, _times(self.fault.direction, length))

    def upward(self, length: float) -> float:
        """The length, with the sign of the fault's direction upward."""
        return math.copysign(length, self.fault.direction[2])

    def dithered(self, vector: Vector) -> Vector:
        """The vector with noise of the fault's size."""
        return plus(vector, self.dice.normal(0, self.size, 3))

    def swing(self, since: float) -> float:
        """An oscillation of the fault's size and 2 to 8 Hz, `since` s after its begin."""
        return self.size * math.sin(2 * math.pi * (5 + 3 * self.fault.direction[2]) * since)

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
    noisy: dict[str, Any] = {name: plus(getattr(s, name), f.dice.normal(0, f.size * by, 3)) for name, by in _NOISE.items()}
    return s._replace(**noisy)


def _lagging(field: str) -> Callable[[Any, Sample, float], Sample]:
    return lambda f, s, t: s._replace(**{field: getattr(f.before[0], field)})


def _stays(f: SignalInjection[Sample], s: Sample, since: float) -> Sample:
    assert f.first is not None
    place, velocity, rates, turn = (f.dithered(v) for v in (f.first.position, f.first.velocity, f.first.rates, (0.0,) * 3))
    return s._replace(position=place, velocity=velocity, rates=rates, quaternion=_turned(turn, f.first.quaternion))


def _reset(s: Sample, times: float = 1) -> Sample:
    """The state after so many resets of the estimator."""
    return s._replace(reset_counter=(s.reset_counter + int(times)) % 256)


# What becomes of a state, `t` seconds after the fault has begun.
OF_STATES: dict[str, Callable[[Any, Sample, float], Sample]] = {
    "position_drifts": lambda f, s, t: s._replace(position=f.moved(s.position, f.size * t)),
    "height_drifts": lambda f, s, t: s._replace(position=plus(s.position, (0.0, 0.0, f.upward(f.size * t)))),
    "yaw_drifts": lambda f, s, t: s._replace(quaternion=_turned((0.0, 0.0, f.upward(f.size * t)), s.quaternion)),
    "tilt_drifts": _tilted,
    "velocity_flipped": lambda f, s, t: s._replace(velocity=_times(s.velocity, -1.0)),
    "velocity_stuck": lambda f, s, t: s._replace(velocity=f.dithered(f.first.velocity)),
    "velocity_biased": lambda f, s, t: s._replace(velocity=f.moved(s.velocity, f.size)),
    "position_stuck": lambda f, s, t: s._replace(position=f.dithered(f.first.position)),
    "position_jumps": lambda f, s, t: s._replace(position=f.moved(s.position, f.size)),
    "origin_moved": lambda f, s, t: _reset(OF_STATES["position_jumps"](f, s, t)),
    "rates_stuck": lambda f, s, t: s._replace(rates=f.dithered(f.first.rates)),
    "rates_flipped": lambda f, s, t: s._replace(rates=_times(s.rates, -1.0)),
    "not_finite": _not_finite,
    "frozen": lambda f, s, t: s._replace(**{name: getattr(f.first, name) for name in FIELDS}),
    "noisy": _noisy,
    "drifts_as_its_velocity": lambda f, s, t: s._replace(
        position=f.moved(s.position, f.size * t), velocity=f.moved(s.velocity, f.size)
    ),
    "position_lags": _lagging("position"),
    "velocity_lags": _lagging("velocity"),
    "attitude_lags": _lagging("quaternion"),
    "rates_lag": _lagging("rates"),
    "position_scaled": lambda f, s, t: s._replace(position=_times(s.position, f.size)),
    "velocity_scaled": lambda f, s, t: s._replace(velocity=_times(s.velocity, f.size)),
    "rates_scaled": lambda f, s, t: s._replace(rates=_times(s.rates, f.size)),
    "velocity_axes_swapped": lambda f, s, t: s._replace(velocity=_swapped(s.velocity)),
    "rates_axes_swapped": lambda f, s, t: s._replace(rates=_swapped(s.rates)),
    "rates_biased": lambda f, s, t: s._replace(rates=f.moved(s.rates, f.size)),
    "tilt_biased": lambda f, s, t: _tilted(f, s, 1.0),
    "velocity_ramps": lambda f, s, t: s._replace(velocity=f.moved(s.velocity, f.size * t)),
    "velocity_oscillates": lambda f, s, t: s._replace(velocity=f.moved(s.velocity, f.swing(t))),
    "rates_oscillate": lambda f, s, t: s._replace(rates=f.moved(s.rates, f.swing(t))),
    "attitude_stuck": lambda f, s, t: s._replace(quaternion=_turned(f.dithered((0.0,) * 3), f.first.quaternion)),
    "attitude_oscillates": lambda f, s, t: _tilted(f, s, f.swing(t) / f.size),
    "yaw_biased": lambda f, s, t: OF_STATES["yaw_drifts"](f, s, 1.0),
    "stays": _stays,
    "yaw_reset": lambda f, s, t: _reset(OF_STATES["yaw_biased"](f, s, t)),
    "resets_alone": lambda f, s, t: _reset(s, 1 + f.count // round(f.size)),
    "velocity_reset": lambda f, s, t: _reset(s._replace(velocity=f.moved(s.velocity, f.size))),
    "origin_resets": lambda f, s, t: _reset(s._replace(position=f.moved(s.position, f.size * (1 + int(t)))), 1 + int(t)),
    "velocity_stuck_in_resets": lambda f, s, t: _reset(
        s._replace(velocity=plus(f.first.velocity, f.dice.normal(0, 1e-3, 3))), 1 + f.count // round(f.size)
    ),
    "position_drifts_in_resets": lambda f, s, t: _reset(s._replace(position=f.moved(s.position, f.size * t)), 1 + t),
    "skewed": lambda f, s, t: s._replace(stamp=s.stamp + f.upward(f.size * t)),
    "jumps": lambda f, s, t: s._replace(stamp=s.stamp + f.upward(f.size)),
    "stands": lambda f, s, t: s._replace(stamp=f.first.stamp),
}
OF_STATES |= {f"{name}_creeps": OF_STATES[f"{name}_drifts"] for name in ("position", "height", "yaw")}
# What becomes of the specific force (m/s^2, body).
OF_FORCES: dict[str, Callable[[Any, Vector, float], Vector]] = {
    "force_stuck": lambda f, force, t: f.dithered(f.first),
    "force_biased": lambda f, force, t: f.moved(force, f.size),
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
    "one_axis_scaled": lambda f, action, t: f.on_axis(action, lambda a: f.size * a),
    "axes_biased": lambda f, action, t: _limited(
        a + math.copysign(f.size, d) for a, d in zip(action, (*f.fault.direction, f.fault.axis - 1.5), strict=True)
    ),
    "axes_swapped": lambda f, action, t: _limited((action[0], action[2], action[1], action[3])),
    "oscillates": lambda f, action, t: f.on_axis(action, lambda a: a + f.swing(t)),
    "ramps": lambda f, action, t: f.on_axis(action, lambda a: a + math.copysign(f.size * t, f.fault.direction[0])),
}
OF_ANSWERS |= {"long_delayed": OF_ANSWERS["delayed"], "dithered": OF_ANSWERS["frozen_with_dither"]}


def _limited(numbers: Iterable[float]) -> Action:
    a, b, c, d = (min(max(n, -1.0), 1.0) if math.isfinite(n) else n for n in numbers)
    return a, b, c, d


def _times(vector: Vector, size: float) -> Vector:
    x, y, z = vector
    return size * x, size * y, size * z


def _swapped(vector: Vector) -> Vector:
    x, y, z = vector
    return y, x, z


def _turned(angle: Vector, attitude: Quaternion) -> Quaternion:
    """The attitude after a turn (rad, world)."""
    size = max(math.hypot(*angle), 1e-9)
    share = math.sin(size / 2) / size
    return normalised(product((angle[0] * share, angle[1] * share, angle[2] * share, math.cos(size / 2)), attitude))
