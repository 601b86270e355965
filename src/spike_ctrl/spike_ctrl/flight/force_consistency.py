"""Whether the velocity of a state changes as the specific force says, where the link tells it. Pure.

An accelerometer measures the specific force f in the body: what changes the velocity v beside gravity, dv/dt = R f + g.
What v changes beyond that is summed up and forgotten again, by one sum soon and by one later. A velocity that lies along
with its position is seen by nothing else. As a share of its limit the larger sum is the innovation of the velocity
(estimate_quality.py), told as a negative one: beyond 1 the autopilot must land at once. That is told for a while: a velocity
that jumped stays wrong, but jumps no more.

A vehicle whose accelerometer shakes has body rates that shake as well. Where they stand still, but for less than any gyro's
noise, the state is not that of this vehicle any more, whoever sends it. In noise-free simulations both are still.

HIGHRES_IMU comes 50 times a second and is noisy. On PX4's own firmware (v1.17, SIH, eleven flights of a minute) the sum
over .2 s reached .60 m/s, for 99 % of the time it stayed below .17; on our vehicle, with up to twice the noise, .56 m/s.
Over .5 s it reached .59 m/s there, .70 on 26 real flights of a Crazyflie, and with twice the noise .88 of its wider limit.
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
from spike_ctrl.flight.estimate_quality import STILL
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.state_consistency import ZERO, summed


@dataclass(frozen=True)
class ForceLimits:
    """When a velocity contradicts the force."""

    velocity: float = within(0.8, 0.01, 100.0, "Largest change of velocity that the measured force does not explain.", "m/s")
    memory: float = within(0.2, 0.02, 10.0, "Time in which such a change is forgotten.", "s")
    lasting: float = within(0.5, 0.02, 10.0, "Time in which the second sum of such changes is forgotten.", "s")
    shaking: float = within(0.02, 0.0, 1.0, "Share by which its limit grows for each m/s^2 of the shaking force.", "s^2/m")
    told: float = within(1.0, 0.0, 60.0, "Time for which such a doubt lasts.", "s")
    old: float = within(0.1, 0.01, 10.0, "Oldest force that is compared.", "s")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states; after a longer one the check starts anew.", "s")
    # 27 real flights of a Crazyflie fall to .006, simulated ones to .026, a state that stays but for a dither to .0025.
    still: float = within(0.003, 0.0, 1.0, "Least mean change of the three body rates in all from state to state.", "rad/s")
    shaken: float = within(0.5, 0.01, 100.0, "It is looked at where the force's own changes change by more.", "m/s^2")
    share: float = within(0.12, 0.01, 1.0, "Share of the last state, and of the last force, in these means.", "")


@quickly_replaced
class ForceCheck(NamedTuple):
    """The last state, the newest force (m/s^2, body) with its receipt (s), the sums (m/s, world), their largest share told.

    doubted: s, on the companion's clock, when a sum was last beyond its limit. before: the force before. shaken: m/s^2,
    mean change of the force's changes. stirred: rad/s, mean change of the body rates. Both: the axes' sizes added.
    """

    last: Sample | None = None
    force: Vector | None = None
    measured: float = -math.inf
    sped: Vector = ZERO
    lasted: Vector = ZERO
    worst: float = 0.0
    doubted: float = -math.inf
    before: Vector | None = None
    shaken: float = 0.0
    stirred: float = 1.0

    def felt(self, force: Vector, now: float, limits: ForceLimits) -> ForceCheck:
        """After a force was measured; one that is not finite is none."""
        if not all(map(math.isfinite, force)):
            return self
        paused = now - self.measured > limits.old
        if self.force is None or self.before is None or paused:
            return self._replace(force=force, before=None if paused else self.force, measured=now, shaken=0.0)
        (a, b, c), (d, e, f), (g, h, i) = force, self.force, self.before
        bent = abs(a - 2 * d + g) + abs(b - 2 * e + h) + abs(c - 2 * f + i)
        shaken = self.shaken + limits.share * (bent - self.shaken)
        return self._replace(force=force, before=self.force, measured=now, shaken=shaken)

    def seen(self, sample: Sample, limits: ForceLimits) -> ForceCheck:
        """After a state."""
        last, force = self.last, self.force
        dt = 0.0 if last is None else sample.stamp - last.stamp
        fresh = sample.received - self.measured <= limits.old
        if last is None or force is None or not fresh or not 0 < dt <= limits.pause:
            return self._replace(last=sample, sped=ZERO, lasted=ZERO)
        if sample.reset_counter != last.reset_counter:  # what it moved is left out
            return self._replace(last=sample)
        x, y, z = rotate(last.quaternion, force)
        (u, v, w), (d, e, f) = sample.velocity, last.velocity
        gained = u - d - dt * x, v - e - dt * y, w - f - dt * (z - GRAVITY)
        if not math.isfinite(sum(gained)):
            gained = ZERO
        sped = summed(self.sped, gained, dt / limits.memory)
        lasted = summed(self.lasted, gained, dt / limits.lasting)
        wider = 1 + limits.shaking * self.shaken
        share = max(math.hypot(*sped), math.hypot(*lasted) / wider) / limits.velocity
        if not share > 1:
            return self._replace(last=sample, sped=sped, lasted=lasted)
        doubting = sample.received - self.doubted <= limits.told
        worst = max(share, self.worst if doubting else 0.0)
        return self._replace(last=sample, sped=sped, lasted=lasted, worst=worst, doubted=sample.received)

    def judged(self, sample: Sample, limits: ForceLimits) -> tuple[ForceCheck, Sample]:
        """After a state, and that state with a negative innovation of its velocity where the force contradicts it.

        It is STILL where the body rates stand still.
        """
        check, quality = self.seen(sample, limits), sample.quality
        if self.last is not None and self.last.rates != sample.rates:  # equal ones: another check counts them
            (a, b, c), (d, e, f) = self.last.rates, sample.rates
            stirred = check.stirred + limits.share * (abs(a - d) + abs(b - e) + abs(c - f) - check.stirred)
            check = check._replace(stirred=stirred if math.isfinite(stirred) else 1.0)
        velocity, across, height, heading = quality.innovations
        if (found := check.innovation(velocity, sample.received, limits)) == velocity:
            return check, sample
        return check, sample._replace(quality=quality._replace(innovations=(found, across, height, heading)))

    def innovation(self, told: float, now: float, limits: ForceLimits) -> float:
        """That of the velocity at `now` (s): told by the estimator (NaN: nothing), negative where the force contradicts."""
        if self.stirred < limits.still and self.shaken > limits.shaken and now - self.measured <= limits.old:
            return STILL
        if now - self.doubted > limits.told:
            return told
        return -self.worst
