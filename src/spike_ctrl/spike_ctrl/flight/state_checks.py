"""Checks of the vehicle's state: which states guide and policy may fly on, and which faults the others show.

Pure. Times are seconds on the companion's monotonic clock. Stamps of the vehicle's clock give the order and the delay of
states, never their age. World ENU, body FLU, SI units, quaternions x, y, z, w.

    track = StateTrack()
    track, accepted, findings, shift = check_state(sample, track, limits, airborne)
    findings = check_state_age(track, now, limits)  # also while no state comes
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import Quaternion, angle_between, normalised, turned, yaw
from spike_ctrl.flight.estimate_quality import EstimateQuality
from spike_ctrl.flight.faults import Fault, Finding, Findings

STREAMS = ("position", "attitude", "rates")
FIELDS = ("position", "quaternion", "velocity", "rates")
FieldCounts = tuple[int, int, int, int]  # one count per field of FIELDS
NO_COUNTS: FieldCounts = (0, 0, 0, 0)


@quickly_replaced
class Sample(NamedTuple):
    """One state of the vehicle, as the bridge assembled it for a control tick.

    tick: counts samples. stamp: time (s) on the vehicle's clock. received: time (s) of receipt. position (m) and velocity
    (m/s) in `odom`; quaternion body to `odom`; rates (rad/s) in the body. reset_counter: the estimator's. ages: age (s), at
    receipt, of the measurements that position, attitude and rates come from. quality: the estimator's word on its estimate.
    """

    tick: int
    stamp: float
    received: float
    position: Vector
    quaternion: Quaternion
    velocity: Vector
    rates: Vector
    reset_counter: int = 0
    ages: Vector = (0.0, 0.0, 0.0)
    quality: EstimateQuality = EstimateQuality()


class VehicleClock(NamedTuple):
    """The vehicle's clock against the companion's. The two have an unknown offset, and drift.

    The state with the least delay shows the offset best: its stamp leads its receipt the most. That lead is remembered, and
    every later state is measured against it.
    lead: stamp minus receipt (s) of the least delayed state, None before the first. decay: by how much (s) the lead has
    shrunk lately, because states came with a growing delay or the clocks drifted apart.
    """

    lead: float | None = None
    decay: float = 0.0

    def delay(self, stamp: float, received: float) -> float:
        """How much later (s) a state came than the least delayed one. Negative where its stamp is ahead of that."""
        return 0.0 if self.lead is None else self.lead - (stamp - received)

    def followed(
        self, stamp: float, received: float, delay: float, drift: float, most: float, memory: float
    ) -> VehicleClock:
        """The clock after an accepted state with this `delay`. drift: how far (s) the clocks may have drifted apart since
        the state before.

        The lead shrinks by at most `drift` per state. most: upper bound (s) of the remembered decay. A delay that
        grew within about a second may also end at once, and is then no clock jump. memory: the share of the decay that is
        still remembered one state later.
        """
        decay = min(max(memory * self.decay + min(delay, drift), 0.0), most)
        return VehicleClock(stamp - received + max(delay - drift, 0.0), decay)


class OriginShift(NamedTuple):
    """How far the estimator moved its origin: position (m, `odom`) and yaw (rad)."""

    position: Vector = (0.0, 0.0, 0.0)
    yaw: float = 0.0

    def then(self, more: OriginShift) -> OriginShift:
        """Both shifts together."""
        x, y, z = (a + b for a, b in zip(self.position, more.position, strict=True))
        return OriginShift((x, y, z), self.yaw + more.yaw)


@quickly_replaced
class StateTrack(NamedTuple):
    """What the next state is checked against. A refused state changes only what the next check needs."""

    last: Sample | None = None  # the last state that came in order, accepted or not
    accepted_at: float | None = None  # s, receipt of the last accepted state
    clock: VehicleClock = VehicleClock()
    unchanged: FieldCounts = NO_COUNTS  # for how many states in a row each field has been equal bit by bit
    others_changed: FieldCounts = NO_COUNTS  # in how many of those states another field has changed
    late: int = 0  # one bit per control period: no state came in it
    delayed: int = 0  # states in a row that were too old on arrival
    shift: OriginShift | None = None  # sum of the origin's shifts in states that were refused since the last accepted one
    heading: float = 0.0  # rad, by which resets have turned the yaw in the air, and which is not believed


class StateCheck(NamedTuple):
    """The result of a check: the accepted state (quaternion of norm 1) or None, the faults, and a shift of the origin."""

    track: StateTrack
    accepted: Sample | None
    findings: Findings
    shift: OriginShift | None


@dataclass(frozen=True)
class StateLimits:
    """Limits of a state. The ages of its streams and the age of the state itself have separate limits."""

    period: float = within(0.01, 0.001, 0.1, "Control period.", "s")
    position_age: float = within(0.1, 0.002, 2.0, "Oldest position for the policy.", "s")
    attitude_age: float = within(0.05, 0.002, 1.0, "Oldest attitude for the policy.", "s")
    rates_age: float = within(0.02, 0.002, 1.0, "Oldest body rates for the policy.", "s")
    transport: float = within(0.05, 0.02, 1.0, "Longest time over the link: the age of a state's newest stream.", "s")
    # The guide has no newer state than the policy, so that little is gained by an earlier limit: a single state that was
    # 58 ms old on a loaded machine ended a good flight.
    state_age: float = within(0.08, 0.002, 1.0, "If no state comes for longer, the guide takes over.", "s")
    guide_age: float = within(0.1, 0.002, 2.0, "Oldest state, or stream of one, with which the guide may fly.", "s")
    delay: float = within(0.1, 0.002, 1.0, "Longest transport of a state.", "s")
    stood: int = within(100, 2, 1000, "After so many delayed states in a row the vehicle's clock has stood still.", "")
    late_states: int = within(20, 1, 100, "Most control periods without a state, of the last 100, for the policy.", "")
    # A guide that commands motors closes the loop of the attitude over the link: it bears no more of them than a policy.
    guide_late_states: int = within(100, 1, 100, "The same limit for the guide.", "")
    future: float = within(0.05, 0.001, 1.0, "Longest time by which a stamp may lie in the future.", "s")
    drift: float = within(0.25, 0.0, 0.5, "Largest drift between the two clocks; a slow simulation falls behind.", "s/s")
    lead_memory: float = within(0.99, 0.0, 0.9999, "Share of a larger delay that is kept from state to state.", "")
    quaternion_norm: float = within(1e-2, 1e-6, 0.1, "Largest difference of the quaternion's norm from 1.", "")
    max_speed: float = within(15.0, 0.1, 100.0, "A larger speed is impossible.", "m/s")
    max_rate: float = within(35.0, 1.0, 200.0, "A larger body rate is impossible.", "rad/s")
    jump: float = within(0.5, 0.01, 10.0, "Largest jump beyond what the limits of speed and rate allow.", "m, rad")
    yaw_reset: float = within(0.8, 0.0, 3.2, "A reset in the air that turns the yaw by more is not believed.", "rad")
    frozen: int = within(20, 2, 1000, "So many states with one field equal bit by bit are a fault.", "")
    repeats: int = within(8, 2, 1000, "So many states that are equal as a whole are a fault.", "")


WINDOW = 100  # control periods in which late states are counted
_WINDOW_MASK = (1 << WINDOW) - 1


def check_state(sample: Sample, track: StateTrack, limits: StateLimits, airborne: bool = True) -> StateCheck:
    """Check one state. airborne: a frozen state counts as a fault only in the air."""
    if (detail := not_finite(sample)) is not None:
        return _refused(track, Fault.STATE_NOT_FINITE, detail)
    last, across, heading = track.last, track.shift, track.heading
    if heading:
        sample = sample._replace(quaternion=turned(sample.quaternion, -heading))
    origin_moved = last is not None and sample.reset_counter != last.reset_counter
    if last is not None and origin_moved:
        # After a clock jump the time between the two states is unknown, so the vehicle's own motion is not subtracted.
        across = origin_shift(last, sample, 0.0, track.shift)

    def restarted(detail: str) -> StateCheck:
        anew = StateTrack(accepted_at=track.accepted_at, late=track.late, shift=across, heading=heading)
        return _refused(anew, Fault.CLOCK_JUMP, detail)

    if last is not None:
        if sample.stamp < last.stamp - limits.delay or (sample.tick <= last.tick and sample.stamp > last.stamp):
            detail = f"stamp from {last.stamp:.3f} to {sample.stamp:.3f} s, tick from {last.tick} to {sample.tick}"
            return restarted(detail)
        if sample.stamp <= last.stamp:
            return _refused(
                track, Fault.OUT_OF_ORDER, f"tick {sample.tick} at {sample.stamp:.3f} s after {last.stamp:.3f} s"
            )
    delay = track.clock.delay(sample.stamp, sample.received)
    # In a pause of two periods or more the clocks drift no further than a state may be late.
    drift = 0.0 if last is None else limits.drift * min(max(sample.received - last.received, 0.0), 2 * limits.period)
    if -delay > (ahead := limits.future + drift + track.clock.decay):
        return restarted(f"stamp is {-delay:.3f} s ahead, wanted at most {ahead:.3f} s")
    if delay > limits.delay + drift:
        detail = f"{delay:.3f} s old on arrival, wanted at most {limits.delay} s"
        delayed = track.delayed + 1
        if delayed >= limits.stood:  # a link this slow fails the preflight: it was the vehicle's clock that stood still
            return restarted(f"{delayed} states in a row {detail}")
        return _refused(track._replace(delayed=delayed), Fault.STATE_DELAYED, detail)
    if (implausible := implausibility(sample, last, limits)) is not None:
        return _refused(track, Fault.STATE_ABSURD, implausible)
    sample = sample._replace(quaternion=normalised(sample.quaternion))
    unchanged, others_changed = _count_unchanged(sample, last, track) if airborne else (NO_COUNTS, NO_COUNTS)
    shift = track.shift
    if last is not None and origin_moved:
        shift = origin_shift(last, sample, sample.stamp - last.stamp, track.shift)
        if airborne and abs(turn := shift.yaw) > limits.yaw_reset:
            heading, shift = math.remainder(heading + turn, 2 * math.pi), shift._replace(yaw=0.0)
            sample = sample._replace(quaternion=turned(sample.quaternion, -turn))
    clock = track.clock.followed(sample.stamp, sample.received, delay, drift, limits.delay, limits.lead_memory)
    accepted_at = track.accepted_at
    frozen, stopped = _frozen(unchanged, others_changed, limits), _check_streams(sample, limits)
    if frozen is not None or max(sample.ages) > limits.guide_age:
        track = StateTrack(sample, accepted_at, clock, unchanged, others_changed, track.late, 0, shift, heading)
        return StateCheck(track, None, stopped, None) if frozen is None else _refused(track, Fault.STATE_FROZEN, frozen)
    since = 0.0 if accepted_at is None else sample.received - accepted_at
    late = push_missed(track.late, missed_periods(since, limits.period))
    track = StateTrack(sample, sample.received, clock, unchanged, others_changed, late, 0, None, heading)
    if abs(heading) > limits.yaw_reset:
        stopped += (Finding(Fault.YAW_NOT_BELIEVED, f"turned by {heading:.2f} rad, wanted at most {limits.yaw_reset:g}"),)
    if shift is None:
        return StateCheck(track, sample, stopped, None)
    detail = f"position by ({', '.join(f'{v:.2f}' for v in shift.position)}) m, yaw by {shift.yaw:.3f} rad"
    return StateCheck(track, sample, (*stopped, Finding(Fault.ESTIMATOR_RESET, detail)), shift)


def _refused(track: StateTrack, fault: Fault, detail: str) -> StateCheck:
    return StateCheck(track, None, (Finding(fault, detail),), None)


def check_state_age(track: StateTrack, now: float, limits: StateLimits) -> Findings:
    """Faults of states that have not come by `now` (s)."""
    if track.accepted_at is None:
        return (Finding(Fault.STATE_LOST, "no state has been accepted"),)
    found: Findings = ()
    age = now - track.accepted_at
    if age > limits.guide_age:
        found = (Finding(Fault.STATE_LOST, f"{1e3 * age:.0f} ms old, wanted less than {1e3 * limits.guide_age:.0f} ms"),)
    elif age > limits.state_age:
        detail = f"state is {1e3 * age:.0f} ms old, wanted less than {1e3 * limits.state_age:.0f} ms"
        found = (Finding(Fault.STREAM_STOPPED, detail),)
    if (late := track.late.bit_count()) > limits.late_states:
        detail = f"{late} missing in {WINDOW} periods, wanted at most {limits.late_states}"
        found += (Finding(Fault.STATE_LATE, detail),)
        if late > limits.guide_late_states:
            detail = f"{late} missing in {WINDOW} periods, wanted at most {limits.guide_late_states}"
            found += (Finding(Fault.STATE_LOST, f"{detail} for the guide"),)
    return found


def missed_periods(pause: float, period: float) -> int:
    """Whole control periods that passed without an event between two events that are `pause` (s) apart."""
    return 0 if pause < period else int(min(max(pause / period - 1 + 1e-6, 0.0), WINDOW))


def push_missed(window: int, missed: int) -> int:
    """The bits of the last WINDOW control periods after so many missed ones (bit 1) and one good one (bit 0)."""
    return (((window << missed) | ((1 << missed) - 1)) << 1) & _WINDOW_MASK


def not_finite(sample: Sample) -> str | None:
    """The first field of a state that is NaN or infinite, in words; None where all are finite."""
    numbers = (*sample.position, *sample.quaternion, *sample.velocity, *sample.rates, *sample.ages)
    if math.isfinite(sum(numbers, sample.stamp + sample.received)):  # only where all of them are
        return None
    for name in (*FIELDS, "ages"):
        for index, value in enumerate(getattr(sample, name)):
            if not math.isfinite(value):
                return f"{name}[{index}] is {value}"
    for name in ("stamp", "received"):
        if not math.isfinite(getattr(sample, name)):
            return f"{name} is {getattr(sample, name)}"
    return None


def implausibility(sample: Sample, last: Sample | None, limits: StateLimits) -> str | None:
    """What is impossible in a finite state, by itself or after `last`, in words; None where all is plausible."""
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
    turned = angle_between(sample.quaternion, last.quaternion)
    if turned > limits.max_rate * dt + limits.jump:
        return f"attitude jumps by {turned:.1f} rad in {1e3 * dt:.0f} ms"
    return None


def origin_shift(last: Sample, now: Sample, dt: float, before: OriginShift | None = None) -> OriginShift:
    """The jump from the last state, moved on by its velocity and yaw rate for dt (s), to this one; with those before."""
    x, y, z = (p - (q + v * dt) for p, q, v in zip(now.position, last.position, last.velocity, strict=True))
    turn = yaw(now.quaternion) - yaw(last.quaternion) - last.rates[2] * dt
    shift = OriginShift((x, y, z), turn)
    shift = shift if before is None else before.then(shift)
    return shift._replace(yaw=math.remainder(shift.yaw, 2 * math.pi))


def home_after(home: Vector | None, shift: OriginShift) -> Vector | None:
    """Home (m) after the estimator has moved its origin: its place and with it the cage stay, the ground moves along."""
    return None if home is None else (home[0], home[1], home[2] + shift.position[2])


def _check_streams(sample: Sample, limits: StateLimits) -> Findings:
    """The streams that are older than the policy's limits, and a link that is too slow for all of them."""
    if not any(sample.ages):
        return ()
    shared = min(sample.ages)  # the link's
    allowed = (limits.position_age, limits.attitude_age, limits.rates_age)
    found = [
        Finding(Fault.STREAM_STOPPED, f"{name} is {1e3 * age:.0f} ms old, wanted less than {1e3 * limit:.0f} ms")
        for name, age, limit in zip(STREAMS, sample.ages, allowed, strict=True)
        if age - shared > limit
    ]
    if shared > limits.transport:
        detail = f"{1e3 * shared:.0f} ms, wanted at most {1e3 * limits.transport:.0f} ms"
        found.append(Finding(Fault.LINK_SLOW, detail))
    return tuple(found)


def _count_unchanged(sample: Sample, last: Sample | None, track: StateTrack) -> tuple[FieldCounts, FieldCounts]:
    """In how many states in a row each field is equal bit by bit, and in how many of those another field changed."""
    if last is None:
        return NO_COUNTS, NO_COUNTS
    p, q = sample.position == last.position, sample.quaternion == last.quaternion
    v, r = sample.velocity == last.velocity, sample.rates == last.rates
    if not (p or q or v or r):
        return NO_COUNTS, NO_COUNTS
    changing = not (p and q and v and r)
    pn, qn, vn, rn = (n + 1 if same else 0 for n, same in zip(track.unchanged, (p, q, v, r), strict=True))
    pc, qc, vc, rc = (n + changing if same else 0 for n, same in zip(track.others_changed, (p, q, v, r), strict=True))
    return (pn, qn, vn, rn), (pc, qc, vc, rc)


def _frozen(unchanged: FieldCounts, others_changed: FieldCounts, limits: StateLimits) -> str | None:
    if unchanged == NO_COUNTS:
        return None
    for name, count, others in zip(FIELDS, unchanged, others_changed, strict=True):
        if others >= limits.frozen:
            return f"{name} has not changed by a bit in {count} states, the others have"
    if min(unchanged) >= limits.repeats:
        return f"nothing has changed by a bit in {min(unchanged)} states, in the air"
    return None
