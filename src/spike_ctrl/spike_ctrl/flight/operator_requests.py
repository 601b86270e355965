"""Whether the ladder grants what an operator asks for. Pure."""

from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.event import Bar, Event, EventKind, Obstacle
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.ladder_state import Facts, Ladder, Move, change_rung, hold_here
from spike_ctrl.flight.request import Request


def obey(ladder: Ladder, request: Request, facts: Facts) -> Move:
    """The ladder after a request. A refused request changes nothing, and its event gives all reasons.

    While the guide recovers, LAND and SHUT_DOWN wait: the autopilot would get a vehicle in motion. HOLD follows anyway.
    """
    if obstacles := tuple(_obstacles(ladder, request, facts)):
        refused = Event(facts.now, EventKind.REFUSED, request, ladder.rung, obstacles=obstacles, since=ladder.because)
        return Move(ladder, events=(refused,))
    if request in (Request.TAKE_OFF, Request.GUIDE, Request.ENGAGE):
        return _engage(ladder, request, facts)
    asked = EventKind.ASKED
    if request is Request.SHUT_DOWN:
        ladder = ladder._replace(shutting_down=True)
        if not ladder.commanding and not (ladder.rung is Rung.HOLD and facts.airborne):
            return Move(ladder, events=(Event(facts.now, asked, request, ladder.rung),))
    if ladder.recovering is not None and facts.airborne:
        ladder = ladder._replace(waiting=None if request is Request.DISENGAGE else request)
        return Move(ladder, events=(Event(facts.now, asked, request, ladder.rung),))
    pilot_flies = facts.autopilot is not None and facts.autopilot.mode is Mode.OTHER
    landing = request is not Request.DISENGAGE and facts.airborne and not pilot_flies
    if ladder.rung is Rung.GUIDE and not (ladder.confirmed and ladder.armed) and not landing:
        return change_rung(ladder, Rung.SILENT, asked, request, facts)  # the autopilot still flies, or nobody flies yet
    down = facts.hold_or_land if request is Request.DISENGAGE else Rung.LAND
    lands = facts.rotors_checked and ladder.confirmed and down is Rung.LAND
    if facts.airborne and ladder.rung <= Rung.GUIDE and (facts.lost is not None or lands):
        # It lands: the autopilot's own controllers cannot fly a vehicle with a lost rotor, nor do they look for one.
        moved = change_rung(ladder, Rung.GUIDE, asked, request, facts)
        return moved._replace(ladder=moved.ladder._replace(landing=True))
    return change_rung(ladder, down, asked, request, facts)


def _engage(ladder: Ladder, request: Request, facts: Facts) -> Move:
    """To GUIDE. On GUIDE already, only the operator's wish changes."""
    wanted = request is Request.ENGAGE
    if ladder.rung is Rung.GUIDE:
        stays = hold_here(facts.sample) if ladder.landing and facts.sample is not None else None
        ladder = ladder._replace(wanted=wanted, wanted_since=facts.now, latched=None, waiting=None, landing=False)
        return Move(ladder, stays, events=(Event(facts.now, EventKind.ASKED, request, Rung.GUIDE),))
    target = None if ladder.rung is Rung.SNN or facts.sample is None else hold_here(facts.sample)
    armed = facts.autopilot is not None and facts.autopilot.armed
    begun = ladder._replace(wanted_since=facts.now, latched=None, armed=armed, armed_since=None)
    moved = change_rung(begun, Rung.GUIDE, EventKind.ASKED, request, facts, target)
    return moved._replace(ladder=moved.ladder._replace(wanted=wanted, taking_off=request is Request.TAKE_OFF))


def _obstacles(ladder: Ladder, request: Request, facts: Facts) -> list[Obstacle]:
    """All that bars a request; nothing where it is granted."""
    if request is Request.SHUT_DOWN:
        return []
    if ladder.shutting_down:
        return [Obstacle(Bar.SHUTTING_DOWN)]
    if request is Request.DISENGAGE:
        return [] if ladder.rung <= Rung.GUIDE else [Obstacle(Bar.NOT_ENGAGED)]
    if request is Request.LAND:
        if ladder.rung is Rung.LAND:
            return [Obstacle(Bar.LANDS_ALREADY)]
        return [] if facts.airborne or ladder.rung <= Rung.HOLD else [Obstacle(Bar.NOT_IN_THE_AIR)]
    if request is Request.GUIDE and ladder.rung <= Rung.GUIDE and not ladder.taking_off:
        # The operator takes SNN, or the wish for it, back: only a lost autopilot is against it.
        return [] if facts.autopilot is not None else [Obstacle(Bar.NOT_HEARD)]
    against = [Obstacle(Bar.FAULT, finding) for finding in facts.blocking]
    if facts.unmet is None:
        against.append(Obstacle(Bar.NO_PREFLIGHT))
    else:
        against.extend(Obstacle(Bar.UNMET, detail=unmet) for unmet in facts.unmet)
    if facts.sample is None or facts.autopilot is None:
        return against or [Obstacle(Bar.NOTHING_SEEN)]
    if request is Request.TAKE_OFF:
        if ladder.rung is not Rung.SILENT:
            against.append(Obstacle(Bar.FLIES_ALREADY))
        if facts.autopilot.airborne:
            against.append(Obstacle(Bar.IN_THE_AIR))
        return against
    if not facts.airborne:
        against.append(Obstacle(Bar.TAKE_OFF_FIRST))
    if ladder.taking_off:
        against.append(Obstacle(Bar.TAKING_OFF))
    if ladder.recovering is not None:
        against.append(Obstacle(Bar.RECOVERING, ladder.recovering))
    if request is Request.ENGAGE and ladder.rung is Rung.SNN:
        against.append(Obstacle(Bar.FLIES_ALREADY))
    return against
