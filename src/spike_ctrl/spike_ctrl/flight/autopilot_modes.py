"""Modes of the autopilot on the ladder: a take-over by a pilot, the end of a landing, a mode that is not taken. Pure."""

from __future__ import annotations

from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.ladder_state import MODES, Facts, Ladder, LadderLimits, Move, change_rung

OWN_FLIGHT = (Mode.HOLD, Mode.RETURN)  # the autopilot flies by itself, and no lost stream of commands would end that


def follow_mode(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """What the autopilot's mode and arming mean for the ladder.

    Whoever changes the mode or disarms takes over: SILENT; a mode that this stack asked for just before is not a change. A
    mode that the autopilot does not take leads further down. None: they mean nothing.
    """
    if ladder.rung is Rung.SILENT or facts.autopilot is None:
        return None
    status, wanted = facts.autopilot, MODES[ladder.rung]
    still: Move | None = None
    if status.armed:
        if not ladder.armed:
            ladder = ladder._replace(armed=True)
            still = Move(ladder)
    elif ladder.armed or ladder.rung is Rung.LAND:
        kind = EventKind.LANDED_AND_DISARMED if ladder.rung is Rung.LAND else EventKind.DISARMED
        return change_rung(ladder, Rung.SILENT, kind, None, facts)
    if ladder.rung is Rung.LAND and ladder.confirmed and status.landed and status.mode is not wanted:
        # After a landing PX4 disarms and goes back to its last mode. It reports the mode up to a second earlier.
        return change_rung(ladder, Rung.SILENT, EventKind.LANDED, None, facts)
    if status.mode is wanted:
        return still if ladder.confirmed else Move(ladder._replace(confirmed=True, asked_for=()))
    late = status.mode in ladder.asked_for  # an earlier request of our own, and no pilot
    unchanged = not ladder.confirmed and (late or status.mode is ladder.came_from)
    if unchanged and ladder.rung is Rung.LAND and status.mode in OWN_FLIGHT:
        return still  # nobody but us would have it land: LAND is asked for until it is confirmed
    if not unchanged:
        finding = Finding(Fault.TAKEN_OVER, f"found mode {status.mode.value}, wanted {wanted.value}")
        return change_rung(ladder, Rung.SILENT, EventKind.TAKEN_OVER, finding, facts, changes={"latched": finding})
    if ladder.urgent and facts.now - ladder.since > limits.deaf:
        return change_rung(ladder, Rung.SILENT, EventKind.HOLD_NOT_TAKEN, ladder.latched, facts)
    allowed = limits.mode_timeout + (limits.stream_lead if ladder.rung is Rung.GUIDE else 0.0)
    if facts.now - ladder.since <= allowed:
        return still
    finding = Finding(Fault.MODE_NOT_TAKEN, f"found mode {status.mode.value}, wanted {wanted.value}")
    further = Rung.LAND if ladder.rung is Rung.HOLD else Rung.SILENT
    return change_rung(ladder, further, EventKind.STEPPED_DOWN, finding, facts, changes={"latched": finding})


def mode_request(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Ask | None:
    """What the autopilot must be asked for now, at most every `ask_again` seconds, to take over sooner."""
    pause = limits.ask_to_take_over if ladder.rung in (Rung.HOLD, Rung.LAND) else limits.ask_again
    pause = limits.ask_urgently if ladder.urgent else pause
    if ladder.rung is Rung.SILENT or facts.autopilot is None or facts.now - ladder.asked_at < pause:
        return None
    if ladder.rung in (Rung.HOLD, Rung.LAND):
        return None if ladder.confirmed else Ask.HOLD if ladder.rung is Rung.HOLD else Ask.LAND
    if not ladder.confirmed:
        return Ask.OFFBOARD if facts.now - ladder.since >= limits.stream_lead else None
    return Ask.ARM if ladder.taking_off and not ladder.armed else None
