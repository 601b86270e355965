"""Rows of the fault table that concern checkpoints in flight: 22 to 27.

Every scenario begins with the policy engaged in the air at 1 m, at 100 Hz, as `Flight` in conftest.py makes it up.
"""

from dataclasses import replace

import pytest

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.request import Request

SNN, GUIDE, HOLD, LAND, SILENT = Rung


def test_rows_22_to_26_a_refused_checkpoint_is_reported_and_the_last_good_one_flies_on(flight):
    flight.reports = (Finding(Fault.CHECKPOINT_REFUSED, "new.safetensors: sha256: found 12, wanted 34"),)
    flight.stays(SNN)
    assert flight.said("new.safetensors: sha256")


@pytest.mark.parametrize("change", [{"layout": "motors"}, {"identity": Identity("other.safetensors", 3)}])
def test_row_24_a_layout_or_checkpoint_that_was_not_approved_does_not_command(flight, change):
    flight.policy = lambda a: a._replace(**change)
    flight.fly()
    assert flight.rung is GUIDE and flight.commanders() == [CommandedBy.GUIDE] and flight.told(Fault.WRONG_IDENTITY)


def swap(flight):
    """The policy's node: it takes the checkpoint over at the tick after it was accepted."""
    old, new = flight.policy, Identity("new.safetensors", 4)
    accepted = []
    flight.candidate = lambda a: a if not accepted else None

    def answer(a):
        if any(output.accept == new for _, output in flight.outputs):
            accepted.append(a.tick)
            return a._replace(identity=new)
        return old(a)

    flight.policy = answer
    return accepted


def test_row_27_a_new_checkpoint_takes_over_after_its_shadow_without_a_gap(flight):
    accepted, begin = swap(flight), flight.tick
    flight.fly(3)
    assert accepted[0] - begin == 101  # 50 of warm-up, 50 that agree with the guide
    assert flight.rung is SNN and flight.state.ladder.approved == Identity("new.safetensors", 4)
    assert [c.tick for _, c in flight.commands] == list(range(begin + 1, flight.tick + 1))


def test_row_27_a_new_checkpoint_that_disagrees_never_takes_over(flight):
    swap(flight)
    candidate = flight.candidate
    flight.candidate = lambda a: candidate(a)._replace(action=(0.9, 0.5, -0.5, 0.0))
    flight.fly(3)
    assert flight.rung is SNN and flight.state.ladder.approved == Identity("hover.safetensors", 3)


def test_row_27_a_new_checkpoint_is_refused_while_the_guide_flies(flight):
    flight.ask(Request.GUIDE)
    accepted = swap(flight)
    flight.fly(3)
    assert accepted == [] and flight.told(Fault.SWAP_REFUSED) and flight.said("GUIDE flies")


def test_row_27_a_checkpoint_that_flies_worse_than_the_one_before_is_rolled_back_by_name(flight):
    old, new, back = flight.policy, Identity("new.safetensors", 4), Identity("hover.safetensors", 3)
    flight.fly(2)
    swap(flight)
    flight.fly(2, until=lambda: flight.state.ladder.approved == new)
    child = flight.policy
    flight.policy = lambda a: old(a) if any(output.accept == back for _, output in flight.outputs) else child(a)
    begin = flight.now

    def away(sample):  # as far as the child lets the vehicle go
        metres = 0.3 * min((flight.now - begin) / 2, 1.0)
        return sample._replace(position=(sample.position[0] + metres, *sample.position[1:]))

    flight.sample = away
    limits = replace(flight.settings.consistency, position=5.0)
    flight.settings = replace(flight.settings, consistency=limits)
    flight.fly(6, until=lambda: flight.told(EventKind.ROLLED_BACK))
    flight.fly(1)
    assert flight.rung is SNN and flight.state.ladder.approved == back
    flight.fly(3)  # the child, which still answers in shadow, does not come back
    assert flight.state.ladder.approved == back and flight.said("m off, 0.00 m before")
