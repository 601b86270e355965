"""What happened in a flight, as a record: its kind, its cause and the rungs. Pure. Sentences for people: event_words.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.faults import Finding, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.swap_trial import TrialVerdict


class EventKind(Enum):
    """What happened. severity: ok, warning or error; empty: that of the fault behind it."""

    def __init__(self, number: int, severity: str = "") -> None:
        self.severity = severity

    # What led to a rung
    NEVER_ENGAGED = 1, "ok"
    PLACED = 2, "ok"  # a test or a simulation put it there; `detail` says why
    ASKED = 3, "ok"  # the operator's request was granted
    STEPPED_DOWN = 4
    TAKEN_OVER = 5, "warning"
    DROPPED = 6, "warning"  # the engagement, by a fault; the rung may stay
    HOLD_NOT_TAKEN = 7, "error"
    NOT_ARMED = 8, "error"
    DISARMED = 9, "warning"
    LANDED = 10, "ok"
    LANDED_AND_DISARMED = 11, "ok"
    RECOVERED = 12, "ok"
    HANDED_OVER = 13, "ok"  # to the checkpoint that is the cause
    # What left the rung as it was
    FAULT = 20  # it begins
    STARTED_IN_THE_AIR = 21, "warning"
    RECOVERS = 22, "warning"
    TOOK_OFF = 23, "ok"
    REFUSED = 24, "warning"  # a request
    TARGET_REFUSED = 25, "warning"
    KEPT = 26, "ok"  # a checkpoint, after its trial
    ROLLED_BACK = 27, "warning"
    NOT_BROUGHT_BACK = 28, "error"  # the parent, which is the cause


class Bar(Enum):
    """What bars a request or a target."""

    SHUTTING_DOWN = auto()
    NOT_ENGAGED = auto()
    LANDS_ALREADY = auto()
    NOT_IN_THE_AIR = auto()
    TAKE_OFF_FIRST = auto()
    NOT_HEARD = auto()
    FAULT = auto()
    NO_PREFLIGHT = auto()
    UNMET = auto()
    NOTHING_SEEN = auto()
    FLIES_ALREADY = auto()
    IN_THE_AIR = auto()
    TAKING_OFF = auto()
    RECOVERING = auto()
    NOT_FREE = auto()
    UNREACHABLE = auto()


class Obstacle(NamedTuple):
    """What bars a request or a target. finding: where it is a fault. detail: found and wanted, in words."""

    bar: Bar
    finding: Finding | None = None
    detail: str = ""


Cause = Finding | Request | TrialVerdict | Identity | None


class Event(NamedTuple):
    """Something that happened at `time` (s, monotonic).

    cause: the fault, request, verdict or checkpoint behind it. rung: in force after it. before: the one before, where it
    changed. obstacles: all that bars what was refused. since: what led to the rung on which it was refused. height: m, of a
    take-off. detail: what was measured, in words.
    """

    time: float
    kind: EventKind
    cause: Cause = None
    rung: Rung | None = None
    before: Rung | None = None
    obstacles: tuple[Obstacle, ...] = ()
    since: Event | None = None
    height: float = math.nan
    detail: str = ""

    @property
    def finding(self) -> Finding | None:
        """The fault behind it; None: there is none."""
        return self.cause if isinstance(self.cause, Finding) else None

    @property
    def severity(self) -> str:
        """ok, warning or error, as in diagnostics."""
        return self.kind.severity or (self.finding.fault.severity if self.finding is not None else "ok")


def answering(events: Sequence[Event], request: Request) -> list[Event]:
    """The events that answer a request, among all of a step: those that refuse it, or else those that grant it."""
    mine = [event for event in events if event.cause is request]
    return [event for event in mine if event.kind is EventKind.REFUSED] or mine
