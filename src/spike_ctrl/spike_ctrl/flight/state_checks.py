"""Checks of the vehicle's state: what may be flown on. Pure; times are seconds on the companion's monotonic clock.

Stamps of the vehicle serve for order and for the delay of a state, never for its age. World ENU, body FLU, SI, quaternion
x, y, z, w. A refused state leaves no trace but what is needed to judge the next one.

    track = Track()
    track, accepted, findings, shift = inspect(sample, track, limits, airborne)
    findings = gap(track, now, limits)              # also when nothing came
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.flight.faults import Fault, Finding

STREAMS = ("position", "attitude", "rates")
FIELDS = ("position", "quaternion", "velocity", "rates")


class Sample(NamedTuple):
    """One state of the vehicle, as the bridge assembled it for a control tick.

    tick counts samples. stamp: s, the vehicle's clock. received: s. position m and velocity m/s in `odom`; quaternion body
    to `odom`; rates rad/s in the body. ages: s at `received` of what position, attitude and rates were taken from.
    reset_counter: the estimator's.
    """

    tick: int
    stamp: float
    received: float
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    velocity: tuple[float, float, float]
    rates: tuple[float, float, float]
    reset_counter: int = 0
    ages: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Shift(NamedTuple):
    """By how much the estimator moved its origin: position (m, `odom`) and yaw (rad)."""

    position: tuple[float, float, float]
    yaw: float


class StateTrack(NamedTuple):
    """What the next state is judged by: the one before, when one was last accepted, the clock, repeats, late states."""

    last: Sample | None = None  # that came in order, accepted or not
    accepted_at: float | None = None  # s, receipt of the last accepted state
    lead: float | None = None  # s, stamp minus receipt of the least delayed state
    followed: float = 0.0  # s by which the lead has gone back of late, with states that come later and later
    still: tuple[int, int, int, int] = (0, 0, 0, 0)  # states in which a field has not changed a bit
    moved: tuple[int, int, int, int] = (0, 0, 0, 0)  # how often the others have, meanwhile
    late: int = 0  # one bit per control period: a state was missing
    delayed: int = 0  # states in a row that were old when they came
    shift: Shift | None = None  # of the origin, in states that were refused since the last accepted one


class Inspection(NamedTuple):
    track: StateTrack
    accepted: Sample | None
    findings: tuple[Finding, ...]
    shift: Shift | None


@dataclass(frozen=True)
class StateLimits:
    """What a state must keep to. Ages are those of the streams a state is made of; a state's own age is counted apart."""

    period: float = within(0.01, 0.001, 0.1)  # s, control period
    position_age: float = within(0.1, 0.002, 2.0)  # s
    attitude_age: float = within(0.05, 0.002, 1.0)  # s
    rates_age: float = within(0.02, 0.002, 1.0)  # s
    state_age: float = within(0.05, 0.002, 1.0)  # s without a state: the policy's limit
    guide_age: float = within(0.1, 0.002, 2.0)  # s, the guide's limit for a state and all its streams
    delay: float = within(0.1, 0.002, 1.0)  # s of transport
    stood: int = within(100, 2, 1000)  # states in a row: the vehicle's clock stood still, and they are not late
    late_states: int = within(20, 1, 100)  # in the last 100 control periods
    future: float = within(0.05, 0.001, 1.0)  # s that a stamp may run ahead of the clocks' offset
    drift: float = within(0.25, 0.0, 0.5)  # s/s between the two clocks: a simulation falls behind the computer's
    quaternion_norm: float = within(1e-2, 1e-6, 0.1)  # from 1
    max_speed: float = within(15.0, 0.1, 100.0)  # m/s
    max_rate: float = within(35.0, 1.0, 200.0)  # rad/s
    jump: float = within(0.5, 0.01, 10.0)  # m and rad beyond what speed and rate limit allow
    frozen: int = within(20, 2, 1000)  # states


FOLLOWED = 0.99  # of what the lead has gone back, from state to state: a delay that grew within a second may end at once
WINDOW = 100  # control periods in which late states are counted
_WINDOW_MASK = (1 << WINDOW) - 1


def inspect(sample: Sample, track: StateTrack, limits: StateLimits, airborne: bool = True) -> Inspection:
    """Judge one state. Accepted is the state with its quaternion normalised, or None; findings say why."""

    def refuse(fault: Fault, detail: str, kept: StateTrack = track) -> Inspection:
        return Inspection(kept, None, (Finding(fault, detail),), None)

    if (detail := not_finite(sample)) is not None:
        return refuse(Fault.STATE_NOT_FINITE, detail)
    last, lead = track.last, sample.stamp - sample.received
    reset = last is not None and sample.reset_counter != last.reset_counter
    # Across a jump of the clock it is not known for how long the vehicle has moved on.
    across = _sum(track.shift, estimator_shift(last, sample, 0.0)) if reset else track.shift
    rebased = StateTrack(accepted_at=track.accepted_at, late=track.late, shift=across)
    if last is not None:
        if sample.stamp < last.stamp - limits.delay or (sample.tick <= last.tick and sample.stamp > last.stamp):
            detail = f"stamp from {last.stamp:.3f} to {sample.stamp:.3f} s, tick from {last.tick} to {sample.tick}"
            return refuse(Fault.CLOCK_JUMP, detail, rebased)
        if sample.stamp <= last.stamp:
            return refuse(Fault.OUT_OF_ORDER, f"tick {sample.tick} at {sample.stamp:.3f} s after {last.stamp:.3f} s")
    age = 0.0 if track.lead is None else track.lead - lead
    # From one state to the next; in a longer pause a clock has no more time to drift away than a state to be late.
    drift = 0.0 if last is None else limits.drift * min(max(sample.received - last.received, 0.0), 2 * limits.period)
    if -age > (ahead := limits.future + drift + track.followed):
        return refuse(Fault.CLOCK_JUMP, f"stamp is {-age:.3f} s ahead, wanted at most {ahead:.3f} s", rebased)
    if age > limits.delay + drift:
        detail = f"{age:.3f} s old on arrival, wanted at most {limits.delay} s"
        delayed = track.delayed + 1
        if delayed >= limits.stood:  # not they are late but the vehicle's clock stood still; a slow link bars the preflight
            return refuse(Fault.CLOCK_JUMP, f"{delayed} states in a row {detail}", rebased)
        return refuse(Fault.STATE_DELAYED, detail, track._replace(delayed=delayed))
    if (detail := absurdity(sample, last, limits)) is not None:
        return refuse(Fault.STATE_ABSURD, detail)
    sample = sample._replace(quaternion=normalised(sample.quaternion))
    still, moved = _count_still(sample, last, track) if airborne else (StateTrack().still, StateTrack().moved)
    shift = _sum(track.shift, estimator_shift(last, sample, sample.stamp - last.stamp)) if reset else track.shift
    followed = min(max(FOLLOWED * track.followed + min(age, drift), 0.0), limits.delay)
    lead += max(age - drift, 0.0)
    track = track._replace(last=sample, lead=lead, followed=followed, still=still, moved=moved, delayed=0, shift=shift)
    if (detail := _frozen(still, moved, limits)) is not None:
        return refuse(Fault.STATE_FROZEN, detail, track)
    ages = dict(zip(STREAMS, sample.ages, strict=True))
    allowed = dict(zip(STREAMS, (limits.position_age, limits.attitude_age, limits.rates_age), strict=True))
    stopped = tuple(
        Finding(Fault.STREAM_STOPPED, f"{name} is {1e3 * age:.0f} ms old, wanted at most {1e3 * allowed[name]:.0f} ms")
        for name, age in ages.items()
        if age > allowed[name]
    )
    if max(sample.ages) > limits.guide_age:
        return Inspection(track, None, stopped, None)
    since = 0.0 if track.accepted_at is None else sample.received - track.accepted_at
    track = track._replace(accepted_at=sample.received, late=shift_in(track.late, missing(since, limits.period)))
    track = track._replace(shift=None)
    if shift is None:
        return Inspection(track, sample, stopped, None)
    detail = f"position by ({', '.join(f'{v:.2f}' for v in shift.position)}) m, yaw by {shift.yaw:.3f} rad"
    return Inspection(track, sample, (*stopped, Finding(Fault.ESTIMATOR_RESET, detail)), shift)


def gap(track: StateTrack, now: float, limits: StateLimits) -> tuple[Finding, ...]:
    """What is wrong because of states that have not come, at time `now`."""
    if track.accepted_at is None:
        return (Finding(Fault.STATE_LOST, "no state has been accepted"),)
    age, found = now - track.accepted_at, ()
    if age > limits.guide_age:
        found = (Finding(Fault.STATE_LOST, f"{1e3 * age:.0f} ms old, wanted at most {1e3 * limits.guide_age:.0f} ms"),)
    elif age > limits.state_age:
        detail = f"state is {1e3 * age:.0f} ms old, wanted at most {1e3 * limits.state_age:.0f} ms"
        found = (Finding(Fault.STREAM_STOPPED, detail),)
    if (late := track.late.bit_count()) > limits.late_states:
        found += (Finding(Fault.STATE_LATE, f"{late} missing in {WINDOW} periods, wanted at most {limits.late_states}"),)
    return found


def missing(pause: float, period: float) -> int:
    """Control periods that passed without anything between two things that are `pause` (s) apart."""
    return int(min(max(pause / period - 1 + 1e-6, 0.0), WINDOW))


def shift_in(window: int, missing: int) -> int:
    """A window of bits moved on by `missing` control periods, which count, and by one that does not."""
    return (((window << missing) | ((1 << missing) - 1)) << 1) & _WINDOW_MASK


def not_finite(sample: Sample) -> str | None:
    """The first field of a state that is NaN or infinite, in words."""
    for name in (*FIELDS, "ages"):
        for index, value in enumerate(getattr(sample, name)):
            if not math.isfinite(value):
                return f"{name}[{index}] is {value}"
    for name in ("stamp", "received"):
        if not math.isfinite(getattr(sample, name)):
            return f"{name} is {getattr(sample, name)}"
    return None


def absurdity(sample: Sample, last: Sample | None, limits: StateLimits) -> str | None:
    """What a finite state says that cannot be, by itself or after `last`; None where all is plausible."""
    norm = math.hypot(*sample.quaternion)
    if abs(norm - 1) > limits.quaternion_norm:
        return f"quaternion has norm {norm:.4f}, wanted 1 within {limits.quaternion_norm}"
    if (speed := math.hypot(*sample.velocity)) > limits.max_speed:
        return f"velocity is {speed:.1f} m/s, wanted at most {limits.max_speed}"
    if (rate := math.hypot(*sample.rates)) > limits.max_rate:
        return f"rates are {rate:.1f} rad/s, wanted at most {limits.max_rate}"
    if last is None or sample.reset_counter != last.reset_counter:
        return None
    dt = max(sample.stamp - last.stamp, 0.0)
    if (moved := math.dist(sample.position, last.position)) > limits.max_speed * dt + limits.jump:
        return f"position jumps by {moved:.1f} m in {1e3 * dt:.0f} ms"
    turned = angle(sample.quaternion, last.quaternion)
    if turned > limits.max_rate * dt + limits.jump:
        return f"attitude jumps by {turned:.1f} rad in {1e3 * dt:.0f} ms"
    return None


def estimator_shift(last: Sample, now: Sample, dt: float) -> Shift:
    """The jump from the last state, moved on by its velocity and rates for dt (s), to this one."""
    position = tuple(p - (q + v * dt) for p, q, v in zip(now.position, last.position, last.velocity, strict=True))
    turn = yaw(now.quaternion) - yaw(last.quaternion) - last.rates[2] * dt
    return Shift(position, math.remainder(turn, 2 * math.pi))


def _sum(before: Shift | None, shift: Shift) -> Shift:
    if before is None:
        return shift
    position = tuple(a + b for a, b in zip(before.position, shift.position, strict=True))
    return Shift(position, before.yaw + shift.yaw)


def normalised(quaternion):
    norm = math.hypot(*quaternion)
    return tuple(q / norm for q in quaternion)


def yaw(quaternion) -> float:
    """Yaw (rad, counter-clockwise from east) of a body with this attitude."""
    x, y, z, w = quaternion
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def tilt(quaternion) -> float:
    """Angle (rad) between the body's z axis and up."""
    x, y, _, _ = quaternion
    return math.acos(min(max(1 - 2 * (x * x + y * y), -1.0), 1.0))


def angle(first, second) -> float:
    """Angle (rad) of the rotation between two attitudes."""
    inner = abs(sum(a * b for a, b in zip(first, second, strict=True)))
    return 2 * math.acos(min(inner, 1.0))


def _count_still(sample: Sample, last: Sample | None, track: StateTrack):
    """In how many states each field has not changed by a bit, and in how many of these another one has."""
    if last is None:
        return StateTrack().still, StateTrack().moved
    same = [getattr(sample, name) == getattr(last, name) for name in FIELDS]
    moving = not all(same)
    still = tuple(count + 1 if kept else 0 for count, kept in zip(track.still, same, strict=True))
    moved = tuple(count + moving if kept else 0 for count, kept in zip(track.moved, same, strict=True))
    return still, moved


def _frozen(still, moved, limits: StateLimits) -> str | None:
    for name, kept, others in zip(FIELDS, still, moved, strict=True):
        if others >= limits.frozen:
            return f"{name} has not changed by a bit in {kept} states, the others have"
    if min(still) >= limits.frozen:
        return f"nothing has changed by a bit in {min(still)} states, in the air"
    return None
