"""Whether the fields of a state agree with each other over time: position with velocity, attitude with body rates. Pure.

Each difference is summed up and forgotten within some seconds. A position that drifts by r m/s against its own velocity
makes a sum of r * memory. Over one second a jump or a fast drift is found, over four a slow one. A state that contradicts
itself must not be flown on, by the guide neither: the autopilot holds.

Satellites correct the position of a sound estimate against its velocity. On PX4's own firmware (v1.18 beta, SIH, flights of
half a minute) the sums reached .25 m in one second and .47 m in four, and more than .35 m in two flights of thirty on a busy
computer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.flight.state_checks import Sample

ZERO: Vector = (0.0, 0.0, 0.0)
PAUSE = 0.15  # s: after a longer one nothing is known of what happened in it


@dataclass(frozen=True)
class ConsistencyLimits:
    """Sums from which a state contradicts itself, and how long (s) a difference is remembered."""

    position: float = within(0.4, 0.01, 100.0)  # m
    position_memory: float = within(1.0, 0.1, 10.0)  # s
    drift: float = within(0.7, 0.01, 100.0)  # m, of the position, too
    drift_memory: float = within(4.0, 0.1, 100.0)  # s
    attitude: float = within(0.15, 0.01, 100.0)  # rad
    attitude_memory: float = within(2.0, 0.1, 10.0)  # s


class Consistency(NamedTuple):
    """The last state, and the sums: position over the shorter and the longer memory (m, world), attitude (rad, body)."""

    last: Sample | None = None
    moved: Vector = ZERO
    drifted: Vector = ZERO
    turned: Vector = ZERO


def follow(track: Consistency, sample: Sample, limits: ConsistencyLimits) -> tuple[Consistency, tuple[Finding, ...]]:
    """After an accepted state, and whether the states contradict themselves."""
    last = track.last
    dt = 0.0 if last is None else sample.stamp - last.stamp
    if last is None or sample.reset_counter != last.reset_counter or not 0 < dt <= PAUSE:
        return Consistency(sample), ()
    (x, y, z), (a, b, c), (u, v, w), (d, e, f) = sample.position, last.position, sample.velocity, last.velocity
    moved = (x - a - dt * (u + d) / 2, y - b - dt * (v + e) / 2, z - c - dt * (w + f) / 2)
    (x, y, z), (u, v, w), (d, e, f) = _turn(last, sample), sample.rates, last.rates
    turned = (x - dt * ((u + d) / 2), y - dt * ((v + e) / 2), z - dt * ((w + f) / 2))
    track = Consistency(
        sample,
        _summed(track.moved, moved, dt / limits.position_memory),
        _summed(track.drifted, moved, dt / limits.drift_memory),
        _summed(track.turned, turned, dt / limits.attitude_memory),
    )
    for total, most in ((track.moved, limits.position), (track.drifted, limits.drift)):
        if (apart := math.hypot(*total)) > most:
            detail = f"position moves {apart:.2f} m otherwise than its velocity says, wanted at most {most} m"
            return track, (Finding(Fault.STATE_INCONSISTENT, detail),)
    if (apart := math.hypot(*track.turned)) > limits.attitude:
        detail = f"attitude turns {apart:.2f} rad otherwise than its rates say, wanted at most {limits.attitude} rad"
        return track, (Finding(Fault.STATE_INCONSISTENT, detail),)
    return track, ()


def _summed(before: Vector, new: Vector, share: float) -> Vector:
    (a, b, c), (x, y, z), kept = before, new, 1 - share
    return a * kept + x, b * kept + y, c * kept + z


def _turn(last: Sample, now: Sample) -> Vector:
    """The turn (rad, in the body) from one attitude to the next."""
    (a, b, c, d), (x, y, z, w) = last.quaternion, now.quaternion
    # conj(last) * now
    tx, ty, tz = d * x - a * w - b * z + c * y, d * y + a * z - b * w - c * x, d * z - a * y + b * x - c * w
    tw = d * w + a * x + b * y + c * z
    size = math.sqrt(tx * tx + ty * ty + tz * tz)
    share = 2.0 if size < 1e-6 else 2 * math.atan2(size, abs(tw)) / size
    share = share if tw >= 0 else -share
    return tx * share, ty * share, tz * share
