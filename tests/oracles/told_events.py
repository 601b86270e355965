"""What the events of a flight tell: by kind and cause; by words only where a test is about the words."""

from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Fault


class ToldEvents:
    """For flights that keep their `events`."""

    def told(self, cause, before=None, rung=None):
        """Whether an event of this kind, fault or request came, and with rungs: changed the rung from one to the other."""
        return any(_matches(event, cause) and (before, rung) in ((None, None), event[4:2:-1]) for event in self.events)

    def refused(self, request, bar):
        """Whether this request was refused, first for this fault or other bar."""
        refused = [event for event in self.events if event.kind is EventKind.REFUSED and event.cause is request]
        return any(bar in (one.bar, one.finding and one.finding.fault) for one in (e.obstacles[0] for e in refused))

    def said(self, words):
        """Whether a sentence has these words."""
        return any(words in sentence(event) for event in self.events)


def _matches(event, cause):
    if isinstance(cause, EventKind):
        return event.kind is cause
    if isinstance(cause, Fault):
        return event.finding is not None and event.finding.fault is cause
    return event.cause is cause
