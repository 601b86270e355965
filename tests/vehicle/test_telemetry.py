"""Telemetry and answers of the simulated vehicle, fact by fact as measured on PX4 v1.17, in virtual time.

- it speaks first; default rates; intervals on request, accepted even where they cannot be reached
- ODOMETRY in NED, also its velocity; time is that of the simulation; the ground truth has no time
- two answers to a mode request; commands for others are ignored
- parameters by name, index and list, integers as bytes
"""

import math
import struct

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl.simulated_px4.simulated_parameters import DEFAULTS

OFFBOARD, LOITER, RTL, LAND, TAKEOFF = 0x00060000, 0x03040000, 0x05040000, 0x06040000, 0x02040000
RATES = {"ATTITUDE": 100, "ATTITUDE_QUATERNION": 50, "HIGHRES_IMU": 50, "LOCAL_POSITION_NED": 30, "ODOMETRY": 30,
         "SYS_STATUS": 5, "EXTENDED_SYS_STATE": 5, "HEARTBEAT": 1}  # fmt: skip


def test_it_sends_first_as_system_1_component_1_in_mavlink_2(rig):
    client = rig()
    client.run(0.1)
    assert client.heard
    for _, message in client.heard:
        assert (message.get_srcSystem(), message.get_srcComponent()) == (1, 1)
        assert message.get_msgbuf()[0] == 0xFD


def test_messages_come_at_px4s_default_rates(rig):
    client = rig()
    client.run(10.0)
    found = {kind: len(client.times(kind)) / 10 for kind in {message.get_type() for _, message in client.heard}}
    assert found == {kind: pytest.approx(hz, rel=0.02, abs=0.11) for kind, hz in RATES.items()}


@pytest.mark.parametrize(
    ("kind", "asked", "given"),
    [
        ("ODOMETRY", 100, 100), ("ODOMETRY", 1000, 125), ("LOCAL_POSITION_NED", 250, 125), ("ATTITUDE_TARGET", 250, 125),
        ("ATTITUDE", 1000, 250), ("ATTITUDE_QUATERNION", 250, 250), ("HIGHRES_IMU", 250, 250),
        ("SERVO_OUTPUT_RAW", 500, 250), ("CURRENT_MODE", 50, 2), ("ODOMETRY", 0, 0),
    ],
)  # fmt: skip
def test_an_interval_is_accepted_and_given_as_far_as_can_be(rig, kind, asked, given):
    client = rig()
    number = getattr(mavlink, f"MAVLINK_MSG_ID_{kind}")
    assert client.ask(client.interval(number, asked)) == [0]
    start = client.now
    client.run(4.0)
    assert len(client.times(kind, start + 0.002)) / 4 == pytest.approx(given, abs=0.51)


def test_100_hz_comes_in_steps_of_4_ms_with_a_mean_of_10(rig):
    client = rig()
    client.ask(client.interval(mavlink.MAVLINK_MSG_ID_ODOMETRY, 100))
    client.run(4.0)
    gaps = np.diff([message.time_usec for message in client.all("ODOMETRY", client.now - 3)]) / 1000
    assert set(np.round(gaps).astype(int)) <= {8, 12, 16} and gaps.mean() == pytest.approx(10, abs=0.05)


def test_the_interval_of_an_unknown_message_fails(rig):
    assert rig().ask(rig.interval(9999, 10)) == [4]


def test_at_rest_it_stands_level_nose_north_at_the_origin(rig):
    client = rig()
    client.run(0.1)
    odometry = client.last("ODOMETRY")
    assert (odometry.frame_id, odometry.child_frame_id) == (1, 1)
    np.testing.assert_allclose(odometry.q, (1, 0, 0, 0), atol=1e-6)
    np.testing.assert_allclose((odometry.x, odometry.y, odometry.z), 0, atol=1e-6)
    attitude = client.last("ATTITUDE")
    np.testing.assert_allclose((attitude.roll, attitude.pitch, attitude.yaw), 0, atol=1e-6)
    imu = client.last("HIGHRES_IMU")
    np.testing.assert_allclose((imu.xacc, imu.yacc, imu.zacc), (0, 0, -9.81), atol=1e-3)


def test_nose_east_is_plus_90_degrees_of_yaw(rig):
    client = rig(yaw=0.0)
    client.run(0.1)
    assert client.last("ATTITUDE").yaw == pytest.approx(math.pi / 2)
    np.testing.assert_allclose(client.last("ODOMETRY").q, (math.sqrt(0.5), 0, 0, math.sqrt(0.5)), atol=1e-6)


def test_velocity_is_in_ned_at_any_heading(rig):
    """The nose points east by the set-point's yaw and the vehicle flies north: vx is positive, vy is zero."""
    client = rig().hover()
    client.run(4, client.position_target(0, 0, -1.5, yaw=math.pi / 2))
    client.run(1.0, client.position_target(4, 0, -1.5, yaw=math.pi / 2))
    odometry, position = client.last("ODOMETRY"), client.last("LOCAL_POSITION_NED")
    assert client.last("ATTITUDE").yaw == pytest.approx(math.pi / 2, abs=0.03)
    assert odometry.vx > 1.0 and abs(odometry.vy) < 0.05 and odometry.z == pytest.approx(-1.5, abs=0.1)
    assert (position.vx, position.vy) == pytest.approx((odometry.vx, odometry.vy), abs=0.1)
    assert client.vehicle.truth.velocity[1] == pytest.approx(odometry.vx, abs=0.15)  # north is y in ENU


def test_time_is_that_of_the_simulation(rig):
    client = rig()
    client.run(1.0)
    odometry, attitude = client.last("ODOMETRY"), client.last("ATTITUDE")
    assert odometry.time_usec == pytest.approx(client.now * 1e6, abs=40_000)
    assert attitude.time_boot_ms == pytest.approx(client.now * 1e3, abs=12)


def test_timesync_is_answered_at_once_with_the_vehicles_time(rig):
    client = rig()
    client.run(1.0)
    client.tell(mavlink.MAVLink_timesync_message(0, 123))
    answer = client.last("TIMESYNC")
    assert (answer.tc1, answer.ts1) == (round(client.now * 1e9), 123)
    client.tell(mavlink.MAVLink_timesync_message(5, 6))
    assert len(client.all("TIMESYNC")) == 1


def test_the_ground_truth_comes_on_request_and_without_a_time(rig):
    client = rig().hover(2.0)
    assert not client.all("HIL_STATE_QUATERNION")
    client.ask(client.interval(mavlink.MAVLINK_MSG_ID_HIL_STATE_QUATERNION, 100))
    client.run(6.0, client.position_target(10, 0, -2.0))
    first, last = client.all("HIL_STATE_QUATERNION")[0], client.last("HIL_STATE_QUATERNION")
    assert first.time_usec == last.time_usec == 0
    assert (first.lat * 1e-7, first.lon * 1e-7) == pytest.approx((47.397742, 8.545594), abs=1e-6)
    north = client.vehicle.truth.position[1]
    assert north > 5 and math.radians((last.lat - 473977420) * 1e-7) * 6371000 == pytest.approx(north, abs=0.05)
    assert last.alt - 489400 == pytest.approx(2000, abs=100)


def test_a_mode_request_gets_two_answers_of_which_the_first_is_always_0(rig):
    client = rig()
    client.run(2.5)
    assert client.ask(client.mode_request(LAND)) == [0, 0]
    assert client.ask(client.mode_request(0x00030000)) == [0, 1]  # Position needs sticks, which nobody has
    assert client.ask(client.mode_request(0x00630000)) == [0, 2]  # no such mode
    assert client.ask(client.command(mavlink.MAV_CMD_DO_SET_MODE, 0, 6)) == [0, 2]  # not flagged as a custom mode
    assert client.mode == LAND


def test_the_heartbeat_reports_the_mode_up_to_1_s_late_and_current_mode_at_once(rig):
    client = rig()
    client.ask(client.interval(mavlink.MAVLINK_MSG_ID_CURRENT_MODE, 50))
    client.run(2.1)
    client.tell(client.mode_request(LAND))
    start = client.now
    client.run(1.1)
    first = {}
    for kind in ("HEARTBEAT", "CURRENT_MODE"):
        first[kind] = min(now for now, m in client.heard if m.get_type() == kind and now > start and m.custom_mode == LAND)
    assert first["CURRENT_MODE"] - start < 0.03
    assert 0.5 < first["HEARTBEAT"] - start <= 1.0


@pytest.mark.parametrize(("system", "component", "answered"), [(1, 1, 1), (0, 0, 1), (2, 1, 0), (1, 50, 0), (1, 0, 1)])
def test_commands_for_others_are_ignored_without_an_answer(rig, system, component, answered):
    message = rig.command(mavlink.MAV_CMD_REQUEST_MESSAGE, 148, system=system, component=component)
    assert rig().ask(message) == [0] * answered


def test_an_unknown_command_is_unsupported(rig):
    assert rig().ask(rig.command(31010)) == [3]


def test_its_version_is_px4_1_17_0(rig):
    client = rig()
    client.ask(client.command(mavlink.MAV_CMD_REQUEST_MESSAGE, 148))
    assert client.last("AUTOPILOT_VERSION").flight_sw_version >> 8 == 0x011100


def value_of(message):
    """The parameter's value: an integer's bytes are in the place of a float."""
    return struct.unpack("<i", struct.pack("<f", message.param_value))[0] if message.param_type == 6 else message.param_value


def test_parameters_are_read_by_name_and_by_index(rig):
    client = rig()
    client.tell(mavlink.MAVLink_param_request_read_message(1, 1, b"CBRK_FLIGHTTERM", -1))
    client.run(0.02)
    by_name = client.last("PARAM_VALUE")
    assert (by_name.param_id, value_of(by_name), by_name.param_type) == ("CBRK_FLIGHTTERM", 121212, 6)
    client.tell(mavlink.MAVLink_param_request_read_message(1, 1, b"", by_name.param_index))
    client.run(0.02)
    assert client.last("PARAM_VALUE").param_id == "CBRK_FLIGHTTERM" and len(client.all("PARAM_VALUE")) == 2
    client.tell(mavlink.MAVLink_param_request_read_message(1, 1, b"NO_SUCH", -1))
    client.run(0.1)
    assert len(client.all("PARAM_VALUE")) == 2


def test_the_list_of_parameters_is_complete_and_has_px4s_defaults(rig):
    client = rig()
    client.tell(mavlink.MAVLink_param_request_list_message(1, 1))
    client.run(1.0)
    listed = client.all("PARAM_VALUE")
    assert [message.param_index for message in listed] == list(range(len(listed)))
    assert {message.param_count for message in listed} == {len(listed)}
    found = {message.param_id: value_of(message) for message in listed}
    assert found == {name: pytest.approx(value) for name, value in DEFAULTS.items()}
    px4 = {"COM_OF_LOSS_T": 1.0, "COM_OBL_RC_ACT": 0, "COM_RC_IN_MODE": 1, "NAV_RCL_ACT": 2, "COM_RCL_EXCEPT": 0,
           "NAV_DLL_ACT": 0, "COM_FAIL_ACT_T": 5.0, "COM_LOW_BAT_ACT": 0, "CBRK_FLIGHTTERM": 121212, "FD_FAIL_R": 60,
           "FD_FAIL_P": 60, "MPC_THR_HOVER": 0.5, "THR_MDL_FAC": 0.0, "MAV_FWDEXTSP": 1,
           "MPC_ACC_UP_MAX": 4.0, "MPC_ACC_DOWN_MAX": 3.0, "MPC_JERK_AUTO": 4.0}  # fmt: skip
    assert {name: found[name] for name in px4} == px4


def test_a_parameter_is_set_and_reported_and_one_of_another_type_is_not_set(rig):
    client = rig()
    client.tell(client.set_parameter("COM_OF_LOSS_T", 0.2), client.set_parameter("COM_OBL_RC_ACT", 4))
    client.run(0.02)
    assert [value_of(message) for message in client.all("PARAM_VALUE")] == [pytest.approx(0.2), 4]
    client.tell(client.set_parameter("COM_OBL_RC_ACT", 5.0))
    client.run(0.02)
    assert value_of(client.last("PARAM_VALUE")) == 4
    assert "COM_OBL_RC_ACT" in client.last("STATUSTEXT").text


def test_the_ground_station_has_a_link_of_its_own(rig, station_port):
    client = rig()
    client.run(2.5)
    client.tell(client.mode_request(LAND), port=station_port)
    client.run(0.02)
    assert [ack.result for ack in client.station.all("COMMAND_ACK")] == [0, 0] and not client.all("COMMAND_ACK")
    assert client.mode == LAND
    assert not client.station.all("ODOMETRY") and client.station.all("ATTITUDE")


def test_random_bytes_and_random_payloads_neither_raise_nor_change_the_mode(rig):
    client = rig()
    client.run(2.5)
    generator = np.random.default_rng(0)
    for _ in range(500):
        client.hear(client.vehicle.receive("onboard", generator.bytes(int(generator.integers(0, 300))), client.now))
    for kind in mavlink.mavlink_map.values():
        for _ in range(5):
            message = kind(*fields(kind, generator.bytes(kind.unpacker.size)))
            for name in ("target_system", "target_component"):
                if hasattr(message, name):
                    setattr(message, name, 1)
            if getattr(message, "command", None) != mavlink.MAV_CMD_DO_SET_MODE:
                client.hear(client.vehicle.receive("onboard", client.encode(message), client.now))
        client.run(0.004)
    assert client.vehicle.readers["onboard"].counts["good"] > 20
    assert client.mode == LOITER and all(math.isfinite(value) for value in client.vehicle.truth.position)


def fields(kind, payload):
    """The arguments of a message whose payload has these bytes."""
    values, named = iter(kind.unpacker.unpack(payload)), {}
    for name, length, size in zip(kind.ordered_fieldnames, kind.lengths, kind.array_lengths, strict=True):
        text = size and length == 1  # a string is one value
        named[name] = next(values) if text or length <= 1 else [next(values) for _ in range(length)]
    return [named[name] for name in kind.fieldnames]
