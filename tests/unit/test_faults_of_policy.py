"""Rows of the fault table that concern policy and guide: 2, 7, 10 to 18, 20, 21, 28, 29, 31.

Every scenario begins with the policy engaged in the air at 1 m, at 100 Hz, as `Flight` in conftest.py makes it up.
"""

import itertools
import math
from dataclasses import replace
from itertools import pairwise

import pytest

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.request import Request

NAN, INF = math.nan, math.inf
PERIOD = 0.01
SNN, GUIDE, HOLD, LAND, SILENT = Rung


@pytest.mark.parametrize("value", [NAN, INF])
def test_row_07_an_action_that_is_not_finite_never_leaves_and_the_guide_commands_the_same_tick(flight, value):
    tick = flight.tick + 1
    flight.policy = lambda a: a._replace(action=(0.0, value, 0.0, 0.0))
    flight.fly()
    assert [(c.tick, c.commander) for _, c in flight.commands] == [(tick, CommandedBy.GUIDE)]
    assert flight.said(f"action[1] is {value}") and flight.state.monitor.answers == 0  # the shadow begins anew
    flight.policy = lambda a: a
    flight.needs_the_operator()


def test_row_10_an_action_beyond_the_contract_is_clamped_and_counted(flight):
    flight.policy = lambda a: a._replace(action=(1.5, *a.action[1:])) if a.tick % 3 == 0 else a
    flight.fly(0.3)
    assert max(max(c.action) for _, c in flight.commands) == 1.0
    assert flight.count(Fault.ACTION_CLAMPED) == 10 and flight.rung is SNN


def test_row_10_an_action_that_sits_at_its_limits_leads_to_the_guide(flight):
    flight.policy = flight.guide = lambda a: a._replace(action=(1.0, -1.0, 0.1 * math.sin(a.tick), 0.0))
    begin = flight.now
    flight.fly(2, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.ACTION_SATURATED) and 0.5 < flight.now - begin < 0.7


def test_row_10_no_command_in_the_air_leaves_the_mixer_without_thrust_for_torques(flight):
    flight.policy = flight.guide = lambda a: a._replace(action=(-1.0, *a.action[1:]))
    flight.fly(0.1)
    assert min(c.action[0] for _, c in flight.commands) == -0.75  # a quarter of the hover thrust


def test_row_11_a_command_changes_no_faster_than_the_slew_limit(flight):
    flight.policy = flight.guide = lambda a: a._replace(action=(0.9 if a.tick % 40 < 20 else -0.9, *a.action[1:]))
    flight.fly(1)
    thrusts = [c.action[0] for _, c in flight.commands]
    assert max(abs(a - b) for a, b in pairwise(thrusts)) == pytest.approx(1.0)
    assert min(thrusts) == -0.75 and max(thrusts) == 0.9 and flight.count(Fault.ACTION_SLEWED) == 5


def test_row_11_actions_that_turn_back_every_tick_lead_to_the_guide(flight):
    flight.policy = lambda a: a._replace(action=(0.7 * (-1) ** a.tick, *a.action[1:]))
    flight.fly(2, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.OSCILLATION) and flight.said("actions reverse")


def test_row_11_a_vehicle_that_shakes_leads_to_the_guide(flight):
    flight.sample = lambda s: s._replace(rates=(10.0 * (-1) ** (s.tick // 5), 0.0, 0.0))
    flight.fly(2, until=lambda: flight.rung is GUIDE)
    assert flight.said("body rates are 8.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {"velocity": (s.velocity[0], 6.0, 0.0)}, "speed is 6.00 m/s"),
        (lambda s: {"rates": (13.0, *s.rates[1:])}, "body rate is 13.00 rad/s"),
        (lambda s: {"quaternion": (0.0, math.sin(0.45), 0.0, math.cos(0.45) + 1e-5 * s.rates[0])}, "tilt is 0.90 rad"),
    ],
)
def test_row_12_outside_the_envelope_the_guide_recovers_and_the_autopilot_holds(flight, change, words):
    flight.sample = lambda s: s._replace(**change(s))
    flight.fly(0.1, until=lambda: flight.said(words))
    assert flight.rung is GUIDE
    flight.fly(0.5)
    assert flight.rung is GUIDE  # not at rest yet
    flight.sample = lambda s: s
    flight.fly(1, until=lambda: flight.mode is Mode.HOLD)
    assert flight.told(EventKind.RECOVERED)
    flight.fly(3)
    assert flight.rung is HOLD


def test_row_12_in_a_wind_in_which_no_vehicle_hovers_level_the_guide_recovers(flight):
    def leaning(sample):
        half = math.atan(2 / 9.81) / 2 + sample.quaternion[0]  # against 2 m/s^2
        return sample._replace(quaternion=(math.sin(half), 0.0, 0.0, math.cos(half)))

    flight.sample = lambda s: leaning(s)._replace(rates=(13.0, *s.rates[1:]))
    flight.fly(0.1, until=lambda: flight.rung is GUIDE)
    flight.sample = leaning
    flight.fly(1, until=lambda: flight.rung is HOLD)
    assert flight.told(EventKind.RECOVERED)


def test_row_12_far_from_the_set_point_the_guide_holds_where_the_vehicle_is(flight):
    flight.move_origin(-2.0, -2.0, 0.0)
    flight.fly()
    drifting = itertools.count(step=0.1)
    flight.sample = lambda s: s._replace(position=(s.position[0] + next(drifting), *s.position[1:]))
    flight.fly(1, until=lambda: flight.rung is GUIDE)
    where = flight.state.sample.position
    assert where[0] == pytest.approx(2.05, abs=0.1) and flight.said("error is 4.0")
    assert math.dist(flight.last.set_point.position, where) < 0.05


def test_row_12_a_guide_that_does_not_recover_ends_in_hold(flight):
    flight.sample = lambda s: s._replace(velocity=(s.velocity[0], 6.0, 0.0))
    flight.fly(6, until=lambda: flight.rung is HOLD)
    assert flight.told(Fault.NOT_RECOVERED)


@pytest.mark.parametrize(("fault", "guide"), [("NOT_RECOVERED", lambda a: a), ("GUIDE_SILENT", lambda a: None)])
def test_row_12_a_vehicle_on_the_ground_does_not_hold_but_lands_and_its_rotors_stop(flight, fault, guide):
    flight._move = lambda: flight.position.__setitem__(2, max(flight.position[2] - 0.02, 0.1))
    flight.fly(1, until=lambda: flight.rung is GUIDE)
    flight.fly(1)
    flight.guide = guide
    flight.fly(6, until=lambda: flight.rung is LAND)
    assert flight.told(Fault[fault], GUIDE, LAND) and Ask.HOLD not in flight.asks


def test_row_12_a_vehicle_that_the_autopilot_holds_below_the_take_off_does_not_land(Flight):
    flight = Flight()
    flight.position = [0.0, 0.0, 1.4]  # on a roof
    flight.take_off()
    flight.guide = lambda a: None
    flight.fly(1, until=lambda: flight.rung is HOLD)
    flight._move = lambda: flight.position.__setitem__(2, max(flight.position[2] - 0.02, 0.5))  # a pilot moves it in HOLD
    flight.fly(3)
    assert flight.position[2] == 0.5 and flight.rung is HOLD


def test_row_12_a_fall_is_stopped_while_there_is_room_above_the_ground(flight):
    """At 1.5 m/s a fall takes .12 s for somebody else's thrust to act and 1.5^2 / (2 * 7) m, and .15 m are left."""
    fall = lambda: setattr(flight, "position", [*flight.position[:2], flight.position[2] - 0.015])  # noqa: E731
    flight._move, move = lambda: (fall(), flight.velocity.__setitem__(2, -1.5)), flight._move
    flight.fly(1, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.ENVELOPE) and flight.said("m and falls at 1.50 m/s, wanted at least 0.49 m")
    assert flight.position[2] == pytest.approx(0.49, abs=0.02)
    flight._move, flight.velocity = move, [0.0, 0.0, 0.0]
    flight.fly(5, until=lambda: flight.mode is Mode.HOLD)
    assert flight.told(EventKind.RECOVERED)


def test_row_12_the_ground_is_where_the_vehicle_stood_and_moves_with_the_estimator(Flight):
    flight = Flight()
    flight.position = [0.0, 0.0, 1.4]  # on a roof
    flight.take_off()
    flight.ask(Request.ENGAGE)
    flight.fly(5, until=lambda: flight.rung is SNN)
    flight.give(target=SetPoint((0.0, 0.0, 0.5)))
    flight.fly(4)
    assert flight.last.set_point.position[2] == pytest.approx(1.9, abs=1e-3)
    flight.move_origin(0.0, 0.0, -1.0)
    flight.give(target=SetPoint((0.0, 0.0, 0.2)))
    flight.fly(4)
    assert flight.last.set_point.position[2] == pytest.approx(0.9, abs=1e-2)
    flight._move = lambda: (flight.position.__setitem__(2, flight.position[2] - 0.01), flight.velocity.__setitem__(2, -1.0))
    flight.fly(3, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.ENVELOPE) and flight.position[2] == pytest.approx(0.4 + 0.34, abs=0.02)
    assert flight.last.set_point.position[2] == pytest.approx(0.4 + 0.8, abs=0.01)  # so high it recovers


def test_row_12_a_guide_that_leaves_the_envelope_itself_is_given_up(flight):
    flight.ask(Request.GUIDE)
    flight.fly(0.5)
    flight.sample = lambda s: s._replace(rates=(13.0, *s.rates[1:]))
    flight.fly(0.02, until=lambda: flight.rung is HOLD)
    assert flight.told(Fault.NOT_RECOVERED, GUIDE, HOLD) and flight.said("the guide itself upset the vehicle: ENVELOPE")


@pytest.mark.parametrize(("apart", "leans", "rung"), [(0.6, 0.3, HOLD), (0.1, 0.3, GUIDE), (0.6, 0.0, GUIDE)])
def test_row_12_a_guide_that_leans_to_the_wall_does_not_recover_if_the_policy_objects(flight, apart, leans, rung):
    flight.ask(Request.GUIDE)
    flight.fly(0.6)
    flight.policy = lambda a: a._replace(action=tuple(value + apart for value in a.action))
    flight.fly(0.2)
    assert flight.rung is GUIDE
    flight.move_origin(2.5, 0.0, 0.0)
    leaning = (0.0, math.sin(leans / 2), 0.0, math.cos(leans / 2))  # to the east; level: the wind carries it there
    flight.sample = lambda s: s._replace(quaternion=leaning)
    flight._move = lambda: flight.position.__setitem__(0, flight.position[0] + 0.02)
    flight.fly(1, until=lambda: flight.told(Fault.CAGE_NEAR))
    assert flight.rung is rung and flight.said("the guide itself flew there against the policy: CAGE_NEAR") == (rung is HOLD)


def test_row_12_a_guide_that_has_just_taken_over_may_recover_from_what_comes_then(flight):
    flight.ask(Request.GUIDE)
    flight.fly(0.2)
    flight.sample = lambda s: s._replace(rates=(13.0, *s.rates[1:]))
    flight.fly(0.5)
    assert flight.rung is GUIDE and flight.told(EventKind.RECOVERS)
    flight.sample = lambda s: s._replace(rates=(16.0, *s.rates[1:]))
    flight.fly(0.02, until=lambda: flight.rung is HOLD)
    assert flight.told(Fault.NOT_RECOVERED, GUIDE, HOLD) and flight.said("under the guide the vehicle began to tumble")


def test_row_12_after_a_fault_of_the_policy_the_guide_may_recover_from_any_attitude(flight):
    flight.sample = lambda s: s._replace(rates=(16.0, *s.rates[1:]))
    flight.fly(0.5)
    assert flight.rung is GUIDE and not flight.told(Fault.NOT_RECOVERED)


def test_row_12_a_policy_that_always_answers_the_same_leads_to_the_guide(flight):
    flight.policy = lambda a: a._replace(action=(0.1, 0.2, 0.0, 0.0))
    flight.fly(1, until=lambda: flight.rung is GUIDE)
    assert flight.said("26 equal actions")


@pytest.mark.parametrize(("layout", "rung"), [("rates", SNN), ("motors", GUIDE)])
def test_row_12_where_only_the_gyro_is_noisy_a_calm_policy_is_stuck_if_it_turns_motors(Flight, layout, rung):
    flight = Flight(FlightSettings(layout=layout, hover=0.05)).engage()
    flight.sample = lambda s: s._replace(rates=(0.2 * math.sin(7 * s.tick), 0.2 * math.cos(9 * s.tick), 0.0))
    flight.policy = lambda a: a._replace(action=(0.05, 0.05, 0.05, 0.05 + 0.004 * math.sin(a.tick)))
    flight.fly(2)
    assert flight.rung is rung and flight.told(Fault.ACTION_STUCK) == (rung is GUIDE)


def test_row_12_a_guide_under_which_a_steady_vehicle_begins_to_tumble_is_given_up_at_once(flight):
    flight.sample = lambda s: s._replace(rates=(13.0, *s.rates[1:]))
    flight.fly(0.3, until=lambda: flight.rung is GUIDE)
    flight.sample = lambda s: s._replace(rates=(16.0, *s.rates[1:]))
    flight.fly(0.02, until=lambda: flight.rung is HOLD)
    assert flight.said("under the guide the vehicle began to tumble")


def test_row_12_a_policy_with_all_actions_at_their_limits_is_replaced_within_a_tenth_of_a_second(flight):
    full = lambda a: a._replace(action=(1.0, -1.0, 1.0, 1.0))  # noqa: E731
    flight.policy = flight.guide = full  # a guide that agrees: on the way to a new set-point it need not
    flight.fly(0.1, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.ACTION_SATURATED) and flight.said("all four numbers in 9 answers in a row")


def test_rows_12_and_17_where_policy_and_guide_contradict_each_other_the_autopilot_holds_within_five_ticks(flight):
    flight.policy = lambda a: a._replace(action=(a.action[0], -0.95, *a.action[2:]))
    flight.fly(0.08, until=lambda: flight.rung is HOLD)  # nobody knows which of the two is wrong
    assert flight.told(Fault.DISAGREEMENT) and flight.said("over 4 answers")


def test_row_12_a_policy_that_flies_the_other_way_is_never_engaged(Flight):
    flight = Flight()
    flight.policy = lambda a: a._replace(action=tuple(-3 * x - 0.2 for x in a.action))
    flight.take_off()
    flight.ask(Request.ENGAGE)
    flight.fly(12, until=lambda: not flight.state.ladder.wanted)
    assert flight.rung is GUIDE and flight.told(EventKind.DROPPED)
    assert CommandedBy.POLICY not in flight.commanders()


def test_row_12_a_policy_whose_shadow_sat_at_its_limits_is_engaged_when_that_is_behind_it(Flight):
    """One was let in after 60 such answers of 100, and taken out by its next."""
    flight = Flight()
    flight.take_off()
    flight.policy = flight.guide = lambda a: a._replace(action=(a.action[0], 0.99, -0.99, 0.3 * math.sin(a.tick)))
    flight.fly(0.5)  # they agree all the same
    flight.policy = flight.guide = lambda a: a
    flight.ask(Request.ENGAGE)
    flight.stays(GUIDE, 0.4)
    assert "50 of its last 100 answers at their limits, wanted at most 30" in flight.state.monitor.describe_agreement(
        flight.settings.answers
    )
    flight.fly(1.0, until=lambda: flight.rung is SNN)
    flight.stays(SNN, 1.0)


@pytest.mark.parametrize(("rates", "layer"), [((0.0, 0.1), 0), ((0.2, 0.95), 1), ((NAN, 0.1), 0)])
def test_row_13_a_layer_that_spikes_too_seldom_or_too_often_leads_to_the_guide(flight, rates, layer):
    flight.policy = lambda a: a._replace(spike_rate=rates)
    flight.fly(0.2)
    assert flight.rung is SNN
    flight.fly(0.1, until=lambda: flight.rung is GUIDE)
    assert flight.said(f"layer {layer} spikes at {rates[layer]:.3f}")


@pytest.mark.parametrize("row", [14, 15, 16])
def test_rows_14_to_16_without_the_policys_answers_the_guide_commands_within_three_periods(flight, row):
    last = flight.commands[-1][0] if flight.commands else flight.now
    flight.policy = flight.nothing
    flight.fly(0.2)
    first = next(now for now, c in flight.commands if c.commander is CommandedBy.GUIDE)
    assert flight.rung is GUIDE and flight.told(Fault.POLICY_SILENT) and row in Fault.POLICY_SILENT.rows
    assert first - last <= 3 * PERIOD + 0.002


def test_row_15_a_policy_that_wakes_up_is_refused_and_begins_in_shadow(flight):
    asleep = []
    flight.policy = lambda a: asleep.append(a)  # appends, and gives nothing
    flight.fly(0.5)
    flight.policy = lambda a: a
    for answer in asleep:  # what it says on waking
        flight.give(policy=answer)
    assert flight.count(Fault.ANSWER_STALE) >= len(asleep) - 8 and CommandedBy.POLICY not in flight.commanders()
    assert not flight.state.monitor.agrees(flight.settings.answers)
    flight.stays(GUIDE, 3)
    flight.ask(Request.ENGAGE)
    flight.fly(3, until=lambda: flight.rung is SNN)


def test_row_15_answers_that_overtake_their_states_wait_for_them(flight):
    flight.policy = lambda answer: answer._replace(tick=answer.tick + 1)
    flight.guide = flight.policy
    flight.fly()
    begin = flight.now
    flight.fly(0.5)
    ticks = [command.tick for now, command in flight.commands if now >= begin]
    assert ticks == list(range(flight.tick - 49, flight.tick + 1))  # each with its own state, none before it
    assert set(flight.commanders(begin)) == {CommandedBy.POLICY} and flight.count(Fault.ANSWER_STALE) == 0
    flight.stays(SNN)


@pytest.mark.parametrize(("apart", "missed"), [(0.009, 0), (0.012, 1), (0.024, 1)])
def test_row_02_a_state_that_came_late_after_its_answer_counts_as_a_miss(flight, apart, missed):
    answer = early(flight)
    flight.now += apart
    flight.give(sample=state_after(flight, answer))
    assert flight.commands[-1][1].tick == answer.tick and flight.state.policy.misses & 1 == missed


def test_row_02_a_state_that_came_too_late_after_its_answer_is_not_flown_on(flight):
    answer = early(flight)
    flight.now += 0.026
    flight.give(sample=state_after(flight, answer))
    assert flight.count(Fault.ANSWER_STALE) == 1 and flight.commands[-1][1].tick != answer.tick


def early(flight):
    """The policy's answer to the next state, which has not come."""
    given = []
    flight.policy = lambda answer: given.append(answer) or answer
    flight.fly()
    flight.policy = flight.nothing
    answer = given[0]._replace(tick=flight.tick + 1, received=flight.now)
    flight.give(policy=answer)
    return answer


def state_after(flight, answer):
    last = flight.state.sample
    moved = tuple(p + 1e-4 for p in last.position)
    return last._replace(tick=answer.tick, stamp=flight.now + flight.clock_offset, received=flight.now, position=moved)


def test_row_15_an_answer_to_a_state_that_does_not_exist_is_refused_with_the_next_one(flight):
    flight.policy = lambda answer: answer._replace(tick=answer.tick + 1000)
    flight.fly(0.05)
    assert flight.count(Fault.ANSWER_STALE) == 4 and flight.said("answers tick 1")
    assert flight.rung is GUIDE


def test_row_17_without_the_guide_the_policy_flies_on_only_until_the_autopilot_holds(flight):
    flight.guide, flight.autopilot_obeys = flight.nothing, False
    flight.fly(0.1)
    assert flight.rung is HOLD and flight.told(Fault.GUIDE_SILENT)
    assert flight.commanders(flight.now - 0.04)[-3:] == [CommandedBy.POLICY] * 3  # the heartbeat lasts
    flight.autopilot_obeys = True
    flight.fly(0.6, until=lambda: flight.mode is Mode.HOLD)
    quiet = flight.now + PERIOD
    flight.fly(0.5)
    assert flight.commanders(quiet) == []


def test_row_17_a_guide_that_answers_nan_counts_as_silent(flight):
    flight.guide = lambda a: a._replace(action=(NAN, 0.0, 0.0, 0.0))
    flight.fly()
    assert flight.rung is HOLD and flight.told(Fault.GUIDE_SILENT) and flight.said("action[0] is nan")


@pytest.mark.parametrize("rung", [SNN, GUIDE])
@pytest.mark.parametrize(
    ("action", "words", "seconds"),
    [
        ((-1.0, 0.0, 0.0, 0.0), "the guide commands too little thrust to stay up in 10 answers in a row", 0.11),
        ((0.1, 0.2, 0.0, 0.0), "26 equal actions", 0.3),
    ],
)
def test_row_17_a_guide_whose_answers_let_the_vehicle_fall_counts_as_silent(flight, rung, action, words, seconds):
    if rung is GUIDE:
        flight.ask(Request.GUIDE)
        flight.fly(0.5)
    flight.guide = lambda a: a._replace(action=action)
    flight.policy = lambda a: a._replace(action=(action[0], *a.action[1:]))  # the two do not contradict each other
    flight.fly(seconds, until=lambda: flight.rung is HOLD)
    assert flight.told(Fault.GUIDE_SILENT) and flight.said(words)


def test_row_17_without_guide_nothing_is_engaged(Flight):
    flight = Flight()
    flight.guide = flight.nothing
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    assert flight.rung is SILENT and flight.refused(Request.TAKE_OFF, Fault.GUIDE_SILENT)


@pytest.mark.parametrize("fault", [Fault.LEARNER_LOST, Fault.RECORDER_LOST, Fault.SAVE_FAILED, Fault.MEMORY_GROWS])
def test_rows_18_21_28_29_31_faults_beside_the_control_path_are_reported_and_change_nothing(flight, fault):
    flight.reports = (Finding(fault, "said a node"),)
    flight.stays(SNN)
    assert flight.told(fault) and len(flight.commands) == 50


def test_row_20_a_lost_link_ends_in_silence_and_a_link_that_returns_engages_nothing(flight):
    flight.heard, flight.sample = False, flight.nothing
    flight.fly(0.7)
    assert flight.rung is SILENT and flight.told(Fault.LINK_LOST) and flight.said("link: heard 0.5")
    flight.heard, flight.sample = True, lambda s: s
    flight.forget()
    flight.fly(5)
    assert flight.rung is SILENT and flight.commands == [] and flight.asks == []
    flight.mode = Mode.HOLD
    flight.ask(Request.ENGAGE)
    flight.fly(3, until=lambda: flight.rung is SNN)


@pytest.mark.parametrize(("guided", "rung"), [(0.5, HOLD), (100.0, GUIDE)])
def test_row_12_in_full_motion_the_autopilot_takes_over_from_a_policy_that_commands_motors(flight, guided, rung):
    # The guide was relieved .03 s after it had taken over, for a tumble that it had not begun: 1.9 m/s on the ground.
    flight.settings = replace(flight.settings, envelope=replace(flight.settings.envelope, guided=guided))
    flight.sample = lambda s: s._replace(rates=(7.0, *s.rates[1:]))
    flight.policy = lambda a: a._replace(action=(math.nan, 0.0, 0.0, 0.0))
    flight.fly(0.1, until=lambda: flight.rung is not SNN)
    assert flight.rung is rung
