"""Failsafes of the simulated vehicle in the air, as measured on PX4 v1.17, in virtual time.

- the set-point stream stops: the table of COM_OF_LOSS_T and COM_OBL_RC_ACT, and the last set-point until then
- a failsafe stays after its cause has gone, until a mode is requested
- ground station, battery, geofence, attitude
"""

import math

import pytest
from pymavlink.dialects.v20 import development as mavlink

OFFBOARD, LOITER, RTL, LAND, TAKEOFF = 0x00060000, 0x03040000, 0x05040000, 0x06040000, 0x02040000
PLACE = (0, 0, -1.5)


def reaction(client, seconds=2.0):
    """Time (s) from the last set-point until the mode or the arming changes. A set-point has just been sent."""
    commander, start = client.vehicle.commander, client.now
    client.tell(client.attitude_target(0.49))
    mode = commander.mode
    assert client.run(seconds, until=lambda: commander.mode != mode or not commander.armed), "nothing happened"
    return client.now - start


@pytest.mark.parametrize(
    ("parameters", "mode", "after"),
    [
        ({}, RTL, 1.07),
        ({"COM_OBL_RC_ACT": 4}, LAND, 1.06),
        ({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4}, LAND, 0.27),
        ({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 5}, LOITER, 0.30),
        ({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 3}, RTL, 0.27),
    ],
)
def test_when_the_stream_stops_the_mode_changes_after_the_time_out(rig, parameters, mode, after):
    client = rig(parameters).hover()
    assert reaction(client) == pytest.approx(after, abs=0.04)
    assert client.armed and client.mode == mode
    client.run(1.1)
    heartbeat = client.last("HEARTBEAT")
    assert heartbeat.custom_mode == mode and heartbeat.system_status == 5  # critical


def test_loss_action_7_disarms_in_the_air(rig):
    client = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 7}).hover()
    assert reaction(client) == pytest.approx(0.27, abs=0.04)
    assert not client.armed and client.height > 1
    client.run(1.5)
    assert client.height == 0


def test_loss_action_6_stops_the_motors(rig):
    client = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 6}).hover()
    client.run(0.4)
    assert client.vehicle.truth.commands == (0, 0, 0, 0)


@pytest.mark.parametrize(("action", "still"), [(4, 0.6), (5, 0.6)])
def test_hold_and_land_stay_near_the_place_where_the_stream_stopped(rig, action, still):
    client = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": action}).hover()
    client.run(20)
    assert math.hypot(*client.vehicle.truth.position[:2]) < still
    assert client.vehicle.plant.hardest_touchdown < 0.5
    assert client.armed == (action == 5)


@pytest.mark.parametrize(("time_out", "tilt"), [(1.0, 52), (0.2, 7)])
def test_until_the_time_out_it_flies_the_last_set_point(rig, time_out, tilt):
    """1 rad/s of roll as the last command: measured on PX4 52 degrees at 1.0 s and 7 degrees at .2 s."""
    client = rig({"COM_OF_LOSS_T": time_out, "COM_OBL_RC_ACT": 4}).hover(8.0)
    client.tell(client.attitude_target(0.49, (1.0, 0, 0)))
    start, tilts = client.now, []
    client.run(time_out)
    assert client.tilt == pytest.approx(tilt, abs=3)
    assert client.run(1.0, until=lambda: tilts.append(client.tilt) or client.vehicle.commander.mode == LAND)
    assert client.now - start == pytest.approx(time_out + 0.065, abs=0.01)
    assert tilts == sorted(tilts)


def sideways(client, time_out):
    """Distance (m) from where the last set-point, a roll rate, was sent to where it lands 15 s later."""
    x, y, _ = client.vehicle.truth.position
    client.tell(client.attitude_target(0.49, (1.0, 0, 0)))
    client.run(time_out + 15)
    return math.dist(client.vehicle.truth.position[:2], (x, y))


def test_after_a_second_of_roll_it_stops_5_m_away(rig):
    """Measured on PX4: 5.4 m."""
    assert sideways(rig({"COM_OF_LOSS_T": 1.0, "COM_OBL_RC_ACT": 4}).hover(8.0), 1.0) == pytest.approx(5.4, abs=0.6)


def test_after_a_fifth_of_a_second_most_of_the_way_is_the_wandering_of_the_estimate(rig):
    """Measured on PX4 with its sensor noise: .6 m."""
    parameters = {"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4}
    exact, *found = (sideways(rig(parameters, noise=n > 0, seed=n).hover(8.0), 0.2) for n in (0, 1, 2))
    assert exact < 0.15 and sum(found) / 2 == pytest.approx(0.6, abs=0.4)


def test_a_level_last_set_point_keeps_it_near(rig):
    """From 2 m/s with 20 degrees of bank: a client that stops level drifts on, but does not roll over."""
    client = rig({"COM_OF_LOSS_T": 1.0, "COM_OBL_RC_ACT": 4}).hover(8.0)
    client.run(0.4, client.attitude_target(0.49, (1.0, 0, 0)))
    client.tell(client.attitude_target(0.49, mask=7))
    client.run(1.0)
    assert client.mode == OFFBOARD and client.tilt < 2


@pytest.mark.parametrize("hz", [2, 100])
def test_a_stream_of_2_hz_keeps_the_flight_alive(rig, hz):
    client = rig().hover()
    client.run(5, client.position_target(*PLACE), every=1 / hz)
    assert client.mode == OFFBOARD


def test_a_failsafe_stays_when_the_stream_returns_until_a_mode_is_requested(rig):
    client = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 5}).hover()
    client.run(0.5)
    assert client.mode == LOITER
    place = client.position_target(*PLACE)
    client.run(3, place)
    assert client.mode == LOITER
    assert client.ask(client.mode_request(OFFBOARD), place) == [0, 0]
    client.run(1.1, place)
    assert client.mode == OFFBOARD and client.last("HEARTBEAT").system_status == 4


def test_after_a_failsafe_landing_the_mode_is_that_of_before(rig):
    client = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4}).hover()
    assert client.run(30, until=lambda: not client.armed)
    assert client.mode == OFFBOARD


def test_the_time_out_counts_on_the_clock_not_on_the_simulations_time(rig):
    """PX4 multiplies its own time-outs by the speed factor."""
    client = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4}, speed=5.0).hover()
    assert reaction(client) == pytest.approx(5 * 0.2 + 0.065, abs=0.02)


def station_heartbeat():
    return mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3)


@pytest.mark.parametrize(("action", "mode"), [(0, OFFBOARD), (1, LOITER), (2, RTL), (3, LAND)])
def test_a_lost_ground_station_does_what_nav_dll_act_says(rig, station_port, action, mode):
    client = rig({"NAV_DLL_ACT": action}).hover()
    client.tell(station_heartbeat(), port=station_port)
    place = client.position_target(*PLACE)
    client.run(9.8, place)
    assert client.mode == OFFBOARD
    client.run(0.6, place)
    assert client.mode == mode


def remote_control(kind):
    unit = mavlink.FAILURE_UNIT_SYSTEM_RC_SIGNAL
    return mavlink.MAVLink_command_long_message(1, 1, mavlink.MAV_CMD_INJECT_FAILURE, 0, unit, kind, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("parameters", "mode"),
    [
        ({"COM_RC_IN_MODE": 0, "NAV_RCL_ACT": 3}, LAND),
        ({"COM_RC_IN_MODE": 0, "NAV_RCL_ACT": 1}, LOITER),
        ({"COM_RC_IN_MODE": 0, "NAV_RCL_ACT": 3, "COM_RCL_EXCEPT": 4}, OFFBOARD),  # which may go on without
        ({"COM_RC_IN_MODE": 1, "NAV_RCL_ACT": 3}, OFFBOARD),  # there never was one
    ],
)
def test_a_lost_remote_control_does_what_nav_rcl_act_says(rig, parameters, mode):
    client = rig(parameters | {"SYS_FAILURE_EN": 1}).hover()
    place = client.position_target(*PLACE)
    client.ask(remote_control(mavlink.FAILURE_TYPE_OFF), place)
    client.run(0.5, place)
    assert client.mode == mode


def test_a_ground_station_that_was_never_heard_is_not_lost(rig):
    client = rig({"NAV_DLL_ACT": 2}).hover()
    client.run(15, client.position_target(*PLACE))
    assert client.mode == OFFBOARD


@pytest.mark.parametrize(
    ("action", "floor", "mode"), [(0, 0.0, OFFBOARD), (2, 6.0, LAND), (3, 6.0, RTL), (3, 0.0, LAND), (2, 10.0, OFFBOARD)]
)
def test_a_low_battery_does_what_com_low_bat_act_says(rig, action, floor, mode):
    """Critical is below 7 %, emergency below 5 %."""
    client = rig({"COM_LOW_BAT_ACT": action, "SIM_BAT_DRAIN": 12.0, "SIM_BAT_MIN_PCT": floor}).take_off()
    client.run(4, client.position_target(*PLACE))
    assert client.armed and client.mode == mode
    assert any("battery low" in message.text for message in client.all("STATUSTEXT"))


@pytest.mark.parametrize(("action", "mode"), [(0, OFFBOARD), (1, OFFBOARD), (2, LOITER), (3, RTL), (5, LAND)])
def test_the_fence_does_what_gf_action_says(rig, action, mode):
    client = rig({"GF_MAX_HOR_DIST": 2.0, "GF_ACTION": action}).hover()
    client.run(1, client.position_target(1.5, 0, -1.5))
    assert client.mode == OFFBOARD
    client.run(4, client.position_target(4, 0, -1.5))
    assert client.mode == mode
    assert any("geofence" in message.text for message in client.all("STATUSTEXT"))


def test_the_fence_also_has_a_ceiling(rig):
    client = rig({"GF_MAX_VER_DIST": 3.0}).hover()
    client.run(4, client.position_target(0, 0, -5))
    assert client.mode == LOITER


@pytest.mark.parametrize(("breaker", "stopped"), [(121212, False), (0, True)])
def test_beyond_60_degrees_flight_ends_only_where_the_breaker_is_open(rig, breaker, stopped):
    client = rig({"CBRK_FLIGHTTERM": breaker}).hover(8.0)
    client.run(1.0, client.attitude_target(0.49, (2.0, 0, 0)))
    client.run(0.4, client.attitude_target(0.49))
    assert client.tilt > 60 and (client.vehicle.truth.commands == (0, 0, 0, 0)) == stopped


def test_a_severer_failsafe_overrules_a_milder_one_and_not_the_reverse(rig):
    battery = {"SIM_BAT_DRAIN": 14.0, "SIM_BAT_MIN_PCT": 0.0}
    client = rig(battery | {"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 5, "COM_LOW_BAT_ACT": 2}).take_off()
    client.run(1)
    assert client.mode == LOITER
    client.run(5)
    assert client.mode == LAND
    battery = {"SIM_BAT_DRAIN": 14.0, "SIM_BAT_MIN_PCT": 6.0}  # critical: return
    client = rig(battery | {"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4, "COM_LOW_BAT_ACT": 3}).take_off()
    client.run(8)
    assert client.mode == LAND
