"""Offboard set-points and their effect on the vehicle's true state, fact by fact, in PX4's FRD and NED.

- body rates with mask 128, attitude with mask 7, position with PX4's position mask; all others do nothing
- neither rates nor thrust are clamped to PX4's own limits
- step responses, motor order and hover thrust as measured
"""

import math

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl import airframe

HOVER = airframe.load("sih_quadx").hover


def respond(rig, rates, seconds=0.3, **options):
    """True body rates (FRD) after some time with this set-point, from a hover."""
    client = rig().hover(8.0) if not options.pop("low", False) else rig().hover()
    client.run(seconds, client.attitude_target(HOVER, rates, **options))
    return client


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["roll", "pitch", "yaw"])
def test_body_rates_turn_about_the_axes_of_frd(rig, axis):
    rates = [0.0, 0.0, 0.0]
    rates[axis] = 0.5
    found = respond(rig, rates).rates_frd
    assert found[axis] == pytest.approx(0.5, abs=0.1 if axis < 2 else 0.3) and found[axis] > 0.15
    np.testing.assert_allclose(np.delete(found, axis), 0, atol=0.02)


def test_roll_to_the_right_flies_east_and_nose_down_flies_north(rig):
    """The nose points north."""
    right = respond(rig, (0.5, 0, 0), 1.0, low=True).vehicle.truth.velocity
    assert right[0] > 0.5 and abs(right[1]) < 0.05
    nose_down = respond(rig, (0, -0.5, 0), 1.0, low=True).vehicle.truth.velocity
    assert nose_down[1] > 0.5 and abs(nose_down[0]) < 0.05


def test_positive_yaw_rate_turns_the_nose_from_north_to_east(rig):
    client = respond(rig, (0, 0, 0.5), 2.0)
    assert 0.3 < client.last("ATTITUDE").yaw < 1.2


@pytest.mark.parametrize(
    "ignored",
    [
        {"mask": 128 | 1}, {"mask": 128 | 2}, {"mask": 128 | 3},
        {"system": 2}, {"component": 7}, {"rates": (math.nan, 0, 0)}, {"thrust": math.inf},
    ],
)  # fmt: skip
def test_a_setpoint_that_lacks_a_rate_or_is_for_another_or_is_no_number_is_ignored(rig, ignored):
    client = rig().hover()
    options = {"thrust": 0.9, "rates": (1.0, 1.0, 0)} | ignored
    client.run(0.3, client.attitude_target(**options))
    np.testing.assert_allclose(client.rates_frd, 0, atol=0.02)
    assert client.height == pytest.approx(1.5, abs=0.05)


def test_system_and_component_0_mean_all(rig):
    assert respond(rig, (0.5, 0, 0), system=0, component=0).rates_frd[0] > 0.3


def test_no_setpoint_is_taken_while_mav_fwdextsp_is_0(rig):
    client = rig({"MAV_FWDEXTSP": 0})
    client.run(2.5, client.attitude_target(0.0))
    client.ask(client.mode_request(0x00060000), client.attitude_target(0.0))
    assert client.ask(client.arm(), client.attitude_target(0.0)) == [1]


def test_an_ignored_throttle_is_no_thrust(rig):
    client = rig().hover(8.0)
    client.run(1.0, client.attitude_target(0.9, mask=128 | 64))
    assert client.vehicle.truth.velocity[2] < -5
    np.testing.assert_allclose(client.vehicle.truth.rotors, 0, atol=1e-6)


def test_an_ignored_yaw_rate_is_none(rig):
    assert abs(respond(rig, (0, 0, 2.0), mask=128 | 4).rates_frd[2]) < 0.02


def test_rates_are_not_clamped_to_px4s_limits(rig):
    """MC_ROLLRATE_MAX is 220 degrees/s."""
    client = rig().hover(8.0)
    assert client.run(0.6, client.attitude_target(HOVER, (8.0, 0, 0)), until=lambda: client.rates_frd[0] > 6.0)
    assert client.vehicle.parameters["MC_ROLLRATE_MAX"] == 220


def test_rates_end_at_6_pi(rig):
    client = rig().hover(8.0)
    client.run(0.8, client.attitude_target(HOVER, (40.0, 0, 0)))
    assert client.rates_frd[0] == pytest.approx(6 * math.pi, rel=0.02)


def test_full_thrust_is_full_thrust(rig):
    client = rig().hover(8.0)
    client.run(0.5, client.attitude_target(1.0))
    np.testing.assert_allclose(client.vehicle.truth.rotors, 1.0, atol=1e-3)


@pytest.mark.parametrize("thrust", [0.485, 0.492])
def test_hover_thrust_is_between_485_and_492_thousandths(rig, thrust):
    client = rig().hover(8.0)
    client.run(2.0, client.attitude_target(thrust))
    assert abs(client.vehicle.truth.velocity[2]) < 0.15


def test_an_attitude_is_reached(rig):
    """20 degrees of roll to the right, nose east."""
    client = rig().hover(8.0)
    roll, yaw = math.radians(20), math.pi / 2
    q = (math.cos(yaw / 2) * math.cos(roll / 2), math.cos(yaw / 2) * math.sin(roll / 2),
         math.sin(yaw / 2) * math.sin(roll / 2), math.sin(yaw / 2) * math.cos(roll / 2))  # fmt: skip
    client.run(3.0, client.attitude_target(0.52, mask=7, q=q))
    found = client.last("ATTITUDE")
    assert (found.roll, found.pitch, found.yaw) == pytest.approx((roll, 0, yaw), abs=0.03)
    assert client.vehicle.truth.velocity[1] < -1  # nose east: right is south


def test_a_position_is_reached_and_held(rig):
    client = rig().hover()
    client.run(12.0, client.position_target(3, -2, -2.5, yaw=math.pi))
    np.testing.assert_allclose(client.vehicle.truth.position, (-2, 3, 2.5), atol=0.05)
    assert abs(client.last("ATTITUDE").yaw) == pytest.approx(math.pi, abs=0.03)


@pytest.mark.parametrize("other", [{"frame": 8}, {"mask": 0b110111111000}])
def test_positions_in_other_frames_or_with_other_masks_are_ignored(rig, other):
    client = rig().hover()
    client.run(0.5, client.position_target(3, 0, -1.5, **other))
    assert client.vehicle.truth.position[1] == pytest.approx(0, abs=0.02)


def test_actuator_set_points_are_ignored_without_an_error(rig):
    client = rig().hover()
    start = client.now
    message = mavlink.MAVLink_set_actuator_control_target_message(0, 0, 1, 1, [0, 0, 0, 1.0, 0, 0, 0, 0])
    client.run(0.4, message)
    assert client.height == pytest.approx(1.5, abs=0.05)
    assert not client.all("COMMAND_ACK", start + 0.01) and not client.all("STATUSTEXT", start)


@pytest.mark.parametrize(("axis", "up"), [(0, {1, 2}), (1, {0, 2}), (2, {0, 1})], ids=["roll", "pitch", "yaw"])
def test_motors_are_in_px4s_order(rig, axis, up):
    """0 front right and 1 back left turn counter-clockwise, 2 front left, 3 back right.

    Roll to the right lifts the left ones, nose up the front ones; yaw to the right needs more of the counter-clockwise.
    """
    client = rig().hover(8.0)
    client.ask(client.interval(mavlink.MAVLINK_MSG_ID_SERVO_OUTPUT_RAW, 250), client.attitude_target(HOVER))
    rates = [0.0, 0.0, 0.0]
    rates[axis] = 0.5
    client.run(0.04, client.attitude_target(HOVER, rates))
    servo = client.last("SERVO_OUTPUT_RAW")
    pulses = [servo.servo1_raw, servo.servo2_raw, servo.servo3_raw, servo.servo4_raw]
    assert set(np.argsort(pulses)[2:]) == up and max(pulses) - min(pulses) > 20


def step_response(rig, axis, size):
    """Times (ms after sending) at which the true rate reaches 10, 50, 63 and 90 %; its peak; its value after 340 ms."""
    runs = []
    for phase in range(4):  # a set-point may come anywhere between two ticks
        client = rig().hover(8.0)
        rates = [0.0, 0.0, 0.0]
        rates[axis] = size
        client.run(0.5, client.attitude_target(HOVER))
        sent = client.now + phase * 0.001
        client.vehicle.receive("onboard", client.encode(client.attitude_target(HOVER, rates)), sent)
        found = []
        for _ in range(200):
            client.vehicle.advance(client.now + 0.004)
            found.append((1000 * (client.now - sent), client.rates_frd[axis] / size))
        runs.append(np.array(found))
    times = np.arange(0, 600)
    response = np.mean([np.interp(times, run[:, 0], run[:, 1]) for run in runs], axis=0)
    rise = response[: response.argmax() + 1]
    return np.interp([0.10, 0.50, 0.63, 0.90], rise, times[: len(rise)]), response.max(), response[340]


@pytest.mark.parametrize("axis", [0, 1], ids=["roll", "pitch"])
def test_roll_and_pitch_rates_follow_a_step_as_px4_does(rig, axis):
    reached, peak, _ = step_response(rig, axis, 1.0)
    np.testing.assert_allclose(reached, [34, 83, 100, 147], rtol=0.2)
    assert 1.03 <= peak <= 1.09


def test_yaw_rate_follows_a_step_as_px4_does(rig):
    assert step_response(rig, 2, 0.5)[2] == pytest.approx(0.48, rel=0.2)


def test_thrust_reaches_the_motors_within_a_tick_and_then_lags_by_50_ms(rig):
    client = rig().hover(8.0)
    client.run(0.5, client.attitude_target(0.4))
    before = client.vehicle.truth.rotors[0]
    client.tell(client.attitude_target(0.8))
    client.run(0.004)
    np.testing.assert_allclose(client.vehicle.truth.commands, 0.8, atol=0.01)
    client.run(0.050 - 0.004)
    went = (client.vehicle.truth.rotors[0] - before) / (0.8 - before)
    assert went == pytest.approx(1 - math.exp(-1), abs=0.03)


def test_a_late_packet_acts_late(rig):
    client = rig(latency=0.02)
    client.run(2.5, client.attitude_target(0.1))
    client.tell(client.mode_request(0x00060000))
    start = client.now
    client.run(0.1, client.attitude_target(0.1))
    assert client.times("COMMAND_ACK", start)[0] - start == pytest.approx(0.024, abs=0.005)
