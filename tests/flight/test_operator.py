"""Faults of set-points, operator and pilot in the air. Each test begins with the policy flying.

- set-points that stop or are wrong, a second and a foreign publisher of commands, messages that do not fit
- a pilot takes over, the remote control is lost: the stack yields
- the estimate jumps, the battery is unknown or critical, the wall is near
"""

import math
import sys
import time

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink
from rehearsal import GUIDE, LAND_MODE, LOITER_MODE, SILENT, SNN
from spike_ctrl_msgs.msg import AutopilotStatus, FlightCommand, SetPoint, VehicleState
from spike_ctrl_msgs.srv import SetTarget

from spike_ctrl_ros.convert import fill

OFF, WRONG = mavlink.FAILURE_TYPE_OFF, mavlink.FAILURE_TYPE_WRONG


def fail(flight, unit, kind):
    flight.station.command(mavlink.MAV_CMD_INJECT_FAILURE, unit, kind)


@pytest.mark.proves("36L")
def test_set_points_that_are_nan_outside_or_stop(flight, reaction):
    stream = {"frame_id": "odom", "velocity": (0.0, 0.0, 0.0), "yaw": 0.0}
    since, begin = len(flight.status), time.monotonic()
    while time.monotonic() - begin < 1.0:
        flight.set_point_out.publish(fill(SetPoint(), position=(0.3, 0.0, 9.0), **stream))
        flight.spin()
    assert flight.told("SET_POINT_OUTSIDE", since)
    last = time.monotonic()
    flight.set_point_out.publish(fill(SetPoint(), position=(float("nan"), 0.0, 0.8), **stream))
    flight.until(lambda: flight.told("SET_POINT_NOT_FINITE", since), 5)
    flight.until(lambda: flight.told("SET_POINT_STOPPED", since), 5)
    reaction(time.monotonic() - last, 0.3, "from the last set-point to the hold")
    answer = flight.call(flight.target_service, SetTarget.Request(trajectory="spiral"))
    assert not answer.success and "found 'spiral', wanted one of hover" in answer.message
    answer = flight.call(flight.target_service, SetTarget.Request(trajectory="step", position=(0.0, 0.0, 1.0), size=4.0))
    assert not answer.success and "trajectory step: found a jump of 4.00 m, wanted at most 3.60" in answer.message
    assert flight.rung == SNN


@pytest.mark.proves("37L")
def test_a_second_commander_leads_to_the_guide_and_bars_an_engagement(flight, reaction):
    since, begin = len(flight.status), time.time()
    second = flight.node.create_publisher(FlightCommand, "command", 1)
    flight.until(lambda: flight.told("SNN -> GUIDE: SECOND_PUBLISHER", since), 5)
    first = flight.until(lambda: flight.stamps(FlightCommand.GUIDE, since=begin), 5)[0]
    reaction(first - begin, 1.0, "from its appearance to the guide's command")
    assert not flight.ask("engage").success
    flight.node.destroy_publisher(second)


FOREIGN = """
import rclpy
from spike_ctrl_msgs.msg import FlightCommand, FlightState, SetPoint
from spike_ctrl_ros import qos
rclpy.init()
node = rclpy.create_node("foreign")
out = node.create_publisher(FlightCommand, "command", qos.STREAM)
point_out = node.create_publisher(SetPoint, "set_point", qos.STREAM)

def answer(state):
    action = [1.0, 1.0, 1.0, 1.0]
    out.publish(FlightCommand(tick=state.tick, layout="rates", commander=FlightCommand.POLICY, action=action))
    point_out.publish(SetPoint(position=[1.5, 1.5, 1.0]))

node.create_subscription(FlightState, "flight_state", answer, qos.STREAM)
print("ready", flush=True)
rclpy.spin(node)
"""


@pytest.mark.proves("39L")
def test_a_foreign_participant_commands_nothing(flight, two_ros_domain_ids):
    # In another domain it is not even there.
    since, refused = len(flight.status), flight.autopilot.refused
    foreign = flight.start("env", f"ROS_DOMAIN_ID={two_ros_domain_ids[0]}", sys.executable, "-c", FOREIGN)
    foreign.wait_for(lambda: "ready" in foreign.lines, 20)
    clock, here = time.monotonic(), flight.station.truth[-1].position
    flight.stays(SNN, 1.0)
    assert flight.autopilot.refused == refused
    foreign.kill()
    # In this domain it is seen, the guide flies, and none of its commands and set-points passes, though they come first.
    foreign = flight.start(sys.executable, "-c", FOREIGN)
    flight.until(lambda: flight.told("SNN -> GUIDE: SECOND_PUBLISHER", since), 20)
    flight.until(lambda: flight.autopilot.refused > refused + 50, 5, "its commands are not refused")
    flight.stays(GUIDE, 1.5)
    # Full thrust and full rates would have thrown it about, the foreign set-point is 1.5 m off.
    moved = [truth for truth in flight.station.truth if truth.time > clock]
    assert max(math.dist(truth.position, here) for truth in moved) < 0.4, "it went where the foreign node wanted it"
    assert max(math.hypot(*truth.velocity) for truth in moved) < 0.8, "it did as the foreign node commanded"
    foreign.kill()


@pytest.mark.proves("40L")
def test_messages_that_do_not_fit_bar_every_engagement_and_name_the_remedy(flight):
    from std_msgs.msg import String

    since = len(flight.status)
    wrong = flight.node.create_publisher(String, "guide/action", 1)  # another type, as of another version
    flight.until(lambda: flight.told("INTERFACE_MISMATCH", since), 5)
    refused = flight.ask("guide") and flight.ask("engage")
    words = "guide/action: found type std_msgs/msg/String of node operator, wanted spike_ctrl_msgs/msg/VehicleAction"
    assert not refused.success and words in refused.message
    flight.node.destroy_publisher(wrong)
    # A topic that nobody publishes
    flight.kill("guide_policy")
    flight.until(lambda: "guide_policy" not in flight.publishers("guide/action"), 10)
    missing = "topic guide/action: found 0 publishers, wanted 1; start the node that publishes it"
    flight.until(lambda: missing in flight.ask("engage").message, 5, missing)


@pytest.mark.proves("41L")
def test_no_parameter_can_be_changed_in_flight(flight):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    for node in ("supervisor", "vehicle_bridge", "snn_policy", "guide_policy"):
        client = flight.node.create_client(SetParameters, f"{node}/set_parameters")
        name = "cage" if node in ("supervisor", "vehicle_bridge") else "airframe"
        wishes = [Parameter(name, value="-9,-9,-1,9,9,9"), Parameter("use_sim_time", value=True)]
        wishes = [wish.to_parameter_msg() for wish in wishes]
        results = flight.call(client, SetParameters.Request(parameters=wishes)).results
        assert len(results) == 2
        for result in results:
            assert not result.successful and "read-only" in result.reason, result
    flight.stays(SNN, 1.5)  # the bridge's heartbeat goes on


@pytest.mark.proves("33L", "33S")
@pytest.mark.parametrize("how", ["pilot", "remote control lost"])
def test_a_pilot_or_a_failsafe_that_takes_over_is_yielded_to(flight, reaction, how):
    since, mode = len(flight.status), LOITER_MODE if how == "pilot" else LAND_MODE
    if how == "pilot":
        flight.station.set_mode(LOITER_MODE)
    else:
        fail(flight, mavlink.FAILURE_UNIT_SYSTEM_RC_SIGNAL, OFF)
    flight.until(lambda: flight.station.mode == mode, 3)
    changed = time.time() - (time.monotonic() - flight.station.modes[-1][0])
    flight.until(lambda: flight.told("SNN -> SILENT: TAKEN_OVER", since), 5)
    for _ in range(5):
        flight.spin()
    last = flight.stamps()[-1]
    reaction(max(last - changed, 0.0), 0.06, "from the autopilot's news of its mode to the last command")
    if how != "pilot":
        flight.until(lambda: flight.told("RC_LOST", since), 2)
        fail(flight, mavlink.FAILURE_UNIT_SYSTEM_RC_SIGNAL, mavlink.FAILURE_TYPE_OK)
        flight.station.set_mode(LOITER_MODE)
    commands = len(flight.commands)
    flight.stays(SILENT, 1.0)
    assert len(flight.commands) == commands


@pytest.mark.proves("35S")
def test_an_unknown_battery_bars_an_engagement_and_a_critical_one_lands(flight, reaction):
    flight.ask("guide")
    fail(flight, mavlink.FAILURE_UNIT_SYSTEM_BATTERY, OFF)
    flight.until(lambda: math.isnan(flight.autopilot.battery), 3)
    refused = flight.ask("engage")
    assert not refused.success and "BATTERY_UNKNOWN" in refused.message and flight.rung == GUIDE
    fail(flight, mavlink.FAILURE_UNIT_SYSTEM_BATTERY, mavlink.FAILURE_TYPE_OK)
    flight.until(lambda: not math.isnan(flight.autopilot.battery), 3)
    flight.engage()
    since, charge = len(flight.status), flight.autopilot.battery
    set_parameter(flight, "BAT_CRIT_THR", min(charge + 0.01, 0.99))
    flight.until(lambda: flight.station.mode == LAND_MODE, 5, "the autopilot lands at a critical battery")
    flight.until(lambda: flight.told("SNN -> SILENT: TAKEN_OVER", since), 2)
    set_parameter(flight, "BAT_CRIT_THR", 0.07)
    flight.station.set_mode(LOITER_MODE)


def set_parameter(flight, name, value):
    flight.station.say(mavlink.MAVLink_param_set_message(1, 1, name.encode(), value, mavlink.MAV_PARAM_TYPE_REAL32))


@pytest.mark.proves("9S")
def test_an_estimate_that_jumps_moves_the_set_point_along(flight, hangar):
    since, states = len(flight.status), flight.listen(VehicleState, "state")
    fail(flight, mavlink.FAILURE_UNIT_SENSOR_GPS, WRONG)
    flight.until(lambda: flight.told("ESTIMATOR_RESET (", since), 5)
    begin = len(states)
    flight.until(lambda: len(states) > begin + 30, 5)
    assert flight.rung == SNN
    worst = max(np.linalg.norm(state.observation[:3]) for state in states)
    assert worst < 0.5, f"the policy saw a step of {worst:.2f} m"
    fail(flight, mavlink.FAILURE_UNIT_SENSOR_GPS, WRONG)  # .68 m once more: too much in all
    flight.until(lambda: flight.told("SNN -> HOLD: ESTIMATOR_RESTLESS", since), 5)
    hangar.kind = None  # the cage has moved along, so the next test begins with a new flight


@pytest.mark.proves("34S")
def test_near_the_wall_the_guide_flies_to_the_centre_and_the_autopilot_holds(flight, hangar, reaction):
    flight.target(2.25, 0.0, 1.0)
    flight.until(lambda: abs(flight.state.position[0] - 2.25) < 0.2 and abs(flight.state.velocity[0]) < 0.1, 10)
    since, clock, points = len(flight.status), time.monotonic(), flight.listen(SetPoint, "set_point")
    fail(flight, mavlink.FAILURE_UNIT_SENSOR_GPS, WRONG)  # .6 m east: as far as it knows it is close to the wall
    flight.until(lambda: flight.told("GUIDE recovers from CAGE_NEAR", since), 5)
    reaction(time.monotonic() - clock, 0.5, "from the jump to the guide's recovery")
    near = flight.state.position
    flight.until(lambda: flight.told("GUIDE -> HOLD: the guide recovered from CAGE_NEAR", since), 10)
    centre = tuple(points[-1].position)
    assert (
        centre[:2] == pytest.approx((0.0, 0.0), abs=0.01) and 1.25 < centre[2] < 2.0
    )  # between ceiling and ground, which moves with the estimate
    left = math.dist(flight.state.position, centre)
    assert left < math.dist(near, centre) - 1.5, f"from {near}: {left:.2f} m are left to the centre"
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.HOLD, 3)
    hangar.kind = None


@pytest.mark.proves("46S")
@pytest.mark.parametrize("trajectory", ["", "figure8"], ids=["hover", "figure8"])
def test_an_estimate_that_drifts_without_satellites_is_landed_by_the_autopilot(flight, reaction, trajectory):
    if trajectory:
        request = SetTarget.Request(trajectory=trajectory, position=(0.0, 0.0, 1.0), size=1.0, period=8.0)
        assert flight.call(flight.target_service, request).success
        flight.until(lambda: math.hypot(*flight.state.velocity) > 0.6, 10)
    since = len(flight.status)
    fail(flight, mavlink.FAILURE_UNIT_SENSOR_GPS, OFF)
    try:
        flight.until(lambda: flight.state.deviation > 0.6, 5, "the estimator tells its doubt")
        begin = time.monotonic()
        flight.until(lambda: flight.station.mode == LAND_MODE, 3)
        reaction(time.monotonic() - begin, 1.0, "from the limit of the deviation to the autopilot's LAND")
        flight.until(lambda: flight.told("SNN -> LAND: ESTIMATE_DOUBTFUL", since), 2)
    finally:
        fail(flight, mavlink.FAILURE_UNIT_SENSOR_GPS, mavlink.FAILURE_TYPE_OK)
    flight.station.set_mode(LOITER_MODE)
