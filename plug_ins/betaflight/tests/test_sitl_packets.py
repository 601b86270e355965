"""Packets of the SITL, and commands from an action: places, signs and absolute values."""

import math
import struct

import pytest

from spike_ctrl_betaflight import commands, sitl_packets
from spike_ctrl_betaflight.commands import FoundHover, Throttle
from spike_ctrl_betaflight.rates import curves
from spike_ctrl_betaflight.sitl_packets import SensedMotion

STANDING = SensedMotion((0.1, 0.2, 0.3), (0.0, 0.0, 9.80665), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (1.0, 2.0, 3.0))


def internal(packet, yaw_kept):
    """What updateState of the firmware's sitl.c makes of a packet: gyro and accelerometer in its own frame."""
    _, p, q, r, x, y, z, *_ = struct.unpack("<18d", packet)
    return (p, -q, r if yaw_kept else -r), (-x, -y, -z)


@pytest.mark.parametrize("yaw_kept", [False, True])
def test_every_version_feels_rates_and_force_in_flu(yaw_kept):
    rates, force = internal(sitl_packets.state(1.5, STANDING, yaw_kept), yaw_kept)
    assert rates == STANDING.rates and force == STANDING.force  # g upwards: its accelerometer reads +1 g at rest


def test_motor_commands_come_in_our_order():
    packet = struct.pack("<Hxx16f", 4, 1100, 1200, 1300, 1400, *[0] * 12)  # back-right, front-right, back-left, front-left
    assert sitl_packets.motors(packet) == pytest.approx((0.2, 0.1, 0.3, 0.4))


def test_a_body_that_pitches_up_feels_gravity_from_the_front():
    nose_up = (0.0, -math.sin(0.1), 0.0, math.cos(0.1))
    assert sitl_packets.felt((0.0, 0.0, 0.0), nose_up)[0] == pytest.approx(9.80665 * math.sin(0.2))


def test_the_hover_is_the_throttle_that_hovers():
    straight = curves("ACTUAL", (7, 7, 7), (67, 67, 67), (0, 0, 0), (1998,) * 3)
    throttle = Throttle(0.055, 1050)
    assert commands.pulses((0, 0, 0, 0), (4, 4, 4), straight, throttle, 0.5) == [1500, 1500, throttle.pulse(0.5), 1500]
    assert commands.pulses((-1, 0, 0, 0), (4, 4, 4), straight, throttle, 0.5)[2] == 1050
    assert commands.pulses((1, 0, 0, 0), (4, 4, 4), straight, throttle, 0.5)[2] == 2000
    for pulse in range(1050, 2001, 50):
        assert throttle.pulse(throttle.command(pulse)) == pulse


def test_an_action_goes_to_the_places_of_the_receivers_map():
    straight = curves("ACTUAL", (7, 7, 7), (67, 67, 67), (0, 0, 0), (1998,) * 3)
    roll, pitch, throttle, yaw = commands.pulses((0.2, 0.5, 0.25, 0.75), (4, 4, 4), straight, Throttle(), 0.4)
    assert 1500 < pitch < roll and yaw < 1500 < throttle
    assert commands.pulses((0.2, 0.5, 0.25, 0.75), (4, 4, 4), straight, Throttle(), 0.4, (1, 2, 3, 0)) == [
        throttle, roll, pitch, yaw,
    ]  # fmt: skip


def test_the_hover_of_a_vehicle_is_found_from_its_accelerometer():
    found, now = FoundHover(0.4), 0.0
    for _ in range(1500):  # thrust goes with the square, and it hovers at .45; flown at what was found so far
        now += 0.01
        found = found.felt((found.command / 0.45) ** 2, found.command, now)
    assert found.command == pytest.approx(0.45, abs=0.005)
    assert found.felt(0.3, 0.9, now + 0.01).command == found.command  # a fall teaches nothing
