"""The adapter in a flight of real processes.

- in a wind it offers a policy that takes over, is kept and holds its place; meanwhile no command is late
- stopped or killed, it leaves the rhythm of commands as it was
"""

import re
import signal
import time

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink
from reactions import GAP, intervals, undisturbed
from rehearsal import SNN

TUNED = 90.0  # s: a busy computer leaves little time for what runs at the lowest priority


def blow(flight, speed):
    """Wind from north, m/s."""
    flight.station.say(mavlink.MAVLink_param_set_message(1, 1, b"SIH_WIND_N", speed, mavlink.MAV_PARAM_TYPE_REAL32))


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_one_that_is_killed_or_stopped_disturbs_no_node(adapting_flight, reaction, number):
    flight = adapting_flight
    before, since = intervals(flight, 1.5), len(flight.status)
    flight.signal("adapter", number)
    reaction(undisturbed(before, intervals(flight, 3.0)), GAP, "largest gap between two commands after the signal")
    assert flight.rung == SNN and not any(status.events for status in flight.status[since:])


def test_in_a_wind_a_tuned_policy_takes_over_and_no_command_is_late(adapting_flight, reaction):
    flight = adapting_flight
    flight.until(lambda: "adapter" in flight.publishers("policy/checkpoint"), 60, "no adapter")
    since, begin = len(flight.status), time.time()
    blow(flight, 3.0)
    try:
        flight.until(lambda: flight.told(" kept: ", since) or flight.rung != SNN, TUNED, "no swap")
        assert flight.rung == SNN, flight.story()
        gaps = np.diff(flight.stamps(since=begin))
        reaction(float(gaps.max()), GAP, "largest gap between two commands while a policy is tuned and takes over")
        (kept,) = (event for status in flight.told(" kept: ", since) for event in status.events)
        after, before = map(float, re.search(r"kept: ([\d.]+) m off, ([\d.]+) m before", kept).groups())
        assert before > 0.06 and after < 0.5 * before
    finally:
        blow(flight, 0.0)
