"""The swap of checkpoints in flight: when the one in shadow may take over, and when the one before it comes back. Pure."""

import math

from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.event_words import named
from spike_ctrl.flight.faults import Fault, Finding, Findings, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.supervisor_state import SupervisorState
from spike_ctrl.flight.swap_trial import TrialLimits

Swap = tuple[SupervisorState, Identity | None, Findings, tuple[Event, ...]]


def swap_checkpoint(state: SupervisorState, now: float, settings: FlightSettings) -> Swap:
    """The checkpoint that may take over at the next tick, or None: it agrees with the guide, and the policy flies.

    Once its first answer has come it is the approved one, and its trial begins. On other rungs than SNN the swap is refused.
    """
    if state.trial.returning is not None:
        return _bring_back(state, now, settings.trial)
    state, events = _judge(state, now, settings.trial)
    if state.trial.returning is not None:
        return state._replace(accepted=state.trial.parent), state.trial.parent, (), events
    rung, identity = state.ladder.rung, state.candidate_monitor.identity
    if state.accepted is not None and state.monitor.identity == state.accepted and rung is Rung.SNN:
        trial = state.trial.begun(now, state.accepted, state.ladder.approved)
        approved, monitor = state.ladder._replace(approved=state.accepted), state.monitor
        if state.candidate_monitor.identity == state.accepted:
            monitor = monitor.after_shadow(state.candidate_monitor)
        state = state._replace(
            ladder=approved, accepted=None, monitor=monitor, candidate_monitor=Monitor(), trial=trial
        )  # fmt: skip
        return state, None, (), events
    if identity is None or identity in state.trial.barred or state.trial.child is not None:
        return state, None, (), events
    if rung is Rung.SNN:
        if not state.candidate_monitor.agrees_but_for_trim(settings.answers):
            return state, None, (), events
        return state._replace(accepted=identity), identity, (), events
    state = state._replace(accepted=None, candidate_monitor=Monitor())
    return state, None, (Finding(Fault.SWAP_REFUSED, f"{named(identity)}, {rung.name} flies"),), events


def _judge(state: SupervisorState, now: float, limits: TrialLimits) -> tuple[SupervisorState, tuple[Event, ...]]:
    """What the vehicle's distance from the set-point says of the checkpoint that has taken over."""
    flies, trial = state.ladder.rung is Rung.SNN, state.trial
    if flies and state.sample is not None and state.granted is not None and state.sample.received != trial.seen:
        distance = math.dist(state.sample.position, state.granted.position)
        trial = trial.watched(state.sample.received, None if _on_its_way(state) else distance, limits)
    trial, verdict = trial.judged(now, flies, limits)
    if trial is not state.trial:
        state = state._replace(trial=trial)
    if verdict is None:
        return state, ()
    return state, (Event(now, EventKind.KEPT if verdict.kept else EventKind.ROLLED_BACK, verdict),)


def _on_its_way(state: SupervisorState) -> bool:
    """Whether the set-point moves to a new place, at the pace of which no controller is judged."""
    moves = state.granted is not None and any(state.granted.velocity)
    return moves and state.target is not None and not isinstance(state.target.course, Trajectory)


def _bring_back(state: SupervisorState, now: float, limits: TrialLimits) -> Swap:
    """Ask for the parent until it answers."""
    parent = state.trial.parent
    trial, failed = state.trial.returned(now, state.monitor.identity, limits)
    state = state._replace(trial=trial, candidate_monitor=Monitor())
    if trial.returning is not None:
        return state._replace(accepted=parent), parent, (), ()
    if not failed:
        state = state._replace(ladder=state.ladder._replace(approved=parent))
    events = (Event(now, EventKind.NOT_BROUGHT_BACK, parent),) if failed else ()
    return state._replace(accepted=None), None, (), events
