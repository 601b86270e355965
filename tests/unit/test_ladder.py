"""The ladder: what keeps a policy in shadow, what ends an engagement, who commands until the autopilot has taken over."""

import math
from itertools import pairwise

import pytest

from spike_ctrl import airframe
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.answer_checks import (
    Answer,
    AnswerLimits,
    AnswerSource,
    Identity,
    await_answer,
    check_answer,
    check_deadlines,
    record_answer,
)
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.command_choice import CommandedBy, CommandSources, SentCommand, choose_command
from spike_ctrl.flight.event import Bar, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.flight_settings import for_adaptation, settings_for
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.state_checks import Sample

SNN, GUIDE, HOLD, LAND, SILENT = Rung


@pytest.fixture
def pending(flight):
    """The guide flies, the operator has asked for the policy, whose shadow has just begun."""
    flight.ask(Request.GUIDE)
    flight.policy = flight.nothing
    flight.fly(0.1)
    flight.policy = lambda a: a
    flight.fly(0.05)
    flight.ask(Request.ENGAGE)
    flight.fly(0.3)
    assert flight.rung is GUIDE and flight.state.ladder.wanted
    return flight


def test_a_fault_while_the_engagement_is_pending_ends_it_for_good(pending):
    pending.reports = (Finding(Fault.SECOND_PUBLISHER, "two"),)
    pending.fly()
    pending.reports = ()
    pending.stays(GUIDE, 3)
    assert pending.told(EventKind.DROPPED)


def test_while_the_battery_is_low_a_pending_engagement_does_not_happen(pending):
    pending.autopilot["battery"] = 0.2
    pending.stays(GUIDE, 2)
    pending.autopilot["battery"] = 0.9
    pending.fly(0.1, until=lambda: pending.rung is SNN)


@pytest.mark.parametrize("adapts", [True, False])
def test_a_policy_that_differs_steadily_as_in_wind_is_engaged_only_where_it_will_be_tuned(flight, adapts):
    flight.settings = for_adaptation(flight.settings) if adapts else flight.settings
    flight.ask(Request.GUIDE)
    flight.policy = lambda a: a._replace(action=(a.action[0], a.action[1] + 0.5, *a.action[2:]))
    flight.fly(0.5)
    flight.ask(Request.ENGAGE)
    flight.fly(3)
    assert flight.rung is (SNN if adapts else GUIDE) and flight.said("is not steady") is adapts


def test_below_the_ceiling_where_the_guide_may_swing_the_policy_is_not_engaged_before_it_is_lower(flight):
    flight.ask(Request.GUIDE)
    flight.give(target=SetPoint((0.0, 0.0, 2.5)))
    flight.fly(5.0)
    moves = flight._move
    flight._move = lambda: flight.position.__setitem__(2, min(flight.position[2] + 0.01, 2.8))
    flight.fly(1.0)
    flight.ask(Request.ENGAGE)
    flight.fly(0.2)
    assert flight.rung is GUIDE and not flight.told(EventKind.HANDED_OVER) and not flight.told(Fault.CAGE_NEAR)
    flight._move = moves
    flight.fly(8.0, until=lambda: flight.rung is SNN)


def test_another_checkpoint_in_shadow_begins_its_warm_up_anew(flight):
    flight.ask(Request.GUIDE)
    flight.fly(1)
    flight.policy = lambda a: a._replace(identity=Identity("other.safetensors", 1))
    flight.fly(0.05)
    flight.ask(Request.ENGAGE)
    begin = flight.now
    flight.fly(2, until=lambda: flight.rung is SNN)
    assert 0.9 < flight.now - begin < 1.0


def test_on_the_ground_policy_and_guide_are_not_compared(Flight):
    flight = Flight().fly(2)
    assert flight.state.monitor.answers == 200 and flight.state.monitor.compared == 0


def test_the_stack_yields_to_a_pilot_who_goes_back_to_the_mode_before(Flight):
    flight = Flight().take_off()
    assert flight.state.ladder.came_from is Mode.HOLD
    flight.mode = Mode.HOLD
    flight.fly()
    assert flight.rung is SILENT and flight.told(Fault.TAKEN_OVER)


def hold_and_land_at_once(flight):
    """HOLD and, 6 ms later, LAND, while the autopilot still reports OFFBOARD."""
    flight.autopilot_obeys = False
    flight.ask(Request.DISENGAGE)
    flight.now += 0.006
    flight.ask(Request.LAND)
    return flight


def test_the_mode_of_a_request_of_ones_own_is_no_pilot(flight):
    """PX4 v1.17: HOLD and LAND within 6 ms ended as "TAKEN_OVER found mode hold, wanted land"."""
    hold_and_land_at_once(flight)
    flight.mode = Mode.HOLD  # it takes the first one first
    flight.fly(0.05)
    assert flight.rung is LAND and not flight.told(Fault.TAKEN_OVER)
    flight.mode = Mode.LAND
    flight.fly(0.05)
    assert flight.rung is LAND and flight.state.ladder.confirmed
    flight.mode = Mode.HOLD  # and now it is a pilot
    flight.fly(0.05)
    assert flight.rung is SILENT and flight.told(Fault.TAKEN_OVER)


def test_a_landing_that_got_lost_is_asked_for_until_it_is_confirmed(flight):
    hold_and_land_at_once(flight)
    flight.mode = Mode.HOLD
    flight.fly(20.0)
    assert flight.rung is LAND and 185 <= flight.asks.count(Ask.LAND) <= 201  # each .1 s
    flight.autopilot_obeys = True
    flight.fly(1.0, until=lambda: flight.mode is Mode.LAND)
    flight.fly(5.0, until=lambda: flight.rung is SILENT)
    assert flight.told(EventKind.LANDED_AND_DISARMED)


def test_a_landing_from_hold_is_asked_for_until_it_is_confirmed(flight):
    flight.ask(Request.DISENGAGE)
    flight.fly(0.1)
    assert flight.rung is HOLD and flight.state.ladder.confirmed
    flight.autopilot_obeys = False
    flight.ask(Request.LAND)
    flight.fly(10.0)
    assert flight.rung is LAND and flight.asks.count(Ask.LAND) >= 18


def test_a_pilot_who_takes_over_while_a_request_is_under_way_is_left_alone(flight):
    hold_and_land_at_once(flight)
    flight.mode = Mode.OTHER
    flight.fly(0.05)
    assert flight.rung is SILENT and flight.told(Fault.TAKEN_OVER)


def test_an_engagement_is_refused_while_the_guide_recovers_and_it_takes_its_time(flight):
    flight.sample = lambda s: s._replace(velocity=(s.velocity[0], 6.0, 0.0))
    flight.fly(0.05)
    flight.sample = lambda s: s
    rest = flight.now
    flight.fly(0.1)
    flight.ask(Request.ENGAGE)
    assert flight.rung is GUIDE and flight.refused(Request.ENGAGE, Bar.RECOVERING)
    flight.fly(2, until=lambda: flight.rung is HOLD)
    assert flight.now - rest >= flight.settings.ladder.settle_time


def test_a_fault_that_asks_for_hold_on_the_ground_lands(Flight):
    flight = Flight().fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.fly(5, until=lambda: flight.armed)
    flight.guide = flight.nothing
    flight.fly(0.1)
    assert flight.told(Fault.GUIDE_SILENT, GUIDE, LAND) and Ask.HOLD not in flight.asks


@pytest.mark.parametrize("request_", [Request.LAND, Request.SHUT_DOWN])
def test_a_landing_that_is_asked_for_before_the_guide_has_taken_over_lands(flight, request_):
    flight.ask(Request.DISENGAGE)
    flight.fly(3, until=lambda: flight.mode is Mode.HOLD)
    flight.fly(1)
    flight.ask(Request.GUIDE)
    flight.fly(0.1)
    assert flight.rung is Rung.GUIDE and flight.mode is Mode.HOLD
    flight.ask(request_)
    flight.fly(3, until=lambda: flight.mode is Mode.LAND)
    flight.fly(5, until=lambda: not flight.armed)


def test_a_high_take_off_gets_more_time(Flight):
    settings = settings_for(airframe.load("sih_quadx"), 100.0, "-3,-3,-0.5,3,3,14", 12.0)
    flight = Flight(settings)
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.fly(40, until=lambda: flight.said("took off to 11.9"))


def test_a_landing_that_was_asked_for_while_a_pilot_flies_sends_no_command(Flight):
    flight = Flight()
    flight.armed, flight.mode, flight.position[2] = True, Mode.OTHER, 1.0
    flight.fly(0.5)
    flight.autopilot_obeys = False
    flight.ask(Request.LAND)
    flight.fly(1)
    assert flight.rung is LAND and flight.asks.count(Ask.LAND) >= 2 and flight.commands == []


# --- while the autopilot has not taken over yet ---------------------------------------------------------------------


@pytest.fixture
def alone(flight):
    """The guide is lost and the autopilot does not hold yet: the policy keeps the vehicle in the air."""
    flight.guide, flight.autopilot_obeys = flight.nothing, False
    flight.fly(0.1)
    assert flight.rung is HOLD and flight.commanders()[-1] is CommandedBy.POLICY
    return flight


@pytest.mark.parametrize(
    "change",
    [{"action": (math.nan,) * 4}, {"identity": Identity("other.safetensors", 3)}, {"layout": "motors"}],
    ids=["nan", "identity", "layout"],
)
def test_a_policy_that_fails_until_the_autopilot_takes_over_commands_no_more(alone, change):
    tick = alone.tick + 1
    alone.policy = lambda a: a._replace(**change) if a.tick == tick else a
    alone.fly(0.3)
    after = [c for _, c in alone.commands if c.tick >= tick]
    assert [c.commander for c in after if c.commander is not CommandedBy.REST] == []


def test_a_policy_that_the_guide_has_replaced_does_not_command_until_the_autopilot_takes_over(flight):
    flight.ask(Request.GUIDE)
    flight.fly(0.5)
    begin = flight.now
    flight.guide, flight.autopilot_obeys = flight.nothing, False
    flight.fly(0.5)
    assert flight.rung is HOLD and set(flight.commanders(begin)) == {CommandedBy.REST}


# --- answers --------------------------------------------------------------------------------------------------------

LIMITS = AnswerLimits()


def state(tick):
    return Sample(tick, 0.01 * tick, 0.01 * tick, (0.0,) * 3, (0.0, 0.0, 0.0, 1.0), (0.0,) * 3, (0.0,) * 3)


def answer(tick, received):
    return Answer(tick, received, (0.0,) * 4, "rates", Identity("a", 1))


def test_an_answer_to_an_older_state_does_not_answer_the_newer_one():
    source = await_answer(await_answer(AnswerSource(), state(1)), state(2))
    source = record_answer(source, answer(1, 0.021), LIMITS)
    # The guide's deadline is longer, because a policy flies on meanwhile.
    for fault, limit in ((Fault.POLICY_SILENT, 0.025), (Fault.GUIDE_SILENT, 0.08)):
        assert check_deadlines(source, 0.02 + limit - 0.001, LIMITS, fault) == ()
        (finding,) = check_deadlines(source, 0.02 + limit + 0.001, LIMITS, fault)
        assert finding.detail == f"no answer for {1e3 * limit + 1:.0f} ms, wanted one within {1e3 * limit:.0f} ms"
        assert check_deadlines(record_answer(source, answer(2, 0.047), LIMITS), 9.0, LIMITS, fault) == ()


def test_before_anything_is_flown_a_policy_may_take_its_time_for_the_first_answer_alone():
    source, silent = await_answer(AnswerSource(), state(1)), Fault.POLICY_SILENT
    assert check_deadlines(source, 4.9, LIMITS, silent, begins=True) == ()
    assert (
        check_deadlines(source, 5.1, LIMITS, silent, begins=True)[0].detail
        == "no answer for 5090 ms, wanted one within 5000 ms"
    )
    answered = await_answer(record_answer(source, answer(1, 0.012), LIMITS), state(2))
    assert check_deadlines(source, 0.1, LIMITS, silent) and check_deadlines(answered, 0.1, LIMITS, silent, begins=True)


def test_an_answer_that_comes_too_late_to_be_commanded_is_refused():
    source = await_answer(AnswerSource(), state(1))
    assert check_answer(answer(1, 0.034), source, "rates", LIMITS)[1] == ()
    refused, (finding,) = check_answer(answer(1, 0.036), source, "rates", LIMITS)
    assert refused is None and finding == Finding(Fault.ANSWER_STALE, "tick 1 is answered after 26 ms")


def test_an_answer_whose_state_has_become_old_meanwhile_is_not_commanded(flight):
    guide = record_answer(await_answer(AnswerSource(), state(1)), answer(1, 0.012), LIMITS)
    sources = CommandSources(state(1), AnswerSource(), guide, flight.last_status)
    for now, wanted in ((0.034, CommandedBy.GUIDE), (0.036, None)):
        _, chosen, _ = choose_command(
            SentCommand(), sources, Ladder(Rung.GUIDE, confirmed=True, armed=True), GUIDE, now, flight.settings
        )
        assert (chosen.commander if chosen else None) is wanted


@pytest.mark.parametrize("periods", [2, 3, 5])
def test_a_policy_that_always_answers_late_leaves_no_gap_in_the_commands(flight, periods):
    kept = []

    def late(a):
        kept.append(a)
        return kept[-1 - periods]._replace(received=flight.now) if len(kept) > periods else None

    begin, flight.policy = flight.now, late
    flight.fly(0.4)
    times = [begin, *(now for now, _ in flight.commands)]
    assert flight.rung is GUIDE and max(b - a for a, b in pairwise(times)) < 0.035
    assert all(now - c.received <= flight.settings.answers.silent for now, c in flight.commands)
