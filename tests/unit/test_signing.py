"""Signed links: who may speak. pymavlink's own signing is the other end."""

import pytest
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.link_events import FlightMode
from spike_ctrl.px4.signing import Signing, read_key

KEY, OTHER = bytes(range(32)), bytes(32)
WALL = 1_800_000_000.0  # s since 1970
NOW = 100.0
STAMP = int((WALL - 1_420_070_400) * 100_000)  # units of 10 us since 2015


def autopilot(key=KEY, stamp=STAMP, link=0):
    encoder = mavlink.MAVLink(None, 1, 1)
    encoder.signing.secret_key, encoder.signing.sign_outgoing = key, key is not None
    encoder.signing.timestamp, encoder.signing.link_id = stamp, link
    return encoder


def heartbeat(encoder):
    return bytes(mavlink.MAVLink_heartbeat_message(2, 12, 1, 0x06040000, 4, 3).pack(encoder))


@pytest.fixture
def link():
    return Link(signing=Signing(KEY, 3, WALL, NOW))


def test_a_signed_packet_is_trusted(link):
    (event,) = link.receive(heartbeat(autopilot()), NOW)
    assert isinstance(event, FlightMode) and link.counts["good"] == 1


@pytest.mark.proves("38U")
def test_an_unsigned_packet_is_dropped_and_counted(link):
    assert link.receive(heartbeat(autopilot(key=None)), NOW) == []
    assert link.counts["unsigned"] == 1 and link.counts["good"] == 0


def test_mavlink_1_cannot_be_signed_and_is_dropped(link):
    message = mavlink.MAVLink_heartbeat_message(2, 12, 1, 0x06040000, 4, 3)
    assert link.receive(bytes(message.pack(autopilot(key=None), force_mavlink1=True)), NOW) == []
    assert link.counts["unsigned"] == 1


@pytest.mark.proves("38U")
def test_a_wrongly_signed_packet_is_dropped_and_counted(link):
    assert link.receive(heartbeat(autopilot(key=OTHER)), NOW) == []
    assert link.counts["bad signature"] == 1


@pytest.mark.proves("38U")
def test_a_replayed_packet_is_dropped_and_counted(link):
    sender = autopilot()
    first, second = heartbeat(sender), heartbeat(sender)
    assert len(link.receive(first, NOW)) == len(link.receive(second, NOW)) == 1
    assert link.receive(first, NOW) == link.receive(second, NOW) == []
    assert link.counts["replayed"] == 2


def test_a_recording_of_yesterday_opens_no_new_stream(link):
    assert link.receive(heartbeat(autopilot(stamp=STAMP - 61 * 100_000)), NOW) == []
    assert link.counts["replayed"] == 1
    assert len(link.receive(heartbeat(autopilot(stamp=STAMP - 59 * 100_000)), NOW)) == 1


def test_a_forged_packet_from_the_future_does_not_lock_out_the_true_sender(link):
    link.receive(heartbeat(autopilot(key=OTHER, stamp=STAMP + 10**9)), NOW)
    assert len(link.receive(heartbeat(autopilot()), NOW)) == 1


def test_the_radios_own_status_need_not_be_signed(link):
    status = mavlink.MAVLink_radio_status_message(1, 2, 3, 4, 5, 6, 7)
    assert link.receive(bytes(status.pack(autopilot(key=None))), NOW) == []
    assert link.counts["unsigned"] == 0


def test_outgoing_packets_are_signed_as_pymavlink_expects(link):
    receiver = autopilot()
    receiver.robust_parsing = True
    packets = [link.heartbeat(NOW), link.rates(0.5, (0, 0, 0), NOW), link.heartbeat(NOW + 1)]
    for data in packets:
        (message,) = receiver.parse_buffer(data)
        assert message.get_signed() and message.get_type() != "BAD_DATA" and message.get_link_id() == 3
    stamps = [int.from_bytes(data[-12:-6], "little") for data in packets]
    assert stamps == [STAMP, STAMP + 1, STAMP + 100_000]


@pytest.mark.proves("38U")
def test_fuzzed_signed_packets_never_raise(link):
    good = heartbeat(autopilot())
    for cut in range(1, len(good)):
        link.receive(good[:cut], NOW)
        link.receive(good[cut:], NOW)
        link.receive(good[:cut] + b"\xff" + good[cut + 1 :], NOW)
    assert link.counts["good"] == 0


def test_a_key_file_holds_32_bytes_or_64_hexadecimal_digits(tmp_path):
    raw, text = tmp_path / "raw", tmp_path / "text"
    raw.write_bytes(KEY)
    text.write_text(KEY.hex() + "\n")
    raw.chmod(0o600), text.chmod(0o400)
    assert read_key(raw) == read_key(text) == KEY


def test_a_wrong_key_file_is_refused_by_name(tmp_path):
    path = tmp_path / "short"
    path.write_text("abc")
    path.chmod(0o600)
    with pytest.raises(UsageError, match=f"signing key {path}: found 3 bytes, wanted 32 bytes or 64 hexadecimal digits"):
        read_key(path)
    with pytest.raises(UsageError, match="missing: cannot be read"):
        read_key(tmp_path / "missing")
