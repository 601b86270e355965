"""The companion's end of the link: its packets byte for byte against the specification, its events against known facts."""

import math
import random
import struct

import pytest
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4 import link as px4_link
from spike_ctrl.px4 import link_events
from spike_ctrl.px4.dialect import CommandResult, Landed, PX4Mode
from spike_ctrl.px4.link import Link

ROOT = math.sqrt(0.5)
NAN = math.nan


def crc(data):
    """CRC-16/MCRF4XX as mavlink.io defines it, bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value


def packet(number, crc_extra, payload, sequence=0, system=1, component=191):
    """A MAVLink 2 packet by the specification: zeros at the payload's end are left out, but for the first byte."""
    payload = payload.rstrip(b"\0") or b"\0"
    head = struct.pack("<BBBBBB", len(payload), 0, 0, sequence, system, component) + number.to_bytes(3, "little")
    return b"\xfd" + head + payload + struct.pack("<H", crc(head + payload + bytes([crc_extra])))


class Autopilot:
    """Packets as system 1, component 1, made by pymavlink alone."""

    def __init__(self, system=1, component=1):
        self.encoder = mavlink.MAVLink(None, system, component)

    def __call__(self, kind, *fields, **named):
        message = getattr(mavlink, f"MAVLink_{kind}_message")(*fields, **named)
        data = message.pack(self.encoder)
        self.encoder.seq = (self.encoder.seq + 1) % 256
        return bytes(data)


def odometry(send=None, q=(1, 0, 0, 0), velocity=(0, 0, 0), frame=1, child=1, reset=0, rates=(0, 0, 0), position=(0, 0, 0)):
    return (send or Autopilot())(
        "odometry", 2_000_000, frame, child, *position, q, *velocity, *rates, [NAN] * 21, [NAN] * 21, reset, 6, 0
    )


def events(data, link=None, now=5.0):
    return (link or Link()).receive(data, now)


def one(data, link=None, now=5.0):
    (event,) = events(data, link, now)
    return event


# What leaves


def test_rates_are_set_attitude_target_with_mask_128_in_frd():
    payload = struct.pack("<I4f3ffBBB", 2500, 1, 0, 0, 0, 0.1, -0.2, -0.3, 0.49, 1, 1, 128)
    assert Link().rates(0.49, (0.1, 0.2, 0.3), 2.5) == packet(82, 49, payload)


def test_an_attitude_has_mask_7_and_w_x_y_z_in_ned():
    data = Link().attitude(0.5, (0.0, 0.0, 0.0, 1.0), 0.0)  # nose east, level
    payload = struct.pack("<I4f3ffBBB", 0, ROOT, 0, 0, ROOT, 0, 0, 0, 0.5, 1, 1, 7)
    assert data == packet(82, 49, payload)


def test_a_position_is_in_frame_1_with_px4s_mask():
    data = Link().position((1.0, 2.0, 3.0), math.pi / 2, 1.0)
    payload = struct.pack("<I11fHBBB", 1000, 2, 1, -3, 0, 0, 0, 0, 0, 0, 0, 0, 0b100111111000, 1, 1, 1)
    assert data == packet(84, 143, payload)


@pytest.mark.parametrize(
    ("request_it", "command", "parameters"),
    [
        (lambda link: link.set_mode(PX4Mode.OFFBOARD, 0.0), 176, (1, 6, 0)),
        (lambda link: link.set_mode(PX4Mode.AUTO_LAND, 0.0), 176, (1, 4, 6)),
        (lambda link: link.set_mode(PX4Mode.AUTO_LOITER, 0.0), 176, (1, 4, 3)),
        (lambda link: link.arm(0.0), 400, (1, 0)),
        (lambda link: link.disarm(0.0), 400, (0, 0)),
        (lambda link: link.disarm(0.0, force=True), 400, (0, 21196)),
        (lambda link: link.stream(331, 100, 0.0), 511, (331, 10000)),
        (lambda link: link.stream(30, 0, 0.0), 511, (30, -1)),
        (lambda link: link.request(148, 0.0), 512, (148,)),
    ],
)
def test_requests_are_command_long(request_it, command, parameters):
    seven = [*parameters, *[0] * (7 - len(parameters))]
    assert request_it(Link()) == packet(76, 152, struct.pack("<7fHBBB", *seven, command, 1, 1, 0))


def test_a_heartbeat_is_that_of_an_onboard_computer():
    assert Link().heartbeat(0.0) == packet(0, 50, struct.pack("<IBBBBB", 0, 18, 8, 0, 4, 3))


def test_an_integer_parameter_travels_as_its_bytes_and_a_float_as_itself():
    wanted = struct.pack("<iBB16sB", 4, 1, 1, b"COM_OBL_RC_ACT", 6)
    assert Link().set_parameter("COM_OBL_RC_ACT", 4, 0.0) == packet(23, 168, wanted)
    wanted = struct.pack("<fBB16sB", 0.2, 1, 1, b"COM_OF_LOSS_T", 9)
    assert Link().set_parameter("COM_OF_LOSS_T", 0.2, 0.0) == packet(23, 168, wanted)


def test_a_parameter_is_read_by_name():
    assert Link().get_parameter("GF_ACTION", 0.0) == packet(20, 214, struct.pack("<hBB16s", -1, 1, 1, b"GF_ACTION"))


def test_the_sequence_number_counts_up_and_wraps():
    link = Link()
    assert [link.heartbeat(0.0)[4] for _ in range(258)] == [*range(256), 0, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda link: link.rates(NAN, (0, 0, 0), 0), "set-point: thrust: found nan, wanted 0 to 1"),
        (lambda link: link.rates(1.01, (0, 0, 0), 0), "set-point: thrust: found 1.01, wanted 0 to 1"),
        (lambda link: link.rates(0.5, (0, math.inf, 0), 0), r"set-point: rates: found \(0, inf, 0\), wanted finite numbers"),
        (lambda link: link.attitude(0.5, (0, 0, 0, 0), 0), "set-point: quaternion: found norm 0, wanted 1"),
        (lambda link: link.position((0, 0, NAN), 0, 0), "set-point: position: found"),
        (lambda link: link.position((0, 0, 0), NAN, 0), "set-point: yaw: found"),
        (lambda link: link.get_parameter("X" * 17, 0), "parameter: found name 'X{17}', wanted 1 to 16 ASCII characters"),
    ],
)
def test_a_set_point_that_must_not_be_sent_is_refused_by_its_field(call, message):
    with pytest.raises(ValueError, match=message):
        call(Link())


def test_an_action_becomes_thrust_and_rates_of_the_airframe():
    craft = airframe.load("sih_quadx")
    hover = px4_link.thrust_and_rates((0.0, 0.0, 0.0, 0.0), craft)
    assert hover == (pytest.approx(0.4905, abs=1e-4), (0, 0, 0))
    assert px4_link.thrust_and_rates((-1.0, 0.0, 0.0, 0.0), craft)[0] == 0
    thrust, rates = px4_link.thrust_and_rates((1.0, 0.5, -1.0, 1.0), craft)
    assert (thrust, rates) == (pytest.approx(1.0), pytest.approx((1.92, -3.84, 3.49)))
    assert px4_link.thrust_and_rates((0.5, 0, 0, 0), craft)[0] == pytest.approx((1 + 0.4905) / 2, abs=1e-4)


def test_an_action_beyond_its_range_or_of_another_layout_is_refused():
    with pytest.raises(ValueError, match="action: pitch rate: found nan, wanted -1 to 1"):
        px4_link.thrust_and_rates((0, 0, NAN, 0), airframe.load("sih_quadx"))
    with pytest.raises(UsageError, match="action_layout"):
        px4_link.thrust_and_rates((0, 0, 0, 0), airframe.load("crazyflie"))


# What arrives


def test_odometry_nose_east_flying_north_and_climbing():
    """Nose east: ENU yaw 0. Flying north at 2 and climbing at 1: ENU velocity (0, 2, 1), in v1.17's NED (2, 0, -1)."""
    event = one(odometry(q=(ROOT, 0, 0, ROOT), velocity=(2, 0, -1), position=(10, 20, -30), rates=(0.1, 0.2, 0.3)))
    assert event.now == 5.0 and event.stamp == pytest.approx(2.0)
    assert event.position == (20, 10, 30)
    assert event.quaternion == pytest.approx((0, 0, 0, 1), abs=1e-7)
    assert event.velocity == (0, 2, 1)
    assert event.rates == pytest.approx((0.1, -0.2, -0.3))


def test_the_velocity_is_in_the_frame_that_child_frame_id_says():
    """The same flight, with the velocity in the body: nose east, so north is to the left, and left is against right."""
    in_body = odometry(q=(ROOT, 0, 0, ROOT), velocity=(0, -2, -1), child=mavlink.MAV_FRAME_BODY_FRD)
    assert one(in_body).velocity == pytest.approx((0, 2, 1), abs=1e-6)


@pytest.mark.parametrize(("frame", "child", "reason"), [(1, 9, "odometry child_frame_id"), (20, 1, "odometry frame_id")])
def test_odometry_in_an_unknown_frame_is_dropped_and_counted(frame, child, reason):
    link = Link()
    assert events(odometry(frame=frame, child=child), link) == []
    assert link.counts[reason] == 1


@pytest.mark.parametrize(
    ("custom", "mode"),
    [
        (0x00060000, PX4Mode.OFFBOARD),
        (0x03040000, PX4Mode.AUTO_LOITER),
        (0x05040000, PX4Mode.AUTO_RTL),
        (0x06040000, PX4Mode.AUTO_LAND),
        (0x00030000, PX4Mode.POSITION),
        (0x09040000, 0x09040000),
    ],
)
def test_the_mode_is_in_bits_16_to_31(custom, mode):
    assert one(Autopilot()("heartbeat", 2, 12, 128 | 1, custom, 4, 3)) == link_events.FlightMode(5.0, mode, True)
    assert one(Autopilot()("heartbeat", 2, 12, 1, custom, 4, 3)).armed is False
    assert one(Autopilot()("current_mode", 0, custom, custom)) == link_events.FlightMode(5.0, mode, None)


def test_status_gives_readiness_and_battery_and_none_where_unknown():
    ready = 0x10000000  # MAV_SYS_STATUS_PREARM_CHECK
    fields = (0, 0, 0, 0, 0, 0)
    assert one(Autopilot()("sys_status", 0, 0, ready, 0, 16200, -1, 85, *fields)) == (5.0, True, 16.2, 0.85, False)
    unknown = one(Autopilot()("sys_status", 0, 0, ~ready & 0xFFFFFFFF, 0, 0xFFFF, -1, -1, *fields))
    assert unknown == (5.0, False, None, None, False)
    radio = 0x10000  # MAV_SYS_STATUS_SENSOR_RC_RECEIVER: there and healthy, there and not
    assert one(Autopilot()("sys_status", radio, radio, radio, 0, 0, -1, 85, *fields)).remote_control
    assert not one(Autopilot()("sys_status", radio, radio, 0, 0, 0, -1, 85, *fields)).remote_control


def test_landed_state_is_named_and_an_unknown_one_is_undefined():
    assert one(Autopilot()("extended_sys_state", 0, 1)).state is Landed.ON_GROUND
    assert one(Autopilot()("extended_sys_state", 0, 77)).state is Landed.UNDEFINED


def ack(send, command, result):
    return send("command_ack", command, result, 0, 0, 1, 191)


def test_the_first_of_the_two_answers_to_a_mode_request_is_not_final():
    link, send = Link(), Autopilot()
    link.set_mode(PX4Mode.OFFBOARD, 0.0)
    first, second = (one(ack(send, 176, result), link) for result in (0, 1))
    assert (first.result, first.final) == (CommandResult.ACCEPTED, False)
    assert (second.result, second.final) == (CommandResult.TEMPORARILY_REJECTED, True)
    link.set_mode(PX4Mode.AUTO_LAND, 0.0)
    assert [one(ack(send, 176, 0), link).final for _ in range(2)] == [False, True]


def test_the_answer_to_any_other_command_is_final():
    link = Link()
    link.arm(0.0)
    refused = CommandResult.TEMPORARILY_REJECTED
    assert one(ack(Autopilot(), 400, 1), link) == link_events.Acknowledged(5.0, 400, refused, True)
    assert one(ack(Autopilot(), 400, 99), link).result == 99


def test_parameters_come_with_their_type():
    as_float = struct.unpack("<f", struct.pack("<i", 121212))[0]
    value = one(Autopilot()("param_value", b"CBRK_FLIGHTTERM", as_float, 6, 900, 7))
    assert value == link_events.ParameterReading(5.0, "CBRK_FLIGHTTERM", 121212)
    assert one(Autopilot()("param_value", b"COM_OF_LOSS_T", 1.0, 9, 900, 8)).value == 1.0
    negative = struct.unpack("<f", struct.pack("<i", -1))[0]
    assert one(Autopilot()("param_value", b"COM_FLTMODE1", negative, 6, 900, 9)).value == -1
    link = Link()
    assert events(Autopilot()("param_value", b"X", 1.0, 1, 1, 0), link) == [] and link.counts["parameter type"] == 1


def test_time_synchronisation_gives_offset_and_round_trip():
    link = Link()
    asked = link.timesync(10.0)
    assert asked == packet(111, 34, struct.pack("<qq", 0, 10_000_000_000))
    answer = Autopilot()("timesync", 3_000_000_000, 10_000_000_000)
    event = one(answer, link, now=10.004)
    assert event.round_trip == pytest.approx(0.004) and event.offset == pytest.approx(3.0 - 10.002)
    assert events(Autopilot()("timesync", 0, 1), link) == []  # a question
    assert events(Autopilot()("timesync", 5, 99_000_000_000), link) == [] and link.counts["timesync"] == 1


def test_text_version_and_ground_truth():
    assert one(Autopilot()("statustext", 2, b"Arming denied\t")) == link_events.StatusText(5.0, "Arming denied")
    version = Autopilot()("autopilot_version", 0, 0x011100FF, 0, 0, 0, [0] * 8, [0] * 8, [0] * 8, 0, 0, 0)
    assert one(version) == link_events.Version(5.0, 1, 17)
    truth = one(Autopilot()("hil_state_quaternion", 0, (1, 0, 0, 0), 0, 0.5, 0, 473977420, 85455940, 489400,
                            100, 200, -300, 0, 0, 0, 0, 0))  # fmt: skip
    assert (truth.latitude, truth.longitude, truth.altitude) == pytest.approx((47.397742, 8.545594, 489.4))
    assert truth.velocity == pytest.approx((2, 1, 3)) and truth.rates == pytest.approx((0, -0.5, 0))


def test_packets_of_another_system_are_counted_and_not_used():
    link = Link()
    assert events(Autopilot(system=255, component=190)("heartbeat", 6, 8, 128, 0x06040000, 4, 3), link) == []
    assert link.counts["foreign"] == 1


# Bytes


def test_a_datagram_may_hold_several_packets_and_rubbish_between_them():
    send, link = Autopilot(), Link()
    data = b"\xfd\x00rubbish" + odometry(send) + b"\xfd\xfe" + odometry(send) + b"\xfd\x09"
    assert len(events(data, link)) == 2
    assert link.counts["garbage"] == len(b"\xfd\x00rubbish") + 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_of_newer_firmware_is_passed_over_whole_and_damages_nothing(stream):
    autopilot, link = Autopilot(), Link(stream)
    inside = bytes.fromhex("fe0000") + odometry(autopilot)[:30]  # its payload looks as if packets began in it
    newer = packet(59_999, 77, inside, system=1, component=1)
    found = events(odometry(autopilot) + newer + odometry(autopilot) + newer, link)
    assert [type(event).__name__ for event in found] == ["Odometry", "Odometry"]
    assert link.counts["unknown"] == 2 and not link.counts["bad checksum"] and not link.counts["garbage"]


def test_a_cut_datagram_does_not_spoil_the_next():
    send, link = Autopilot(), Link()
    assert events(odometry(send)[:-1], link) == []
    assert len(events(odometry(send), link)) == 1


def test_a_serial_line_may_cut_packets_anywhere():
    send, link = Autopilot(), Link(stream=True)
    data = b"\xfd" + b"noise" * 3 + b"".join(odometry(send, reset=i) for i in range(20))
    found = [event for byte in data for event in link.receive(bytes([byte]), 1.0)]
    counters = [event.reset_counter for event in found if isinstance(event, link_events.Odometry)]
    assert counters == list(range(20))


def test_one_flipped_bit_anywhere_loses_the_packet_and_nothing_else():
    good = bytearray(odometry(q=(ROOT, 0, 0, ROOT), velocity=(1, 2, 3)))
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert events(bytes(bad)) == []


def test_lost_and_late_packets_are_counted_by_their_sequence_numbers():
    send, link = Autopilot(), Link()
    data = [odometry(send) for _ in range(5)]
    for i in (0, 1, 4, 2):
        events(data[i], link)
    assert (link.counts["lost"], link.counts["late"]) == (2, 1)


@pytest.mark.proves("38U")
def test_random_bytes_never_raise():
    generator = random.Random(0)
    for link in (Link(), Link(stream=True)):
        for _ in range(3000):
            data = generator.randbytes(generator.randrange(0, 300))
            link.receive(data.replace(b"\x00", b"\xfd") if generator.random() < 0.5 else data, 1.0)
        assert link.counts["good"] == 0


@pytest.mark.parametrize("number", sorted(mavlink.mavlink_map))
def test_no_payload_of_a_valid_packet_raises(number):
    generator = random.Random(number)
    kind = mavlink.mavlink_map[number]
    for fill in (b"\x00", b"\xff", None, None, None):
        size = generator.randrange(1, 256)
        payload = fill * 255 if fill else generator.randbytes(size)
        for link in (Link(), Link(stream=True)):
            link.receive(packet(number, kind.crc_extra, payload[:255], component=1), 1.0)
