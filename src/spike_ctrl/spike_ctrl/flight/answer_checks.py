"""Checks of what policy and guide answer: what may become a command, and when a policy is no longer to be trusted.

Pure; times are seconds on the companion's monotonic clock. An action is four numbers in [-1, 1] of the airframe's layout.

    source = expect(source, sample)                  # for each accepted state
    answer, findings = judge(answer, source, layout, limits)  # for each answer
    source = answered(source, answer, limits)        # for each that passed
    findings = silence(source, now, limits, fault)   # at any time
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.flight.state_checks import Sample

Action = tuple[float, float, float, float]
FALL, FALLS = -0.9, 10  # collective action, answers in a row: far tilted the guide asks for that, but not for long
KEPT = 8  # states to which an answer is known by its tick
RECENT = 4  # answers in which a contradiction shows
JUMP = 0.15  # m between two states: the set-point has jumped, and for UNDER_WAY answers both are on the way to it,
UNDER_WAY = 500
AWAY, ARRIVED = 1.0, 0.3  # m: far from it, and there; a speed counts as the way of BRAKING seconds
BRAKING = 0.6  # s
WINDOW = 100  # answers in which misses and saturation are counted
_WINDOW_MASK = (1 << WINDOW) - 1


class Identity(NamedTuple):
    """Whose answers these are: the checkpoint's name and its epoch."""

    checkpoint_id: str
    epoch: int


class Answer(NamedTuple):
    """An action in answer to the state of `tick`. received: s. spike_rate: share of spiking neurons per hidden layer."""

    tick: int
    received: float
    action: Action
    layout: str
    identity: Identity
    spike_rate: tuple[float, ...] = ()


class AnswerSource(NamedTuple):
    """What is known of one who answers. states: tick and receipt of the last accepted states."""

    states: tuple[tuple[int, float], ...] = ()
    latest: Answer | None = None
    waiting_since: float | None = None  # s, receipt of the first state that has not been answered
    misses: int = 0  # one bit per answer: it came late


@dataclass(frozen=True)
class AnswerLimits:
    """When an answer is late, extreme, wild or stuck. Sizes are in units of the action, -1 to 1."""

    late: float = within(0.01, 0.001, 0.1)  # s from a state's receipt: later counts as a miss
    silent: float = within(0.025, 0.002, 0.2)  # s: no answer by then is silence, a later one is not commanded
    guide_silent: float = within(0.08, 0.002, 1.0)  # s: the net below the policy is gone; a pause is no reason to land
    misses: int = within(20, 1, 99)  # of the last 100 answers
    saturation: float = within(0.98, 0.5, 1.0)  # size from which an action sits at its limit
    saturated: int = within(60, 1, 99)  # of the last 100 answers: with half of the action or more at its limit
    slew: float = within(1.0, 0.01, 2.0)  # largest change from one command to the next
    reversal: float = within(0.8, 0.01, 2.0)  # mean size of a change that turns back, per answer
    shaking: float = within(8.0, 0.5, 100.0)  # rad/s, root mean square of the body rates
    memory: int = within(50, 2, 1000)  # answers that these two means reach back
    stuck: int = within(25, 2, 1000)  # equal answers to changing states
    spike_low: float = within(1e-3, 0.0, 1.0)  # share of neurons
    spike_high: float = within(0.6, 0.0, 1.0)
    spike_ticks: int = within(25, 1, 1000)  # answers outside of that band
    warm_up: int = within(50, 0, 10_000)  # answers in shadow before the policy is compared with the guide
    agree: int = within(50, 1, 10_000)  # answers that are compared before the policy may fly
    disagreement: float = within(0.2, 0.001, 2.0)  # mean difference of action and guide's action, in shadow
    contradiction: float = within(0.8, 0.001, 2.0)  # the same over the last four answers, in flight ...
    contradiction_away: float = within(1.4, 0.001, 2.0)  # ... and far away from a new set-point, each in its own haste


def expect(source: AnswerSource, sample: Sample) -> AnswerSource:
    """The source after a state was accepted, which it is to answer."""
    waiting = sample.received if source.waiting_since is None else source.waiting_since
    return source._replace(states=(*source.states, (sample.tick, sample.received))[-KEPT:], waiting_since=waiting)


def judge(
    answer: Answer, source: AnswerSource, layout: str, limits: AnswerLimits
) -> tuple[Answer | None, tuple[Finding, ...]]:
    """The answer with its action clamped to [-1, 1], or None if it must not be used."""
    if answer.layout != layout:
        return None, (Finding(Fault.WRONG_IDENTITY, f"layout: found '{answer.layout}', wanted '{layout}'"),)
    asked = dict(source.states).get(answer.tick)
    if asked is None:
        newest = source.states[-1][0] if source.states else None
        return None, (Finding(Fault.ANSWER_STALE, f"answers tick {answer.tick}, the newest is {newest}"),)
    # One that overtook its state was on time, but its state is as old as it has waited, or older.
    if (age := abs(answer.received - asked)) > limits.silent:
        return None, (Finding(Fault.ANSWER_STALE, f"tick {answer.tick} is answered after {1e3 * age:.0f} ms"),)
    if source.latest is not None and answer.tick <= source.latest.tick:
        return None, (Finding(Fault.ANSWER_STALE, f"tick {answer.tick} is answered already"),)
    if len(answer.action) != 4:
        return None, (Finding(Fault.ACTION_NOT_FINITE, f"found {len(answer.action)} numbers, wanted 4"),)
    for index, value in enumerate(answer.action):
        if not math.isfinite(value):
            return None, (Finding(Fault.ACTION_NOT_FINITE, f"action[{index}] is {value}"),)
    if (worst := max(answer.action, key=abs)) and abs(worst) > 1.0:
        clamped = answer._replace(action=tuple(min(max(a, -1.0), 1.0) for a in answer.action))
        return clamped, (Finding(Fault.ACTION_CLAMPED, f"found {worst:.3f}, wanted -1 to 1"),)
    return answer, ()


def answered(source: AnswerSource, answer: Answer, limits: AnswerLimits) -> AnswerSource:
    """The source after an answer that `judge` let pass; misses are counted by the state's receipt."""
    asked = dict(source.states)[answer.tick]
    rest = [received for tick, received in source.states if received > asked]
    missed = abs(answer.received - asked) > limits.late
    return source._replace(
        latest=answer,
        waiting_since=rest[0] if rest else None,
        misses=((source.misses << 1) | missed) & _WINDOW_MASK,
    )


def silence(source: AnswerSource, now: float, limits: AnswerLimits, fault: Fault) -> tuple[Finding, ...]:
    """Whether the source owes an answer for too long, or was late too often. fault: what silence is called."""
    found, limit = (), limits.silent if fault is Fault.POLICY_SILENT else limits.guide_silent
    if source.waiting_since is not None and now - source.waiting_since > limit:
        waited = 1e3 * (now - source.waiting_since)
        found = (Finding(fault, f"no answer for {waited:.0f} ms, wanted one within {1e3 * limit:.0f} ms"),)
    if fault is Fault.POLICY_SILENT and (misses := source.misses.bit_count()) > limits.misses:
        detail = f"{misses} of {WINDOW} answers late by more than {1e3 * limits.late:.0f} ms, wanted at most {limits.misses}"
        found += (Finding(Fault.POLICY_MISSES, detail),)
    return found


class Monitor(NamedTuple):
    """How a policy behaves, from answer to answer, since it was last interrupted or exchanged."""

    identity: Identity | None = None
    answers: int = 0
    action: Action | None = None
    change: Action = (0.0, 0.0, 0.0, 0.0)
    reversal: float = 0.0  # mean size of the changes that turn back
    rates: float = 0.0  # mean square of the body rates, rad^2/s^2
    saturated: int = 0  # one bit per answer
    equal: int = 0  # answers in a row that are the same bit by bit
    falls: int = 0  # answers in a row that ask for a fall
    spikes: tuple[int, ...] = ()  # answers in a row that a layer was outside its band
    compared: int = 0
    difference: Action = (0.0, 0.0, 0.0, 0.0)  # mean difference from the guide's actions, without sign
    recent: Action = (0.0, 0.0, 0.0, 0.0)  # the same over the last answers
    distance: float | None = None  # m from the set-point when they were last compared
    way: float = 0.0  # m to a new set-point
    under_way: int = 0  # answers for which that excuses a difference

    def agrees(self, limits: AnswerLimits) -> bool:
        """Whether the policy, flying in shadow, did as the guide does for long enough."""
        return self.compared >= limits.agree and max(self.difference) <= limits.disagreement

    def words(self, limits: AnswerLimits) -> str:
        """How far the policy in shadow is."""
        if self.compared < limits.agree:
            return f"{self.answers} answers in a row, {self.compared} compared, wanted {limits.warm_up} and {limits.agree}"
        return f"differs from the guide by {max(self.difference):.3f}, wanted at most {limits.disagreement}"


def observe(monitor: Monitor, answer: Answer, sample: Sample, limits: AnswerLimits) -> tuple[Monitor, tuple[Finding, ...]]:
    """The monitor after an answer to a state, and what is wrong with the policy's behaviour."""
    if answer.identity != monitor.identity:
        monitor = Monitor(answer.identity)
    share, action = 1.0 / limits.memory, answer.action
    previous = monitor.action or action
    change = tuple(a - b for a, b in zip(action, previous, strict=True))
    turned = max(abs(c) if c * d < 0 else 0.0 for c, d in zip(change, monitor.change, strict=True))
    square = sum(r * r for r in sample.rates)
    full = sum(abs(a) >= limits.saturation for a in action) >= 2
    monitor = monitor._replace(
        answers=monitor.answers + 1,
        action=action,
        # A number that pauses keeps its direction.
        change=tuple(c or d for c, d in zip(change, monitor.change, strict=True)),
        reversal=monitor.reversal + share * (turned - monitor.reversal),
        rates=monitor.rates + share * (square - monitor.rates),
        saturated=((monitor.saturated << 1) | full) & _WINDOW_MASK,
        equal=monitor.equal + 1 if monitor.action == action else 0,
        falls=monitor.falls + 1 if (action[0] if answer.layout == "rates" else max(action)) < FALL else 0,
        spikes=_count_spikes(monitor.spikes, answer.spike_rate, limits),
    )
    return monitor, _behaviour(monitor, answer, limits)


def compare(
    monitor: Monitor, policy: Answer, guide: Answer, sample: Sample, point: SetPoint, limits: AnswerLimits
) -> Monitor:
    """The monitor after policy and guide answered the same state; the warm-up does not count for the gate."""
    apart = tuple(abs(a - b) for a, b in zip(policy.action, guide.action, strict=True))

    def mean(before: Action, share: float) -> Action:
        return tuple(d + share * (a - d) for d, a in zip(before, apart, strict=True))

    monitor = _travel(monitor, sample, point)._replace(recent=mean(monitor.recent, 1.0 / RECENT))
    if monitor.answers <= limits.warm_up:
        return monitor
    share = max(1.0 / (monitor.compared + 1), 1.0 / limits.agree)
    return monitor._replace(compared=monitor.compared + 1, difference=mean(monitor.difference, share))


def contradiction(monitor: Monitor, limits: AnswerLimits) -> tuple[Finding, ...]:
    """Whether a policy that flies has just done otherwise than the guide would, beyond all doubt."""
    away = min(monitor.way / AWAY, 1.0) if monitor.under_way else 0.0
    wanted = limits.contradiction + away * (limits.contradiction_away - limits.contradiction)
    if (apart := max(monitor.recent)) <= wanted:
        return ()
    detail = f"differs by {apart:.2f} over {RECENT} answers, wanted at most {wanted:.2f}"
    return (Finding(Fault.DISAGREEMENT, detail),)


def useless(monitor: Monitor, behaviour: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Whether the guide's answers in the air are no net: they ask for a fall, or nothing that the vehicle does changes them.

    behaviour: what `observe` finds of them; that the vehicle shakes may be the policy's doing.
    """
    if monitor.falls >= FALLS:
        return (Finding(Fault.GUIDE_SILENT, f"the guide asks for a fall in {monitor.falls} answers in a row"),)
    return tuple(Finding(Fault.GUIDE_SILENT, f"the guide: {f.detail}") for f in behaviour if f.fault is Fault.ACTION_STUCK)


def slewed(action: Action, previous: Action | None, limits: AnswerLimits) -> tuple[Action, tuple[Finding, ...]]:
    """The action, changed from the previous command by no more than the slew limit."""
    if previous is None or max(abs(a - b) for a, b in zip(action, previous, strict=True)) <= limits.slew:
        return action, ()
    worst = max(abs(a - b) for a, b in zip(action, previous, strict=True))
    slowed = tuple(min(max(a, b - limits.slew), b + limits.slew) for a, b in zip(action, previous, strict=True))
    return slowed, (Finding(Fault.ACTION_SLEWED, f"found a change of {worst:.2f}, wanted at most {limits.slew}"),)


def _travel(monitor: Monitor, sample: Sample, point: SetPoint) -> Monitor:
    """On the way to a set-point that has jumped: until it is reached, or for as long as that may take."""
    distance = math.dist(sample.position, point.position)
    way, left = distance + BRAKING * math.dist(sample.velocity, point.velocity), max(monitor.under_way - 1, 0)
    if monitor.distance is not None and distance - monitor.distance > JUMP:
        left = UNDER_WAY
    elif way < ARRIVED:
        left = 0
    return monitor._replace(distance=distance, way=way, under_way=left)


def _count_spikes(before: tuple[int, ...], spike_rate: tuple[float, ...], limits: AnswerLimits) -> tuple[int, ...]:
    if len(before) != len(spike_rate):
        before = (0,) * len(spike_rate)
    inside = (limits.spike_low <= rate <= limits.spike_high for rate in spike_rate)  # NaN is outside
    return tuple(0 if good else count + 1 for count, good in zip(before, inside, strict=True))


def _behaviour(monitor: Monitor, answer: Answer, limits: AnswerLimits) -> tuple[Finding, ...]:
    found = []
    if (full := monitor.saturated.bit_count()) > limits.saturated:
        found.append(Finding(Fault.ACTION_SATURATED, f"{full} of {WINDOW} answers, wanted at most {limits.saturated}"))
    if monitor.reversal > limits.reversal:
        detail = f"actions turn back by {monitor.reversal:.2f} per answer, wanted at most {limits.reversal}"
        found.append(Finding(Fault.OSCILLATION, detail))
    if (rms := math.sqrt(monitor.rates)) > limits.shaking:
        found.append(Finding(Fault.OSCILLATION, f"body rates are {rms:.1f} rad/s rms, wanted at most {limits.shaking}"))
    if monitor.equal >= limits.stuck:
        found.append(Finding(Fault.ACTION_STUCK, f"{monitor.equal + 1} equal actions, wanted at most {limits.stuck}"))
    for layer, count in enumerate(monitor.spikes):
        if count >= limits.spike_ticks:
            band = f"wanted {limits.spike_low} to {limits.spike_high}"
            found.append(Finding(Fault.SPIKE_RATE, f"layer {layer} spikes at {answer.spike_rate[layer]:.3f}, {band}"))
    return tuple(found)
