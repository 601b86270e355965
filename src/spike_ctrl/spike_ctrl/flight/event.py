"""What happened in a flight, as a record: its kind, its cause and the rungs. Pure. No decision rests on the words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.faults import Finding, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.swap_trial import TrialVerdict


class EventKind(Enum):
    """What happened. severity: ok, warning or error; empty: that of the fault behind it.

    words: the sentence for people, in whose braces event_words.py writes the event's fields.
    """

    def __init__(self, number: int, severity: str, words: str) -> None:
        self.severity, self.words = severity, words

    # What led to a rung
    NEVER_ENGAGED = 1, "ok", "passive: never engaged"
    PLACED = 2, "ok", "{detail}"  # a test or a simulation put it there; `detail` says why
    ASKED = 3, "ok", "the operator asked to {cause.value}"  # the operator's request was granted
    STEPPED_DOWN = 4, "", "{cause}"
    TAKEN_OVER = 5, "warning", "{cause}"
    DROPPED = 6, "warning", "engagement dropped: {cause}"  # the engagement, by a fault; the rung may stay
    HOLD_NOT_TAKEN = 7, "error", "HOLD was not taken in time: {cause}"
    NOT_ARMED = 8, "error", "the autopilot did not arm"
    DISARMED = 9, "warning", "disarmed by the autopilot or a pilot"
    LANDED = 10, "ok", "landed"
    LANDED_AND_DISARMED = 11, "ok", "landed and disarmed"
    RECOVERED = 12, "ok", "the guide recovered from {cause.fault.name}"
    HANDED_OVER = 13, "ok", "{who} {detail}"  # to the checkpoint that is the cause
    # What left the rung as it was
    FAULT = 20, "", "{cause}"  # it begins
    STARTED_IN_THE_AIR = 21, "warning", "{cause}"
    RECOVERS = 22, "warning", "GUIDE recovers from {cause}"
    TOOK_OFF = 23, "ok", "took off to {height:.2f} m; the policy flies in shadow"
    REFUSED = 24, "warning", "refused to {cause.value}: {obstacles}"  # a request
    TARGET_REFUSED = 25, "warning", "set-point refused: {obstacles}"
    KEPT = 26, "ok", "{verdict}"  # a checkpoint, after its trial
    ROLLED_BACK = 27, "warning", "{verdict}"
    NOT_BROUGHT_BACK = 28, "error", "{cause.checkpoint_id} has not taken over again"  # the parent, which is the cause


class Bar(Enum):
    """What bars a request or a target. words: as of EventKind."""

    def __init__(self, number: int, words: str) -> None:
        self.words = words

    SHUTTING_DOWN = 1, "the stack is shutting down"
    NOT_ENGAGED = 2, "nothing is engaged: {since}"
    LANDS_ALREADY = 3, "it lands already"
    NOT_IN_THE_AIR = 4, "the vehicle is not in the air"
    TAKE_OFF_FIRST = 5, "the vehicle is not in the air: take off first"
    NOT_HEARD = 6, "the autopilot has not been heard"
    FAULT = 7, "{finding}"
    NO_PREFLIGHT = 8, "the preflight has not run"
    UNMET = 9, "{detail}"
    NOTHING_SEEN = 10, "neither state nor autopilot has been seen"
    FLIES_ALREADY = 11, "{rung} flies already"
    IN_THE_AIR = 12, "the vehicle is in the air"
    TAKING_OFF = 13, "the take-off is not finished"
    RECOVERING = 14, "the guide recovers from {finding.fault.name}"
    NOT_FREE = 15, "{rung}, {since}"
    UNREACHABLE = 16, "{detail}"


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
