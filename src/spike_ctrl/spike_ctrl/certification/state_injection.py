"""What a fault of the state does to states between autopilot and bridge. The autopilot's own estimate is sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spike_ctrl._files.arrays import Sums
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import Quaternion, normalised
from spike_ctrl.flight.state_checks import FIELDS, Sample
from spike_ctrl.sim.observation import NOISE

TILTED_AT_MOST = 0.5  # rad
_NOISE = {"position": NOISE[0], "velocity": NOISE[12], "rates": NOISE[15]}


class StateInjection:
    """One fault of the state. It remembers the state with which it began."""

    def __init__(self, fault: InjectedFault):
        self.fault = fault
        self._first: Sample | None = None
        self.dice = np.random.default_rng(fault.seed)

    def __call__(self, sample: Sample, now: float) -> Sample:
        """The state that the bridge gets at `now` (s)."""
        if not self.fault.acts(now):
            return sample
        self._first = self._first or sample
        return _KINDS[self.fault.kind](self, sample, now - self.fault.at)

    @property
    def first(self) -> Sample:
        """The state with which the fault began."""
        assert self._first is not None
        return self._first

    def dither(self, vector: Vector) -> Vector:
        """The vector with noise of the fault's size."""
        return _plus(vector, self.dice.normal(0, self.fault.size, 3))

    def along(self, length: float) -> Vector:
        """A vector of this length in the fault's direction."""
        x, y, z = self.fault.direction
        return length * x, length * y, length * z


def _position_drifts(t: StateInjection, s: Sample, since: float) -> Sample:
    return s._replace(position=_plus(s.position, t.along(t.fault.size * since)))


def _height_drifts(t: StateInjection, s: Sample, since: float) -> Sample:
    up = math.copysign(t.fault.size * since, t.fault.direction[2])
    return s._replace(position=_plus(s.position, (0.0, 0.0, up)))


def _yaw_drifts(t: StateInjection, s: Sample, since: float) -> Sample:
    angle = math.copysign(t.fault.size * since, t.fault.direction[2])
    return s._replace(quaternion=_turned((0.0, 0.0, angle), s.quaternion))


def _tilt_drifts(t: StateInjection, s: Sample, since: float) -> Sample:
    x, y, _ = t.fault.direction
    angle, norm = min(t.fault.size * since, TILTED_AT_MOST), max(math.hypot(x, y), 1e-6)
    return s._replace(quaternion=_turned((angle * x / norm, angle * y / norm, 0.0), s.quaternion))


def _velocity_flipped(t: StateInjection, s: Sample, since: float) -> Sample:
    x, y, z = s.velocity
    return s._replace(velocity=(-x, -y, -z))


def _velocity_stuck(t: StateInjection, s: Sample, since: float) -> Sample:
    return s._replace(velocity=t.dither(t.first.velocity))


def _velocity_biased(t: StateInjection, s: Sample, since: float) -> Sample:
    return s._replace(velocity=_plus(s.velocity, t.along(t.fault.size)))


def _position_stuck(t: StateInjection, s: Sample, since: float) -> Sample:
    return s._replace(position=t.dither(t.first.position))


def _position_jumps(t: StateInjection, s: Sample, since: float) -> Sample:
    return s._replace(position=_plus(s.position, t.along(t.fault.size)))


def _origin_moved(t: StateInjection, s: Sample, since: float) -> Sample:
    return _position_jumps(t, s, since)._replace(reset_counter=(s.reset_counter + 1) % 256)


def _rates_stuck(t: StateInjection, s: Sample, since: float) -> Sample:
    return s._replace(rates=t.dither(t.first.rates))


def _rates_flipped(t: StateInjection, s: Sample, since: float) -> Sample:
    x, y, z = s.rates
    return s._replace(rates=(-x, -y, -z))


def _not_finite(t: StateInjection, s: Sample, since: float) -> Sample:
    name = FIELDS[t.fault.axis]
    changes: dict[str, Any] = {name: (math.nan, *getattr(s, name)[1:])}
    return s._replace(**changes)


def _frozen(t: StateInjection, s: Sample, since: float) -> Sample:
    return s._replace(**{name: getattr(t.first, name) for name in FIELDS})


def _noisy(t: StateInjection, s: Sample, since: float) -> Sample:
    noisy: dict[str, Any] = {
        name: _plus(getattr(s, name), t.dice.normal(0, t.fault.size * by, 3)) for name, by in _NOISE.items()
    }
    return s._replace(**noisy)


def _drifts_as_its_velocity(t: StateInjection, s: Sample, since: float) -> Sample:
    moved = _position_drifts(t, s, since)
    return moved._replace(velocity=_plus(s.velocity, t.along(t.fault.size)))


_KINDS: dict[str, Callable[[StateInjection, Sample, float], Sample]] = {
    "position_drifts": _position_drifts,
    "height_drifts": _height_drifts,
    "yaw_drifts": _yaw_drifts,
    "tilt_drifts": _tilt_drifts,
    "velocity_flipped": _velocity_flipped,
    "velocity_stuck": _velocity_stuck,
    "velocity_biased": _velocity_biased,
    "position_stuck": _position_stuck,
    "position_jumps": _position_jumps,
    "origin_moved": _origin_moved,
    "rates_stuck": _rates_stuck,
    "rates_flipped": _rates_flipped,
    "not_finite": _not_finite,
    "frozen": _frozen,
    "noisy": _noisy,
    "drifts_as_its_velocity": _drifts_as_its_velocity,
}


def _plus(vector: Vector, by: Sequence[float] | Sums) -> Vector:
    return vector[0] + float(by[0]), vector[1] + float(by[1]), vector[2] + float(by[2])


def _turned(angle: Vector, attitude: Quaternion) -> Quaternion:
    """The attitude after a turn (rad, world)."""
    size = max(math.hypot(*angle), 1e-9)
    share = math.sin(size / 2) / size
    x, y, z, w = angle[0] * share, angle[1] * share, angle[2] * share, math.cos(size / 2)
    a, b, c, d = attitude
    turned = (w * a + x * d + y * c - z * b, w * b - x * c + y * d + z * a, w * c + x * b - y * a + z * d)
    return normalised((*turned, w * d - x * a - y * b - z * c))
