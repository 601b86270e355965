"""The supervisor: a flight from the ground and back."""

import copy
import math
from dataclasses import replace
from itertools import pairwise

import pytest

from spike_ctrl import airframe
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.event import Bar, EventKind
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.flight_settings import FlightSettings, settings_for
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.request import Request

SNN, GUIDE, HOLD, LAND, SILENT = Rung


def test_a_take_off_streams_idle_asks_for_offboard_then_arms_spools_up_and_climbs(Flight):
    flight = Flight().fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.fly(10, until=lambda: flight.told(EventKind.TOOK_OFF))
    assert flight.asks == [Ask.OFFBOARD, Ask.ARM]
    offboard = next(now for now, output in flight.outputs if output.ask is Ask.OFFBOARD)
    streamed = [c for now, c in flight.commands if now < offboard]
    assert len(streamed) >= 49 and {c.action for c in streamed} == {(-1.0, 0.0, 0.0, 0.0)}
    actions = [c.action for _, c in flight.commands if c.commander is CommandedBy.REST]
    assert actions[-1] == (-0.84, 0.0, 0.0, 0.0) and 95 <= actions.count(actions[-1]) <= 105  # a second of spooling up
    heights = [output.set_point.position[2] for _, output in flight.outputs if output.set_point is not None]
    assert max(b - a for a, b in pairwise(heights)) < 0.006  # half a metre per second
    assert heights[-1] == pytest.approx(1.0, abs=0.15)
    assert flight.rung is GUIDE and CommandedBy.POLICY not in flight.commanders()


def test_the_policy_flies_after_it_agreed_in_shadow_and_the_operator_asked(Flight):
    flight = Flight().take_off()
    flight.fly(3)
    assert flight.rung is GUIDE  # it agrees by now, and nobody asked
    flight.ask(Request.ENGAGE)
    flight.fly(0.05)
    assert flight.rung is SNN and flight.said("differs from the guide by 0.050")
    assert flight.commanders(flight.now - 0.035) == [CommandedBy.POLICY] * 3


def test_an_engagement_waits_for_warm_up_and_comparison(flight):
    flight.ask(Request.GUIDE)
    flight.policy = flight.nothing
    flight.fly(0.2)
    flight.policy = lambda a: a
    flight.fly(0.03)
    flight.ask(Request.ENGAGE)
    begin = flight.now
    flight.fly(2, until=lambda: flight.rung is SNN)
    assert 0.9 < flight.now - begin < 1.0  # 50 answers, 50 compared, 3 before the request


def test_an_autopilot_that_reports_a_landing_in_the_air_does_not_stop_the_rotors(Flight, monkeypatch):
    flight = Flight()
    flight.armed, flight.mode, flight.position = True, Mode.HOLD, [0.0, 0.0, 1.5]
    flight.fly(0.3)
    flight.ask(Request.GUIDE)
    flight.fly(2, until=lambda: flight.mode is Mode.OFFBOARD)
    flight.forget()
    monkeypatch.setattr(type(flight), "landed", True)
    flight.fly(0.2)
    assert flight.commanders() == [CommandedBy.GUIDE] * 20


def test_hand_back_is_the_autopilots_hold_and_the_policy_can_be_engaged_again_from_there(flight):
    flight.ask(Request.DISENGAGE)
    flight.fly(0.1)
    assert flight.rung is HOLD and flight.mode is Mode.HOLD
    flight.fly(1)
    assert flight.commands == []  # the autopilot flies, nothing is sent
    flight.ask(Request.ENGAGE)
    flight.fly(3, until=lambda: flight.rung is SNN)
    assert flight.asks == [Ask.HOLD, Ask.OFFBOARD]


def test_a_landing_is_the_autopilots_and_ends_disarmed_and_passive(flight):
    flight.ask(Request.LAND)
    flight.fly(5, until=lambda: flight.rung is SILENT)
    assert not flight.armed and flight.told(EventKind.LANDED_AND_DISARMED)
    flight.fly(1)
    assert flight.commands == []


def test_a_flight_on_trajectories_stays_with_the_policy(flight):
    for kind in ("circle", "figure8", "square", "lissajous"):
        flight.give(target=Trajectory(kind, (0.0, 0.0, 1.3), size=0.5, period=20.0))
        flight.fly(3)
        moving = flight.last.set_point
        assert flight.rung is SNN and moving.velocity != (0.0, 0.0, 0.0)
    assert not [event for event in flight.events if event.severity != "ok"]


def test_after_a_fault_the_trajectory_ends_and_set_points_are_refused_until_the_operator_engages(flight):
    flight.give(target=Trajectory("circle", (0.0, 0.0, 1.0), period=20.0))
    flight.fly(3)
    flight.policy = flight.nothing
    flight.fly(0.1)
    held = flight.last.set_point
    assert flight.rung is GUIDE and math.dist(held.position, flight.position) < 0.1
    flight.give(target=SetPoint((1.0, 1.0, 1.0)))
    flight.stream = SetPoint((1.0, 1.0, 1.0))
    flight.fly(0.2)
    assert flight.last.set_point == held and flight.told(EventKind.TARGET_REFUSED)


@pytest.mark.parametrize(
    ("request_", "bar"),
    [
        (Request.ENGAGE, Bar.TAKE_OFF_FIRST),
        (Request.GUIDE, Bar.TAKE_OFF_FIRST),
        (Request.DISENGAGE, Bar.NOT_ENGAGED),
        (Request.LAND, Bar.NOT_IN_THE_AIR),
    ],
)
def test_on_the_ground_only_a_take_off_is_possible(Flight, request_, bar):
    flight = Flight().fly(0.5)
    flight.ask(request_)
    flight.fly(1)
    assert flight.rung is SILENT and flight.commands == [] and flight.refused(request_, bar)


@pytest.mark.parametrize("request_", [Request.TAKE_OFF, Request.ENGAGE])
def test_a_request_for_what_flies_already_is_refused_with_that_reason(flight, request_):
    flight.ask(request_)
    assert flight.rung is SNN and flight.refused(request_, Bar.FLIES_ALREADY)


@pytest.mark.parametrize("request_", Request)
def test_a_request_while_the_autopilot_is_not_known_is_refused_or_leads_down(flight, request_):
    output = flight.give(autopilot=None, requests=(request_,))
    assert output.rung is SILENT and output.command is None
    assert request_ is not Request.GUIDE or flight.refused(request_, Bar.NOT_HEARD)


def test_an_autopilot_that_does_not_arm_is_given_up(Flight):
    flight = Flight().fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.fly(1, until=lambda: flight.mode is Mode.OFFBOARD)
    flight.autopilot_obeys = False
    flight.fly(12, until=lambda: flight.rung is SILENT)
    assert flight.told(EventKind.NOT_ARMED) and flight.asks.count(Ask.ARM) > 10 and flight.commands[-1][1].action[0] == -1.0


def test_an_autopilot_that_refuses_offboard_is_given_up(Flight):
    flight = Flight().fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.autopilot_obeys = False
    flight.fly(4, until=lambda: flight.rung is SILENT)
    assert flight.told(Fault.MODE_NOT_TAKEN) and flight.mode is Mode.HOLD and Ask.ARM not in flight.asks


def test_a_vehicle_that_does_not_climb_is_landed(Flight):
    flight = Flight().fly(0.5)
    flight._move = lambda: None
    flight.ask(Request.TAKE_OFF)
    flight.fly(20, until=lambda: flight.told(Fault.TAKE_OFF_FAILED))
    assert flight.rung is LAND


def test_a_fault_before_arming_drops_the_take_off(Flight):
    flight = Flight().fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.fly(0.2)
    flight.guide = flight.nothing
    flight.fly(1)
    assert flight.rung is SILENT and flight.told(EventKind.DROPPED) and flight.asks == []


def test_a_pilot_who_changes_the_mode_while_offboard_is_asked_for_is_not_overruled(Flight):
    flight = Flight().take_off()
    flight.ask(Request.DISENGAGE)
    flight.fly(0.5)
    flight.ask(Request.ENGAGE)
    flight.fly(0.2)
    flight.mode = Mode.OTHER
    flight.fly(2)
    assert flight.rung is SILENT and flight.mode is Mode.OTHER


def test_status_is_one_line_a_second(flight):
    flight.fly(5)
    lines = [output.status for _, output in flight.outputs if output.status is not None]
    assert len(lines) == 5 and all("\n" not in line for line in lines)
    assert lines[-1].startswith("SNN for ") and "offboard, armed; battery 90%; at " in lines[-1]
    flight.ask(Request.LAND)
    flight.fly(until=lambda: flight.rung is LAND)
    flight.state = flight.state._replace(status_due=None)
    flight.fly()
    words = [output.status for _, output in flight.outputs if output.status is not None][-1]
    assert words.startswith("LAND for ") and "shadow" not in words  # its distance from a set-point says nothing there


def test_a_step_does_not_change_the_state_that_it_is_given(flight):
    before = copy.deepcopy(flight.state)
    kept = flight.state
    flight.policy = lambda a: a._replace(action=(math.nan,) * 4)
    flight.fly(0.5)
    flight.ask(Request.LAND)
    assert kept == before and flight.state != before


def test_equal_inputs_give_equal_outputs(flight):
    one, other = copy.deepcopy(flight), copy.deepcopy(flight)
    assert one.fly(1).outputs == other.fly(1).outputs


def test_in_the_layout_motors_all_four_rest(Flight):
    flight = Flight(FlightSettings(layout="motors", hover=0.2)).take_off()
    assert flight.commands[0][1].action == (-1.0,) * 4
    flight.sample, flight.autopilot_obeys = flight.nothing, False
    flight.fly(0.3)
    assert flight.commands[-1][1].action == (0.2,) * 4


def test_the_cage_lies_around_where_the_vehicle_stood(Flight):
    """1 of 4 boots of PX4 stood at z -.53 (barometer), and CAGE_LEFT refused the take-off for ever."""
    flight = Flight()
    flight.position = [4.0, -9.0, -0.53]
    flight.engage()
    assert not flight.told(Fault.CAGE_LEFT) and flight.state.cage(flight.settings).centre[:2] == pytest.approx(
        (4.0, -9.0), abs=1e-3
    )
    flight.give(target=SetPoint((4.0, -6.1, 1.0)))  # .1 m inside the wall
    flight.fly(4.0)
    assert flight.last.set_point.position[1] == pytest.approx(-6.5, abs=1e-3)  # the margin


def test_a_cage_may_be_absolute(Flight):
    settings = replace(FlightSettings(), cage=Cage(relative=False))
    flight = Flight(settings)
    flight.position = [4.0, 0.0, 0.0]
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    assert flight.refused(Request.TAKE_OFF, Fault.CAGE_LEFT)


def test_the_text_of_a_cage_says_whether_it_is_absolute():
    craft = airframe.load("sih_quadx")
    around, fixed = (settings_for(craft, 100.0, prefix + "-2,-2,-0.5,2,2,2.5").cage for prefix in ("", "absolute:"))
    assert around.relative and not fixed.relative and around.high == fixed.high == (2.0, 2.0, 2.5)
