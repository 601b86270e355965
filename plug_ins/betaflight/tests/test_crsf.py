"""CRSF frames as receivers send them, and what the mixer changes in them.

The frames are those of Betaflight's own test of its receiver (src/test/unit/rx_crsf_unittest.cc): some were captured.
"""

import os
import pty
import random
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl_betaflight import crsf, crsf_line, crsf_relay, msp
from spike_ctrl_betaflight.crsf_line import CrsfLine
from spike_ctrl_betaflight.crsf_mixer import SILENT, CrsfMixer

CAPTURED = (
    "00 18 16 BD 08 9F F4 AE F7 BD EF 7D EF FB AD FD 45 2B 5A 01 00 00 00 00 00 6C",
    "00 18 16 BD 08 9F F4 AA F7 BD EF 7D EF FB AD FD 45 2B 5A 01 00 00 00 00 00 94",
)
CAPTURED_CHANNELS = [[189, 993, 978, 983], [189, 993, 978, 981]]  # the first four, as that test reads them
CAPTURED_PULSES = (999, 1501, 1492, 1495)  # us, without what is behind the point
SUBSET = bytes((0xC8, 0x09, 0x17, 0x24, 0x00, 0xA0, 0xD9, 0xE9, 0xFF, 0x0F, 0xD1))
UNPACKED = bytes((0xFF, 0xFF, 0, 0, 0x58, 1, 0, 0xF0, 1, 0x60, 0xE2)) + bytes(11)
UNPACKED_CHANNELS = [0x7FF, 0x1F, 0, 172, 0, 992, 0, 1811] + [0] * 8
NEGOTIATION = bytes((0xC8, 0x0C, 0x32, 0xC8, 0xEC, 0x0A, 0x70, 0x01, 0x00, 0x1E, 0x84, 0x80, 0x22, 0x72))
CENTRE, HIGH, LOW = 992, 1811, 172


def captured(place=0):
    return bytes.fromhex(CAPTURED[place])


def pilot(override, arm=HIGH, sticks=(900, 1000, 400, 1100)):
    return crsf.packed([*sticks, arm, override, *range(300, 310)])


def statistics(quality):
    return crsf.frame(crsf.LINK_STATISTICS, bytes((60, 60, quality, 5, 0, 2, 3, 70, 100, 5)))


def test_captured_frames_are_found_and_unpacked_and_packed_again():
    found = crsf.CrsfReader().read(captured(0) + captured(1))
    assert [one.data for one in found] == [captured(0), captured(1)]
    assert [crsf.channels(one)[:4] for one in found] == CAPTURED_CHANNELS
    assert [int(crsf.pulse(one)) for one in CAPTURED_CHANNELS[0]] == list(CAPTURED_PULSES)
    assert crsf.packed(crsf.channels(found[0]), address=0).data == captured(0)
    assert crsf.channels(crsf.frame(crsf.CHANNELS, UNPACKED)) == UNPACKED_CHANNELS
    assert crsf.packed(UNPACKED_CHANNELS).payload == UNPACKED
    assert crsf.frame(0x32, NEGOTIATION[3:-1]).data == NEGOTIATION
    assert crsf.frame(0x17, SUBSET[3:-1]).data == SUBSET


def test_a_channel_is_the_pulse_that_the_specification_says():
    for channel, microseconds in ((172, 988), (992, 1500), (1811, 2012)):
        assert crsf.pulse(channel) == pytest.approx(microseconds, abs=1)
    for microseconds in range(988, 2013):
        assert crsf.pulse(crsf.channel(microseconds)) == pytest.approx(microseconds, abs=0.5)


def test_frames_are_found_in_damaged_streams_and_whatever_the_pieces():
    generator = random.Random(1)
    wanted = [captured(0), NEGOTIATION, statistics(99).data, captured(1)] * 20
    stream = b"".join(bytes(generator.choices(range(256), k=generator.randrange(9))) + one for one in wanted) + bytes(80)
    reader, found = crsf.CrsfReader(), []
    while stream:
        size = generator.randrange(1, 30)
        found += [one.data for one in reader.read(stream[:size])]
        stream = stream[size:]
    assert [one for one in found if one in wanted] == wanted and reader.damaged > 0
    broken = bytearray(captured(0))
    broken[9] ^= 4
    assert crsf.CrsfReader().read(bytes(broken)) == []


def flown(mixer, frame, now):
    mixer, passed = mixer.passed(frame, now)
    return mixer, crsf.channels(passed)


def test_the_stack_has_four_channels_while_the_pilots_switch_is_on_and_no_other():
    stack = (1600.0, 1400.0, 1300.0, 1550.0)
    mixer = CrsfMixer().told(stack, 0.0)
    mixer, off = flown(mixer, pilot(LOW), 0.01)
    assert off == crsf.channels(pilot(LOW)) and not mixer.mixed
    mixer, on = flown(mixer, pilot(HIGH), 0.02)
    assert mixer.mixed and on[4:] == crsf.channels(pilot(HIGH))[4:]
    assert [crsf.pulse(one) for one in on[:4]] == pytest.approx(stack, abs=0.5)
    mixer, disarmed = flown(mixer, pilot(HIGH, arm=LOW), 0.03)
    assert disarmed[4] == LOW  # arming is the pilot's
    mixer, off = flown(mixer, pilot(LOW), 0.04)
    assert off == crsf.channels(pilot(LOW)) and not mixer.mixed


def test_a_silent_stack_gives_the_pilot_back_until_the_switch_is_used_again():
    mixer = CrsfMixer().told((1600.0,) * 4, 0.0)
    mixer, _ = flown(mixer, pilot(LOW), 0.0)
    mixer, _ = flown(mixer, pilot(HIGH), SILENT)
    assert mixer.mixed
    mixer, on = flown(mixer, pilot(HIGH), SILENT + 0.01)
    assert on == crsf.channels(pilot(HIGH)) and not mixer.mixed
    mixer = mixer.told((1600.0,) * 4, 0.2)
    mixer, on = flown(mixer, pilot(HIGH), 0.21)
    assert on == crsf.channels(pilot(HIGH))  # it speaks again, but the pilot flies
    mixer, _ = flown(mixer, pilot(LOW), 0.22)
    mixer, on = flown(mixer, pilot(HIGH), 0.23)
    assert mixer.mixed


def test_a_switch_that_was_on_before_the_stack_came_gives_it_nothing():
    mixer = CrsfMixer().told((1600.0,) * 4, 0.0)
    mixer, on = flown(mixer, pilot(HIGH), 0.01)
    assert on == crsf.channels(pilot(HIGH)) and not mixer.mixed


@pytest.mark.parametrize("pulses", [(), (1500,) * 3, (1500, 1500, 0, 1500), (1500, 1500, 2500, 1500)])
def test_what_are_no_sticks_counts_as_silence(pulses):
    assert CrsfMixer().told(pulses, 1.0) == CrsfMixer()


def test_a_receiver_that_hears_no_transmitter_is_passed_on_as_it_is():
    mixer = CrsfMixer().told((1600.0,) * 4, 0.0)
    mixer, _ = flown(mixer, pilot(LOW), 0.0)
    mixer, passed = mixer.passed(statistics(0), 0.0)
    assert passed == statistics(0)
    mixer, on = flown(mixer, pilot(HIGH), 0.01)
    assert on == crsf.channels(pilot(HIGH))
    mixer, _ = mixer.passed(statistics(50), 0.02)
    mixer, _ = flown(mixer, pilot(HIGH), 0.03)
    assert mixer.mixed


def test_other_frames_and_odd_ones_pass_unchanged():
    mixer = CrsfMixer().told((1600.0,) * 4, 0.0)
    odd_ones = [(0x32, bytes(4)), (0x17, SUBSET[3:-1]), (crsf.CHANNELS, bytes(5)), (crsf.LINK_STATISTICS, b"")]
    for odd in (crsf.frame(*one) for one in odd_ones):
        assert mixer.passed(odd, 0.0) == (mixer, odd)


def test_a_proposal_of_another_baud_rate_is_not_passed_on():
    (proposal,) = crsf.CrsfReader().read(NEGOTIATION)
    assert CrsfMixer().passed(proposal, 0.0) == (CrsfMixer(), None)


def test_the_running_mixer_passes_both_ways_over_serial_lines_and_the_stack_sends_by_udp():
    (air, receiver), (board, controller) = pty.openpty(), pty.openpty()
    devices = [os.ttyname(end) for end in (receiver, controller)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "spike_ctrl.cli.main", "betaflight", "mixer", "--sticks", place]
    command += ["--receiver", f"serial:{devices[0]}", "--controller", f"serial:{devices[1]}", "--channel", "6"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    reader, sender = crsf.CrsfReader(), crsf_relay.StickSender(place)

    def through(frame):
        sender.send(msp.set_raw_rc([1600, 1400, 1300, 1550]))
        time.sleep(0.02)
        os.write(air, frame.data)
        found = []
        while not found:
            assert select.select([board], [], [], 20.0)[0]
            found = reader.read(os.read(board, 200))
        return crsf.channels(found[0])

    try:
        assert running.stdout.readline().startswith("the pilot flies; override: channel 6")
        assert [crsf_line.baud(end) for end in (receiver, controller)] == [420000, 420000]
        assert through(pilot(LOW)) == crsf.channels(pilot(LOW))
        until, passed = time.monotonic() + 20.0, through(pilot(HIGH))
        while passed == crsf.channels(pilot(HIGH)) and time.monotonic() < until:  # a busy computer: the sticks came late
            passed = through(pilot(HIGH))
        assert [crsf.pulse(one) for one in passed[:4]] == pytest.approx((1600, 1400, 1300, 1550), abs=0.5)
        assert running.stdout.readline() == "the stack flies\n"
        os.write(board, b"telemetry")
        assert select.select([air], [], [], 20.0)[0] and os.read(air, 200) == b"telemetry"
        running.send_signal(signal.SIGTERM)
        assert running.wait(20.0) == 0
    finally:
        running.kill()
        running.communicate()
        sender.close()
        for end in (air, receiver, board, controller):
            os.close(end)


@pytest.mark.parametrize("channel", ["0", "4", "17"])
def test_a_stick_and_a_channel_that_there_is_not_are_no_override_switch(channel, capsys):
    """0 would be the last of a list, and 17 fail at the pilot's first frame."""
    assert main(["betaflight", "mixer", "--receiver", "udp:1", "--controller", "udp:1", "--channel", channel]) == 2
    assert capsys.readouterr().err == f"error: --channel: found {channel}, wanted 5 to 16\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("udp:1", "wanted serial:DEVICE"),
        ("tcp:here", "wanted tcp:HOST:PORT"),
        ("serial:/dev/null", "is no serial line that takes 420000 baud"),
        ("serial:/dev/nothing:420000", "cannot be opened"),
        ("serial:/dev/null:fast", "wanted serial:DEVICE or"),
    ],
)
def test_a_line_that_is_none_is_one_sentence(text, found):
    with pytest.raises(UsageError, match=found):
        CrsfLine(text)
