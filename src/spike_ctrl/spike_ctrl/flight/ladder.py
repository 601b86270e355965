"""The ladder SNN, GUIDE, HOLD, LAND, SILENT: who flies, and why. Pure; the time is one of the facts.

Faults lead down automatically. Only the operator leads up, and to SNN only through GUIDE with the policy in shadow. Every
flight begins on SILENT: the stack is passive, and the autopilot or a pilot flies. HOLD and LAND are modes of the autopilot.
Until it confirms such a mode, commands keep the vehicle in the air; from then on the autopilot flies and none is sent.
"""

from __future__ import annotations

from spike_ctrl.flight.autopilot_modes import follow_mode, mode_request
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.hand_over import hand_over
from spike_ctrl.flight.ladder_state import Facts, Ladder, LadderLimits, Move, change_rung, hold_here
from spike_ctrl.flight.operator_requests import obey
from spike_ctrl.flight.recovery import begin_recovery, recover
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.take_off import take_off


def move(ladder: Ladder, requests: tuple[Request, ...], facts: Facts, limits: LadderLimits) -> Move:
    """One step: the operator's requests, then the autopilot's mode, faults, take-off, recovery and hand-over."""
    done = Move(ladder)
    for request in requests:
        done = _then(done, obey(done.ladder, request, facts))
    for rule in (follow_mode, step_down, take_off, recover, hand_over):
        if (moved := rule(done.ladder, facts, limits)) is not None:
            done = _then(done, moved)
    ask = mode_request(done.ladder, facts, limits)
    if ask is not None:
        done = done._replace(ladder=done.ladder._replace(asked_at=facts.now), ask=ask)
    return done


def step_down(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """Down to the lowest rung that a fault demands. A pending engagement is dropped for any demanding fault."""
    if not facts.found:
        return None
    demanding = [(rung, finding) for finding in facts.found if (rung := finding.fault.rung) is not None]
    if ladder.rung is Rung.SILENT or not demanding:
        return None
    rung, worst = max(demanding, key=lambda pair: pair[0])
    rung = facts.hold_or_land if rung is Rung.HOLD else rung
    entering = ladder.rung is Rung.GUIDE and not ladder.confirmed
    grounded = ladder.rung is Rung.GUIDE and not ladder.armed
    if (entering or grounded) and rung is not Rung.SILENT:
        return change_rung(ladder, Rung.SILENT, EventKind.DROPPED, worst, facts, changes={"latched": worst})
    if rung > ladder.rung:
        target = hold_here(facts.sample) if ladder.rung is Rung.SNN and facts.sample is not None else None
        moved = change_rung(ladder, rung, EventKind.STEPPED_DOWN, worst, facts, target, {"latched": worst})
    elif ladder.wanted and ladder.rung is not Rung.SNN:
        event = Event(facts.now, EventKind.DROPPED, worst, ladder.rung)
        moved = Move(ladder._replace(wanted=False, latched=worst), None, None, (event,))
    else:
        moved = Move(ladder)
    if moved.ladder.rung is Rung.GUIDE and moved.ladder.recovering is None and facts.airborne:
        guided = ladder.rung is Rung.GUIDE and facts.now - ladder.since > limits.proven
        if guided and facts.upset:  # it took over a vehicle that lay well: whoever upsets that one cannot recover it
            finding = Finding(Fault.NOT_RECOVERED, f"the guide itself upset the vehicle: {worst}")
            down, why = facts.hold_or_land, EventKind.STEPPED_DOWN
            return change_rung(ladder, down, why, finding, facts, changes={"latched": finding})
        return begin_recovery(moved, [finding for _, finding in demanding], facts, guided or not facts.tumbling, limits)
    return moved


def _then(first: Move, second: Move) -> Move:
    if second.target is None and not second.events:
        return first if second.ladder is first.ladder else first._replace(ladder=second.ladder)
    target = first.target if second.target is None else second.target
    return Move(second.ladder, target, None, first.events + second.events)
