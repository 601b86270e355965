"""What the supervisor reports: each fault when it begins, a start in the air, and a status line once a second. Pure."""

from __future__ import annotations

import math

from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Findings, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState

STATUS_PERIOD = 1.0  # s
REPEAT_TIME = 1.0  # s: a fault that was away for longer is reported again


def report_faults(state: SupervisorState, found: Findings, now: float) -> tuple[SupervisorState, tuple[Event, ...]]:
    """Count the faults, and report each one when it begins."""
    if not found:
        return state, ()
    counts, seen, events = dict(state.counts), dict(state.seen), []
    for finding in found:
        name = finding.fault.name
        if now - seen.get(name, -math.inf) > REPEAT_TIME:
            events.append(Event(now, EventKind.FAULT, finding))
        counts[name], seen[name] = counts.get(name, 0) + 1, now
    return state._replace(counts=counts, seen=seen), tuple(events)


def report_start_in_the_air(state: SupervisorState, inputs: SupervisorInputs) -> tuple[Event, ...]:
    """An event where the very first status of the autopilot shows a vehicle in the air."""
    if state.autopilot is not None or inputs.autopilot is None or not inputs.autopilot.airborne:
        return ()
    finding = Finding(Fault.STARTED_IN_THE_AIR, f"found mode {inputs.autopilot.mode.value}")
    return (Event(inputs.now, EventKind.STARTED_IN_THE_AIR, finding),)


def report_status(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, str | None]:
    """The status line, where it is due."""
    if state.status_due is not None and inputs.now < state.status_due:
        return state, None
    ladder, status = state.ladder, inputs.autopilot
    words = [f"{ladder.rung.name} for {inputs.now - ladder.since:.0f} s"]
    if status is None:
        words.append("autopilot not heard")
    else:
        words += [f"{status.mode.value}, {'armed' if status.armed else 'disarmed'}", f"battery {status.battery:.0%}"]
    if state.sample is not None:
        words.append("at " + ", ".join(f"{p:.2f}" for p in state.sample.position) + " m")
    shadow = f"shadow {state.monitor.describe_agreement(settings.answers)}"
    words.append("policy flies" if ladder.rung is Rung.SNN else shadow)
    if ladder.latched is not None:
        words.append(f"since {ladder.latched.fault.name} the operator must ask again")
    return state._replace(status_due=inputs.now + STATUS_PERIOD), "; ".join(words)
