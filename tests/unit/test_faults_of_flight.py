"""Rows of the fault table that concern companion, autopilot and operator: 19, 30 to 45.

Every scenario begins with the policy engaged in the air at 1 m, at 100 Hz, as `Flight` in conftest.py makes it up.
"""

import math
from dataclasses import replace

import pytest

from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.event import Bar, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.state_checks import StateLimits

NAN = math.nan
SNN, GUIDE, HOLD, LAND, SILENT = Rung


def test_row_30_answers_that_miss_their_deadline_lead_to_the_guide(flight):
    late = []

    def answer(a):
        late.append(a)
        return late[-2]._replace(received=flight.now) if len(late) > 1 else None  # one period late

    flight.policy = answer
    flight.fly(1, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.POLICY_MISSES) and flight.said("answers late by more than 10 ms")


def test_row_30_a_supervisor_that_is_not_scheduled_asks_for_hold_before_the_autopilots_timeout(flight):
    flight.now += 0.14  # states are missing, too, and the guide's answers: but that is not why
    flight.fly()
    assert flight.rung is HOLD and flight.told(Fault.STARVED, SNN, HOLD) and flight.mode is Mode.HOLD


def test_row_19_after_a_stop_of_the_supervisor_no_command_leaves_before_the_autopilot_is_heard_again(flight):
    flight.heard, since = False, flight.now  # in OFFBOARD, as it was then
    flight.now += 0.4
    flight.fly(0.08)
    assert flight.rung is HOLD and flight.told(Fault.STARVED)
    assert set(flight.commanders(since)) <= {CommandedBy.REST}


def test_row_30_many_missed_periods_of_the_supervisor_lead_to_hold(flight):
    flight.settings = replace(flight.settings, state=StateLimits(late_states=100))
    for _ in range(30):
        flight.now += 0.03
        flight.fly()
    assert flight.rung is HOLD and flight.told(Fault.STARVED) and flight.said("control periods missed, wanted at most 20")


def test_row_32_a_lost_ground_station_is_reported_and_left_to_the_autopilot(flight):
    flight.autopilot["ground_station_lost"] = True
    flight.stays(SNN)
    assert flight.told(Fault.GROUND_STATION_LOST)


@pytest.mark.parametrize("mode", [Mode.OTHER, Mode.RETURN, Mode.LAND, Mode.HOLD])
def test_row_33_a_pilot_who_takes_over_is_yielded_to_at_once_and_for_good(flight, mode):
    flight.mode = mode
    flight.fly()
    assert flight.rung is SILENT and flight.commands == [] and flight.said(f"found mode {mode.value}, wanted offboard")
    flight.mode = Mode.OFFBOARD  # the pilot gives it back
    flight.stays(SILENT, 3)
    assert flight.commands == [] and flight.asks == []


def test_row_33_a_lost_remote_control_is_reported_and_left_to_the_autopilot(flight):
    flight.autopilot["rc_lost"] = True
    flight.stays(SNN)
    assert flight.told(Fault.RC_LOST)


def test_row_34_near_the_wall_the_guide_flies_to_the_centre_and_the_autopilot_holds(flight):
    flight.move_origin(2.5, 0.0, 0.0)
    assert flight.rung is SNN
    flight._move, move = lambda: flight.position.__setitem__(0, flight.position[0] + 0.02), flight._move
    flight.fly(1, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.CAGE_NEAR) and flight.position[0] < 2.8
    assert flight.last.set_point.position == pytest.approx((0.0, 0.0, 1.5), abs=1e-3)  # between the ground and the ceiling
    flight._move = move
    flight.fly(5, until=lambda: flight.mode is Mode.HOLD)
    assert math.dist(flight.position, (0.0, 0.0, 1.5)) < 0.1


def test_row_34_a_planner_that_streams_on_does_not_steer_the_recovery_back_to_the_wall(flight):
    flight.move_origin(2.8, 0.0, 0.0)
    flight.fly(0.1, until=lambda: flight.told(EventKind.RECOVERS))
    flight.stream = SetPoint((2.5, 0.0, 1.0))
    flight.ask(Request.GUIDE)  # granted, and no end of the recovery
    flight.give(target=SetPoint((2.5, 0.0, 1.0)))
    flight.fly(1)
    assert flight.last.set_point.position == pytest.approx((0.0, 0.0, 1.5), abs=1e-3)
    assert flight.told(EventKind.TARGET_REFUSED)
    flight.fly(5, until=lambda: flight.mode is Mode.HOLD)
    assert math.dist(flight.position[:2], (0.0, 0.0)) < 2.0


@pytest.mark.parametrize(("asked", "rung"), [(Request.LAND, LAND), (Request.SHUT_DOWN, LAND), (Request.DISENGAGE, HOLD)])
def test_row_34_the_autopilot_gets_no_vehicle_in_motion_because_the_operator_asks_in_a_recovery(flight, asked, rung):
    flight.move_origin(2.8, 0.0, 0.0)
    flight.fly(0.1, until=lambda: flight.told(EventKind.RECOVERS))
    flight.ask(asked)
    assert flight.rung is GUIDE
    flight.fly(5, until=lambda: flight.rung is not GUIDE)
    assert flight.told(EventKind.RECOVERED) and math.dist(flight.position, (0.0, 0.0, 1.5)) < 0.1
    flight.fly(0.1)
    assert flight.rung is rung


@pytest.mark.parametrize(
    ("who", "leans", "rung"),
    [
        ("agrees", 0.2, GUIDE),
        ("objects", 0.2, HOLD),
        ("objects", 0.05, GUIDE),  # as in a gust
        ("objects", -0.2, GUIDE),
        ("no policy answers", 0.2, HOLD),
        ("no policy answers", -0.2, GUIDE),
    ],
)
def test_row_34_a_guide_that_flies_on_to_the_wall_with_no_policy_for_it_does_not_recover(flight, who, leans, rung):
    flight.ask(Request.GUIDE)
    if who == "no policy answers":
        flight.policy = flight.nothing
    flight.fly(0.8)
    if who == "objects":
        flight.policy = lambda answer: answer._replace(action=(0.6, *answer.action[1:]))
    flight.fly(0.2)
    leaning = (0.0, math.sin(leans / 2), 0.0, math.cos(leans / 2))  # to the east, where it flies; else it brakes
    flight.sample = lambda sample: sample._replace(quaternion=leaning, velocity=(0.5, 0.0, 0.0))
    flight.move_origin(2.8, 0.0, 0.0)
    assert flight.rung is rung and bool(flight.told(EventKind.RECOVERS)) is (rung is GUIDE)
    assert bool(flight.said("flies on there")) is (rung is HOLD)


def test_row_34_who_asks_to_land_and_then_to_hold_in_a_recovery_is_held(flight):
    flight.move_origin(2.8, 0.0, 0.0)
    flight.fly(0.1, until=lambda: flight.told(EventKind.RECOVERS))
    flight.ask(Request.LAND)
    flight.ask(Request.DISENGAGE)
    flight.fly(5, until=lambda: flight.rung is not GUIDE)
    flight.stays(HOLD, 2)


def test_row_34_after_a_pilot_has_taken_over_a_recovery_nothing_lands_the_vehicle(flight):
    flight.move_origin(2.8, 0.0, 0.0)
    flight.fly(0.1, until=lambda: flight.told(EventKind.RECOVERS))
    flight.ask(Request.LAND)
    flight.mode = Mode.OTHER
    flight.fly(0.1)
    assert flight.rung is SILENT
    flight.stays(SILENT, 3)


def test_row_34_outside_the_cage_the_autopilot_holds(flight):
    flight.move_origin(3.1, 0.0, 0.0)
    assert flight.rung is HOLD and flight.told(Fault.CAGE_LEFT) and flight.said("0.10 m outside")


@pytest.mark.parametrize(
    ("battery", "fault"),
    [
        ({"battery": 0.25}, "BATTERY_LOW"),
        ({"battery": NAN}, "BATTERY_UNKNOWN"),
        ({"voltage": 0.0}, "BATTERY_UNKNOWN"),
        ({"voltage": NAN}, "BATTERY_UNKNOWN"),
        ({"battery": 1.4}, "BATTERY_UNKNOWN"),
    ],
)
def test_row_35_a_low_or_implausible_battery_bars_an_engagement_and_interrupts_none(flight, battery, fault):
    flight.autopilot |= battery
    flight.stays(SNN)
    flight.ask(Request.GUIDE)
    flight.ask(Request.ENGAGE)
    assert flight.said(f"refused to engage: {fault}")
    flight.stays(GUIDE, 3)


def test_row_35_a_critical_battery_lands(flight):
    flight.autopilot["battery"] = 0.1
    flight.fly()
    assert flight.rung is LAND and flight.mode is Mode.LAND
    flight.fly(3, until=lambda: not flight.armed)
    assert flight.rung is SILENT or flight.fly().rung is SILENT


def test_row_36_when_the_stream_stops_the_set_point_comes_to_rest_where_it_can(flight):
    flight.stream = SetPoint((1.5, 0.0, 1.0))
    flight.fly(0.5)
    flight.stream = None
    flight.fly(0.19)
    assert not flight.told(Fault.SET_POINT_STOPPED)
    flight.fly(0.03)
    moving = flight.last.set_point
    assert flight.told(Fault.SET_POINT_STOPPED) and moving.velocity[0] > 0.5
    flight.fly(3)
    held = flight.last.set_point
    assert 0.5 < held.position[0] - moving.position[0] < 1.2 and held.velocity == (0.0, 0.0, 0.0)
    assert math.dist(held.position, flight.position) < 0.05 and flight.rung is SNN


def test_row_36_a_nan_set_point_is_ignored_counted_and_keeps_no_stream_alive(flight):
    flight.stream = SetPoint((1.0, 0.0, 1.0))
    flight.fly(4)
    flight.stream = SetPoint((1.0, NAN, 1.0))
    flight.fly(0.1)
    assert flight.last.set_point.position == (1.0, 0.0, 1.0) and flight.count(Fault.SET_POINT_NOT_FINITE) >= 10
    flight.fly(0.2)
    assert flight.told(Fault.SET_POINT_STOPPED) and flight.rung is SNN


def test_row_36_the_velocity_of_a_set_point_does_not_lead_out_of_the_cage(flight):
    # The highest set-points are at 2.5 m, and it comes to rest before.
    flight.stream = SetPoint((0.0, 0.0, 1.0), (0.0, -0.5, 10.0))
    for _ in range(30):
        flight.fly(0.1)
        point = flight.last.set_point
        assert (
            point.position[2] < 2.51
            and point.velocity[2] <= math.sqrt(2 * (2.5 - point.position[2])) + 0.05
            and flight.rung is SNN
        )
    assert flight.told(Fault.SET_POINT_OUTSIDE) and flight.said("found 10 m/s towards a wall, wanted at most 2.96 m/s")
    flight.stream = SetPoint((0.0, 0.0, 1.0), (0.0, 0.0, 1e39))  # finite, and not in the float32 of an observation
    flight.stays(SNN, 0.1)
    assert flight.last.set_point.velocity[2] < 3.0


def test_row_36_the_usual_trajectories_keep_their_velocity_to_the_edge_of_the_cage(flight):
    for kind in ("circle", "figure8", "lissajous"):
        flight.give(target=Trajectory(kind, (0.0, 1.499, 1.3), period=5.5))  # its northern edge is where set-points end
        flight.fly(6)
    assert flight.count(Fault.SET_POINT_OUTSIDE) == 0


def test_row_36_a_set_point_that_is_too_far_off_is_refused_and_the_flight_goes_on(flight):
    flight.give(target=SetPoint((-2.4, -2.4, 1.0)))
    flight.fly(6)
    held = flight.last.set_point
    flight.give(target=SetPoint((2.4, 2.4, 1.0)))
    assert flight.said("set-point refused: it is 6.79 m away, wanted at most 3.60 m")
    flight.stays(SNN, 1.0)
    assert flight.last.set_point == held
    flight.stream = SetPoint((2.4, 2.4, 1.0))
    flight.fly(0.3)
    assert flight.told(Fault.SET_POINT_OUTSIDE) and flight.last.set_point == held and flight.rung is SNN


def test_row_36_a_set_point_outside_the_cage_is_clamped(flight):
    flight.give(target=SetPoint((9.0, 0.0, -4.0), (1.0, 0.0, 0.0)))
    flight.fly(6.0)
    x, y, z = flight.last.set_point.position
    assert (x, y, z) == pytest.approx((2.5, 0.0, 0.5), abs=1e-3) and flight.told(Fault.SET_POINT_OUTSIDE)  # over the ground
    assert flight.last.set_point.velocity == (0.0, 0.0, 0.0)


def test_row_36_a_trajectory_that_is_a_little_too_low_is_followed_sideways_as_it_is(flight):
    low = Trajectory("figure8", (0.0, 0.0, 0.48), period=8.0)  # set-points lie half a metre above the ground
    flight.give(target=low)
    flight.fly(16.0)
    points = [output.set_point for _, output in flight.outputs if output.set_point is not None][-800:]
    fastest = max(math.hypot(*low.at(0.01 * tick).velocity) for tick in range(800, 1600))
    assert max(math.hypot(*point.velocity) for point in points) == pytest.approx(fastest, rel=0.01)
    assert all(abs(point.position[2] - 0.5) < 1e-3 and point.velocity[2] == 0.0 for point in points) and flight.rung is SNN


def test_rows_37_and_39_a_second_publisher_leads_to_the_guide_and_bars_an_engagement(flight):
    flight.reports = (Finding(Fault.SECOND_PUBLISHER, "command: found 2 publishers, wanted 1"),)
    flight.fly()
    assert flight.rung is GUIDE
    flight.ask(Request.ENGAGE)
    assert flight.refused(Request.ENGAGE, Fault.SECOND_PUBLISHER)


def test_row_38_dropped_frames_are_counted_and_change_nothing(flight):
    flight.autopilot["dropped"] = 7
    flight.stays(SNN)
    assert flight.told(Fault.FRAMES_DROPPED) and flight.count(Fault.FRAMES_DROPPED) == 1


@pytest.mark.parametrize("fault", [Fault.INTERFACE_MISMATCH, Fault.BAD_PARAMETER])
def test_rows_40_and_41_messages_and_parameters_that_do_not_fit_bar_every_engagement(Flight, fault):
    flight = Flight()
    flight.fly(0.5)
    flight.reports = (Finding(fault, "said a node"),)
    flight.ask(Request.TAKE_OFF)
    assert flight.rung is SILENT and flight.refused(Request.TAKE_OFF, fault)


def test_row_42_an_unusable_recording_is_no_fault_of_a_flight(flight):
    flight.reports = (Finding(Fault.BAG_UNUSABLE, "said replay"),)
    flight.stays(SNN)


def test_row_43_a_shutdown_lands_and_commands_until_the_autopilot_confirms(flight):
    flight.autopilot_obeys = False
    output = flight.ask(Request.SHUT_DOWN)
    assert output.rung is LAND and output.ask is Ask.LAND and not output.finished
    flight.fly(0.3)
    assert flight.commanders() == [CommandedBy.GUIDE] * 30 and not flight.last.finished
    flight.autopilot_obeys = True
    flight.fly(0.5, until=lambda: flight.last.finished)
    assert flight.mode is Mode.LAND


def test_row_43_a_shutdown_while_the_autopilot_holds_lands_too(flight):
    flight.ask(Request.DISENGAGE)
    flight.fly(3, until=lambda: flight.mode is Mode.HOLD)
    flight.fly(1)
    flight.ask(Request.SHUT_DOWN)
    flight.fly(3, until=lambda: flight.mode is Mode.LAND)
    assert flight.told(Request.SHUT_DOWN, HOLD, LAND) and flight.last.finished


def test_row_43_a_shutdown_on_the_ground_is_over_at_once(Flight):
    assert Flight().fly(0.1).ask(Request.SHUT_DOWN).finished


def test_row_43_a_shutdown_that_the_autopilot_ignores_ends_in_silence(flight):
    flight.autopilot_obeys = False
    flight.ask(Request.SHUT_DOWN)
    flight.fly(4, until=lambda: flight.last.finished)
    assert flight.rung is SILENT and flight.commands[-1][1].action == flight.settings.level


def test_row_44_a_stack_that_comes_up_in_the_air_stays_passive(Flight):
    flight = Flight()
    flight.armed, flight.mode, flight.position[2] = True, Mode.OFFBOARD, 1.0
    flight.fly(3)
    assert flight.rung is SILENT and flight.commands == [] and flight.asks == [] and flight.told(Fault.STARTED_IN_THE_AIR)


def test_row_45_a_take_off_with_unmet_conditions_is_refused_with_the_list(Flight):
    flight = Flight(battery=0.2)
    flight.unmet = ("COM_OF_LOSS_T: found 1, wanted at most 0.2 s", "autopilot: its own pre-arm check fails")
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    assert flight.rung is SILENT and flight.asks == []
    (refusal,) = (event for event in flight.events if event.kind is EventKind.REFUSED)
    battery, *unmet = refusal.obstacles
    assert battery.finding.fault is Fault.BATTERY_LOW and [one.bar for one in unmet] == [Bar.UNMET] * 2
    assert tuple(one.detail for one in unmet) == flight.unmet


def test_row_45_without_a_preflight_nothing_is_engaged(Flight):
    flight = Flight()
    flight.unmet = None
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    assert flight.refused(Request.TAKE_OFF, Bar.NO_PREFLIGHT)
