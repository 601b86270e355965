"""Events in sentences for people, made from the words of their kinds. A bag holds them, and `recognised` reads them."""

import re
from typing import NamedTuple

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.event import Event, EventKind, Obstacle
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.swap_trial import TrialEnd, TrialVerdict

NAMES_ITS_RUNG = (EventKind.ASKED, EventKind.DROPPED, EventKind.TOOK_OFF)


def sentence(event: Event) -> str:
    """An event in words: a change of rung as FROM -> TO: why, one that stays as RUNG: why."""
    if event.rung is None or (event.before is None and event.kind not in NAMES_ITS_RUNG):
        return reason(event)
    change = f"{event.before.name} -> " if event.before is not None and event.before is not event.rung else ""
    return f"{change}{event.rung.name}: {reason(event)}"


def told(event: Event) -> str:
    """An event as messages and bags hold it: severity and sentence."""
    return f"{event.severity}: {sentence(event)}"


def reason(event: Event) -> str:
    """Why an event happened, without its rungs."""
    return event.kind.words.format(
        cause=event.cause,
        detail=event.detail,
        height=event.height,
        who=named(event.cause) if isinstance(event.cause, Identity) else "",
        verdict=verdict_words(event.cause) if isinstance(event.cause, TrialVerdict) else "",
        obstacles="; ".join(_obstacle(one, event) for one in event.obstacles),
    )


def _obstacle(one: Obstacle, event: Event) -> str:
    since, rung = reason(event.since) if event.since is not None else "", event.rung.name if event.rung is not None else ""
    return one.bar.words.format(finding=one.finding, detail=one.detail, since=since, rung=rung)


def named(who: Identity) -> str:
    """A checkpoint by its name and epoch."""
    return f"{who.checkpoint_id} (epoch {who.epoch})"


def verdict_words(verdict: TrialVerdict) -> str:
    """What became of a checkpoint that had taken over, and why."""
    off = f"{verdict.distance:.2f} m off, {verdict.before:.2f} m before"
    if verdict.end is TrialEnd.KEPT:
        return f"{named(verdict.child)} kept: {off}"
    others = f", earlier tuned policies had lost {verdict.others:.2f} m" if verdict.others >= 0.01 else ""
    why = {
        TrialEnd.LOST_COMMAND: "it lost command",
        TrialEnd.WENT_AWAY: off,
        TrialEnd.WORSE: f"{off}{others}",
        TrialEnd.NOT_JUDGED: f"it could not be judged within {verdict.latest:g} s",
    }[verdict.end]
    return f"{named(verdict.child)} rolled back to {named(verdict.parent)}: {why}"


class Recognised(NamedTuple):
    """What a sentence says. kind: None where it is none of ours. request, checkpoint: that it names; None and "": none.

    before: the rung that ended, empty where none did. why: the sentence without its rungs.
    """

    kind: EventKind | None
    request: Request | None = None
    checkpoint: str = ""
    before: str = ""
    why: str = ""


def recognised(text: str) -> Recognised:
    """What a sentence in a bag says: the messages have no other field for it."""
    before = ""
    if change := _CHANGE.match(text):
        before, text = change["before"] or "", text[change.end() :]
    for kind, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(text):
            named = found.groupdict()
            request = Request(named["request"]) if "request" in named else None
            return Recognised(kind, request, named.get("checkpoint", ""), before, text)
    if text.partition(" ")[0] in Fault.__members__:
        return Recognised(EventKind.STEPPED_DOWN if change else EventKind.FAULT, None, "", before, text)
    return Recognised(None, None, "", before, text)


def _pattern(template: str) -> re.Pattern[str]:
    """What a sentence made by this template looks like."""
    requests = "(?P<request>" + "|".join(request.value for request in Request) + ")"
    parts = [
        requests if p == "{cause.value}" else ".*" if p[:1] == "{" else re.escape(p) for p in re.split(r"({.*?})", template)
    ]
    return re.compile("".join(parts), re.DOTALL)


_CHANGE = re.compile(rf"((?P<before>\w+) -> )?({'|'.join(Rung.__members__)}): ")
_CHECKPOINT = r"(?P<checkpoint>.+) \(epoch \d+\) "
_PATTERNS = {kind: _pattern(kind.words) for kind in EventKind if not kind.words.startswith("{")} | {
    EventKind.KEPT: re.compile(_CHECKPOINT + "kept: .*", re.DOTALL),
    EventKind.ROLLED_BACK: re.compile(_CHECKPOINT + "rolled back to .*", re.DOTALL),
    EventKind.NOT_BROUGHT_BACK: re.compile("(?P<checkpoint>.+) has not taken over again"),
}
