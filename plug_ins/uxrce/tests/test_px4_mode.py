"""The external mode of PX4: its handshake, its arming checks, and what follows when PX4 enters or leaves it.

Facts of PX4 1.17 (src/modules/commander) stand here as numbers.
"""

import math

import pytest

from spike_ctrl_uxrce import px4_mode, uxrce
from spike_ctrl_uxrce.px4_mode import ModeFacts, ModeOrder, ModePlace, ModeState

HOLD, SECOND = 4 << 16 | 3 << 24, 4 << 16 | 12 << 24  # custom modes: AUTO.LOITER, the second external mode
PLACE, PATIENCE = ModePlace(mode=24, check=3), 0.2
NEW = ModeState(7)
LISTED = ModeState(8, place=PLACE, heard=100.0, said=("SNN: ready", 0.0))
READY = ModeFacts(100.0, False, False, HOLD, -math.inf, True, ())
AIRBORNE = READY._replace(armed=True, airborne=True)


def flown(seconds, state=LISTED, facts=AIRBORNE, commands=True, period=0.02):
    """State and orders after so long in the mode. PX4 asks for its arming checks every .3 s."""
    orders = []
    for tick in range(round(seconds / period)):
        now = facts.now + tick * period
        state = px4_mode.asked(state, 0xFF, now)
        at = facts._replace(now=now, custom_mode=SECOND, commanded=now if commands else facts.commanded)
        state, more = px4_mode.step(state, at, PATIENCE)
        orders += [(round(now - facts.now, 2), order) for order in more]
    return state, orders


# --- registration -------------------------------------------------------------------------------------------------------


def test_it_asks_once_a_second_for_a_place_while_px4_is_disarmed():
    state, orders = px4_mode.step(NEW, READY, PATIENCE)
    assert orders == (ModeOrder.REGISTER,)
    assert px4_mode.step(state, READY._replace(now=100.9), PATIENCE) == (state, ())
    assert px4_mode.step(state, READY._replace(now=101.1), PATIENCE)[1] == (ModeOrder.REGISTER,)
    assert px4_mode.step(NEW, AIRBORNE, PATIENCE) == (NEW, ())
    assert px4_mode.step(NEW, READY._replace(custom_mode=None), PATIENCE) == (NEW, ())


def test_the_mode_of_a_killed_bridge_is_left_before_a_new_one_is_registered():
    """Else PX4 gives the new one another place, and the switch of the remote control selects the dead one."""
    state, orders = px4_mode.step(NEW, READY._replace(custom_mode=SECOND), PATIENCE)
    assert orders == (ModeOrder.LEAVE,)
    assert px4_mode.step(state, READY._replace(now=100.5), PATIENCE)[1] == ()
    assert px4_mode.step(state, READY._replace(now=101.1), PATIENCE)[1] == (ModeOrder.REGISTER,)


def test_only_the_answer_to_its_own_request_counts():
    given = (PLACE, 100.0)
    for number, name in ((8, "SNN"), (7, "Other")):
        assert px4_mode.replied(NEW, number, name, 1, True, *given) == NEW
    state = px4_mode.replied(NEW, 7, "SNN", 1, True, *given)
    assert state.place == PLACE and state.heard == 100.0 and not px4_mode.unmet(state)
    assert px4_mode.replied(state, 8, "SNN", 1, True, ModePlace(25, 4), 100.1) == state


@pytest.mark.parametrize(("api", "success", "words"), [(2, True, "found version 2"), (1, False, "PX4 refused the mode SNN")])
def test_a_refusal_bars_the_flight_in_words(api, success, words):
    state = px4_mode.replied(NEW, 7, "SNN", api, success, PLACE, 100.0)
    assert state.place is None
    (one,) = px4_mode.unmet(state)
    assert words in str(one) and one.blocks


def test_mavlink_and_ros_number_the_modes_from_11_and_23():
    assert PLACE.custom_mode == SECOND == 201588736
    assert px4_mode.is_external(ModePlace(23, 0).custom_mode) and px4_mode.is_external(ModePlace(30, 0).custom_mode)
    assert not any(map(px4_mode.is_external, (HOLD, 6 << 16, 3 << 16, 4 << 16 | 19 << 24)))


def test_a_place_is_lost_when_px4_no_longer_asks_and_a_new_one_is_asked_for():
    """After a reboot of PX4, or when it has dropped the mode; in the air it would not give another."""
    late = READY._replace(now=101.6)
    state, orders = px4_mode.step(LISTED, late, PATIENCE)
    assert orders == (ModeOrder.UNREGISTER,) and state.place is None
    assert px4_mode.step(state, late._replace(now=102.7), PATIENCE)[1] == (ModeOrder.REGISTER,)
    assert px4_mode.step(LISTED, AIRBORNE._replace(now=101.6), PATIENCE)[0].place == PLACE


@pytest.mark.parametrize(("mask", "counts"), [(0b1000, True), (0b0111, False), (None, True)])
def test_a_question_counts_while_px4_knows_the_arming_check(mask, counts):
    assert px4_mode.asked(LISTED, mask, 101.0).heard == (101.0 if counts else 100.0)


# --- arming checks ------------------------------------------------------------------------------------------------------


def test_px4_is_told_why_it_may_not_arm():
    barred = READY._replace(unmet=("battery: found 12%, wanted at least 30%; charge or change it", "another"))
    reasons = px4_mode.objections(LISTED, barred, PATIENCE)
    answer, (event,) = px4_mode.answer(PLACE, 5, reasons, False), px4_mode.events(reasons, False)
    assert (answer["request_id"], answer["registration_id"], answer["num_events"]) == (5, 3, 1)
    assert answer["can_arm_and_run"] is False
    assert event["id"] == 1 << 24 | 4261821  # check_failure_detector_ext in PX4's own list of events
    state, orders = px4_mode.step(LISTED, barred, PATIENCE)
    assert orders == (ModeOrder.SAY,) and state.said[0] == "SNN: battery: found 12%, wanted at least 30%; (+1)"
    assert len(state.said[0]) == 50
    assert px4_mode.step(state, READY._replace(now=100.1), PATIENCE)[1] == ()  # no more than one text in 5 s
    state, orders = px4_mode.step(px4_mode.asked(state, None, 105.0), READY._replace(now=105.1), PATIENCE)
    assert orders == (ModeOrder.SAY,) and state.said[0] == "SNN: ready"


def test_it_may_arm_when_the_preflight_is_met_and_a_supervisor_is_there():
    assert px4_mode.objections(LISTED, READY, PATIENCE) == ()
    assert px4_mode.objections(LISTED, READY._replace(unmet=None), PATIENCE) == ("preflight has not run",)
    assert px4_mode.objections(LISTED, READY._replace(supervised=False), PATIENCE) == ("no supervisor",)
    answer = px4_mode.answer(PLACE, 5, (), False)
    assert answer["can_arm_and_run"] is True and answer["num_events"] == 0
    assert answer["mode_req_local_position"] is True  # PX4 ends the mode when it loses its position


def test_an_unmet_condition_does_not_end_a_flight_that_the_supervisor_flies():
    state, _ = flown(1.0)
    barred = AIRBORNE._replace(now=101.0, custom_mode=SECOND, commanded=100.99, unmet=("battery",))
    assert px4_mode.objections(state, barred, PATIENCE) == ()
    silent = barred._replace(now=101.3)
    assert px4_mode.objections(state, silent, PATIENCE) == ("nobody commands",)
    (event,) = px4_mode.events(("nobody commands",), True)
    assert event["id"] == 1 << 24 | 3087815  # check_modes_offboard_signal


# --- entered and left ---------------------------------------------------------------------------------------------------


def test_set_points_leave_in_the_mode_only():
    assert not LISTED.active
    state, _ = flown(0.1)
    assert state.active
    state, _ = px4_mode.step(state, AIRBORNE._replace(now=100.2), PATIENCE)
    assert not state.active


def test_a_pilot_who_chooses_the_mode_in_the_air_engages():
    _, orders = flown(0.1, commands=False)
    assert orders == [(0.0, ModeOrder.ENGAGE)]


def test_the_supervisors_own_change_of_mode_engages_nobody():
    assert flown(0.1)[1] == []  # it commands already


def test_a_choice_on_the_ground_engages_nobody():
    assert flown(0.1, facts=READY, commands=False)[1] == []


def test_px4_leaves_the_mode_when_nobody_commands():
    """A supervisor that never began has .5 s, one that fell silent .2 s; PX4 would fly the last set-point until 1.3 s."""
    orders = flown(1.0, commands=False)[1]
    assert [at for at, order in orders if order is ModeOrder.LEAVE] == pytest.approx([0.52, 0.72, 0.92], abs=0.021)
    state, _ = flown(1.0)
    _, orders = flown(0.5, state, AIRBORNE._replace(now=101.0, commanded=100.98), commands=False)
    leaving = [at for at, order in orders if order is ModeOrder.LEAVE]
    assert leaving[0] == pytest.approx(0.2, abs=0.021) and len(leaving) == 2


def test_px4_leaves_the_mode_when_the_way_to_it_is_cut():
    """The agent is gone: commands leave, but PX4 asks nothing any more. It hears of that over MAVLink."""
    state, _ = flown(1.0)
    facts = AIRBORNE._replace(custom_mode=SECOND)
    for now, leaves in ((101.6, False), (101.7, True)):
        orders = px4_mode.step(state, facts._replace(now=now, commanded=now), PATIENCE)[1]
        assert (ModeOrder.LEAVE in orders) is leaves


def test_disarmed_nobody_has_to_command():
    state, orders = flown(2.0, facts=READY, commands=False)
    assert state.active and orders == []


# --- fields -------------------------------------------------------------------------------------------------------------


def test_all_that_is_sent_are_fields_of_its_message():
    fields = px4_mode.fields("1.17")
    for message, sent in (
        ("RegisterExtComponentRequest", px4_mode.registration(NEW)),
        ("UnregisterExtComponent", px4_mode.farewell(PLACE)),
        ("ArmingCheckReply", px4_mode.answer(PLACE, 5, (), False)),
        ("VehicleControlMode", px4_mode.configuration(PLACE, "rates")),
        ("Event", px4_mode.events(("a",), False)[0]),
    ):
        assert set(sent) <= set(fields[message]) and sent["timestamp"] == 0
    assert px4_mode.registration(NEW)["name"] == [83, 78, 78] + [0] * 22


@pytest.mark.parametrize(("layout", "on"), [("rates", {"offboard", "rates", "allocation"}), ("motors", {"offboard"})])
def test_px4_runs_the_loops_below_the_set_point_and_lets_sticks_take_over(layout, on):
    found = px4_mode.configuration(PLACE, layout)
    assert found["source_id"] == 24
    assert {name for name, value in found.items() if value is True} == {f"flag_control_{one}_enabled" for one in on}


def test_px4_1_17_has_two_fields_more():
    older, newer = px4_mode.fields("1.15"), px4_mode.fields("1.17")
    assert px4_mode.fields("1.16") == older
    more = {name: set(newer[name]) - set(older[name]) for name in newer if newer[name] != older[name]}
    assert more == {
        "ArmingCheckRequest": {"valid_registrations_mask"},
        "ArmingCheckReply": {"mode_req_global_position_relaxed"},
    }
    assert "ArmingCheckRequest.valid_registrations_mask: found no such field" in uxrce.unfit("1.17", older, newer)
    assert "release/1.18" not in (why := uxrce.unfit("1.18", newer, newer)) and "wanted one of 1.15, 1.16, 1.17" in why
