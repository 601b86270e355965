"""The supervisor takes in the answers of policy, guide and the checkpoint in shadow, and finds their faults. Pure."""

from __future__ import annotations

from typing import Any

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.answer_checks import Answer, check_answer, record_answer
from spike_ctrl.flight.deadlines import check_deadlines
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.guide_disagreement import check_disagreement, compare_with_guide
from spike_ctrl.flight.policy_monitor import Monitor, check_guide, observe_answer
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
    given = {name: answer for name in ANSWERS if (answer := getattr(inputs, name)) is not None}
    early = {name: answer for name, answer in given.items() if answer.tick > state.sample.tick}
    if not early:
        return state, inputs
    changes = dict.fromkeys(early)
    return state._replace(early={**state.early, **early}), inputs._replace(**changes)


def take_answers(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, tuple[Finding, ...], tuple[Finding, ...]]:
    """The answers that came; the faults of the policy; those of the guide, and of the policy held against it."""
    state, of_policy = _take_policy(state, inputs, settings)
    before = state.guide.latest
    state, of_guide = _take_guide(state, inputs, settings)
    state = _take_candidate(state, inputs, settings)
    state, compared = _compare_answers(state, inputs, before, settings)
    late = check_deadlines(state.guide, inputs.now, settings.answers, Fault.GUIDE_SILENT)
    return state, of_policy, of_guide + compared + late


def _take_policy(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, tuple[Finding, ...]]:
    """The policy's answer, and the faults of its behaviour and of its deadlines.

    After silence, an unusable action or a change of the checkpoint its time in shadow begins anew.
    """
    limits, broken = settings.answers, False
    found: tuple[Finding, ...] = ()
    if inputs.policy is not None:
        answer, found = check_answer(inputs.policy, state.policy, settings.layout, limits)
        commands = state.ladder.rung is Rung.SNN or state.ladder.may_bridge
        if answer is not None and commands and answer.identity not in (state.ladder.approved, state.accepted):
            detail = f"found {answer.identity.checkpoint_id} (epoch {answer.identity.epoch})"
            answer, found = None, (*found, Finding(Fault.WRONG_IDENTITY, f"{detail}, wanted {state.ladder.approved}"))
        broken = answer is None and any(finding.fault.rung is not None for finding in found)
        if answer is not None and state.sample is not None:
            monitor, behaviour = observe_answer(state.monitor, answer, state.sample, limits)
            state = state._replace(policy=record_answer(state.policy, answer, limits), monitor=monitor)
            if inputs.airborne:
                found += behaviour
    late = check_deadlines(state.policy, inputs.now, limits, Fault.POLICY_SILENT)
    if broken or (late and any(finding.fault is Fault.POLICY_SILENT for finding in late)):
        state = state._replace(monitor=Monitor())
    return state, found + late


def _take_guide(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, tuple[Finding, ...]]:
    """The guide's answer and its faults. A guide without a usable answer counts as silent."""
    limits = settings.answers
    found: tuple[Finding, ...] = ()
    if inputs.guide is not None:
        answer, found = check_answer(inputs.guide, state.guide, settings.layout, limits)
        found = tuple(Finding(Fault.GUIDE_SILENT, f.detail) if f.fault.rung is not None else f for f in found)
        sample = state.sample
        if answer is not None and sample is not None:
            monitor, behaviour = observe_answer(state.guide_monitor, answer, sample, limits)
            state = state._replace(guide=record_answer(state.guide, answer, limits), guide_monitor=monitor)
            if inputs.airborne:
                found += check_guide(monitor, behaviour, sample, limits.behaviour)
    return state, found


def _take_candidate(state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings) -> SupervisorState:
    """The answer of the checkpoint in shadow. A fault of its behaviour lets its time in shadow begin anew."""
    if inputs.candidate is None or state.sample is None:
        return state
    answer, _ = check_answer(inputs.candidate, state.candidate, settings.layout, settings.answers)
    if answer is None:
        return state
    monitor, bad = observe_answer(state.candidate_monitor, answer, state.sample, settings.answers)
    source = record_answer(state.candidate, answer, settings.answers)
    return state._replace(candidate=source, candidate_monitor=Monitor() if bad else monitor)


def _compare_answers(
    state: SupervisorState, inputs: SupervisorInputs, guide_before: Answer | None, settings: FlightSettings
) -> tuple[SupervisorState, tuple[Finding, ...]]:
    """Compare policy and candidate with the guide, where both have answered the same state and one of the answers is new.

    On the ground nothing is compared. guide_before: the guide's latest answer before this step.
    """
    if inputs.policy is None and inputs.guide is None and inputs.candidate is None:
        return state, ()
    guide, sample, limits = state.guide.latest, state.sample, settings.answers
    if guide is None or sample is None or not inputs.airborne:
        return state, ()
    guide_is_new = guide is not guide_before
    policy = _comparable(state.policy.latest, guide, guide_is_new or inputs.policy is not None)
    candidate = _comparable(state.candidate.latest, guide, guide_is_new or inputs.candidate is not None)
    if policy is None and candidate is None:
        return state, ()
    point = state.granted or SetPoint(sample.position)
    found: tuple[Finding, ...] = ()
    if policy is not None:
        state = state._replace(monitor=compare_with_guide(state.monitor, policy, guide, sample, point, limits))
        if state.ladder.rung is Rung.SNN:
            found = check_disagreement(state.monitor, limits)
    if candidate is not None:
        monitor = compare_with_guide(state.candidate_monitor, candidate, guide, sample, point, limits)
        state = state._replace(candidate_monitor=monitor)
    return state, found


def _comparable(answer: Answer | None, guide: Answer, new: bool) -> Answer | None:
    return answer if new and answer is not None and answer.tick == guide.tick else None
