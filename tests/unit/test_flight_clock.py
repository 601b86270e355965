"""The clock of a flight whose vehicle waits for commands, and the commands that are held back so that it waits for all."""

import pytest

from spike_ctrl.flight.answer_checks import AnswerLimits, AnswerSource
from spike_ctrl.flight.command_choice import Command, CommandedBy
from spike_ctrl.flight.flight_clock import FlightClock, HeldBack
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.supervisor_state import SupervisorState
from spike_ctrl.simulated_px4 import pace

LIMITS, PAUSE = AnswerLimits(), FlightSettings.pause
LEVEL = (0.0, 0.0, 0.0, 1.0)


def test_without_pace_it_is_the_computers():
    clock = FlightClock().seen(3.0, 100.0).seen(3.01, 100.5)
    assert clock.now(107.0) == 107.0


def test_in_pace_it_goes_on_from_the_computers_time_by_the_stamps_alone():
    clock = FlightClock(True, PAUSE)
    assert clock.now(100.0) == 100.0
    for number in range(5):
        clock = clock.seen(3.0 + 0.01 * number, 100.0 + 0.4 * number)
        assert clock.now(100.3 + 0.4 * number) == pytest.approx(100.0 + 0.01 * number)


def test_an_answer_that_overtakes_its_state_is_as_old_as_the_state():
    clock = FlightClock(True, PAUSE).seen(3.0, 100.0)
    assert clock.answered(3.01, 100.2) == clock.seen(3.01, 100.3).now(100.3) == pytest.approx(100.01)
    assert clock.answered(2.99, 100.2) == 100.0
    assert FlightClock().answered(3.01, 100.2) == 100.2


def test_without_states_it_runs_on_so_that_silence_is_noticed():
    clock = FlightClock(True, PAUSE).seen(3.0, 100.0)
    assert clock.now(100.0 + PAUSE) == 100.0
    assert clock.now(100.0 + PAUSE + 0.5) == pytest.approx(100.5)
    assert clock.seen(3.01, 100.0 + PAUSE + 0.5).time == pytest.approx(100.5)  # and never goes back
    assert PAUSE > pace.PATIENCE  # a vehicle that waits is not silent


def test_a_vehicle_that_starts_again_does_not_turn_it_back():
    clock = FlightClock(True, PAUSE).seen(30.0, 100.0).seen(0.01, 100.2)
    assert clock.now(100.2) == 100.0
    assert clock.seen(0.02, 100.3).now(100.3) == pytest.approx(100.01)


def state_with(policy_waits, guide_waits, tick=7):
    sample = Sample(tick, 1.0, 10.0, (0, 0, 1), LEVEL, (0, 0, 0), (0, 0, 0))
    sources = [AnswerSource(waiting_since=since) for since in (policy_waits, guide_waits)]
    return SupervisorState(sample=sample, policy=sources[0], guide=sources[1])


def command(tick):
    return Command(tick, 10.0, LEVEL, CommandedBy.POLICY)


@pytest.mark.parametrize(("policy", "guide"), [(10.0, None), (None, 10.0)])
def test_a_command_waits_for_whoever_still_computes_on_its_state(policy, guide):
    waiting, sent, done = HeldBack().released(command(7), state_with(policy, guide), 10.0, LIMITS)
    assert sent is done is None
    waiting, sent, done = waiting.released(None, state_with(None, None), 10.0, LIMITS)
    assert (sent, done, waiting) == (command(7), None, HeldBack(told=7))
    assert waiting.released(None, state_with(None, None), 10.0, LIMITS) == (waiting, None, None)


def test_nobody_waits_for_a_policy_that_has_been_silent_for_longer_than_its_limit():
    silent = state_with(10.0 - 1.1 * LIMITS.silent, None)
    assert HeldBack().released(command(7), silent, 10.0, LIMITS) == (HeldBack(told=7), command(7), None)


def test_a_command_is_sent_once_the_next_state_comes_and_a_newer_one_replaces_it():
    both = state_with(10.0, 10.0, tick=8)
    assert HeldBack(command(7)).released(None, both, 10.0, LIMITS) == (HeldBack(told=7), command(7), None)
    assert HeldBack(command(7)).released(command(8), both, 10.0, LIMITS) == (HeldBack(command(8)), None, None)


def test_where_nobody_commands_it_says_once_that_no_command_follows_when_all_have_answered():
    assert HeldBack().released(None, SupervisorState(), 10.0, LIMITS) == (HeldBack(), None, None)
    assert HeldBack().released(None, state_with(10.0, None), 10.0, LIMITS) == (HeldBack(), None, None)
    assert HeldBack().released(None, state_with(None, None), 10.0, LIMITS) == (HeldBack(told=7), None, 7)
    assert HeldBack(told=7).released(None, state_with(None, None), 10.0, LIMITS) == (HeldBack(told=7), None, None)
