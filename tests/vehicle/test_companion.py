"""The companion's conversation with the simulated vehicle's core, in virtual time.

- it requests streams and parameters until they come; while disarmed, it reads parameters again
- after a lost link or a restart of the autopilot no parameter is known until it has been read again
- what the vehicle stops reporting is old or unknown, and is requested
- it knows mode, armed, landed and battery of the vehicle, the wander of the estimate on the ground, and the clock
"""

import math
from collections import Counter

import pytest
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl import airframe
from spike_ctrl.flight import autopilot
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.px4 import preflight
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.link_events import StatusText
from spike_ctrl.px4.parameter_rules import Wanted
from spike_ctrl.simulated_px4.vehicle import ONBOARD, STATION, Vehicle

CRAFT = airframe.load("sih_quadx")


class Pair:
    def __init__(self, parameters=(), **settings):
        self.vehicle = Vehicle(CRAFT, parameters=settings)
        self.companion, self.samples, self.sent = Companion(Link(), 100.0, parameters), [], 0
        self.asked = {}  # when and how many parameters were read
        self.lost, self.came = set(), Counter()  # numbers of the messages that do not reach the companion, and of all

    def run(self, seconds, command=None):
        end = self.vehicle.now + seconds
        while self.vehicle.now < end:
            now = self.vehicle.now
            packets = self.companion.due(now) + ([command(now)] if command else [])
            self.sent += len(packets)
            if asked := sum(int.from_bytes(p[7:10], "little") == mavlink.MAVLINK_MSG_ID_PARAM_REQUEST_READ for p in packets):
                self.asked[now] = asked
            for packet in packets:
                self.hear(self.vehicle.receive(ONBOARD, packet, now))
            self.hear(self.vehicle.advance(now + 0.02))

    def silence(self, seconds):
        self.vehicle.advance(self.vehicle.now + seconds)

    def hear(self, packets):
        for port, data in packets:
            number = int.from_bytes(data[7:10], "little")
            self.came[port, number] += 1
            if port == ONBOARD and number not in self.lost:
                self.samples += self.companion.receive(data, self.vehicle.now)

    def station_says(self, message):
        data = bytes(message.pack(mavlink.MAVLink(None, 255, 190)))
        self.hear(self.vehicle.receive(STATION, data, self.vehicle.now))

    def ask(self, ask, command=None):
        self.hear(self.vehicle.receive(ONBOARD, self.companion.ask(ask, self.vehicle.now), self.vehicle.now))
        self.run(1.2, command)


def test_streams_and_parameters_are_asked_for_until_they_come():
    pair = Pair(("COM_OF_LOSS_T", "GF_ACTION"), COM_OF_LOSS_T=0.2)
    pair.run(4.0)
    begin = len(pair.samples)
    pair.run(2.0)
    assert (len(pair.samples) - begin) / 2.0 == pytest.approx(100, abs=3)
    assert pair.companion.state_rate(pair.vehicle.now) == pytest.approx(100, abs=5)
    assert pair.companion.parameters == {"COM_OF_LOSS_T": pytest.approx(0.2), "GF_ACTION": 2}
    before = pair.sent
    pair.run(2.0)
    assert pair.sent - before == pytest.approx(2 + 2.0 / 0.06, abs=1)  # heartbeats and TIMESYNC, no more questions


NAMES = ("COM_OF_LOSS_T", "GF_ACTION", "NAV_RCL_ACT")


def idle_of(pair):
    return lambda now: pair.companion.link.rates(0.1, (0.0, 0.0, 0.0), now)


def reads(pair, seconds, command=None):
    """How often so many parameters were read at once."""
    pair.asked.clear()
    pair.run(seconds, command)
    return Counter(pair.asked.values())


def test_parameters_are_read_again_one_by_one():
    pair = Pair(NAMES, COM_OF_LOSS_T=0.2)
    assert reads(pair, 4.0) == {3: 1}
    pair.vehicle.parameters.set("COM_OF_LOSS_T", 5.0)
    assert reads(pair, 10.0) == {1: 3}
    assert pair.companion.parameters["COM_OF_LOSS_T"] == 5.0
    assert reads(pair, 30.0)[1] == pytest.approx(9, abs=1.5)


def test_home_is_where_it_last_stood_disarmed():
    pair = Pair()
    assert pair.companion.heard_of(0.0).home is None
    codec, heartbeat = mavlink.MAVLink(None, 1, 1), mavlink.MAVLink_heartbeat_message
    zeros, unknown = (0.0, 0.0, 0.0), [math.nan] * 21
    for base_mode, east, home in ((1, 1.0, 1.0), (1, math.nan, 1.0), (1, 2.0, 2.0), (129, 3.0, 2.0), (1, 4.0, 4.0)):
        for message in (
            heartbeat(2, 12, base_mode, 0, 3, 3),
            mavlink.MAVLink_odometry_message(
                0, 1, 1, 0.0, east, -0.5, [1.0, 0.0, 0.0, 0.0], *zeros, *zeros, unknown, unknown, 0, 0, 0
            ),
        ):
            pair.hear([(ONBOARD, bytes(message.pack(codec)))])
        assert pair.companion.heard_of(0.0).home == (home, 0.0, 0.5)


@pytest.mark.parametrize("frame", [1, 12])  # velocity in NED, as PX4 tells it, or in the body
def test_variances_of_position_attitude_and_velocity_come_with_a_state_along_our_axes(frame):
    told = [math.nan] * 21, [math.nan] * 21
    for covariance, numbers in zip(told, ((1.0, 2.0, 3.0, 0.1, 0.2, 0.3), (4.0, 5.0, 6.0)), strict=True):
        for index, number in zip((0, 6, 11, 15, 18, 20), numbers, strict=False):  # the diagonal, by MAVLink's definition
            covariance[index] = number
    zeros, level = (0.0, 0.0, 0.0), [1.0, 0.0, 0.0, 0.0]
    message = mavlink.MAVLink_odometry_message(0, 1, frame, *zeros, level, *zeros, *zeros, *told, 0, 0, 0)
    (sample,) = Companion(Link(), 100.0).receive(bytes(message.pack(mavlink.MAVLink(None, 1, 1))), 1.0)
    position, attitude, velocity = (sample.quality.variances[i : i + 3] for i in (0, 3, 6))
    assert position == (2.0, 1.0, 3.0) and sample.quality.horizontal == pytest.approx(math.sqrt(3.0))  # east, north, up
    assert attitude == pytest.approx((0.1, 0.2, 0.3))  # forward, left, up
    assert velocity == (5.0, 4.0, 6.0) if frame == 1 else all(map(math.isnan, velocity))


def test_nothing_is_read_again_while_armed_nor_forgotten():
    pair = Pair(NAMES)
    pair.run(8.0, idle_of(pair))
    pair.ask(Ask.OFFBOARD, idle_of(pair))
    pair.run(2.0, idle_of(pair))
    pair.ask(Ask.ARM, idle_of(pair))
    assert pair.companion.status().armed
    pair.vehicle.parameters.set("GF_ACTION", 0)
    pair.silence(0.6)
    assert reads(pair, 5.0, idle_of(pair)) == {}
    assert pair.companion.status().armed and pair.companion.parameters.keys() == set(NAMES)
    pair.hear(pair.vehicle.receive(ONBOARD, pair.companion.link.disarm(pair.vehicle.now), pair.vehicle.now))
    while not pair.companion._disarmed:
        pair.run(0.02)
    assert pair.companion.parameters == {}
    pair.run(1.0)
    assert pair.companion.parameters["GF_ACTION"] == 0 and pair.companion.parameters.keys() == set(NAMES)


def test_a_lost_link_makes_all_parameters_unknown_until_they_are_read_again():
    pair = Pair(NAMES)
    pair.run(4.0)
    pair.silence(0.4)
    pair.run(0.1)
    assert pair.companion.parameters.keys() == set(NAMES)
    pair.vehicle.parameters.set("GF_ACTION", 0)
    pair.silence(0.6)
    pair.run(0.02)
    heard = pair.companion.heard_of(pair.vehicle.now)
    unmet = [str(one) for one in preflight.audit(heard, FlightSettings(), CRAFT, Wanted())]
    assert any(one.startswith("GF_ACTION: not received") for one in unmet)
    pair.run(1.0)
    assert pair.companion.parameters["GF_ACTION"] == 0 and pair.companion.parameters.keys() == set(NAMES)


def test_a_restart_of_the_autopilot_makes_all_parameters_unknown():
    pair = Pair(NAMES)
    pair.run(4.0)

    def odometry(stamp):
        zeros, unknown = (0.0, 0.0, 0.0), [math.nan] * 21
        return mavlink.MAVLink_odometry_message(
            round(1e6 * stamp), 1, 1, *zeros, [1.0, 0.0, 0.0, 0.0], *zeros, *zeros, unknown, unknown, 0, 0, 0
        )

    for stamp, known in ((4.1, set(NAMES)), (3.9, set(NAMES)), (0.2, set())):
        pair.hear([(ONBOARD, bytes(odometry(stamp).pack(mavlink.MAVLink(None, 1, 1))))])
        assert pair.companion.parameters.keys() == known


def test_nothing_is_known_before_the_first_packet():
    assert Companion(Link(), 100.0).status() is None
    assert len(Companion(Link(), 100.0).due(0.0)) == 1  # its heartbeat


def test_it_knows_what_the_vehicle_does():
    pair = Pair()
    pair.run(4.0)
    status = pair.companion.status()
    assert (status.mode, status.armed, status.landed) == (Mode.HOLD, False, True)
    assert status.battery == 1.0 and status.voltage > 10 and status.dropped == 0

    def idle(now):
        return pair.companion.link.rates(0.1, (0.0, 0.0, 0.0), now)

    pair.run(0.5, idle)
    pair.ask(Ask.OFFBOARD, idle)
    assert pair.companion.status().mode is Mode.OFFBOARD
    pair.ask(Ask.ARM, idle)
    assert pair.companion.status().armed
    pair.ask(Ask.HOLD, idle)
    assert pair.companion.status().mode is Mode.HOLD
    pair.hear(pair.vehicle.receive(ONBOARD, b"\xfd\x09\x00\x00\x00\x01\x01\x00\x00\x00" + bytes(11), pair.vehicle.now))
    assert [said.text for said in pair.companion.said][-1] == "Armed by external command"


def test_arming_is_known_from_the_answer_and_disarming_by_a_pilot_from_the_next_heartbeat():
    pair = Pair()
    pair.run(4.0)

    def idle(now):
        return pair.companion.link.rates(0.1, (0.0, 0.0, 0.0), now)

    pair.run(0.5, idle)
    pair.ask(Ask.OFFBOARD, idle)
    heartbeats = ONBOARD, mavlink.MAVLINK_MSG_ID_HEARTBEAT
    before = pair.came[heartbeats]
    while pair.came[heartbeats] == before:
        pair.run(0.02, idle)
    pair.hear(pair.vehicle.receive(ONBOARD, pair.companion.ask(Ask.ARM, pair.vehicle.now), pair.vehicle.now))
    pair.run(0.1, idle)
    assert pair.companion.status().armed and not pair.companion._beat.armed  # which it tells in a second
    pair.hear(pair.vehicle.receive(STATION, Link().disarm(pair.vehicle.now), pair.vehicle.now))
    pair.run(1.2, idle)
    assert not pair.companion.status().armed


def found(pair):
    return {
        f.fault for f in autopilot.check_autopilot(pair.companion.status(), 0, pair.vehicle.now, FlightSettings().autopilot)
    }


@pytest.mark.parametrize("message", [mavlink.MAVLINK_MSG_ID_HEARTBEAT, mavlink.MAVLINK_MSG_ID_EXTENDED_SYS_STATE])
def test_an_autopilot_that_stops_reporting_armed_or_landed_counts_as_a_lost_link(message):
    pair = Pair()
    pair.run(4.0)
    pair.lost = {message}
    for seconds, wanted in ((1.9, set()), (2.2, {Fault.LINK_LOST})):
        pair.run(seconds)
        assert found(pair) == wanted
    pair.lost = set()
    pair.run(1.2)
    assert found(pair) == set()


def test_a_battery_that_is_no_longer_reported_is_unknown_and_bars_a_flight():
    pair = Pair(COM_RC_IN_MODE=0)
    pair.run(6.0)
    pair.lost = {mavlink.MAVLINK_MSG_ID_SYS_STATUS}
    pair.run(4.5)
    assert found(pair) == set() and pair.companion.ready
    pair.run(0.8)
    assert found(pair) == {Fault.BATTERY_UNKNOWN, Fault.RC_LOST} and not pair.companion.ready
    assert math.isnan(pair.companion.status().battery) and math.isnan(pair.companion.status().voltage)
    unmet = preflight.audit(pair.companion.heard_of(pair.vehicle.now), FlightSettings(), CRAFT, Wanted())
    for words in ("battery: found nan%", "estimator: nothing received"):
        assert any(one.what.startswith(words) and one.blocks for one in unmet)
    pair.lost = set()
    pair.run(0.8)
    assert found(pair) == set() and pair.companion.ready


def test_messages_that_stop_are_requested_again():
    pair = Pair()
    pair.run(4.0)
    schedule = pair.vehicle.schedules[ONBOARD]
    schedule.set_interval(mavlink.MAVLINK_MSG_ID_EXTENDED_SYS_STATE, -1)
    pair.run(2.5)
    pair.came.clear()
    pair.run(1.0)
    assert pair.came[ONBOARD, mavlink.MAVLINK_MSG_ID_EXTENDED_SYS_STATE] == pytest.approx(20, abs=2)
    for message in (mavlink.MAVLINK_MSG_ID_HEARTBEAT, mavlink.MAVLINK_MSG_ID_SYS_STATUS):
        schedule.set_interval(message, -1)
    for _ in range(20):  # each comes by itself no more
        pair.run(0.5)
        assert found(pair) == set()


def failure(unit, kind):
    return mavlink.MAVLink_command_long_message(1, 1, mavlink.MAV_CMD_INJECT_FAILURE, 0, unit, kind, 0, 0, 0, 0, 0)


def test_a_remote_control_is_lost_only_where_there_was_one():
    without, pair = Pair(), Pair(COM_RC_IN_MODE=0, SYS_FAILURE_EN=1)
    for one in (without, pair):
        one.run(2.0)
        assert not one.companion.status().rc_lost
    for kind, lost in ((mavlink.FAILURE_TYPE_OFF, True), (mavlink.FAILURE_TYPE_OK, False)):
        pair.station_says(failure(mavlink.FAILURE_UNIT_SYSTEM_RC_SIGNAL, kind))
        pair.run(1.0)
        assert pair.companion.status().rc_lost is lost


def test_a_ground_station_is_lost_and_regained_by_the_autopilots_texts():
    pair = Pair(NAV_DLL_ACT=1, COM_DL_LOSS_T=2.0)
    pair.run(3.0)
    heartbeat = mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3)
    pair.station_says(heartbeat)
    for seconds, lost in ((1.0, False), (1.5, True)):
        pair.run(seconds)
        assert pair.companion.status().ground_station_lost is lost
    pair.station_says(heartbeat)
    pair.run(0.2)
    assert not pair.companion.status().ground_station_lost
    texts = [said.text for said in pair.companion.said]
    assert texts == ["Connection to ground station lost", "GCS connection regained"]


def test_px4s_texts_about_other_links_do_not_concern_the_ground_station():
    pair = Pair()
    pair.run(3.0)
    for text, lost in (
        ("High latency data link lost", False),  # a satellite's
        ("Connection to mission computer lost", False),
        ("Preflight Fail: No connection to the GCS", False),
        ("Data link lost", True),  # as PX4 v1.11 says it
        ("Onboard controller regained", True),
        ("Data link regained", False),
    ):
        pair.companion._take(StatusText(0.0, text))
        assert pair.companion.status().ground_station_lost is lost, text


def test_after_a_landing_in_offboard_the_vehicle_may_take_off_again():
    """PREARM_CHECK fails there until set-points stream, and they stream only once a take-off was granted."""
    pair = Pair()
    pair.run(3.0)
    assert pair.companion.ready
    pair.hear(pair.vehicle.receive(ONBOARD, pair.companion.ask(Ask.OFFBOARD, pair.vehicle.now), pair.vehicle.now))
    pair.run(3.0)
    assert pair.companion.status().mode is Mode.OFFBOARD and not pair.companion._power.ready
    assert pair.companion.ready and pair.companion.estimator(pair.vehicle.now).prearm_ok


def test_the_mode_is_known_at_once_and_asked_for_no_more_once_it_comes():
    pair = Pair()
    pair.run(3.0)
    pair.hear(pair.vehicle.receive(ONBOARD, pair.companion.ask(Ask.OFFBOARD, pair.vehicle.now), pair.vehicle.now))
    pair.run(0.05)
    assert pair.companion.status().mode is Mode.OFFBOARD
    before = pair.sent
    pair.run(5.0)
    assert pair.sent - before <= 5 * (1 + 1 / 0.06) + 1  # heartbeats and TIMESYNC


@pytest.mark.parametrize("rate", [0.9, 1.0, 1.1])
def test_a_clock_that_drifts_has_a_rate_and_no_spread(rate):
    companion, now = Companion(Link(), 100.0), 0.0
    vehicle = Vehicle(CRAFT, speed=rate)
    while now < 6.0:
        now += 0.02
        for packet in companion.due(now):
            for _, data in vehicle.receive(ONBOARD, packet, rate * now):
                companion.receive(data, now)
        for port, data in vehicle.advance(rate * now):
            if port == ONBOARD:
                companion.receive(data, now)
    clock = companion.clock()
    assert clock.rate == pytest.approx(rate, abs=1e-4) and clock.spread < 1e-3
    told = [str(one) for one in preflight.audit_clock(clock, Wanted())]
    assert bool(told) == (rate != 1.0)
    assert all(one.startswith(f"clock: rate: found {rate:.3f} of this computer's, wanted 1; ") for one in told)


def test_states_on_a_link_with_a_growing_queue_are_old():
    """States come in order and none is missing, as with a clock that falls behind; only TIMESYNC shows the queue."""
    vehicle, companion, queue, found, now = Vehicle(CRAFT), Companion(Link(), 100.0), [], [], 0.0
    while now < 9.0:
        now += 0.02
        late = now + max(0.2 * (now - 4.0), 0.0)
        sent = [(ONBOARD, data) for packet in companion.due(now) for _, data in vehicle.receive(ONBOARD, packet, now)]
        queue += [(late, data) for port, data in (*sent, *vehicle.advance(now)) if port == ONBOARD]
        for _, data in [one for one in queue if one[0] <= now]:
            found += [(now, max(sample.ages)) for sample in companion.receive(data, now)]
        queue = [one for one in queue if one[0] > now]
    assert all(age == 0.0 for at, age in found if at < 4.05)
    assert next(at for at, age in found if age > 0.05) < 4.4 and found[-1][1] > 0.5


def test_an_autopilot_with_another_system_number_is_named():
    vehicle, companion = Vehicle(CRAFT, system=3), Companion(Link(), 100.0)
    for _, data in vehicle.advance(2.0):
        companion.receive(data, 2.0)
    (unmet,) = preflight.audit(companion.heard_of(2.0), FlightSettings(), CRAFT, Wanted())
    assert (
        str(unmet)
        == "autopilot: not heard, but system 3; set system to that MAV_SYS_ID: 3 (--system, or system:= in a launch)"
    )
    companion = Companion(Link(system=3), 100.0)
    for _, data in vehicle.advance(4.0):
        companion.receive(data, 4.0)
    for packet in companion.due(4.0):
        vehicle.receive(ONBOARD, packet, 4.0)
    for _, data in vehicle.advance(8.0):
        companion.receive(data, 8.0)
    assert companion.status() is not None and companion.state_rate(8.0) > 80


def test_the_wander_of_the_estimate_is_measured_on_the_ground():
    pair = Pair()
    pair.run(1.0)
    early = pair.companion.estimator(pair.vehicle.now)
    assert not early.prearm_ok and math.isnan(early.horizontal)
    pair.run(5.0)
    estimator, clock = pair.companion.estimator(pair.vehicle.now), pair.companion.clock()
    assert estimator.prearm_ok and estimator.horizontal < 0.05 and estimator.vertical < 0.05 and estimator.resets == 0
    assert clock.round_trip < 0.01 and clock.spread < 0.01
    heard = pair.companion.heard_of(pair.vehicle.now)
    unmet = [str(one) for one in preflight.audit(heard, FlightSettings(), CRAFT, Wanted())]
    assert any(one.startswith("COM_OF_LOSS_T: not received") for one in unmet)
    assert not any("estimator" in one or "clock" in one or "state:" in one for one in unmet)


def test_jumps_of_the_estimate_are_counted_for_ten_seconds_also_where_the_counter_starts_over():
    pair = Pair()
    pair.run(3.0)
    pair.vehicle.estimator.reset_counter = 254
    for _ in range(3):  # to 255, 0 and 1
        pair.vehicle.estimator.jump((0.1, 0.0, 0.0))
        pair.run(0.5)
    assert pair.companion.estimator(pair.vehicle.now).resets == 3
    pair.run(11.0)
    assert pair.companion.estimator(pair.vehicle.now).resets == 0


def test_a_link_names_the_mode_in_which_its_commands_fly():
    """As the mode that PX4 registers for us: then OFFBOARD is a mode like any other."""
    second = 4 << 16 | 12 << 24  # PX4's second external mode
    companion, px4 = Companion(Link(), 100.0), mavlink.MAVLink(None, 1, 1)
    companion.commanded = second
    kind = mavlink.MAV_TYPE_QUADROTOR, mavlink.MAV_AUTOPILOT_PX4
    companion.receive(bytes(mavlink.MAVLink_extended_sys_state_message(0, 1).pack(px4)), 1.0)
    for custom, mode in ((second, Mode.OFFBOARD), (6 << 16, Mode.OTHER), (4 << 16 | 3 << 24, Mode.HOLD)):
        companion.receive(bytes(mavlink.MAVLink_heartbeat_message(*kind, 1, custom, 4, 3).pack(px4)), 1.0)
        assert companion.status().mode is mode and companion.custom_mode == custom
    (asked,) = mavlink.MAVLink(None).parse_buffer(companion.ask(Ask.OFFBOARD, 1.0))
    assert (asked.command, asked.param1, asked.param2, asked.param3) == (mavlink.MAV_CMD_DO_SET_MODE, 1, 4, 12)
    (said,) = mavlink.MAVLink(None).parse_buffer(
        companion.link.say(mavlink.MAV_SEVERITY_WARNING, "SNN: ready" + 60 * "!", 1.0)
    )
    assert said.text.startswith("SNN: ready!") and len(said.text) == 50
