"""How a policy behaves over many answers: saturation, oscillation, a stuck action, spike rates out of their band.

The same monitor watches the guide, and counts how far the policy differs from it: in shadow before it may fly, and in
flight as a fault. Pure.

    monitor, findings = observe_answer(monitor, answer, sample, limits)          # for each answer to an accepted state
    monitor = compare_with_guide(monitor, policy, guide, sample, point, limits)  # both answered the same state
    findings = check_disagreement(monitor, limits)                               # while the policy flies
"""

from __future__ import annotations

import math
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl.control.trajectory import SetPoint, Vector
from spike_ctrl.flight.answer_checks import WINDOW, WINDOW_MASK, Action, Answer, AnswerLimits, BehaviourLimits, Identity
from spike_ctrl.flight.attitude import tilt
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.likeness import ZERO, Likeness
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.wind_estimate import CALM, Wind

NO_ACTION: Action = (0.0, 0.0, 0.0, 0.0)


@quickly_replaced
class Monitor(NamedTuple):
    """The behaviour of a policy or guide since it was last interrupted or exchanged."""

    identity: Identity | None = None
    answers: int = 0
    action: Action | None = None
    change: Action = NO_ACTION  # of the last answers; a number that pauses keeps its last change
    reversal: float = 0.0  # mean size of the changes that reverse the one before
    rates: float = 0.0  # mean square of the body rates, rad^2/s^2
    saturated: int = 0  # one bit per answer
    full: int = 0  # answers in a row with all four numbers at their limits
    equal: int = 0  # answers in a row that are equal bit by bit
    still: int = 0  # answers in a row that are equal to the first of them
    stuck_at: Action | None = None  # that first one
    stuck_in: Sample | None = None  # the state that it answered
    stuck_beside: Vector = ZERO  # m/s, velocity of the set-point then
    beside: tuple[Vector, Vector] = (ZERO, ZERO)  # the same now, and at the answer before
    falls: int = 0  # answers in a row that let the vehicle fall
    spikes: tuple[int, ...] = ()  # per layer: answers in a row with a spike rate outside the band
    compared: int = 0  # answers that were compared with the guide's, after the warm-up
    difference: Action = NO_ACTION  # mean size of the difference from the guide's actions
    bias: Action = NO_ACTION  # mean difference, with its sign
    varied: Action = NO_ACTION  # mean size of the difference beyond that mean
    recent: Action = NO_ACTION  # the size over the last four answers, without the steady part that is allowed
    explained: Action = NO_ACTION  # as much of a difference is the wind's
    way: float = 0.0  # m to the set-point, with the braking distance
    away: float = 0.0  # m, mean distance from the set-point over some answers
    below: float = 0.0  # m, mean height of the set-point above the vehicle over as many
    likeness: Likeness = Likeness()  # to the guide, in shadow

    @property
    def apart(self) -> float:
        """The largest mean difference from the guide's actions that the wind does not explain."""
        return max(v - w for v, w in zip(self.difference, self.explained, strict=True))

    def agrees(self, limits: AnswerLimits) -> bool:
        """Whether the policy in shadow has done as the guide for long enough, or less exactly for longer."""
        if not (self.at_ease(limits) and self.compared >= limits.agree):
            return False
        return self.apart <= limits.disagreement or self.likeness.alike(limits.likeness)

    def agrees_but_for_trim(self, limits: AnswerLimits) -> bool:
        """`agrees`, where a steady difference of up to `limits.trim` is none."""
        apart = [v + max(abs(b) - limits.trim, 0.0) for v, b in zip(self.varied, self.bias, strict=True)]
        steady = limits.trim > 0 and max(apart) <= limits.disagreement
        return self.at_ease(limits) and self.compared >= limits.agree and (steady or self.agrees(limits))

    def at_ease(self, limits: AnswerLimits) -> bool:
        """Whether neither answers at their limits nor its distance from the guide would take it out as soon as it flies."""
        return self.saturated.bit_count() <= limits.saturated // 2 and not check_disagreement(self, limits)

    def after_shadow(self, shadow: Monitor) -> Monitor:
        """This monitor of a policy that has just taken over, with what its time in shadow says of it beside the guide."""
        known = ("answers", "compared", "difference", "bias", "varied")
        return self._replace(**{name: getattr(shadow, name) for name in known})

    def describe_agreement(self, limits: AnswerLimits) -> str:
        """How far the policy in shadow has come, in words."""
        if self.compared < limits.agree:
            return f"{self.answers} answers in a row, {self.compared} compared, wanted {limits.warm_up} and {limits.agree}"
        if found := check_disagreement(self, limits):
            return found[0].detail
        if not self.at_ease(limits):
            full = self.saturated.bit_count()
            return f"{full} of its last {WINDOW} answers at their limits, wanted at most {limits.saturated // 2}"
        apart = f"differs from the guide by {self.apart:.3f}"
        if self.apart > limits.disagreement and self.agrees(limits):
            return f"{apart}, but reacts to changes as the guide does"
        if not self.agrees(limits) and self.agrees_but_for_trim(limits):
            return f"{apart}, of which {max(self.varied):.3f} is not steady"
        return f"{apart}, wanted at most {limits.disagreement}"


def observe_answer(
    monitor: Monitor, answer: Answer, sample: Sample, limits: AnswerLimits, moving: Vector = ZERO
) -> tuple[Monitor, Findings]:
    """The monitor after an answer to a state, and the faults of the behaviour up to it. moving: m/s, of the set-point."""
    if answer.identity != monitor.identity:
        monitor = Monitor(answer.identity)
    share, action = 1.0 / limits.memory, answer.action
    previous = monitor.action or action
    (a, b, c, d), (e, f, g, h), (p, q, r, s), size = action, previous, monitor.change, limits.saturation
    e, f, g, h = a - e, b - f, c - g, d - h  # the change
    back, across = abs(e) if e * p < 0 else 0.0, abs(f) if f * q < 0 else 0.0
    reversal = max(back, across, abs(g) if g * r < 0 else 0.0, abs(h) if h * s < 0 else 0.0)
    x, y, z = sample.rates
    square = x * x + y * y + z * z
    at_limit = (abs(a) >= size) + (abs(b) >= size) + (abs(c) >= size) + (abs(d) >= size)
    collective = a if answer.layout == "rates" else max(action)
    behaviour = limits.behaviour
    still, first, stuck_in = _stuck(monitor, action, sample, behaviour.equal)
    falls = collective < behaviour.fall_action and tilt(sample.quaternion) < behaviour.level
    monitor = monitor._replace(
        answers=monitor.answers + 1, action=action, change=(e or p, f or q, g or r, h or s),
        reversal=monitor.reversal + share * (reversal - monitor.reversal),
        rates=monitor.rates + share * (square - monitor.rates),
        saturated=((monitor.saturated << 1) | (at_limit >= 2)) & WINDOW_MASK,
        full=monitor.full + 1 if at_limit == 4 and answer.layout == "rates" else 0,
        equal=monitor.equal + 1 if monitor.action == action else 0,
        still=still, stuck_at=first, stuck_in=stuck_in, stuck_beside=monitor.stuck_beside if still else moving,
        beside=(moving, monitor.beside[0]),
        falls=monitor.falls + 1 if falls else 0,
        spikes=_count_spike_rates(monitor.spikes, answer.spike_rate, limits),
    )  # fmt: skip
    return monitor, _check_behaviour(monitor, answer, sample, limits)


def check_guide(monitor: Monitor, behaviour: Findings, sample: Sample, limits: BehaviourLimits) -> Findings:
    """Whether the guide's answers in the air are useless: they let the vehicle fall, or do not react to its motion.

    behaviour: the faults that `observe_answer` found. An oscillation among them is not held against the guide: it may be
    the policy that shakes the vehicle. Who speeds up as the set-point does may repeat the same answer, and one to a state
    from before the set-point sped up knows nothing of that.
    """
    if monitor.falls >= limits.fall_answers:
        return (
            Finding(
                Fault.GUIDE_SILENT, f"the guide commands too little thrust to stay up in {monitor.falls} answers in a row"
            ),
        )
    stuck = [finding for finding in behaviour if finding.fault is Fault.ACTION_STUCK]
    if not stuck:
        return ()
    sped = False
    if (since := monitor.stuck_in) is not None:  # no guide would answer as before where the velocity has changed so much
        then = [v - w for v, w in zip(since.velocity, monitor.stuck_beside, strict=True)]
        gains = (math.dist(then, [v - w for v, w in zip(sample.velocity, by, strict=True)]) for by in monitor.beside)
        sped = min(gains) > limits.moved_far
    return (Finding(Fault.GUIDE_SILENT, f"the guide: {stuck[0].detail}"),) if monitor.equal or sped else ()


def compare_with_guide(
    monitor: Monitor, policy: Answer, guide: Answer, sample: Sample, point: SetPoint, limits: AnswerLimits,
    wind: Wind = CALM,
) -> Monitor:  # fmt: skip
    """The monitor after policy and guide answered the same state. Answers of the warm-up count in `recent` alone.

    wind: in which a policy that integrates nothing rests to the lee of its set-point, and leans less than the guide.
    """
    (a, b, c, d), (e, f, g, h) = policy.action, guide.action
    signed = a - e, b - f, c - g, d - h
    a, b, c, d = abs(a - e), abs(b - f), abs(c - g), abs(d - h)
    known = min(wind.known, 1.0)  # s
    leans = min(limits.leans * known * math.hypot(wind.east, wind.north), limits.disagreement)
    others = leans if policy.layout == "motors" else 0.0

    def mean(before: Action, share: float) -> Action:
        e, f, g, h = before
        return e + share * (a - e), f + share * (b - f), g + share * (c - g), h + share * (d - h)

    # How far the vehicle is from its set-point, which itself moves as a vehicle can (setpoint_limiter.py).
    course = limits.course
    distance = math.dist(sample.position, point.position)
    way = distance + course.braking_time * math.dist(sample.velocity, point.velocity)
    away = monitor.away + (distance - monitor.away) / course.mean_answers
    below = monitor.below + (point.position[2] - sample.position[2] - monitor.below) / course.mean_answers
    compared, difference = monitor.compared, monitor.difference
    if monitor.answers > limits.warm_up:
        share = max(1.0 / (compared + 1), 1.0 / limits.agree)
        compared, difference = compared + 1, mean(difference, share)
        if limits.trim > 0:
            monitor = _follow_bias(monitor, signed, share)
    if limits.trim > 0:  # what was steady in shadow is allowed in flight, too
        x, y, z, w = (min(max(steady, -limits.trim), limits.trim) for steady in monitor.bias)
        e, f, g, h = signed
        a, b, c, d = abs(e - x), abs(f - y), abs(g - z), abs(h - w)
    recent = mean(monitor.recent, 1.0 / course.recent)
    return monitor._replace(
        way=way, away=away, below=below, recent=recent, compared=compared, difference=difference,
        explained=(others, leans, leans, others),
    )  # fmt: skip


def check_disagreement(monitor: Monitor, limits: AnswerLimits) -> Findings:
    """Whether a policy that flies has just acted quite otherwise than the guide would."""
    course = limits.course
    if monitor.away > course.far:
        return (Finding(Fault.OFF_SET_POINT, f"{monitor.away:.2f} m off on average, wanted at most {course.far:g} m"),)
    if abs(monitor.below) > course.height_off:
        where = "too low" if monitor.below > 0 else "too high"
        detail = f"{abs(monitor.below):.2f} m {where} on average, wanted at most {course.height_off:g} m"
        return (Finding(Fault.OFF_SET_POINT, detail),)
    near, away = limits.contradiction, min(monitor.way / course.away, 1.0)
    # Far from the set-point a difference in gain is a larger difference in action.
    first, *others = (max(v - w, 0.0) for v, w in zip(monitor.recent, monitor.explained, strict=True))
    one = near + away * (limits.contradiction_first - near)
    for words, apart, allowed in (
        ("", first, one),
        ("", max(others), near + away * (limits.contradiction_away - near)),
        (" in all", math.hypot(first, *others), limits.contradiction_together * one / near),
    ):
        if apart > allowed:
            detail = f"differs by {apart:.2f}{words} over {course.recent} answers, wanted at most {allowed:.2f}"
            return (Finding(Fault.DISAGREEMENT, detail),)
    return ()


def _follow_bias(monitor: Monitor, signed: Action, share: float) -> Monitor:
    """Split the difference from the guide into its steady part and what varies around that."""
    bias = [old + share * (new - old) for old, new in zip(monitor.bias, signed, strict=True)]
    beyond = [abs(new - steady) for new, steady in zip(signed, bias, strict=True)]
    varied = [old + share * (new - old) for old, new in zip(monitor.varied, beyond, strict=True)]
    return monitor._replace(bias=(bias[0], bias[1], bias[2], bias[3]), varied=(varied[0], varied[1], varied[2], varied[3]))


def _stuck(monitor: Monitor, action: Action, sample: Sample, near: float) -> tuple[int, Action, Sample | None]:
    """How long the action has stayed where it is, and where."""
    if (first := monitor.stuck_at) is not None:
        (a, b, c, d), (e, f, g, h) = action, first
        if abs(a - e) <= near and abs(b - f) <= near and abs(c - g) <= near and abs(d - h) <= near:
            return monitor.still + 1, first, monitor.stuck_in
    return 0, action, sample


def _count_spike_rates(before: tuple[int, ...], spike_rate: tuple[float, ...], limits: AnswerLimits) -> tuple[int, ...]:
    if not spike_rate:
        return ()
    if len(before) != len(spike_rate):
        before = (0,) * len(spike_rate)
    low, high = limits.spike_low, limits.spike_high  # NaN is outside
    return tuple([0 if low <= rate <= high else count + 1 for count, rate in zip(before, spike_rate, strict=True)])


def _check_behaviour(monitor: Monitor, answer: Answer, sample: Sample, limits: AnswerLimits) -> Findings:
    found = []
    if (full := monitor.saturated.bit_count()) > limits.saturated:
        found.append(Finding(Fault.ACTION_SATURATED, f"{full} of {WINDOW} answers, wanted at most {limits.saturated}"))
    elif monitor.full > limits.full:
        detail = f"all four numbers in {monitor.full} answers in a row, wanted in at most {limits.full}"
        found.append(Finding(Fault.ACTION_SATURATED, detail))
    if monitor.reversal > limits.reversal:
        detail = f"actions reverse by {monitor.reversal:.2f} per answer, wanted at most {limits.reversal}"
        found.append(Finding(Fault.OSCILLATION, detail))
    if (rms := math.sqrt(monitor.rates)) > limits.shaking:
        found.append(Finding(Fault.OSCILLATION, f"body rates are {rms:.1f} rad/s rms, wanted at most {limits.shaking}"))
    if monitor.equal >= limits.stuck or (
        monitor.still >= limits.stuck and _has_moved(monitor.stuck_in, sample, answer.layout, limits.behaviour.moved)
    ):
        found.append(Finding(Fault.ACTION_STUCK, f"{monitor.still + 1} equal actions, wanted at most {limits.stuck}"))
    for layer, count in enumerate(monitor.spikes):
        if count >= limits.spike_ticks:
            band = f"wanted {limits.spike_low} to {limits.spike_high}"
            found.append(Finding(Fault.SPIKE_RATE, f"layer {layer} spikes at {answer.spike_rate[layer]:.3f}, {band}"))
    return tuple(found)


def _has_moved(before: Sample | None, now: Sample, layout: str, least: float) -> bool:
    """Whether the velocity, and where the action is of motors the body rates, ask any controller for another answer."""
    if before is None:
        return False
    turned = layout == "motors" and math.dist(before.rates, now.rates) > least
    return turned or math.dist(before.velocity, now.velocity) > least
