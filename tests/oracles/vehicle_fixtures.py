"""Fixtures that fly the simulated vehicle by a client of pymavlink: its core in virtual time, and its process on UDP."""

import math
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from output import executable
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl import airframe
from spike_ctrl.simulated_px4.vehicle import ONBOARD, STATION, Vehicle

SPIKE_CTRL = executable("spike-ctrl")
OFFBOARD, LOITER, RTL, LAND, TAKEOFF = 0x00060000, 0x03040000, 0x05040000, 0x06040000, 0x02040000
LEVEL_NORTH = (1.0, 0.0, 0.0, 0.0)


NUMBERS = {kind.msgname: number for number, kind in mavlink.mavlink_map.items()}


class Client:
    """A companion (system 1, component 191): sends packets, keeps received ones, and decodes those that are asked for."""

    def __init__(self, system=1, component=191):
        self.codec = mavlink.MAVLink(None, system, component)
        self.codec.robust_parsing = True
        self._received = []  # [time, number of the message, packet or message]

    def encode(self, message):
        data = bytes(message.pack(self.codec))
        self.codec.seq = (self.codec.seq + 1) % 256
        return data

    def decode(self, data, now):
        signed = data[2] & 1
        assert data[0] == 0xFD and len(data) == 12 + data[1] + 13 * signed, "wanted one packet of MAVLink 2"
        self._received.append([now, int.from_bytes(data[7:10], "little"), data])
        if signed:  # its signature fits the key of now and the packets before
            self._decoded(self._received[-1])

    def _decoded(self, entry):
        if isinstance(entry[2], bytes):
            (entry[2],) = self.codec.parse_buffer(entry[2])
            assert entry[2].get_type() != "BAD_DATA"
        return entry[2]

    @property
    def heard(self):
        """Time and message of all."""
        return [(entry[0], self._decoded(entry)) for entry in self._received]

    def all(self, kind, since=-math.inf):
        return [self._decoded(entry) for entry in self._received if entry[1] == NUMBERS[kind] and entry[0] >= since]

    def times(self, kind, since=-math.inf):
        return [now for now, number, _ in self._received if number == NUMBERS[kind] and now >= since]

    def last(self, kind):
        return next((self._decoded(entry) for entry in reversed(self._received) if entry[1] == NUMBERS[kind]), None)

    def forget(self):
        self._received.clear()

    @staticmethod
    def command(number, *parameters, system=1, component=1):
        seven = [*parameters, *[0] * (7 - len(parameters))]
        return mavlink.MAVLink_command_long_message(system, component, number, 0, *seven)

    @staticmethod
    def mode_request(custom):
        return Client.command(mavlink.MAV_CMD_DO_SET_MODE, 1, custom >> 16 & 0xFF, custom >> 24)

    @staticmethod
    def arm(value=1, force=0):
        return Client.command(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, value, force)

    @staticmethod
    def interval(number, hz):
        return Client.command(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, number, 1e6 / hz if hz else -1)

    @staticmethod
    def attitude_target(thrust, rates=(0, 0, 0), mask=128, q=LEVEL_NORTH, system=1, component=1):
        return mavlink.MAVLink_set_attitude_target_message(0, system, component, mask, q, *rates, thrust)

    @staticmethod
    def position_target(x, y, z, yaw=0.0, frame=1, mask=0b100111111000):
        return mavlink.MAVLink_set_position_target_local_ned_message(
            0, 1, 1, frame, mask, x, y, z, 0, 0, 0, 0, 0, 0, yaw, 0
        )  # fmt: skip

    @staticmethod
    def set_parameter(name, value):
        kind = 6 if isinstance(value, int) else 9
        wire = struct.unpack("<f", struct.pack("<i", value))[0] if kind == 6 else value
        return mavlink.MAVLink_param_set_message(1, 1, name.encode(), wire, kind)


class Rig(Client):
    """The core and its client in virtual time: a flight of a minute takes a second. Set-points are in NED, as PX4's."""

    def __init__(self, parameters=None, noise=0.0, craft=None, **options):
        super().__init__()
        self.station = Client(system=255, component=190)
        self.vehicle = Vehicle(craft or airframe.load("sih_quadx"), parameters=parameters, noise=noise, **options)

    @property
    def now(self):
        return self.vehicle.now

    @property
    def armed(self):
        return self.vehicle.commander.armed

    @property
    def mode(self):
        """The reported custom mode."""
        self.tell(self.command(mavlink.MAV_CMD_REQUEST_MESSAGE, 436))
        self.run(0.012)
        return self.last("CURRENT_MODE").custom_mode

    @property
    def height(self):
        return self.vehicle.truth.position[2]

    @property
    def rates_frd(self):
        p, q, r = self.vehicle.truth.rates
        return p, -q, -r

    @property
    def tilt(self):
        """Angle (degrees) between the body's and the world's up."""
        x, y, _, _ = self.vehicle.truth.quaternion
        return math.degrees(math.acos(max(-1.0, 1 - 2 * (x * x + y * y))))

    def tell(self, *messages, port=ONBOARD):
        client = self if port == ONBOARD else self.station
        for message in messages:
            self.hear(self.vehicle.receive(port, client.encode(message), self.now))

    def hear(self, packets):
        for port, data in packets:
            (self if port == ONBOARD else self.station).decode(data, self.now)

    def run(self, seconds, setpoint=None, every=0.02, until=None):
        """Fly on, repeating a set-point (or what `setpoint(now)` gives). True as soon as `until()` is true."""
        end, due = self.now + seconds, self.now
        while self.now < end - 1e-9:
            if setpoint is not None and self.now >= due - 1e-9:
                self.tell(setpoint(self.now) if callable(setpoint) else setpoint)
                due += every
            self.hear(self.vehicle.advance(self.now + 0.004))
            if until is not None and until():
                return True
        return False

    def results(self, number, since=-math.inf):
        return [ack.result for ack in self.all("COMMAND_ACK", since) if ack.command == number]

    def ask(self, message, setpoint=None):
        """Send a command. Gives the results that come back."""
        before = len(self.results(message.command))
        self.tell(message)
        self.run(0.02, setpoint)
        return self.results(message.command)[before:]

    def take_off(self, height=1.5):
        """Arm, take off by position set-points, and hover. When it returns, a set-point has just been sent."""
        place = self.position_target(0, 0, -height)
        self.run(2.5, place)
        assert self.ask(Client.mode_request(OFFBOARD), place) == [0, 0]
        assert self.ask(Client.arm(), place) == [0]
        self.run(8 + height / 3, place)
        assert abs(self.height - height) < 0.05 or self.vehicle.estimator.noise
        return self

    def hover(self, height=1.5):
        """Begin in the air, where `take_off` ends, some eight seconds earlier. A set-point has just been sent."""
        self.vehicle.begin_in_the_air((0.0, 0.0, height))
        self.run(2.5, self.position_target(0, 0, -height))
        assert abs(self.height - height) < 0.05 or self.vehicle.estimator.noise
        return self


@pytest.fixture
def rig():
    """rig(parameters, noise=0, ...) makes a Rig."""
    return Rig


class Process(Client):
    """`spike-ctrl vehicle ARGUMENTS` on free ports, and its companion's socket."""

    def __init__(self, arguments):
        super().__init__()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        mine = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.process = subprocess.Popen(
            [SPIKE_CTRL, "vehicle", "--connection", mine, "--local", "127.0.0.1:0", "--station", "none", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self.lines = []
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()
        self.remote = None

    def _read_output(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def receive(self):
        """Take one datagram, if one comes within 50 ms."""
        try:
            data, self.remote = self.socket.recvfrom(65535)
        except TimeoutError:
            return
        self.decode(data, time.monotonic())

    def tell(self, *messages):
        for message in messages:
            self.socket.sendto(self.encode(message), self.remote)

    def fly(self, condition, seconds, setpoint=None, every=0.02):
        """Send set-points and listen until the condition is true. Gives its value; fails after `seconds`."""
        deadline, due = time.monotonic() + seconds, 0.0
        while not (found := condition()):
            now = time.monotonic()
            assert now < deadline, f"not within {seconds} s:\n" + "\n".join(self.lines[-20:])
            if setpoint is not None and now >= due:
                self.tell(setpoint)
                due = now + every
            self.receive()
        return found

    def stop(self, number=signal.SIGINT):
        """End the process. Gives the exit code; the output is in `lines`."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(5)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        self.socket.close()

    def said(self, pattern):
        return any(re.search(pattern, line) for line in self.lines)


@pytest.fixture
def start_vehicle():
    """start_vehicle("--speed", "5", ...) gives a Process that has sent its first packet. It is ended after the test."""
    processes = []

    def start(*arguments):
        processes.append(Process(list(arguments)))
        vehicle = processes[-1]
        vehicle.fly(lambda: vehicle.heard or vehicle.process.poll() is not None, 60)
        return vehicle

    yield start
    for process in processes:
        process.close()


@pytest.fixture
def station_port():
    return STATION
