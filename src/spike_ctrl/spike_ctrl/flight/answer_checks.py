"""Checks of the answers of policy and guide: which of them may become a command.

Pure. Times are seconds on the companion's monotonic clock. An action is four numbers in [-1, 1] in the airframe's layout.

    source = await_answer(source, sample)                            # for each accepted state
    answer, findings = check_answer(answer, source, layout, limits)  # for each answer
    source = record_answer(source, answer, limits)                   # for each answer that passed
    findings = check_deadlines(source, now, limits, fault)           # also while no answer comes

How a policy behaves over many answers: policy_monitor.py.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.likeness import LikenessLimits
from spike_ctrl.flight.state_checks import Sample

Action = tuple[float, float, float, float]
KEPT_STATES = 8  # an answer is matched by its tick with one of so many newest states
WINDOW = 100  # answers in which misses and saturation are counted
WINDOW_MASK = (1 << WINDOW) - 1


class Identity(NamedTuple):
    """Who gave an answer: the checkpoint's name and its epoch."""

    checkpoint_id: str
    epoch: int


@quickly_replaced
class Answer(NamedTuple):
    """An action in answer to the state of `tick`. received: s. spike_rate: share of spiking neurons per hidden layer."""

    tick: int
    received: float
    action: Action
    layout: str
    identity: Identity
    spike_rate: tuple[float, ...] = ()


@quickly_replaced
class AnswerSource(NamedTuple):
    """A policy or guide as a source of answers. states: tick and time of receipt (s) of the newest accepted states."""

    states: tuple[tuple[int, float], ...] = ()
    latest: Answer | None = None
    waiting_since: float | None = None  # s, receipt of the oldest state without an answer
    misses: int = 0  # one bit per answer: it missed its deadline


@dataclass(frozen=True)
class BehaviourLimits:
    """When answers let the vehicle fall, or are stuck.

    Asked for a fall, a guide may be right as long as it swings a tilted vehicle over. It does not look at the body rates
    and may hardly act in a calm hover, so it is held against the velocity alone.
    """

    fall_action: float = within(-0.9, -1.0, 0.0, "A guide with a lower collective action asks for a fall.", "")
    fall_answers: int = within(10, 1, 1000, "After so many such answers in a row the guide counts as silent.", "")
    level: float = within(0.5, 0.0, 3.2, "Answers that let the vehicle fall count only below this tilt.", "rad")
    equal: float = within(0.01, 0.0, 1.0, "Actions that differ by less count as equal.", "")
    moved: float = within(0.1, 0.0, 100.0, "Velocity (motors: rates too) at which equal actions are a fault.", "m/s, rad/s")
    moved_far: float = within(0.5, 0.0, 100.0, "The same for the guide, of the velocity beside the set-point's.", "m/s")


@dataclass(frozen=True)
class CourseLimits:
    """When a policy that flies keeps off its set-point, and where a larger difference from the guide is allowed."""

    recent: int = within(4, 1, 1000, "Answers over which the difference from the guide is averaged in flight.", "")
    away: float = within(1.0, 0.01, 100.0, "From this distance to the set-point on, contradiction_away holds in full.", "m")
    braking_time: float = within(0.6, 0.0, 10.0, "Time of flight whose distance is added to that distance.", "s")
    mean_answers: int = within(150, 1, 100_000, "Answers over which the distance from the set-point is averaged.", "")
    far: float = within(1.0, 0.01, 100.0, "Largest mean distance from the set-point.", "m")
    # Healthy flights stay within .25 m; a vehicle that has too little thrust does not.
    height_off: float = within(0.4, 0.01, 100.0, "Largest mean difference in height from the set-point.", "m")


@dataclass(frozen=True)
class AnswerLimits:
    """When an answer is late, extreme, oscillating or stuck. Sizes are in units of the action, -1 to 1."""

    late: float = within(0.01, 0.001, 0.1, "An answer that comes later than this after its state is a miss.", "s")
    silent: float = within(0.025, 0.002, 0.2, "If no answer comes for longer, the policy is silent.", "s")
    guide_silent: float = within(0.08, 0.002, 1.0, "If no answer comes for longer, the guide is silent.", "s")
    misses: int = within(20, 1, 99, "Most misses among the last 100 answers.", "")
    saturation: float = within(0.98, 0.5, 1.0, "A number of an action of at least this size is at its limit.", "")
    saturated: int = within(60, 1, 99, "Most answers with two or more numbers at their limits, of the last 100.", "")
    full: int = within(8, 1, 99, "Most answers in a row with all four at their limits; layout rates only.", "")
    slew: float = within(1.0, 0.01, 2.0, "Largest change of an action from one command to the next.", "")
    reversal: float = within(0.8, 0.01, 2.0, "Largest mean size, per answer, of changes that reverse the one before.", "")
    shaking: float = within(8.0, 0.5, 100.0, "Largest root mean square of the body rates.", "rad/s")
    memory: int = within(50, 2, 1000, "Answers over which reversal and shaking are averaged.", "")
    first: float = within(5.0, 0.002, 60.0, "Time for the first answer, before anything is flown.", "s")
    stuck: int = within(25, 2, 1000, "Most equal answers to changing states.", "")
    spike_low: float = within(1e-3, 0.0, 1.0, "Least share of neurons of a layer that spike.", "")
    spike_high: float = within(0.6, 0.0, 1.0, "Largest share of neurons of a layer that spike.", "")
    spike_ticks: int = within(25, 1, 1000, "So many answers in a row outside spike_low to spike_high are a fault.", "")
    warm_up: int = within(50, 0, 10_000, "Answers in shadow before the policy is compared with the guide.", "")
    agree: int = within(50, 1, 10_000, "Answers compared with the guide's before the policy may fly.", "")
    disagreement: float = within(0.25, 0.001, 2.0, "In shadow: largest mean difference from the guide's action.", "")
    leans: float = within(0.08, 0.0, 1.0, "Difference from the guide that each m/s^2 of wind explains.", "s^2/m")
    # The guide in shadow does not know what has changed about the vehicle, and a policy that was tuned for it does.
    trim: float = within(0.0, 0.0, 1.0, "Steady difference from the guide that a candidate may have in addition.", "")
    contradiction: float = within(0.8, 0.001, 2.0, "In flight: largest difference from the guide over the last answers.", "")
    contradiction_away: float = within(1.0, 0.001, 2.0, "The same limit far from the set-point.", "")
    contradiction_first: float = within(1.0, 0.001, 2.0, "Limit far from the set-point, of an action's first number.", "")
    contradiction_together: float = within(4.0, 0.001, 4.0, "Limit near it of the root of the summed squares of all.", "")
    behaviour: BehaviourLimits = BehaviourLimits()
    course: CourseLimits = CourseLimits()
    likeness: LikenessLimits = LikenessLimits()


def collective(answer: Answer) -> float:
    """How much lift an answer asks for, of layout motors the mean of the rotors."""
    return answer.action[0] if answer.layout == "rates" else sum(answer.action) / 4


def received_at(states: tuple[tuple[int, float], ...], tick: int) -> float | None:
    """When (s) the state of a tick was received; None where it is none of these, which are few and end with the newest."""
    for found, received in reversed(states):
        if found == tick:
            return received
    return None


def await_answer(source: AnswerSource, sample: Sample) -> AnswerSource:
    """The source after a state was accepted that it has to answer."""
    waiting = sample.received if source.waiting_since is None else source.waiting_since
    states = (*source.states[1 - KEPT_STATES :], (sample.tick, sample.received))
    return AnswerSource(states, source.latest, waiting, source.misses)


def check_answer(answer: Answer, source: AnswerSource, layout: str, limits: AnswerLimits) -> tuple[Answer | None, Findings]:
    """The answer with its action clamped to [-1, 1], or None where it must not be used, and the faults."""
    if answer.layout != layout:
        return _refused(Fault.WRONG_IDENTITY, f"layout: found '{answer.layout}', wanted '{layout}'")
    asked = received_at(source.states, answer.tick)
    if asked is None:
        newest = source.states[-1][0] if source.states else None
        return _refused(Fault.ANSWER_STALE, f"answers tick {answer.tick}, the newest is {newest}")
    # An answer may come before the state that it answers. It was on time then, but the state is at least as old as the
    # answer has waited for it.
    if (age := abs(answer.received - asked)) > limits.silent:
        return _refused(Fault.ANSWER_STALE, f"tick {answer.tick} is answered after {1e3 * age:.0f} ms")
    if source.latest is not None and answer.tick <= source.latest.tick:
        return _refused(Fault.ANSWER_STALE, f"tick {answer.tick} is answered already")
    if len(answer.action) != 4:
        return _refused(Fault.ACTION_NOT_FINITE, f"found {len(answer.action)} numbers, wanted 4")
    a, b, c, d = answer.action
    if -1.0 <= a <= 1.0 and -1.0 <= b <= 1.0 and -1.0 <= c <= 1.0 and -1.0 <= d <= 1.0:
        return answer, ()
    for index, value in enumerate(answer.action):
        if not math.isfinite(value):
            return _refused(Fault.ACTION_NOT_FINITE, f"action[{index}] is {value}")
    worst = max(answer.action, key=abs)
    a, b, c, d = (min(max(value, -1.0), 1.0) for value in answer.action)
    return answer._replace(action=(a, b, c, d)), (Finding(Fault.ACTION_CLAMPED, f"found {worst:.3f}, wanted -1 to 1"),)


def _refused(fault: Fault, detail: str) -> tuple[None, Findings]:
    return None, (Finding(fault, detail),)


def record_answer(source: AnswerSource, answer: Answer, limits: AnswerLimits) -> AnswerSource:
    """The source after an answer that `check_answer` let pass. A miss is counted from the receipt of the state."""
    asked = received_at(source.states, answer.tick)
    assert asked is not None
    unanswered = [received for tick, received in source.states if received > asked]
    missed = abs(answer.received - asked) > limits.late
    misses = ((source.misses << 1) | missed) & WINDOW_MASK
    return AnswerSource(source.states, answer, unanswered[0] if unanswered else None, misses)


def check_deadlines(source: AnswerSource, now: float, limits: AnswerLimits, fault: Fault, begins: bool = False) -> Findings:
    """Faults of a source at `now` (s): its oldest answer is overdue, or too many of its last 100 answers came late.

    fault: POLICY_SILENT or GUIDE_SILENT. It names the source: the guide has a longer deadline, and late answers of it are
    not counted. begins: nothing is flown yet; a policy may take longer for its first answer.
    """
    found: Findings = ()
    of_policy = fault is Fault.POLICY_SILENT
    limit = limits.silent if of_policy else limits.guide_silent
    if begins and source.latest is None:
        limit = max(limit, limits.first)
    if source.waiting_since is not None and now - source.waiting_since > limit:
        waited = 1e3 * (now - source.waiting_since)
        found = (Finding(fault, f"no answer for {waited:.0f} ms, wanted one within {1e3 * limit:.0f} ms"),)
    if of_policy and (misses := source.misses.bit_count()) > limits.misses:
        detail = f"{misses} of {WINDOW} answers late by more than {1e3 * limits.late:.0f} ms, wanted at most {limits.misses}"
        found += (Finding(Fault.POLICY_MISSES, detail),)
    return found


def limit_slew(action: Action, previous: Action | None, limits: AnswerLimits) -> tuple[Action, Findings]:
    """The action, changed from the previous command by no more than the slew limit."""
    if previous is None:
        return action, ()
    worst = max([abs(a - b) for a, b in zip(action, previous, strict=True)])
    if worst <= limits.slew:
        return action, ()
    a, b, c, d = (min(max(n, p - limits.slew), p + limits.slew) for n, p in zip(action, previous, strict=True))
    return (a, b, c, d), (Finding(Fault.ACTION_SLEWED, f"found a change of {worst:.2f}, wanted at most {limits.slew}"),)
