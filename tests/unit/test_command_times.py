"""How long commands take, told by who gave them."""

import sys
import threading

import pytest
from spike_ctrl_msgs.msg import FlightCommand

from spike_ctrl.flight.answer_checks import KEPT_STATES
from spike_ctrl_flight.bridge_outputs import CommandTimes


def test_policy_and_guide_are_timed_apart_and_nobody_else_is():
    times = CommandTimes()
    for tick, (commander, seconds) in enumerate(((FlightCommand.POLICY, 0.001), (FlightCommand.POLICY, 0.003))):
        times.shown(tick, 0.01 * tick, 5.0)
        times.add(commander, tick, 5.0 + seconds)
    times.add(FlightCommand.REST, 1, 5.5)
    assert str(times).splitlines() == [
        "from a state to its command, policy: median 2.00 ms, p99 2.98 ms, max 3.00 ms over 2 commands",
        "from a state to its command, guide: no command yet",
    ]
    assert list(times.figures()) == ["latency_policy", "latency_guide"]


def test_it_knows_the_stamps_of_the_states_that_a_command_may_answer():
    times = CommandTimes()
    for tick in range(KEPT_STATES + 1):
        times.shown(tick, 3.0 + 0.01 * tick, 50.0)
    assert times.stamp(KEPT_STATES) == 3.0 + 0.01 * KEPT_STATES
    assert times.stamp(0) is None


@pytest.fixture
def hasty_threads():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_states_go_out_in_another_thread_while_commands_are_timed(hasty_threads):
    times, ended = CommandTimes(), threading.Event()

    def show():
        tick = 0
        while not ended.is_set():
            tick += 1
            times.shown(tick, 0.01 * tick, 5.0)

    reader = threading.Thread(target=show)
    reader.start()
    try:
        for tick in range(20_000):
            times.stamp(tick)
            times.add(FlightCommand.POLICY, tick, 6.0)
    finally:
        ended.set()
        reader.join()
