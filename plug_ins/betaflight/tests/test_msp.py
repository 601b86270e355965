"""MSP: packets against published check values, and answers that Betaflight 4.5.5 and 2026.12 gave."""

import math
import random
import struct

import pytest

from spike_ctrl_betaflight import msp
from spike_ctrl_betaflight.msp import MspError, MspReader, Packet

# Answers of `make TARGET=SITL` of 4.5.5 and of main (2026.12.0-alpha, 301d01a), as they came over TCP
RECORDED = {
    "status 4.5.5": (msp.STATUS_EX, "820000002300000000000000000400001a04130001000000"),
    "status main": (msp.STATUS_EX, "e80300002700000000000000000400001e04030000000000040300"),
    "rates 4.5.5": (msp.RC_TUNING, "07004343430032000000000707000064ce07ce07ce0703"),
    "rates main": (msp.RC_TUNING, "07004343430032000000000707000064ce07ce07ce070332"),
    "receiver": (msp.RX_CONFIG, "006c07dc051a0400750343080000e20400000000000000000000000000000a01000000000000"),
    "failsafe": (msp.FAILSAFE_CONFIG, "0f0ae80300640001"),
    "battery": (msp.BATTERY_STATE, "0000000000000000040000"),
    "version main": (msp.FC_VERSION, "1a0c000f323032362e31322e302d616c706861"),
}


@pytest.mark.parametrize(("command", "payload"), [(c, bytes.fromhex(p)) for c, p in RECORDED.values()])
@pytest.mark.parametrize("version", [1, 2])
def test_an_answer_comes_through_in_both_versions_and_in_any_pieces(command, payload, version):
    data, reader, found = msp.answer(command, payload, version), MspReader(), []
    for byte in data:
        found += reader.read(bytes([byte]))
    assert found == [Packet(command, payload, True)]


@pytest.mark.installed
def test_the_checks_are_those_that_others_publish():
    assert msp.crc8(b"123456789") == 0xBC  # CRC-8/DVB-S2 of the catalogue of CRC algorithms
    assert msp.request(1) == bytes.fromhex("244d3c000101")  # MSP_API_VERSION of the protocol's description
    assert msp.request(0x64, version=2) == bytes.fromhex("24583c00640000008f")  # MSP 2, the example of iNav's page


def test_noise_and_damage_cost_no_answer_that_follows():
    draws = random.Random(0)
    good = msp.answer(msp.RC, struct.pack("<4H", 1500, 1500, 1500, 1000))
    reader, found = MspReader(), []
    for number in range(200):
        damaged = bytearray(msp.answer(msp.ATTITUDE, b"\x01\x02\x03\x04\x05\x06", 1 + number % 2))
        damaged[draws.randrange(3, len(damaged))] ^= 1 << draws.randrange(8)
        found += reader.read(bytes(damaged) + draws.randbytes(draws.randrange(8)) + b"\0" * 4100 + good)
    assert found.count(Packet(msp.RC, good[5:-1])) == 200
    assert reader.counts["damaged"] > 100


def test_what_the_firmware_refuses_is_told_from_what_it_answers():
    assert MspReader().read(msp.answer(250, b"", ok=False)) == [Packet(250, b"", False)]
    assert MspReader().read(msp.request(1) + msp.answer(1, b"\0\1\x2e")) == [Packet(1, b"\0\1\x2e")]


def test_arming_flags_of_both_versions_have_their_names():
    told = msp.status(bytes.fromhex(RECORDED["status 4.5.5"][1]))
    assert told.disabled == ("RXLOSS", "ANGLE", "BOOTGRACE", "CALIB", "MOTOR_PROTO") and told.cycle == 130
    assert msp.status(bytes.fromhex(RECORDED["status main"][1])).disabled == ("RXLOSS", "ANGLE", "BOOTGRACE")
    last = bytearray.fromhex(RECORDED["status 4.5.5"][1])
    struct.pack_into("<I", last, 17, 1 << 25)
    assert msp.status(bytes(last)).disabled == ("ARM_SWITCH",)


def test_a_box_is_found_by_its_permanent_number():
    boxids = bytes.fromhex("000102061b070d131e202122242d3132333435")
    place = boxids.index(msp.OVERRIDE)
    told = msp.status(bytes.fromhex(RECORDED["status 4.5.5"][1]))._replace(boxes=1 << place | 1)
    assert told.active(msp.OVERRIDE, boxids) and told.active(msp.ARM, boxids) and not told.active(msp.ANGLE, boxids)
    assert not told.active(msp.AIRMODE, boxids)  # not among the boxes that this firmware lists


def test_rates_receiver_and_failsafe_are_those_of_the_command_line():
    profile = msp.rate_profile(bytes.fromhex(RECORDED["rates 4.5.5"][1]))
    assert profile[:5] == ((7, 7, 7), (0, 0, 0), (67, 67, 67), (1998, 1998, 1998), 3)  # ACTUAL, 70 and 670 deg/s
    assert (profile.throttle_expo, profile.throttle_limit_type, profile.throttle_hover) == (0, 0, 50)
    assert msp.receiver(bytes.fromhex(RECORDED["receiver"][1])) == (1500, 1050, 885, 2115)
    assert msp.failsafe(bytes.fromhex(RECORDED["failsafe"][1])) == (1.5, 1.0, 1000, 1)
    assert msp.battery(bytes.fromhex(RECORDED["battery"][1])).cells == 0


def test_a_gyro_of_164_counts_is_10_degrees_a_second():
    told = msp.imu(struct.pack("<9h", 0, 0, 256, 164, -164, 0, 0, 0, 0))
    assert told.rates == pytest.approx((math.radians(10), -math.radians(10), 0.0))


def test_a_short_payload_is_named():
    for decode in (msp.status, msp.imu, msp.attitude, msp.battery, msp.rate_profile, msp.receiver, msp.failsafe):
        with pytest.raises(MspError, match="found 3 bytes, wanted at least"):
            decode(b"\0\0\0")


def test_an_attitude_is_told_nose_down_as_the_rates_are():
    """Angle mode subtracts it from its target as it is, and a stick forwards, whose rate is nose down, leans forwards."""
    assert msp.attitude(struct.pack("<3h", 100, 200, 90)) == pytest.approx(tuple(map(math.radians, (10.0, 20.0, 90.0))))
