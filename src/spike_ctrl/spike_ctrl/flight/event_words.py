"""The sentences that people read of events. No decision rests on them. A bag holds them, and `recognised` reads them."""

from __future__ import annotations

import re
from typing import NamedTuple

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.event import Bar, Event, EventKind, Obstacle
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.swap_trial import TrialEnd, TrialVerdict

SENTENCES = {
    EventKind.NEVER_ENGAGED: "passive: never engaged",
    EventKind.PLACED: "{detail}",
    EventKind.ASKED: "the operator asked to {cause.value}",
    EventKind.STEPPED_DOWN: "{cause}",
    EventKind.TAKEN_OVER: "{cause}",
    EventKind.DROPPED: "engagement dropped: {cause}",
    EventKind.HOLD_NOT_TAKEN: "HOLD was not taken in time: {cause}",
    EventKind.NOT_ARMED: "the autopilot did not arm",
    EventKind.DISARMED: "disarmed by the autopilot or a pilot",
    EventKind.LANDED: "landed",
    EventKind.LANDED_AND_DISARMED: "landed and disarmed",
    EventKind.RECOVERED: "the guide recovered from {cause.fault.name}",
    EventKind.HANDED_OVER: "{who} {detail}",
    EventKind.FAULT: "{cause}",
    EventKind.STARTED_IN_THE_AIR: "{cause}",
    EventKind.RECOVERS: "GUIDE recovers from {cause}",
    EventKind.TOOK_OFF: "took off to {height:.2f} m; the policy flies in shadow",
    EventKind.REFUSED: "refused to {cause.value}: {obstacles}",
    EventKind.TARGET_REFUSED: "set-point refused: {obstacles}",
    EventKind.KEPT: "{verdict}",
    EventKind.ROLLED_BACK: "{verdict}",
    EventKind.NOT_BROUGHT_BACK: "{cause.checkpoint_id} has not taken over again",
}
OBSTACLES = {
    Bar.SHUTTING_DOWN: "the stack is shutting down",
    Bar.NOT_ENGAGED: "nothing is engaged: {since}",
    Bar.LANDS_ALREADY: "it lands already",
    Bar.NOT_IN_THE_AIR: "the vehicle is not in the air",
    Bar.TAKE_OFF_FIRST: "the vehicle is not in the air: take off first",
    Bar.NOT_HEARD: "the autopilot has not been heard",
    Bar.FAULT: "{finding}",
    Bar.NO_PREFLIGHT: "the preflight has not run",
    Bar.UNMET: "{detail}",
    Bar.NOTHING_SEEN: "neither state nor autopilot has been seen",
    Bar.FLIES_ALREADY: "{rung} flies already",
    Bar.IN_THE_AIR: "the vehicle is in the air",
    Bar.TAKING_OFF: "the take-off is not finished",
    Bar.RECOVERING: "the guide recovers from {finding.fault.name}",
    Bar.NOT_FREE: "{rung}, {since}",
    Bar.UNREACHABLE: "{detail}",
}
NAMES_ITS_RUNG = (EventKind.ASKED, EventKind.DROPPED, EventKind.TOOK_OFF)


def sentence(event: Event) -> str:
    """An event in words: a change of rung as FROM -> TO: why."""
    if event.before is not None and event.rung is not None:
        return f"{event.before.name} -> {event.rung.name}: {reason(event)}"
    named = event.rung is not None and event.kind in NAMES_ITS_RUNG
    return f"{event.rung.name}: {reason(event)}" if named and event.rung is not None else reason(event)


def told(event: Event) -> str:
    """An event as messages and bags hold it: severity and sentence."""
    return f"{event.severity}: {sentence(event)}"


def reason(event: Event) -> str:
    """Why an event happened, without its rungs."""
    return SENTENCES[event.kind].format(
        cause=event.cause,
        detail=event.detail,
        height=event.height,
        who=named(event.cause) if isinstance(event.cause, Identity) else "",
        verdict=verdict_words(event.cause) if isinstance(event.cause, TrialVerdict) else "",
        obstacles="; ".join(_obstacle(one, event) for one in event.obstacles),
    )


def _obstacle(one: Obstacle, event: Event) -> str:
    since, rung = reason(event.since) if event.since is not None else "", event.rung.name if event.rung is not None else ""
    return OBSTACLES[one.bar].format(finding=one.finding, detail=one.detail, since=since, rung=rung)


def named(who: Identity) -> str:
    """A checkpoint by its name and epoch."""
    return f"{who.checkpoint_id} (epoch {who.epoch})"


def verdict_words(verdict: TrialVerdict) -> str:
    """What became of a checkpoint that had taken over, and why."""
    off = f"{verdict.distance:.2f} m off, {verdict.before:.2f} m before"
    if verdict.end is TrialEnd.KEPT:
        return f"{named(verdict.child)} kept: {off}"
    others = f", {verdict.others:.2f} m were lost by others" if verdict.others >= 0.01 else ""
    why = {
        TrialEnd.LOST_COMMAND: "it lost command",
        TrialEnd.WENT_AWAY: off,
        TrialEnd.WORSE: f"{off}{others}",
        TrialEnd.NOT_JUDGED: f"it could not be judged within {verdict.latest:g} s",
    }[verdict.end]
    return f"{named(verdict.child)} rolled back to {named(verdict.parent)}: {why}"


class Recognised(NamedTuple):
    """What a sentence says. kind: None where it is none of ours. request, checkpoint: that it names; None and "": none."""

    kind: EventKind | None
    request: Request | None = None
    checkpoint: str = ""


def recognised(text: str) -> Recognised:
    """What a sentence in a bag says: the messages have no other field for it."""
    if change := _CHANGE.match(text):
        text = text[change.end() :]
    for kind, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(text):
            named = found.groupdict()
            request = Request(named["request"]) if "request" in named else None
            return Recognised(kind, request, named.get("checkpoint", ""))
    if text.partition(" ")[0] in Fault.__members__:
        return Recognised(EventKind.STEPPED_DOWN if change else EventKind.FAULT)
    return Recognised(None)


def _pattern(template: str) -> re.Pattern[str]:
    """What a sentence made by this template looks like."""
    requests = "(?P<request>" + "|".join(request.value for request in Request) + ")"
    parts = [
        requests if p == "{cause.value}" else ".*" if p[:1] == "{" else re.escape(p) for p in re.split(r"({.*?})", template)
    ]
    return re.compile("".join(parts), re.DOTALL)


_CHANGE = re.compile(rf"(\w+ -> )?({'|'.join(Rung.__members__)}): ")
_CHECKPOINT = r"(?P<checkpoint>.+) \(epoch \d+\) "
_PATTERNS = {kind: _pattern(words) for kind, words in SENTENCES.items() if not words.startswith("{")} | {
    EventKind.KEPT: re.compile(_CHECKPOINT + "kept: .*", re.DOTALL),
    EventKind.ROLLED_BACK: re.compile(_CHECKPOINT + "rolled back to .*", re.DOTALL),
    EventKind.NOT_BROUGHT_BACK: re.compile("(?P<checkpoint>.+) has not taken over again"),
}
