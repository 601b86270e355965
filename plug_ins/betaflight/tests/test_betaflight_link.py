"""The link over TCP, to a flight controller that is played here: poses and answers become states, commands become pulses."""

import argparse
import contextlib
import socket
import struct
import threading
import time

import pytest
from betaflight_answers import ANSWERS, BOXIDS
from nav_msgs.msg import Odometry

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl_betaflight import betaflight_verb, msp
from spike_ctrl_betaflight.betaflight_link import OverMsp


class FlightController(threading.Thread):
    """Answers on a free port, armed with the override on. pulses: of the last override frame."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        self.pulses, self.line = None, None

    def run(self):
        self.line, _ = self.listener.accept()
        with contextlib.suppress(OSError):
            self.serve()

    def serve(self):
        waiting = b""
        while data := self.line.recv(4096):
            waiting += data
            while len(waiting) >= 6 and len(waiting) >= 6 + waiting[3]:
                size, command = waiting[3], waiting[4]
                payload, waiting = waiting[5 : 5 + size], waiting[6 + size :]
                self.line.sendall(msp.answer(command, self.answer(command, payload)))

    def answer(self, command, payload):
        if command == msp.SET_RAW_RC:
            self.pulses = struct.unpack("<4H", payload)
            return b""
        if command == msp.STATUS_EX:
            boxes = 1 << BOXIDS.index(msp.ARM) | 1 << BOXIDS.index(msp.OVERRIDE)
            return struct.pack("<HHHIBHBBBBIBH", 125, 0, 33, boxes, 0, 0, 4, 0, 0, 26, 0, 0, 0)
        if command == msp.RAW_IMU:
            return struct.pack("<9h", 0, 0, 256, 164, 0, 0, 0, 0, 0)
        return {msp.BOXIDS: BOXIDS}.get(command, bytes.fromhex(ANSWERS.get(command, "")))


class Node:
    """As much of the bridge's node as the link needs."""

    def create_subscription(self, kind, topic, callback, quality):
        self.kind, self.topic, self.hear = kind, topic, callback

    def now(self):
        return time.monotonic()


@pytest.fixture
def talk():
    controller, node = FlightController(), Node()
    controller.start()
    craft = airframe.load("any_rates")
    connection, companion, _ = OverMsp.converse(node, f"{controller.place}?pose=m/odom&hover=0.4", craft, 100.0, None)
    link = OverMsp(node, connection, companion, craft, "1.17")
    yield controller, node, connection, companion, link
    connection.close()
    controller.line.close()
    controller.listener.close()


def pose(number, height):
    found = Odometry()
    found.header.stamp.nanosec = number * 10_000_000
    found.pose.pose.position.z = height
    found.pose.pose.orientation.z = found.pose.pose.orientation.w = 0.5**0.5  # nose to the north
    found.twist.twist.linear.x = 1.0 + 1e-6 * number
    return found


def test_states_and_commands_go_through(talk):
    controller, node, connection, companion, link = talk
    assert (node.kind, node.topic) == (Odometry, "m/odom")
    states, end = [], time.monotonic() + 10
    for number in range(1, 99):
        node.hear(pose(number, 1.0 + 1e-3 * number))
        for packet in companion.due(time.monotonic()):
            connection.send(packet)
        for _ in range(3):
            states += companion.receive(connection.receive(0.003)[0], time.monotonic())
        companion.ask(Ask.OFFBOARD, time.monotonic())
        link.send((0.0, 0.5, 0.0, 0.0), time.monotonic())
        if len(states) > 20 and controller.pulses and companion.status():
            break
        assert time.monotonic() < end
    last = states[-1]
    assert last.velocity == pytest.approx((0.0, 1.0, 0.0), abs=1e-3)  # forwards is to the north
    assert last.rates[0] == pytest.approx(0.1745, abs=1e-3)
    assert companion.status().mode is Mode.OFFBOARD and companion.version == (2026, 6, 1)
    roll, pitch, throttle, yaw = controller.pulses
    assert roll > 1550 and pitch == yaw == 1500 and throttle == companion.throttle.pulse(companion.hover.command)


def test_behind_a_mixer_the_sticks_go_there_and_none_to_the_flight_controller():
    controller = FlightController()
    controller.start()
    mixer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mixer.bind(("127.0.0.1", 0))
    mixer.settimeout(10.0)
    place = f"127.0.0.1:{mixer.getsockname()[1]}"
    craft = airframe.load("any_rates")
    connection, companion, _ = OverMsp.converse(Node(), f"{controller.place}?mixer={place}", craft, 100.0, None)
    try:
        connection.send(msp.set_raw_rc([1600, 1400, 1300, 1550]))
        connection.send(msp.request(msp.RC))
        assert mixer.recv(100) == msp.set_raw_rc([1600, 1400, 1300, 1550])
        assert [packet.command for packet in connection.receive(10.0)[0]] == [msp.RC] and controller.pulses is None
        companion.known[msp.API_VERSION] = bytes((0, 1, 46))  # flies the last override for ever, and gets none
        assert not companion.holds_last
    finally:
        connection.close()
        mixer.close()
        controller.line.close()
        controller.listener.close()


def test_a_lost_line_is_silence(talk):
    controller, _, connection, companion, _ = talk
    for packet in companion.due(time.monotonic()):
        connection.send(packet)
    assert companion.receive(connection.receive(1.0)[0], time.monotonic()) == [] and companion.heard is not None
    controller.line.shutdown(socket.SHUT_RDWR)
    for _ in range(3):
        connection.receive(0.05)
        connection.send(msp.request(msp.RC))
    assert connection.line.lost


def test_what_cannot_fly_is_refused_before_the_flight():
    with pytest.raises(UsageError, match="action_layout: found 'motors', wanted 'rates'; Betaflight takes body rates"):
        OverMsp.check(airframe.load("crazyflie"), 1, "1.17")
    with pytest.raises(UsageError, match="wanted tcp:HOST:PORT or serial"):
        OverMsp.require("udpin:127.0.0.1:14540")
    with pytest.raises(UsageError, match="nobody answers there"):
        OverMsp.converse(Node(), "tcp:127.0.0.1:9", airframe.load("any_rates"), 100.0, None)


def test_the_verb_tells_what_bars_a_flight(capsys):
    controller = FlightController()
    controller.start()
    parser = argparse.ArgumentParser()
    betaflight_verb.add(parser)
    asked = ["preflight", "--connection", controller.place, "--seconds", "1", "--airframe", "racer"]
    assert betaflight_verb.run(parser.parse_args(asked)) == 0
    told = capsys.readouterr().out
    assert "firmware 2026.6.1" in told and "msp_override_channels_mask: not tried" in told and "ready to fly" in told
    controller.listener.close()
