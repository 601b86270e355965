"""How far the policy's actions differ from the guide's: in shadow before it may fly, and in flight as a fault. Pure.

monitor = compare_with_guide(monitor, policy, guide, sample, point, limits)  # both answered the same state
findings = check_disagreement(monitor, limits)                               # while the policy flies
"""

from __future__ import annotations

import math

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.answer_checks import Action, Answer, AnswerLimits
from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.state_checks import Sample


def compare_with_guide(
    monitor: Monitor, policy: Answer, guide: Answer, sample: Sample, point: SetPoint, limits: AnswerLimits
) -> Monitor:
    """The monitor after policy and guide answered the same state. Answers of the warm-up count in `recent` alone."""
    (a, b, c, d), (e, f, g, h) = policy.action, guide.action
    signed = a - e, b - f, c - g, d - h
    a, b, c, d = abs(a - e), abs(b - f), abs(c - g), abs(d - h)

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
    return monitor._replace(way=way, away=away, below=below, recent=recent, compared=compared, difference=difference)


def _follow_bias(monitor: Monitor, signed: Action, share: float) -> Monitor:
    """Split the difference from the guide into its steady part and what varies around that."""
    bias = [old + share * (new - old) for old, new in zip(monitor.bias, signed, strict=True)]
    beyond = [abs(new - steady) for new, steady in zip(signed, bias, strict=True)]
    varied = [old + share * (new - old) for old, new in zip(monitor.varied, beyond, strict=True)]
    return monitor._replace(bias=(bias[0], bias[1], bias[2], bias[3]), varied=(varied[0], varied[1], varied[2], varied[3]))


def check_disagreement(monitor: Monitor, limits: AnswerLimits) -> tuple[Finding, ...]:
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
    first, *others = monitor.recent
    for apart, far in ((first, limits.contradiction_first), (max(others), limits.contradiction_away)):
        if apart > (allowed := near + away * (far - near)):
            detail = f"differs by {apart:.2f} over {course.recent} answers, wanted at most {allowed:.2f}"
            return (Finding(Fault.DISAGREEMENT, detail),)
    return ()
