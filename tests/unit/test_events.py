"""Events: what happened, as kinds and causes; services answer from these. Their sentences, and how a bag is read again."""

import pytest

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.event import Bar, Event, EventKind, Obstacle, answering
from spike_ctrl.flight.event_words import Recognised, reason, recognised, sentence, told
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.swap_trial import TrialEnd, TrialVerdict

SILENT = Finding(Fault.POLICY_SILENT, "no answer for 30 ms, wanted one within 25 ms")
CHILD, PARENT = Identity("hover+1: tuned", 1), Identity("hover", 0)
CAUSES = {
    EventKind.ASKED: Request.TAKE_OFF,
    EventKind.REFUSED: Request.TAKE_OFF,
    EventKind.HANDED_OVER: PARENT,
    EventKind.NOT_BROUGHT_BACK: PARENT,
    EventKind.KEPT: TrialVerdict(TrialEnd.KEPT, CHILD, PARENT, 0.1, 0.2),
    EventKind.ROLLED_BACK: TrialVerdict(TrialEnd.WORSE, CHILD, PARENT, 0.3, 0.2, 0.02),
}


def event_of(kind, **changes):
    return Event(1.0, kind, CAUSES.get(kind, SILENT))._replace(**changes)


def test_every_kind_and_every_obstacle_has_a_sentence():
    assert all(one.words for one in (*EventKind, *Bar)) and len(list(Bar)) == len(Bar.__members__)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (event_of(EventKind.STEPPED_DOWN, rung=Rung.GUIDE, before=Rung.SNN), f"warning: SNN -> GUIDE: {SILENT}"),
        (event_of(EventKind.FAULT), f"warning: {SILENT}"),
        (event_of(EventKind.DROPPED, rung=Rung.GUIDE), f"warning: GUIDE: engagement dropped: {SILENT}"),
        (event_of(EventKind.RECOVERS), f"warning: GUIDE recovers from {SILENT}"),
        (event_of(EventKind.RECOVERED, rung=Rung.HOLD, before=Rung.GUIDE),
         "ok: GUIDE -> HOLD: the guide recovered from POLICY_SILENT"),
        (event_of(EventKind.TOOK_OFF, rung=Rung.GUIDE, height=1.0),
         "ok: GUIDE: took off to 1.00 m; the policy flies in shadow"),
        (event_of(EventKind.ASKED, rung=Rung.GUIDE, before=Rung.SILENT),
         "ok: SILENT -> GUIDE: the operator asked to take off"),
        (event_of(EventKind.REFUSED, rung=Rung.SNN, obstacles=(Obstacle(Bar.FLIES_ALREADY), Obstacle(Bar.FAULT, SILENT))),
         f"warning: refused to take off: SNN flies already; {SILENT}"),
        (event_of(EventKind.TARGET_REFUSED, rung=Rung.HOLD, obstacles=(Obstacle(Bar.NOT_FREE),),
                  since=event_of(EventKind.STEPPED_DOWN)), f"warning: set-point refused: HOLD, {SILENT}"),
        (event_of(EventKind.KEPT), "ok: hover+1: tuned (epoch 1) kept: 0.10 m off, 0.20 m before"),
        (event_of(EventKind.ROLLED_BACK), "warning: hover+1: tuned (epoch 1) rolled back to hover (epoch 0): 0.30 m off, "
                                          "0.20 m before, earlier tuned policies had lost 0.02 m"),
        (event_of(EventKind.NOT_BROUGHT_BACK), "error: hover has not taken over again"),
    ],
)  # fmt: skip
def test_an_event_is_told_in_a_sentence(event, words):
    assert told(event) == words


def test_what_is_read_from_a_bag_is_the_kind_that_was_told_with_its_request_and_checkpoint():
    for kind in EventKind:
        changed = kind in list(EventKind)[: list(EventKind).index(EventKind.FAULT)]
        event = event_of(kind, rung=Rung.GUIDE, before=Rung.SILENT if changed else None, detail="agrees", height=1.0)
        found = recognised(sentence(event))
        if kind not in (EventKind.PLACED, EventKind.TAKEN_OVER, EventKind.HANDED_OVER, EventKind.STARTED_IN_THE_AIR):
            assert found.kind is kind, sentence(event)
        assert found.request is (Request.TAKE_OFF if kind in (EventKind.ASKED, EventKind.REFUSED) else None)
        assert (found.before, found.why) == ("SILENT" if changed else "", reason(event))
        assert not found.checkpoint or found.checkpoint in (CHILD.checkpoint_id, PARENT.checkpoint_id)
    assert recognised("what no supervisor says") == Recognised(None, why="what no supervisor says")


def test_a_request_is_answered_by_its_own_events_whatever_else_happens_in_the_step():
    asked = event_of(EventKind.ASKED, cause=Request.LAND, rung=Rung.LAND, before=Rung.SNN)
    refused = event_of(EventKind.REFUSED, cause=Request.ENGAGE, obstacles=(Obstacle(Bar.SHUTTING_DOWN),))
    step = [event_of(EventKind.FAULT), refused, asked]
    assert answering(step, Request.LAND) == [asked] and answering(step, Request.ENGAGE) == [refused]


def test_a_request_that_was_granted_once_and_then_refused_in_the_same_step_is_refused():
    asked, refused = (event_of(kind) for kind in (EventKind.ASKED, EventKind.REFUSED))
    assert answering([asked, refused], Request.TAKE_OFF) == [refused]


def test_a_request_that_keeps_the_rung_names_it_once():
    lands = Event(0.0, EventKind.ASKED, Request.LAND, Rung.GUIDE, Rung.GUIDE)
    assert sentence(lands) == "GUIDE: the operator asked to land"
    assert sentence(lands._replace(before=Rung.SNN)) == "SNN -> GUIDE: the operator asked to land"
