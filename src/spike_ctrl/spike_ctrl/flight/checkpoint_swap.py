"""The swap of checkpoints in flight: when the one in shadow may take over. Pure."""

from __future__ import annotations

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.supervisor_state import SupervisorState


def swap_checkpoint(
    state: SupervisorState, settings: FlightSettings
) -> tuple[SupervisorState, Identity | None, tuple[Finding, ...]]:
    """The checkpoint that may take over at the next tick, or None: it agrees with the guide, and the policy flies.

    Once its first answer has come it is the approved one. On other rungs than SNN the swap is refused.
    """
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
