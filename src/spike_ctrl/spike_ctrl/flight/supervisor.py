"""The supervisor: one pure step from what was heard to the one command that may leave, and to who flies.

    state = State()
    state, output = step(state, Inputs(now, sample=..., guide=..., policy=..., autopilot=...), settings)

Call `step` for everything that comes and at least once a control period. Inputs hold what is new since the last step; only
`autopilot`, `reports` and `unmet` are what is true now. A command answers an accepted, fresh state, is finite, clamped and
slewed, and leaves once. The guards and the ladder do the work; this module lets each see what concerns it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight import answer_checks, autopilot, ladder, setpoint, state_checks
from spike_ctrl.flight.answer_checks import Answer, AnswerSource, Identity, Monitor
from spike_ctrl.flight.autopilot import Ask, Autopilot
from spike_ctrl.flight.command_choice import Command, Sent, Sources, command
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.geofence import CRASH, RECOVERY, Cage
from spike_ctrl.flight.ladder import Event, Facts, Ladder, Request
from spike_ctrl.flight.limits import Settings
from spike_ctrl.flight.setpoint import Target
from spike_ctrl.flight.state_checks import Sample, StateTrack

STATUS_PERIOD = 1.0  # s
REPEAT = 1.0  # s: a fault that was away for longer is told again
COURSE_FAULTS = (Fault.ENVELOPE, Fault.CAGE_NEAR, Fault.CAGE_LEFT)  # the policy flew there: it is not trusted on
ANSWERING = ("policy", "guide", "candidate")
UNTRUSTED = (*COURSE_FAULTS, Fault.DISAGREEMENT)


class SupervisorInputs(NamedTuple):
    """What is new at `now` (s, monotonic), but for autopilot, reports and unmet, which are what is true now.

    candidate: an answer of a new checkpoint in shadow. target: a service call, kept; stream: one set-point of a stream.
    reports: what nodes found by themselves. unmet: of the preflight, None while it has not run.
    """

    now: float
    sample: Sample | None = None
    policy: Answer | None = None
    guide: Answer | None = None
    candidate: Answer | None = None
    autopilot: Autopilot | None = None
    requests: tuple[Request, ...] = ()
    target: SetPoint | Trajectory | None = None
    stream: SetPoint | None = None
    reports: tuple[Finding, ...] = ()
    unmet: tuple[str, ...] | None = None


class SupervisorOutput(NamedTuple):
    """What the node does: publish command and set-point, ask the autopilot, print events and status, swap the checkpoint.

    accept: the checkpoint in shadow may take over at the next tick. finished: an ordered shutdown is over.
    """

    rung: Rung
    command: Command | None
    ask: Ask | None
    set_point: SetPoint | None
    accept: Identity | None
    events: tuple[Event, ...]
    status: str | None
    finished: bool


class SupervisorState(NamedTuple):
    """Everything that the supervisor remembers.

    early: answers that overtook their state, by who gave them. counts: how often each fault was found, by name.
    """

    ladder: Ladder = Ladder()
    track: StateTrack = StateTrack()
    sample: Sample | None = None
    policy: AnswerSource = AnswerSource()
    guide: AnswerSource = AnswerSource()
    candidate: AnswerSource = AnswerSource()
    early: Mapping[str, Answer] = {}
    monitor: Monitor = Monitor()
    guide_monitor: Monitor = Monitor()
    candidate_monitor: Monitor = Monitor()
    accepted: Identity | None = None  # the checkpoint that may take over
    target: Target | None = None
    ground: float | None = None  # m, height at which the vehicle last stood disarmed
    sent: Sent = Sent()
    autopilot: Autopilot | None = None
    stepped: float | None = None
    stalls: int = 0
    counts: Mapping[str, int] = {}
    seen: Mapping[str, float] = {}
    status_due: float | None = None


def step(state: SupervisorState, inputs: SupervisorInputs, settings: Settings) -> tuple[SupervisorState, SupervisorOutput]:
    """One step of the supervisor; raises nothing, whatever the inputs hold."""
    if state.stepped is None:
        state = state._replace(ladder=state.ladder._replace(since=inputs.now))
    before = state.ladder.rung
    state, inputs = _in_order(state, inputs)
    state, found = _see(state, inputs, settings)
    state, policy_found = _hear_policy(state, inputs, settings)
    state, others = _hear_others(state, inputs, settings)
    found += others
    state, steered, refused = _steer(state, inputs, settings)
    state, paced = _pace(state, inputs, settings)
    cage = _cage(state, settings)
    point, clamped = (None, ()) if state.target is None else setpoint.current(state.target, inputs.now, cage)
    # Of findings that demand the same rung the first is the reason: a supervisor that slept hears nothing either.
    found = paced + found + steered + clamped + _flight(state, inputs, point, settings)
    flying = before is Rung.SNN or state.ladder.wanted or Request.ENGAGE in inputs.requests
    told = found + policy_found
    facts = _facts(state, inputs, found + policy_found if flying else found, settings)
    moved = ladder.move(state.ladder, inputs.requests, facts, settings.ladder)
    now_on = moved.ladder
    if any(f.fault.rung is not None for f in policy_found) or any(f.fault in UNTRUSTED for f in found):
        now_on = now_on._replace(trusted=False)
    if moved.target is not None:
        state = state._replace(target=moved.target)
        point, _ = setpoint.current(moved.target, inputs.now, _cage(state._replace(ladder=now_on), settings))
    state, accept, swap = _swap(state._replace(ladder=now_on), settings)
    sources = Sources(state.sample, state.policy, state.guide, inputs.autopilot)
    sent, chosen, slewed = command(state.sent, sources, now_on, before, inputs.now, settings)
    state, news = _note(state._replace(sent=sent), told + swap + slewed, inputs.now)
    state, status = _status(state, inputs, settings)
    events = _started(state, inputs) + news + refused + moved.events
    finished = now_on.ending and not now_on.commanding
    state = state._replace(autopilot=inputs.autopilot or state.autopilot, stepped=inputs.now)
    return state, SupervisorOutput(now_on.rung, chosen, moved.ask, point, accept, events, status, finished)


# --- what comes in --------------------------------------------------------------------------------------------------


def _in_order(state: SupervisorState, inputs: SupervisorInputs) -> tuple[SupervisorState, SupervisorInputs]:
    """Guide and policy are sent a state before the supervisor is: an answer that overtakes it waits for it."""
    given = {name: answer for name in ANSWERING if (answer := getattr(inputs, name)) is not None}
    if inputs.sample is not None:
        return state._replace(early={}), inputs._replace(**{**state.early, **given})
    ahead = {name: answer for name, answer in given.items() if state.sample is not None and answer.tick > state.sample.tick}
    if not ahead:
        return state, inputs
    return state._replace(early={**state.early, **ahead}), inputs._replace(**dict.fromkeys(ahead))


def _see(
    state: SupervisorState, inputs: SupervisorInputs, settings: Settings
) -> tuple[SupervisorState, tuple[Finding, ...]]:
    """The vehicle's state: accepted or not, and whether the last accepted one is too old."""
    found = ()
    if inputs.sample is not None:
        airborne = inputs.autopilot is not None and inputs.autopilot.airborne
        seen = state_checks.inspect(inputs.sample, state.track, settings.state, airborne)
        found = seen.findings
        state = state._replace(track=seen.track)
        if any(finding.fault is Fault.CLOCK_JUMP for finding in found):
            # Ticks and stamps begin anew: what was asked before is never answered.
            state = state._replace(
                policy=AnswerSource(), guide=AnswerSource(), candidate=AnswerSource(), monitor=Monitor(), sent=Sent()
            )
        if seen.accepted is not None:
            expect = {name: answer_checks.expect(getattr(state, name), seen.accepted) for name in ANSWERING}
            state = state._replace(sample=seen.accepted, **expect)
        if seen.shift is not None and state.target is not None:
            state = state._replace(target=setpoint.shifted(state.target, seen.shift))
        if seen.shift is not None and state.ground is not None:
            state = state._replace(ground=state.ground + seen.shift.position[2])
        if seen.accepted is not None and inputs.autopilot is not None and not inputs.autopilot.armed:
            state = state._replace(ground=seen.accepted.position[2])
    return state, found + state_checks.gap(state.track, inputs.now, settings.state)


def _hear_policy(
    state: SupervisorState, inputs: SupervisorInputs, settings: Settings
) -> tuple[SupervisorState, tuple[Finding, ...]]:
    """The policy's answer and behaviour. A gap, a bad action or another checkpoint begins its time in shadow anew."""
    limits, found, broken = settings.answers, (), False
    if inputs.policy is not None:
        answer, found = answer_checks.judge(inputs.policy, state.policy, settings.layout, limits)
        allowed = (state.ladder.approved, state.accepted)
        commands = state.ladder.rung is Rung.SNN or state.ladder.trusted
        if answer is not None and commands and answer.identity not in allowed:
            detail = f"found {answer.identity.checkpoint_id} (epoch {answer.identity.epoch})"
            answer, found = None, (*found, Finding(Fault.WRONG_IDENTITY, f"{detail}, wanted {state.ladder.approved}"))
        broken = answer is None and any(finding.fault.rung is not None for finding in found)
        if answer is not None:
            state = state._replace(policy=answer_checks.answered(state.policy, answer, limits))
            monitor, behaviour = answer_checks.observe(state.monitor, answer, state.sample, limits)
            state = state._replace(monitor=monitor)
            if inputs.autopilot is not None and inputs.autopilot.airborne:
                found += behaviour
    late = answer_checks.silence(state.policy, inputs.now, limits, Fault.POLICY_SILENT)
    if broken or any(finding.fault is Fault.POLICY_SILENT for finding in late):
        state = state._replace(monitor=Monitor())
    return state, found + late


def _hear_others(
    state: SupervisorState, inputs: SupervisorInputs, settings: Settings
) -> tuple[SupervisorState, tuple[Finding, ...]]:
    """The guide's answer, the checkpoint in shadow, and the comparison of the policies with the guide."""
    limits, found, before = settings.answers, (), state
    if inputs.guide is not None:
        answer, found = answer_checks.judge(inputs.guide, state.guide, settings.layout, limits)
        # A guide that gives no usable number is no net.
        found = tuple(Finding(Fault.GUIDE_SILENT, f.detail) if f.fault.rung is not None else f for f in found)
        if answer is not None:
            monitor, behaviour = answer_checks.observe(state.guide_monitor, answer, state.sample, limits)
            state = state._replace(guide=answer_checks.answered(state.guide, answer, limits), guide_monitor=monitor)
            if inputs.autopilot is not None and inputs.autopilot.airborne:
                found += answer_checks.useless(monitor, behaviour)
    if inputs.candidate is not None:
        answer, _ = answer_checks.judge(inputs.candidate, state.candidate, settings.layout, limits)
        if answer is not None:
            monitor, bad = answer_checks.observe(state.candidate_monitor, answer, state.sample, limits)
            source = answer_checks.answered(state.candidate, answer, limits)
            state = state._replace(candidate=source, candidate_monitor=Monitor() if bad else monitor)
    guide = state.guide.latest if inputs.autopilot is not None and inputs.autopilot.airborne else None
    for name, monitor in (("policy", "monitor"), ("candidate", "candidate_monitor")):
        latest = getattr(state, name).latest
        if guide is None or latest is None or latest.tick != guide.tick:
            continue
        if guide is not before.guide.latest or getattr(inputs, name) is not None:
            held = state.target or setpoint.hold(state.sample.position, 0.0)
            point, _ = setpoint.current(held, inputs.now, _cage(state, settings))
            compared = answer_checks.compare(getattr(state, monitor), latest, guide, state.sample, point, limits)
            state = state._replace(**{monitor: compared})
            if name == "policy" and state.ladder.rung is Rung.SNN:
                found += answer_checks.contradiction(compared, limits)
    return state, found + answer_checks.silence(state.guide, inputs.now, limits, Fault.GUIDE_SILENT)


def _steer(
    state: SupervisorState, inputs: SupervisorInputs, settings: Settings
) -> tuple[SupervisorState, tuple[Finding, ...], tuple[Event, ...]]:
    """The target: given by a service, streamed, or held where the stream stopped. After a fault, and while the guide
    recovers, it stays as it is.
    """
    found, events, now, rungs = (), (), inputs.now, state.ladder
    airborne = inputs.autopilot is not None and inputs.autopilot.airborne
    free = airborne and rungs.rung <= Rung.GUIDE and not rungs.taking_off
    free = free and rungs.latched is None and rungs.recovering is None
    if inputs.target is not None:
        bad = setpoint.not_finite(inputs.target) if isinstance(inputs.target, SetPoint) else None
        if bad is not None:
            found = (Finding(Fault.SET_POINT_NOT_FINITE, bad),)
        elif free and (far := _too_far(state, inputs.target, now, settings)) is not None:
            events = (Event(now, "warning", f"set-point refused: {far}"),)
        elif free:
            state = state._replace(target=Target(inputs.target, since=now))
        else:
            events = (Event(now, "warning", f"set-point refused: {rungs.rung.name}, {rungs.reason}"),)
    if inputs.stream is not None and free and state.target is not None:
        target, bad = setpoint.streamed(state.target, inputs.stream, now)
        if not bad and (far := _too_far(state, inputs.stream, now, settings)) is not None:
            target, bad = state.target, (Finding(Fault.SET_POINT_OUTSIDE, far),)
        state, found = state._replace(target=target), found + bad
    if state.target is not None and state.sample is not None and (late := setpoint.stopped(state.target, now)):
        held = setpoint.hold(state.sample.position, state_checks.yaw(state.sample.quaternion))
        state, found = state._replace(target=held), found + late
    return state, found, events


def _too_far(state: SupervisorState, course: SetPoint | Trajectory, now: float, settings: Settings) -> str | None:
    if state.sample is None:
        return None
    return setpoint.too_far(course, state.sample.position, now, _cage(state, settings), settings.envelope.reach)


def _cage(state: SupervisorState, settings: Settings) -> Cage:
    """Where set-points may be now: a take-off begins on the ground."""
    return settings.cage if state.ladder.taking_off else settings.cage.over(state.ground)


def _flight(
    state: SupervisorState, inputs: SupervisorInputs, point: SetPoint | None, settings: Settings
) -> tuple[Finding, ...]:
    """Autopilot, cage and envelope, and what the nodes report."""
    dropped = 0 if state.autopilot is None else state.autopilot.dropped
    found = inputs.reports + autopilot.check(inputs.autopilot, dropped, inputs.now, settings.autopilot)
    if state.sample is None:
        return found
    found += settings.cage.check(state.sample.position)
    if inputs.autopilot is not None and inputs.autopilot.airborne:
        following = state.ladder.rung <= Rung.GUIDE and state.ladder.recovering is None
        ground = None if state.ladder.taking_off or state.ladder.rung > Rung.GUIDE else state.ground
        found += settings.envelope.check(state.sample, point if following else None, ground)
    return found


def _pace(
    state: SupervisorState, inputs: SupervisorInputs, settings: Settings
) -> tuple[SupervisorState, tuple[Finding, ...]]:
    """Whether the supervisor itself is called often enough."""
    if state.stepped is None:
        return state, ()
    pause = inputs.now - state.stepped
    state = state._replace(stalls=state_checks.shift_in(state.stalls, state_checks.missing(pause, settings.state.period)))
    if pause > settings.stall:
        return state, (Finding(Fault.STARVED, f"not called for {1e3 * pause:.0f} ms, wanted {1e3 * settings.stall:.0f} ms"),)
    if (missed := state.stalls.bit_count()) > settings.stalls:
        return state, (Finding(Fault.STARVED, f"{missed} control periods missed, wanted at most {settings.stalls}"),)
    return state, ()


def _low(state: SupervisorState) -> bool:
    """Where the autopilot flies already, it may fly over lower ground."""
    if state.ladder.rung > Rung.GUIDE or state.sample is None or state.ground is None:
        return False
    return state.sample.position[2] - state.ground < CRASH


def _facts(state: SupervisorState, inputs: SupervisorInputs, found: tuple[Finding, ...], settings: Settings) -> Facts:
    monitor, limits, sample = state.monitor, settings.answers, state.sample
    strayed = any(finding.fault in COURSE_FAULTS for finding in found)
    return Facts(
        now=inputs.now,
        autopilot=inputs.autopilot,
        sample=sample,
        target=state.target,
        found=found,
        settled=sample is not None and not strayed and settings.envelope.settled(sample),
        tumbling=sample is not None and settings.envelope.tumbling(sample),
        lowest=-math.inf if state.ground is None else state.ground + RECOVERY,
        low=_low(state),
        agrees=monitor.agrees(limits),
        disagreement=monitor.words(limits),
        identity=monitor.identity,
        unmet=inputs.unmet,
        centre=settings.cage.over(state.ground).centre,
    )


# --- what goes out --------------------------------------------------------------------------------------------------


def _swap(state: SupervisorState, settings: Settings) -> tuple[SupervisorState, Identity | None, tuple[Finding, ...]]:
    """Whether the checkpoint in shadow may take over: it agrees with the guide, and the policy flies."""
    rung, identity = state.ladder.rung, state.candidate_monitor.identity
    if state.monitor.identity is not None and state.monitor.identity == state.accepted and rung is Rung.SNN:
        approved = state.ladder._replace(approved=state.accepted)
        return state._replace(ladder=approved, accepted=None, candidate_monitor=Monitor()), None, ()
    if rung is Rung.SNN and identity is not None and state.candidate_monitor.agrees(settings.answers):
        return state._replace(accepted=identity), identity, ()
    if rung is Rung.SNN or identity is None:
        return state, None, ()
    state = state._replace(accepted=None, candidate_monitor=Monitor())
    detail = f"{identity.checkpoint_id} (epoch {identity.epoch}), {rung.name} flies"
    return state, None, (Finding(Fault.SWAP_REFUSED, detail),)


def _note(state: SupervisorState, found: tuple[Finding, ...], now: float) -> tuple[SupervisorState, tuple[Event, ...]]:
    """Count the findings, and tell each fault when it begins."""
    if not found:
        return state, ()
    counts, seen, events = dict(state.counts), dict(state.seen), []
    for finding in found:
        name = finding.fault.name
        if now - seen.get(name, -1e9) > REPEAT:
            events.append(Event(now, finding.fault.severity, str(finding)))
        counts[name], seen[name] = counts.get(name, 0) + 1, now
    return state._replace(counts=counts, seen=seen), tuple(events)


def _started(state: SupervisorState, inputs: SupervisorInputs) -> tuple[Event, ...]:
    """Said once, where the first thing that is heard of the vehicle is that it flies."""
    if state.autopilot is not None or inputs.autopilot is None or not inputs.autopilot.airborne:
        return ()
    fault = Fault.STARTED_IN_THE_AIR
    return (Event(inputs.now, "warning", str(Finding(fault, f"found mode {inputs.autopilot.mode.value}"))),)


def _status(state: SupervisorState, inputs: SupervisorInputs, settings: Settings) -> tuple[SupervisorState, str | None]:
    """The line that is printed once a second."""
    if state.status_due is not None and inputs.now < state.status_due:
        return state, None
    rungs, status = state.ladder, inputs.autopilot
    words = [f"{rungs.rung.name} for {inputs.now - rungs.since:.0f} s"]
    if status is None:
        words.append("autopilot not heard")
    else:
        words += [f"{status.mode.value}, {'armed' if status.armed else 'disarmed'}", f"battery {status.battery:.0%}"]
    if state.sample is not None:
        words.append("at " + ", ".join(f"{p:.2f}" for p in state.sample.position) + " m")
    words.append(f"shadow {state.monitor.words(settings.answers)}" if rungs.rung is not Rung.SNN else "policy flies")
    if rungs.latched is not None:
        words.append(f"since {rungs.latched.fault.name} the operator must ask again")
    return state._replace(status_due=inputs.now + STATUS_PERIOD), "; ".join(words)
