"""The processes of a flight, and the sockets that stand for a ground station."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from output import Output, children
from pymavlink.dialects.v20 import development as mavlink

SINCE_2015 = 1420070400
EARTH_RADIUS = 6371000.0  # m


def may_be_real_time() -> bool:
    """Whether processes may run under SCHED_FIFO, so that a busy computer does not decide the test."""
    return subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0


def hurry() -> None:
    """All threads of this process hear in time what the flight tells; what it starts is ordinary.

    Not SCHED_FIFO: a test that computes for a second would have the kernel pause all such processes, the flight's too.
    """
    for thread in os.listdir("/proc/self/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), -10)


def ordinary() -> None:
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Program(Output):
    """A process that takes lines on its stdin, and is ended with all processes that it started."""

    def __init__(self, command, **options):
        options = {"env": os.environ | {"PYTHONUNBUFFERED": "1"}, "stdin": subprocess.PIPE} | options
        options["preexec_fn"] = ordinary
        super().__init__(list(map(str, command)), **options)

    def tell(self, line: str, seconds: float = 5.0) -> None:
        """Send a line, and wait until the process has repeated it."""
        before = len(self.lines)
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        self.wait_for(lambda: line in self.lines[before:], seconds)

    def wait_for(self, condition, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline and self.process.poll() is None, self.output
            time.sleep(0.005)

    def end(self, number=signal.SIGINT, seconds: float = 30.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def kill(self) -> None:
        """End what a test leaves behind: the processes that it started, by their group."""
        for process in [self.process.pid, *children(self.process.pid)]:
            try:
                os.killpg(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        self._reader.join(5)


class Started(NamedTuple):
    """How a node was started."""

    process: int
    command: list[str]
    environment: dict[str, str]
    folder: str


def nodes(parents: list[int]) -> dict[str, Started]:
    """The nodes among these processes and their children, by name."""
    found = {}
    for process in [*parents, *(child for parent in parents for child in children(parent))]:
        try:
            words = Path(f"/proc/{process}/cmdline").read_text().rstrip("\0").split("\0")
            environment = Path(f"/proc/{process}/environ").read_text().rstrip("\0").split("\0")
            folder = os.readlink(f"/proc/{process}/cwd")
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if match := re.search(r"__node:=(\w+)", " ".join(words)):
            found[match[1]] = Started(process, words, dict(word.split("=", 1) for word in environment), folder)
    return found


class Truth(NamedTuple):
    """The true state of the vehicle: s on this clock; m and m/s, ENU, from its first place."""

    time: float
    position: tuple[float, float, float]
    velocity: tuple[float, float, float]


class Station:
    """A ground station: it receives true state, mode and texts of the vehicle, and can command it as a pilot would."""

    def __init__(self, key: bytes | None, port: int = 0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.codec, self.reader = mavlink.MAVLink(None, 255, 190), mavlink.MAVLink(None)
        self.reader.robust_parsing = True
        if key is not None:
            self.codec.signing.secret_key = key
            self.codec.signing.sign_outgoing = True
            self.codec.signing.link_id = 2
        self.truth: list[Truth] = []
        self.mode, self.said, self._origin, self._remote, self._asked = None, [], None, None, 0.0
        self.modes: list[tuple[float, int]] = []  # s on this clock, and the mode that then began

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def say(self, message) -> None:
        self.codec.signing.timestamp = int((time.time() - SINCE_2015) * 1e5)
        self.socket.sendto(bytes(message.pack(self.codec)), self._remote)

    def command(self, number: int, *parameters: float) -> None:
        seven = [*parameters, *[0] * (7 - len(parameters))]
        self.say(mavlink.MAVLink_command_long_message(1, 1, number, 0, *seven))

    def set_mode(self, custom: int) -> None:
        self.command(mavlink.MAV_CMD_DO_SET_MODE, 1, custom >> 16 & 0xFF, custom >> 24)

    def listen(self) -> None:
        """Take all packets that have come."""
        while True:
            try:
                data, self._remote = self.socket.recvfrom(65535)
            except BlockingIOError:
                break
            for message in self.reader.parse_buffer(data) or ():
                self._take(message)
        now = time.monotonic()
        if self._remote is not None and now - self._asked > 1.0 and not (self.truth and now - self.truth[-1].time < 0.5):
            self._asked = now
            for number in (mavlink.MAVLINK_MSG_ID_HIL_STATE_QUATERNION, mavlink.MAVLINK_MSG_ID_CURRENT_MODE):
                self.command(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, number, 20_000)

    def _take(self, message) -> None:
        now, kind = time.monotonic(), message.get_type()
        if kind == "CURRENT_MODE" and message.custom_mode != self.mode:
            self.mode = message.custom_mode
            self.modes.append((now, self.mode))
        elif kind == "STATUSTEXT":
            self.said.append((now, message.text))
        elif kind == "HIL_STATE_QUATERNION":
            here = np.array([message.lat * 1e-7, message.lon * 1e-7, message.alt * 1e-3])
            if self._origin is None:
                self._origin = here
            north, east = np.radians(here - self._origin)[:2] * EARTH_RADIUS
            east *= np.cos(np.radians(here[0]))
            velocity = (message.vy * 1e-2, message.vx * 1e-2, -message.vz * 1e-2)
            self.truth.append(Truth(now, (float(east), float(north), float(here[2] - self._origin[2])), velocity))
