"""The supervisor takes in the answers of policy, guide and the checkpoint in shadow, and finds their faults. Pure."""

from typing import Any, NamedTuple

from spike_ctrl.control.trajectory import SetPoint, Vector
from spike_ctrl.flight import steering
from spike_ctrl.flight.answer_checks import Answer, AnswerSource, Identity, check_answer, check_deadlines, record_answer
from spike_ctrl.flight.faults import Fault, Finding, Findings, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.policy_monitor import Monitor, check_disagreement, check_guide, compare_with_guide, observe_answer
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.state_consistency import ZERO
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState

ANSWERS = ("policy", "guide", "candidate")


def keep_early_answers(state: SupervisorState, inputs: SupervisorInputs) -> tuple[SupervisorState, SupervisorInputs]:
    """An answer that comes before its state waits for it. The bridge sends each state to guide and policy first."""
    changes: dict[str, Any]
    if inputs.sample is not None:
        if not state.early:
            return state, inputs
        changes = {name: answer for name, answer in state.early.items() if getattr(inputs, name) is None}
        return state._replace(early={}), inputs._replace(**changes)
    if state.sample is None:
        return state, inputs
    tick, given = state.sample.tick, zip(ANSWERS, (inputs.policy, inputs.guide, inputs.candidate), strict=True)
    early = {name: answer for name, answer in given if answer is not None and answer.tick > tick}
    if not early:
        return state, inputs
    changes = dict.fromkeys(early)
    return state._replace(early={**state.early, **early}), inputs._replace(**changes)


def take_answers(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, Findings, Findings]:
    """The answers that came; the faults of the policy; those of the guide, and of the policy held against it.

    After silence, an unusable action or a change of the checkpoint the policy's time in shadow begins anew; that of the
    checkpoint in shadow after a fault of its behaviour. A guide without a usable answer counts as silent.
    """
    limits, before = settings.answers, state.guide.latest
    of_policy: Findings = ()
    of_guide: Findings = ()
    if inputs.policy is not None:
        commands = state.ladder.rung is Rung.SNN or state.ladder.may_bridge
        approved = (state.ladder.approved, state.accepted) if commands else None
        taken = _take(inputs.policy, state.policy, state.monitor, state.sample, settings, approved)
        broken = not taken.usable and any(finding.fault.rung is not None for finding in taken.found)
        if state.ladder.rung is Rung.SNN and taken.monitor.identity != state.monitor.identity:
            state = state._replace(astray=steering.Astray())  # another one steers now
        state = state._replace(policy=taken.source, monitor=Monitor() if broken else taken.monitor)
        of_policy = taken.found + taken.behaviour if inputs.airborne else taken.found
    if inputs.guide is not None:
        moving = state.granted.velocity if state.granted is not None else ZERO
        taken = _take(inputs.guide, state.guide, state.guide_monitor, state.sample, settings, moving=moving)
        state = state._replace(guide=taken.source, guide_monitor=taken.monitor)
        of_guide = tuple([Finding(Fault.GUIDE_SILENT, f.detail) if f.fault.rung is not None else f for f in taken.found])
        if inputs.airborne and taken.usable and state.sample is not None and state.rotors.lost is None:
            of_guide += check_guide(taken.monitor, taken.behaviour, state.sample, limits.behaviour)
    if inputs.candidate is not None:
        taken = _take(inputs.candidate, state.candidate, state.candidate_monitor, state.sample, settings)
        monitor = Monitor() if taken.behaviour else taken.monitor
        state = state._replace(candidate=taken.source, candidate_monitor=monitor)
    late = check_deadlines(state.policy, inputs.now, limits, Fault.POLICY_SILENT, state.ladder.rung is Rung.SILENT)
    if late and any(finding.fault is Fault.POLICY_SILENT for finding in late):
        state = state._replace(monitor=Monitor())
    state, compared = _compare_answers(state, inputs, before, settings)
    of_guide += compared + check_deadlines(state.guide, inputs.now, limits, Fault.GUIDE_SILENT)
    return state, of_policy + late, of_guide


class _Taken(NamedTuple):
    """Source and monitor after an answer, the faults of the answer and those of the behaviour. usable: as a command."""

    source: AnswerSource
    monitor: Monitor
    found: Findings
    behaviour: Findings = ()
    usable: bool = False


def _take(
    given: Answer, source: AnswerSource, monitor: Monitor, sample: Sample | None, settings: FlightSettings,
    approved: tuple[Identity | None, ...] | None = None, moving: Vector = ZERO,
) -> _Taken:  # fmt: skip
    """An answer, checked and observed. approved: who may give it; None: anybody. sample: the last accepted state."""
    answer, found = check_answer(given, source, settings.layout, settings.answers)
    if answer is not None and approved is not None and answer.identity not in approved:
        detail = f"found {answer.identity.checkpoint_id} (epoch {answer.identity.epoch}), wanted {approved[0]}"
        answer, found = None, (*found, Finding(Fault.WRONG_IDENTITY, detail))
    if answer is None or sample is None:
        return _Taken(source, monitor, found)
    monitor, behaviour = observe_answer(monitor, answer, sample, settings.answers, moving)
    return _Taken(record_answer(source, answer, settings.answers), monitor, found, behaviour, usable=True)


def _compare_answers(
    state: SupervisorState, inputs: SupervisorInputs, guide_before: Answer | None, settings: FlightSettings
) -> tuple[SupervisorState, Findings]:
    """Compare policy and candidate with the guide, where both have answered the same state and one of the answers is new.

    On the ground nothing is compared. guide_before: the guide's latest answer before this step.
    """
    guide, sample, limits = state.guide.latest, state.sample, settings.answers
    guide_is_new = guide is not guide_before
    if not (guide_is_new or inputs.policy is not None or inputs.candidate is not None):
        return state, ()
    if guide is None or sample is None or not inputs.airborne:
        return state, ()
    point = state.granted or SetPoint(sample.position)
    found: Findings = ()
    policy, candidate = state.policy.latest, state.candidate.latest
    if (guide_is_new or inputs.policy is not None) and policy is not None and policy.tick == guide.tick:
        monitor = compare_with_guide(state.monitor, policy, guide, sample, point, limits, state.wind)
        ladder, astray = state.ladder, steering.Astray()
        if ladder.rung <= Rung.GUIDE and ladder.recovering is None and not state.rotors.explains(settings.rotors):
            astray = steering.follow(state.astray, sample, point, state.wind, settings.wind.drag, settings.steering)
        if ladder.rung is Rung.SNN:
            found = check_disagreement(monitor, limits) or steering.check_policy(astray, monitor.recent, settings.steering)
        elif ladder.rung is Rung.GUIDE:
            monitor = monitor._replace(likeness=monitor.likeness.after(policy.action, guide.action, limits.likeness))
            if ladder.latched is None:
                climbs, room = ladder.taking_off, settings.cage.room
                found = steering.check_guide(astray, monitor.recent, climbs, room, settings.steering)
        state = state._replace(monitor=monitor, astray=astray)
    if (guide_is_new or inputs.candidate is not None) and candidate is not None and candidate.tick == guide.tick:
        monitor = state.candidate_monitor
        monitor = compare_with_guide(monitor, candidate, guide, sample, point, limits, state.wind)
        state = state._replace(candidate_monitor=monitor)
    return state, found
