"""Whether the fields of a state agree with each other over time: position with velocity, attitude with body rates. Pure.

Each difference is summed up and forgotten within some seconds. A position that drifts by r m/s against its own velocity
makes a sum of r * memory. Over one second a jump or a fast drift is found, over four a slow one. A state that contradicts
itself must not be flown on, by the guide neither: the autopilot holds. So it does where one step leaps away from the
velocity, and where the position stands still under a velocity that should have moved it.

A drift too slow for both is summed up over some 20 s, and over the whole flight. Long before these sums are too large, less
of the cage is granted on the side on which the vehicle may have stayed behind (`Cage.in_doubt`). The yaw is summed up over
the same 20 s.

Satellites correct the position of a sound estimate against its velocity. On PX4's own firmware (v1.17 and v1.18 beta, SIH,
flights of half a minute) the sums reached .39 m in one second and .84 m in four, while the estimator told a deviation of
.3 m. So the limit of the slow drift grows with that deviation.

PX4 may also reset its yaw in the air, by up to .75 rad in its first twenty flights, and take that back within a second,
against the rates. For some seconds a state may move back by as much as its resets have moved it. More or larger ones are
not believed. What they have moved to the side counts for the cage like a drift: the vehicle may have been right before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import Vector, plus
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.state_checks import Sample

ZERO: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ConsistencyLimits:
    """Sums from which a state contradicts itself, and how long a difference is remembered."""

    # PX4's firmware leaps .03 m, 27 real flights of a Crazyflie .09 m at most.
    leap: float = within(0.25, 0.01, 100.0, "Largest step of the position that the velocity does not explain.", "m")
    # PX4's own firmware goes .054 m at most.
    stands: float = within(0.1, 0.01, 100.0, "Largest way by the velocity while the position stands still.", "m")
    stands_memory: float = within(0.5, 0.01, 10.0, "Time in which such a way is forgotten.", "s")
    place: float = within(0.003, 0.0, 1.0, "Largest change of a position that stands still.", "m")
    position: float = within(0.4, 0.01, 100.0, "Largest change of position that the velocity does not explain.", "m")
    position_memory: float = within(1.0, 0.1, 10.0, "Time in which such a change is forgotten.", "s")
    drift: float = within(0.7, 0.01, 100.0, "The same limit for a slower drift.", "m")
    drift_deviations: float = within(1.5, 0.0, 100.0, "Multiple of the estimator's deviation, added to drift limits.", "")
    drift_memory: float = within(4.0, 0.1, 100.0, "Time in which the slower drift is forgotten.", "s")
    creep: float = within(1.5, 0.01, 100.0, "The same limit for the slowest drift.", "m")
    creep_memory: float = within(20.0, 0.1, 1000.0, "Time in which the slowest drift is forgotten.", "s")
    kept: float = within(2.0, 0.01, 100.0, "The same limit for a drift over the whole flight.", "m")
    kept_memory: float = within(1000.0, 1.0, 10_000.0, "Time in which that drift is forgotten.", "s")
    corrected: float = within(0.37, 0.0, 100.0, "Correction of the height that a sound estimate may make.", "m")
    attitude: float = within(0.15, 0.01, 100.0, "Largest turn that the body rates do not explain.", "rad")
    attitude_memory: float = within(2.0, 0.1, 10.0, "Time in which such a change is forgotten.", "s")
    # Real flights of a Crazyflie reach .15.
    veered: float = within(0.3, 0.01, 10.0, "The same about the body's z axis alone, summed over `creep_memory`.", "rad")
    settling: float = within(5.0, 0.0, 60.0, "Time after a reset in which the estimator may take it back.", "s")
    reset: float = within(1.0, 0.0, 100.0, "Largest sum of the moves by resets within `settling`.", "m")
    reset_attitude: float = within(0.8, 0.0, 3.2, "Largest sum of the turns by resets within `settling`.", "rad")
    reset_velocity: float = within(0.6, 0.0, 100.0, "Largest sum of velocity changes by resets within `settling`.", "m/s")
    resets: int = within(2, 1, 100, "Most resets within `resets_time`.", "")
    resets_time: float = within(3.0, 0.1, 60.0, "Time in which resets are counted.", "s")
    held: float = within(2.5, 0.1, 60.0, "Time after which a vehicle on HOLD must stand still.", "s")
    held_move: float = within(0.5, 0.01, 100.0, "After it, a larger unexplained change of position leads to LAND.", "m")
    held_speed: float = within(1.0, 0.1, 100.0, "After it, a larger speed leads to LAND.", "m/s")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states; after a longer one the check starts anew.", "s")


class ResetMove(NamedTuple):
    """A reset of the estimator: its stamp (s), and what it changed: position (m), velocity (m/s), in the world, and attitude
    (rad, body)."""

    stamp: float
    moved: Vector
    sped: Vector
    turned: Vector


class Consistency(NamedTuple):
    """The last state, and the sums: position over four memories (m, world), the shortest first, attitude (rad, body).

    veered: rad, about the body's z axis, over `creep_memory`. resets: the last ones, the oldest first. shifted: m, by all
    resets of this flight, to the side. place, going: m, world, where it last stood, and its way by the velocity since.
    """

    last: Sample | None = None
    moved: Vector = ZERO
    drifted: Vector = ZERO
    crept: Vector = ZERO
    kept: Vector = ZERO
    turned: Vector = ZERO
    veered: float = 0.0
    resets: tuple[ResetMove, ...] = ()
    shifted: Vector = ZERO
    place: Vector = ZERO
    going: Vector = ZERO

    @property
    def strayed(self) -> Vector:
        """The larger of the two slowest sums on each axis (m, world)."""
        (a, b, c), (x, y, z) = self.crept, self.kept
        return a if abs(a) >= abs(x) else x, b if abs(b) >= abs(y) else y, c if abs(c) >= abs(z) else z

    def suspect(self, limits: ConsistencyLimits) -> bool:
        """Whether position, roll or pitch contradict their rates by half of what is a fault, and no reset explains it."""
        if self.last is None or _settling(self.resets, self.last.stamp, limits):
            return False
        return math.hypot(*self.turned[:2]) > limits.attitude / 2 or math.hypot(*self.moved) > limits.position / 2

    def doubted(self, limits: ConsistencyLimits) -> Vector:
        """By how much (m, world) the vehicle may have stayed behind its position; sound estimates correct their height."""
        (x, y, _), c, z = self.strayed, self.kept[2], self.crept[2]
        beyond = math.copysign(max(abs(c) - limits.corrected, 0.0), c)
        return plus((x, y, z if abs(z) >= abs(beyond) else beyond), self.shifted)


def follow(track: Consistency, sample: Sample, limits: ConsistencyLimits) -> tuple[Consistency, Findings]:
    """After an accepted state, and whether the states contradict themselves."""
    last = track.last
    dt = 0.0 if last is None else sample.stamp - last.stamp
    if last is None or not 0 < dt <= limits.pause:
        return Consistency(sample), ()
    (x, y, z), (a, b, c), (u, v, w), (d, e, f) = sample.position, last.position, sample.velocity, last.velocity
    i, j, k = way = (dt * (u + d) / 2, dt * (v + e) / 2, dt * (w + f) / 2)
    moved = (x - a - i, y - b - j, z - c - k)
    (x, y, z), (u, v, w), (d, e, f) = _turn(last, sample), sample.rates, last.rates
    turned = (x - dt * ((u + d) / 2), y - dt * ((v + e) / 2), z - dt * ((w + f) / 2))
    settling = _settling(track.resets, sample.stamp, limits)
    if sample.reset_counter != last.reset_counter:
        x, y, z = (now - before for now, before in zip(sample.velocity, last.velocity, strict=True))
        resets = (*settling, ResetMove(sample.stamp, moved, (x, y, z), turned))[-10:]
        shifted = plus(track.shifted, (moved[0], moved[1], 0.0))  # the ground moves along
        track = track._replace(last=sample, resets=resets, shifted=shifted, place=sample.position, going=ZERO)
        return track, _judge_resets(resets, sample.stamp, limits)
    back, turned_back = _size([one.moved for one in settling]), _size([one.turned for one in settling])
    veered = 0.0 if turned_back > limits.attitude else turned[2]  # it may be taken back
    stands = math.dist(sample.position, track.place) <= limits.place
    track = Consistency(
        sample, summed(track.moved, moved, dt / limits.position_memory),
        summed(track.drifted, moved, dt / limits.drift_memory), summed(track.crept, moved, dt / limits.creep_memory),
        summed(track.kept, moved, dt / limits.kept_memory), summed(track.turned, turned, dt / limits.attitude_memory),
        track.veered * (1 - dt / limits.creep_memory) + veered, track.resets, track.shifted,
        track.place if stands else sample.position, summed(track.going, way, dt / limits.stands_memory) if stands else ZERO,
    )  # fmt: skip
    back_or_unsure = back if math.isnan(far := sample.quality.horizontal) else back + limits.drift_deviations * far
    wanted = "{:.2f} m otherwise than its velocity says, wanted at most {:.3g} m"
    position, stays = (
        f"position moves {wanted}",
        "position stands still while the velocity adds up to {:.2f} m, wanted at most {:.3g} m",
    )
    turns = "turns {:.2f} rad otherwise than its rates say, wanted at most {:.3g} rad"
    found = _first_beyond(
        Fault.STATE_INCONSISTENT,
        (math.hypot(*moved), limits.leap + back, f"position leaps {wanted}"),
        (math.hypot(*track.going), limits.stands, stays),
        (math.hypot(*track.moved), limits.position + back, position),
        (math.hypot(*track.drifted), limits.drift + back_or_unsure, position),
        (math.hypot(*track.crept), limits.creep + back_or_unsure, position),
        (math.hypot(*track.kept), limits.kept + back_or_unsure, position),
        (abs(track.kept[2]), limits.kept + back, position),  # the deviation is that to the side
        (math.hypot(*track.turned), limits.attitude + turned_back, "attitude " + turns),
        (abs(track.veered), limits.veered, "the yaw " + turns),
    )
    return track, found


def _settling(resets: Sequence[ResetMove], now: float, limits: ConsistencyLimits) -> list[ResetMove]:
    """Those that the estimator may still take back."""
    return [one for one in resets if 0 <= now - one.stamp <= limits.settling]


def _judge_resets(resets: Sequence[ResetMove], now: float, limits: ConsistencyLimits) -> Findings:
    """Whether these are more, or have moved and turned a state by more, than those of a sound estimate do."""
    often = sum(now - one.stamp <= limits.resets_time for one in resets)
    far, turned = _size([one.moved for one in resets]), _size([one.turned for one in resets])
    sped = _size([one.sped for one in resets])
    return _first_beyond(
        Fault.ESTIMATOR_RESTLESS,
        (often, limits.resets, f"{{}} resets in {limits.resets_time:g} s, wanted at most {{:g}}"),
        (far, limits.reset, "resets move the position by {:.2f} m, wanted at most {:g} m"),
        (sped, limits.reset_velocity, "resets change the velocity by {:.2f} m/s, wanted at most {:g} m/s"),
        (turned, limits.reset_attitude, "resets turn the attitude by {:.2f} rad, wanted at most {:g} rad"),
    )


def _first_beyond(fault: Fault, *judged: tuple[float, float, str]) -> Findings:
    """The first of these figures that is larger than its limit, in words."""
    for found, most, words in judged:
        if found > most:
            return (Finding(fault, words.format(found, most)),)
    return ()


def _size(vectors: Sequence[Vector]) -> float:
    """Of their sum."""
    return math.hypot(*map(sum, zip(*vectors, strict=True))) if vectors else 0.0


def summed(before: Vector, new: Vector, share: float) -> Vector:
    """A sum after a new part of it, of which this share is forgotten before."""
    (a, b, c), (x, y, z), kept = before, new, max(1 - share, 0.0)
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
