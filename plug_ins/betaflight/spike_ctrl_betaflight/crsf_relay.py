"""The mixer as a process: the pilot's receiver on one line, Betaflight on another, the stack's sticks from a UDP port.

The sticks come as MSP_SET_RAW_RC, as they would go to the flight controller. What Betaflight says goes back to the receiver.
"""

import select
import socket
from collections.abc import Callable
from contextlib import suppress

from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl_betaflight import msp
from spike_ctrl_betaflight.crsf import CrsfReader
from spike_ctrl_betaflight.crsf_line import CrsfLine
from spike_ctrl_betaflight.crsf_mixer import CrsfMixer
from spike_ctrl_betaflight.msp import MspReader

PERIOD = 0.1  # s between two looks whether it shall stop
LARGEST, MOST = 1024, 64  # bytes of a datagram, and datagrams at once


def address(text: str) -> tuple[str, int]:
    """HOST:PORT of the stack's sticks. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise UsageError(f"mixer: found '{text}', wanted HOST:PORT")
    return host, int(port)


def listener(text: str) -> socket.socket:
    """The socket on which the stack's sticks come. Raises UsageError."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with refused(f"mixer: cannot listen at {text}"):
        found.bind(address(text))
    found.setblocking(False)
    return found


class StickSender:
    """The stack's end: sends packets with its sticks to a mixer at HOST:PORT. Raises UsageError."""

    def __init__(self, text: str):
        self._place, self._socket = address(text), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, data: bytes) -> None:
        """Send a packet; one that cannot be sent is lost."""
        with suppress(OSError):
            self._socket.sendto(data, self._place)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def run(
    receiver: CrsfLine,
    controller: CrsfLine,
    sticks: socket.socket,
    mixer: CrsfMixer,
    clock: Callable[[], float],
    stopped: Callable[[], bool],
    tell: Callable[[str], None],
) -> None:
    """Pass frames on until `stopped`. clock: s. tell: takes a line at each change of who flies. Raises UsageError."""
    reader, said = CrsfReader(), MspReader(requests=True)
    while not stopped():
        ready = select.select([sticks.fileno(), receiver.descriptor, controller.descriptor], [], [], PERIOD)[0]
        for packet in said.read(_waiting(sticks)):  # all that wait: only the newest counts
            if packet.command == msp.SET_RAW_RC:
                mixer = mixer.told(msp.channels(packet.payload), clock())
        if receiver.descriptor in ready:
            before = mixer.mixed
            for frame in reader.read(receiver.read()):
                mixer, passed = mixer.passed(frame, clock())
                if passed is not None:
                    controller.write(passed.data)
            if mixer.mixed is not before:
                tell("the stack flies" if mixer.mixed else "the pilot flies")
        if controller.descriptor in ready:
            receiver.write(controller.read())


def _waiting(sticks: socket.socket) -> bytes:
    """The datagrams that wait, MOST at most: whoever sends more must not hold up the pilot."""
    found = b""
    with suppress(BlockingIOError):
        for _ in range(MOST):
            found += sticks.recv(LARGEST)
    return found
