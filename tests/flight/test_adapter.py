"""The adapter in a flight of real processes: stopped or killed, it leaves the rhythm of commands as it was."""

import signal

import pytest
from reactions import GAP, intervals, undisturbed
from rehearsal import SNN


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_one_that_is_killed_or_stopped_disturbs_no_node(adapting_flight, reaction, number):
    flight = adapting_flight
    before, since = intervals(flight, 1.5), len(flight.status)
    flight.signal("adapter", number)
    reaction(undisturbed(before, intervals(flight, 3.0)), GAP, "largest gap between two commands after the signal")
    assert flight.rung == SNN and not any(status.events for status in flight.status[since:])
