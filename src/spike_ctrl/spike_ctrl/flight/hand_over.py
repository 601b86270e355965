"""The hand-over from guide to policy: the operator wants it, the policy in shadow agrees with the guide. Pure."""

from __future__ import annotations

from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.ladder_state import Facts, Ladder, LadderChanges, LadderLimits, Move, change_rung


def hand_over(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """From GUIDE to SNN where the operator wants it and no fault bars it. After `engage_timeout` the wish is dropped."""
    ready = ladder.rung is Rung.GUIDE and ladder.wanted and ladder.confirmed and not ladder.taking_off
    if not ready or not facts.airborne:
        return None
    if facts.agrees and (who := facts.monitor.identity) is not None and not facts.blocking:
        kind, changes = EventKind.HANDED_OVER, LadderChanges(approved=who)
        return change_rung(ladder, Rung.SNN, kind, who, facts, changes=changes, detail=facts.agreement)
    if facts.now - ladder.wanted_since <= limits.engage_timeout:
        return None
    finding = Finding(Fault.DISAGREEMENT, facts.agreement)
    event = Event(facts.now, EventKind.DROPPED, finding, Rung.GUIDE)
    return Move(ladder._replace(wanted=False, latched=finding), None, None, (event,))
