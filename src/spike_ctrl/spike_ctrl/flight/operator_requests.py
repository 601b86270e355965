"""Whether the ladder grants what an operator asks for. Pure."""

from __future__ import annotations

from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.ladder_state import Event, Facts, Ladder, Move, change_rung, hold_here
from spike_ctrl.flight.request import Request


def obey(ladder: Ladder, request: Request, facts: Facts) -> Move:
    """The ladder after a request. A refused request changes nothing, and its event gives all reasons."""
    if reasons := _refusal(ladder, request, facts):
        event = Event(facts.now, "warning", f"refused to {request.value}: {'; '.join(reasons)}")
        return Move(ladder, None, None, (event,))
    if request in (Request.TAKE_OFF, Request.GUIDE, Request.ENGAGE):
        return _engage(ladder, request, facts)
    reason = f"the operator asked to {request.value}"
    if request is Request.SHUT_DOWN:
        ladder = ladder._replace(shutting_down=True)
        if not ladder.commanding and not (ladder.rung is Rung.HOLD and facts.airborne):
            return Move(ladder, None, None, (Event(facts.now, "ok", f"{ladder.rung.name}: {reason}"),))
    pilot_flies = facts.autopilot is not None and facts.autopilot.mode is Mode.OTHER
    landing = request is not Request.DISENGAGE and facts.airborne and not pilot_flies
    if ladder.rung is Rung.GUIDE and not (ladder.confirmed and ladder.armed) and not landing:
        return change_rung(ladder, Rung.SILENT, reason, facts)  # the autopilot still flies, or nobody flies yet
    down = facts.hold_or_land if request is Request.DISENGAGE else Rung.LAND
    return change_rung(ladder, down, reason, facts)


def _engage(ladder: Ladder, request: Request, facts: Facts) -> Move:
    """To GUIDE. On GUIDE already, only the operator's wish changes."""
    reason = f"the operator asked to {request.value}"
    wanted = request is Request.ENGAGE
    if ladder.rung is Rung.GUIDE:
        ladder = ladder._replace(wanted=wanted, wanted_since=facts.now, latched=None)
        return Move(ladder, None, None, (Event(facts.now, "ok", f"GUIDE: {reason}"),))
    target = None if ladder.rung is Rung.SNN or facts.sample is None else hold_here(facts.sample)
    return change_rung(
        ladder,
        Rung.GUIDE,
        reason,
        facts,
        target=target,
        changes={
            "wanted": wanted,
            "wanted_since": facts.now,
            "latched": None,
            "armed": facts.autopilot is not None and facts.autopilot.armed,
            "taking_off": request is Request.TAKE_OFF,
            "armed_since": None,
        },
    )


def _refusal(ladder: Ladder, request: Request, facts: Facts) -> list[str]:
    """All reasons against a request, in words; none where it is granted."""
    if request is Request.SHUT_DOWN:
        return []
    if ladder.shutting_down:
        return ["the stack is shutting down"]
    if request is Request.DISENGAGE:
        return [] if ladder.rung <= Rung.GUIDE else [f"nothing is engaged: {ladder.reason}"]
    if request is Request.LAND:
        if ladder.rung is Rung.LAND:
            return ["it lands already"]
        return [] if facts.airborne or ladder.rung <= Rung.HOLD else ["the vehicle is not in the air"]
    if request is Request.GUIDE and ladder.rung <= Rung.GUIDE and not ladder.taking_off:
        # The operator takes SNN, or the wish for it, back: only a lost autopilot is against it.
        return [] if facts.autopilot is not None else ["the autopilot has not been heard"]
    against = list(facts.blocking)
    if facts.unmet is None:
        against.append("the preflight has not run")
    else:
        against.extend(facts.unmet)
    if facts.sample is None or facts.autopilot is None:
        return against or ["neither state nor autopilot has been seen"]
    if request is Request.TAKE_OFF:
        if ladder.rung is not Rung.SILENT:
            against.append(f"{ladder.rung.name} flies already")
        if facts.autopilot.airborne:
            against.append("the vehicle is in the air")
        return against
    if not facts.airborne:
        against.append("the vehicle is not in the air: take off first")
    if ladder.taking_off:
        against.append("the take-off is not finished")
    if ladder.recovering is not None:
        against.append(f"the guide recovers from {ladder.recovering.fault.name}")
    if request is Request.ENGAGE and ladder.rung is Rung.SNN:
        against.append("SNN flies already")
    return against
