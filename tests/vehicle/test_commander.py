"""When the vehicle may arm and fly, and when it disarms by itself, as measured on PX4 v1.17, in virtual time.

- health, stream, mode, arm, spool up, fly: and each refusal on the way
- auto-disarm on the ground and after a landing; the mode after it
- take-off, landing and return by the vehicle's own control
"""

import math

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink

OFFBOARD, LOITER, RTL, LAND, TAKEOFF = 0x00060000, 0x03040000, 0x05040000, 0x06040000, 0x02040000
PREARM = 0x10000000


def test_the_sequence_that_works(rig):
    """Health bit, stream at 2 Hz, OFFBOARD, arm, spool up at thrust .08, fly."""
    client = rig()
    assert client.run(10, until=lambda: any(m.onboard_control_sensors_health & PREARM for m in client.all("SYS_STATUS")))
    idle = client.attitude_target(0.0)
    client.run(1.0, idle, every=0.5)
    assert client.ask(client.mode_request(OFFBOARD), idle) == [0, 0]
    assert client.ask(client.arm(), idle) == [0]
    assert client.mode == OFFBOARD
    client.run(1.0, client.attitude_target(0.08))
    assert client.height == 0 and client.last("EXTENDED_SYS_STATE").landed_state == 1
    client.run(1.0, client.attitude_target(0.55))
    client.run(0.2, client.attitude_target(0.49))
    assert client.height > 0.2 and client.last("EXTENDED_SYS_STATE").landed_state == 2
    assert client.last("HEARTBEAT").base_mode & 128


def test_more_than_the_least_thrust_counts_as_flying_though_the_ground_carries_the_vehicle(rig):
    """MulticopterLandDetector: in OFFBOARD without a wanted climb rate, more than MPC_MANTHR_MIN and .01."""
    client = rig()
    client.run(2.5, client.attitude_target(0.0))
    assert client.ask(client.mode_request(OFFBOARD), client.attitude_target(0.0)) == [0, 0]
    assert client.ask(client.arm(), client.attitude_target(0.0)) == [0]
    client.run(0.5, client.attitude_target(0.1))
    assert client.height == 0 and client.last("EXTENDED_SYS_STATE").landed_state == 2


def test_disarmed_in_offboard_the_check_before_arming_fails_until_set_points_stream(rig):
    """SYS_STATUS reports whether it would arm in its present mode."""
    client = rig()
    client.run(2.5)
    assert client.last("SYS_STATUS").onboard_control_sensors_health & PREARM
    assert client.ask(client.mode_request(OFFBOARD)) == [0, 0]
    client.run(0.5)
    assert not client.last("SYS_STATUS").onboard_control_sensors_health & PREARM
    client.run(0.5, client.attitude_target(0.0))
    assert client.last("SYS_STATUS").onboard_control_sensors_health & PREARM


def test_arming_is_refused_before_the_estimate_is_ready(rig):
    client = rig()
    client.run(0.5)
    assert not client.last("SYS_STATUS").onboard_control_sensors_health & PREARM
    assert client.ask(client.arm()) == [1]
    assert "estimator" in client.last("STATUSTEXT").text and not client.armed


def test_disarmed_without_a_stream_offboard_is_accepted_and_then_arming_refused(rig):
    client = rig()
    client.run(2.5)
    assert client.ask(client.mode_request(OFFBOARD)) == [0, 0]
    assert client.mode == OFFBOARD
    assert client.ask(client.arm()) == [1]


def test_armed_without_a_stream_offboard_is_refused(rig):
    client = rig()
    client.run(2.5)
    assert client.ask(client.arm()) == [0]
    assert client.ask(client.mode_request(OFFBOARD)) == [0, 1]
    assert client.mode == LOITER


@pytest.mark.parametrize("mode", [LAND, RTL])
def test_arming_is_refused_in_modes_that_end_on_the_ground(rig, mode):
    client = rig()
    client.run(2.5)
    client.ask(client.mode_request(mode))
    assert client.ask(client.arm()) == [1]


def test_a_stream_below_the_time_out_does_not_arm(rig):
    client = rig()
    client.run(2.5, client.attitude_target(0.0))
    client.ask(client.mode_request(OFFBOARD))
    client.run(1.1)
    assert client.ask(client.arm()) == [1]


def test_it_disarms_10_s_after_arming_without_a_take_off(rig):
    client = rig()
    client.run(2.5)
    client.ask(client.arm())
    start = client.now
    assert client.run(12, until=lambda: not client.armed)
    assert client.now - start == pytest.approx(10, abs=0.1)


def test_it_never_arms_by_itself(rig):
    client = rig()
    client.run(2.5, client.attitude_target(0.6))
    client.ask(client.mode_request(OFFBOARD), client.attitude_target(0.6))
    client.run(5, client.attitude_target(0.6))
    assert not client.armed and client.height == 0


def test_after_an_own_descent_thrust_0_counts_as_landed_after_3_s_and_only_then_disarms(rig):
    client = rig({"COM_DISARM_LAND": 20.0}).hover(0.3)
    descend = client.attitude_target(0.45)
    assert client.run(5, descend, until=lambda: client.height == 0)
    assert client.ask(client.arm(0), client.attitude_target(0.0)) == [1] and client.armed
    start, idle = client.now, client.attitude_target(0.0)
    assert client.run(5, idle, until=lambda: client.last("EXTENDED_SYS_STATE").landed_state == 1)
    assert client.now - start == pytest.approx(3.0, abs=0.3)
    assert client.ask(client.arm(0), idle) == [0] and not client.armed


def test_it_disarms_2_s_after_it_has_landed(rig):
    client = rig().hover(0.3)
    assert client.run(5, client.attitude_target(0.45), until=lambda: client.height == 0)
    idle = client.attitude_target(0.0)
    assert client.run(5, idle, until=lambda: client.last("EXTENDED_SYS_STATE").landed_state == 1)
    start = client.now
    assert client.run(5, idle, until=lambda: not client.armed)
    assert client.now - start == pytest.approx(2.0, abs=0.25)


def test_disarming_is_refused_in_the_air_unless_forced(rig):
    client = rig().hover()
    assert client.ask(client.arm(0)) == [1] and client.armed
    assert client.ask(client.arm(0, force=21195)) == [1] and client.armed
    assert client.ask(client.arm(0, force=21196)) == [0] and not client.armed
    client.run(1.0)
    assert client.height == 0 and client.vehicle.plant.hardest_touchdown > 3


def test_a_landing_from_1_5_m_takes_14_s_and_3_more_to_disarm(rig):
    client = rig().hover()
    start = client.now
    assert client.ask(client.mode_request(LAND)) == [0, 0]
    assert client.run(20, until=lambda: client.height == 0)
    touched = client.now
    assert client.last("EXTENDED_SYS_STATE").landed_state == 4
    assert touched - start == pytest.approx(14, abs=1)
    assert client.run(10, until=lambda: not client.armed)
    assert client.now - touched == pytest.approx(3, abs=0.5)
    assert client.vehicle.plant.hardest_touchdown < 0.5


def test_after_a_landing_the_mode_is_the_last_that_does_not_land(rig):
    client = rig().hover()
    client.ask(client.mode_request(LAND))
    assert client.mode == LAND
    assert client.run(30, until=lambda: not client.armed)
    assert client.mode == OFFBOARD
    client = rig()
    client.run(2.5)
    client.ask(client.arm())
    client.ask(client.mode_request(TAKEOFF))
    assert client.run(20, until=lambda: client.mode == LOITER)
    client.ask(client.mode_request(LAND))
    assert client.run(40, until=lambda: not client.armed)
    assert client.mode == LOITER


def test_take_off_climbs_to_its_height_and_holds(rig):
    client = rig()
    client.run(2.5)
    client.ask(client.mode_request(TAKEOFF))
    assert client.ask(client.arm()) == [0]
    client.run(0.9)
    assert client.height == 0  # spooling up
    assert client.run(10, until=lambda: client.mode == LOITER)
    client.run(5)
    assert client.vehicle.truth.position == pytest.approx((0, 0, 2.5), abs=0.1)


def test_return_climbs_when_far_comes_home_and_lands(rig):
    client = rig({"RTL_RETURN_ALT": 5.0}).hover()
    client.run(10, client.position_target(15, 0, -1.5))
    client.ask(client.mode_request(RTL))
    heights = []
    assert client.run(120, until=lambda: heights.append(client.height) or not client.armed)
    assert max(heights) == pytest.approx(5.0, abs=0.6)
    x, y, z = client.vehicle.truth.position
    assert math.hypot(x, y) < 0.6 and z == 0 and client.vehicle.plant.hardest_touchdown < 0.5
    assert client.mode == RTL


def test_return_near_home_does_not_climb(rig):
    client = rig().hover()
    client.run(6, client.position_target(3, 0, -1.5))
    client.ask(client.mode_request(RTL))
    heights = []
    assert client.run(60, until=lambda: heights.append(client.height) or not client.armed)
    assert max(heights) < 1.8 and math.hypot(*client.vehicle.truth.position[:2]) < 0.6


def test_another_mode_takes_over_at_once_while_the_stream_goes_on(rig, station_port):
    """The pilot takes over by the ground station."""
    client = rig().hover()
    push = client.attitude_target(0.49, (0.3, 0, 0))
    client.tell(client.mode_request(LOITER), port=station_port)
    client.run(5, push)
    assert client.mode == LOITER and client.tilt < 3
    assert client.height == pytest.approx(1.5, abs=0.2)


def test_equal_seeds_fly_equally_and_others_do_not(rig):
    def flown(seed):
        client = rig(noise=1.0, seed=seed).hover()
        return client.vehicle.truth

    assert flown(3) == flown(3) and flown(3) != flown(4)


def test_who_begins_in_the_air_is_where_a_take_off_ends(rig):
    flown, begun = (getattr(rig(), how)(2.0).vehicle for how in ("take_off", "hover"))
    for name in ("armed", "took_off", "mode", "intended", "_not_land"):
        assert getattr(flown.commander, name) == getattr(begun.commander, name), name
    assert flown.land_detector.landed is begun.land_detector.landed is False
    for name in ("position", "velocity", "rates"):
        np.testing.assert_allclose(getattr(flown.truth, name), getattr(begun.truth, name), atol=0.02)


def test_the_battery_drains_while_armed_and_its_gauge_can_fail(rig):
    client = rig({"SYS_FAILURE_EN": 1}).take_off()
    charge, voltage = client.last("SYS_STATUS").battery_remaining, client.last("SYS_STATUS").voltage_battery
    assert 80 < charge < 90 and 15000 < voltage < 16200
    client.run(40, client.position_target(0, 0, -1.5))
    assert client.last("SYS_STATUS").battery_remaining == 50
    off = client.command(mavlink.MAV_CMD_INJECT_FAILURE, 100, 1)
    assert client.ask(off, client.position_target(0, 0, -1.5)) == [0]
    client.run(0.3, client.position_target(0, 0, -1.5))
    assert (client.last("SYS_STATUS").battery_remaining, client.last("SYS_STATUS").voltage_battery) == (-1, 0xFFFF)


@pytest.mark.parametrize("percent", [-1e6, 1e6])
def test_a_parameter_out_of_range_does_not_end_the_flight(rig, percent):
    client = rig({"SIM_BAT_MIN_PCT": percent, "SIM_BAT_DRAIN": 5.0}).take_off()
    assert client.last("SYS_STATUS").battery_remaining in (0, 100)


def test_failures_are_injected_only_where_that_is_enabled(rig):
    assert rig().ask(rig.command(mavlink.MAV_CMD_INJECT_FAILURE, 100, 1)) == [2]
    assert rig({"SYS_FAILURE_EN": 1}).ask(rig.command(mavlink.MAV_CMD_INJECT_FAILURE, 55, 1)) == [3]


def test_a_wrong_gps_makes_the_estimate_jump_and_the_reset_counter_count(rig):
    client = rig({"SYS_FAILURE_EN": 1}).hover()
    before, place = client.last("ODOMETRY"), client.vehicle.truth.position
    client.ask(client.command(mavlink.MAV_CMD_INJECT_FAILURE, 4, 4))
    client.run(0.05)
    after = client.last("ODOMETRY")
    assert (before.reset_counter, after.reset_counter) == (0, 1)
    jump = (after.y - before.y, after.x - before.x, before.z - after.z)
    assert jump == pytest.approx((0.6, -0.3, 0.1), abs=0.02)
    assert client.vehicle.truth.position == pytest.approx(place, abs=0.02)
