"""Whether the velocity of a state changes as the specific force says, where the link tells it. Pure.

An accelerometer measures the specific force f in the body: what changes the velocity v beside gravity, dv/dt = R f + g.
What v changes beyond that is summed up and forgotten again. A velocity that lies along with its position is seen by nothing
else. As a share of its limit the sum is the innovation of the velocity (estimate_quality.py): beyond 1 the estimate is in
doubt, and the autopilot must land. The doubt is told for a while: a velocity that jumped stays wrong, but jumps no more.

HIGHRES_IMU comes 50 times a second and is noisy. On PX4's own firmware (v1.17, SIH, eleven flights of a minute) the sum
reached .60 m/s, for 99 % of the time it stayed below .17; on our vehicle, with up to twice the noise, .56 m/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import rotate
from spike_ctrl.flight.state_checks import Sample


@dataclass(frozen=True)
class ForceLimits:
    """When a velocity contradicts the force."""

    velocity: float = within(0.8, 0.01, 100.0, "Largest change of velocity that the measured force does not explain.", "m/s")
    memory: float = within(0.2, 0.02, 10.0, "Time in which such a change is forgotten.", "s")
    told: float = within(1.0, 0.0, 60.0, "Time for which such a doubt lasts.", "s")
    old: float = within(0.1, 0.01, 10.0, "Oldest force that is compared.", "s")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states; after a longer one the check starts anew.", "s")


@quickly_replaced
class ForceCheck(NamedTuple):
    """The last state, the newest force (m/s^2, body) with its receipt (s), the sum (m/s, world), the largest that is told.

    doubted: s, on the companion's clock, when the sum was last beyond its limit.
    """

    last: Sample | None = None
    force: Vector | None = None
    measured: float = -math.inf
    sped: Vector = (0.0, 0.0, 0.0)
    worst: float = 0.0
    doubted: float = -math.inf

    def felt(self, force: Vector, now: float) -> ForceCheck:
        """After a force was measured; one that is not finite is none."""
        return self._replace(force=force, measured=now) if all(map(math.isfinite, force)) else self

    def seen(self, sample: Sample, limits: ForceLimits) -> ForceCheck:
        """After a state."""
        last, force = self.last, self.force
        dt = 0.0 if last is None else sample.stamp - last.stamp
        fresh = sample.received - self.measured <= limits.old
        if last is None or force is None or not fresh or not 0 < dt <= limits.pause:
            return self._replace(last=sample, sped=(0.0, 0.0, 0.0))
        if sample.reset_counter != last.reset_counter:  # what it moved is left out
            return self._replace(last=sample)
        x, y, z = rotate(last.quaternion, force)
        kept = max(1 - dt / limits.memory, 0.0)
        (a, b, c), (u, v, w), (d, e, f) = self.sped, sample.velocity, last.velocity
        sped = a * kept + u - d - dt * x, b * kept + v - e - dt * y, c * kept + w - f - dt * (z - GRAVITY)
        size = math.hypot(*sped)
        if not size > limits.velocity:
            return self._replace(last=sample, sped=sped if math.isfinite(size) else (0.0, 0.0, 0.0))
        doubting = sample.received - self.doubted <= limits.told
        return ForceCheck(sample, force, self.measured, sped, max(size, self.worst if doubting else 0.0), sample.received)

    def judged(self, sample: Sample, limits: ForceLimits) -> tuple[ForceCheck, Sample]:
        """After a state, and that state with a larger innovation of its velocity where the force contradicts it."""
        check, quality = self.seen(sample, limits), sample.quality
        velocity, across, height, heading = quality.innovations
        if (found := check.innovation(velocity, sample.received, limits)) == velocity:
            return check, sample
        return check, sample._replace(quality=quality._replace(innovations=(found, across, height, heading)))

    def innovation(self, told: float, now: float, limits: ForceLimits) -> float:
        """That of the velocity at `now` (s): what the estimator told (NaN: nothing), or more where the force contradicts."""
        if now - self.doubted > limits.told:
            return told
        found = self.worst / limits.velocity
        return found if not told > found else told
