"""A line that carries MSP: TCP or serial. Reads wait with a time-out; no clock is read but that of `ask`.

tcp:HOST:PORT       the firmware's simulation, or a network bridge
serial:DEVICE:BAUD  a UART of the flight controller
"""

import os
import select
import socket
import time

from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.px4 import connection
from spike_ctrl_betaflight import msp
from spike_ctrl_betaflight.msp import MspReader, Packet

LARGEST = 65536  # bytes of one read


class MspLine:
    """Packets to and from one flight controller. Raises UsageError where it cannot be opened. A lost line is silent."""

    def __init__(self, text: str):
        check(text)
        self.text, self.reader, self.lost = text, MspReader(), False
        self._socket: socket.socket | None = None
        self._serial: connection.Connection | None = None
        if text.startswith("serial:"):
            self._serial = connection.Connection(text)
        else:
            host, port = _address(text)
            with refused(f"connection {text}: nobody answers there"):
                self._socket = socket.create_connection((host, port), 2.0)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setblocking(False)

    @property
    def descriptor(self) -> int:
        """Its file descriptor, to wait for; -1 where it is lost."""
        if self._socket is not None:
            return self._socket.fileno()
        found = self._serial.outlet[0] if self._serial is not None else None
        return -1 if found is None else found

    def receive(self, timeout: float) -> list[Packet]:
        """The answers that came within `timeout` (s)."""
        return self.reader.read(self.read(timeout))

    def read(self, timeout: float) -> bytes:
        """The bytes that came within `timeout` (s), as they are."""
        if self._serial is not None:
            return self._serial.receive(timeout)[0]
        assert self._socket is not None
        if self.lost:
            time.sleep(timeout)
            return b""
        if not select.select([self._socket], [], [], timeout)[0]:
            return b""
        try:
            data = self._socket.recv(LARGEST)
        except OSError:
            data = b""
        self.lost = not data
        return data

    def send(self, data: bytes) -> None:
        """Send a request. What the system cannot take is lost."""
        try:
            if self._serial is not None:
                self._serial.send(data)
            elif self._socket is not None and not self.lost:
                self._socket.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.lost = True

    def ask(self, command: int, payload: bytes = b"", patience: float = 1.0) -> bytes:
        """The payload of the answer to a request. Raises UsageError where none comes, or the firmware refuses it."""
        self.send(msp.request(command, payload, 1 if command <= 254 else 2))
        end = time.monotonic() + patience
        while (left := end - time.monotonic()) > 0:
            for packet in self.receive(left):
                if packet.command == command:
                    if not packet.ok:
                        raise UsageError(f"connection {self.text}: the firmware refuses MSP command {command}")
                    return packet.payload
        raise UsageError(f"connection {self.text}: no answer to MSP command {command} within {patience:g} s")

    def close(self) -> None:
        """Close it."""
        if self._socket is not None:
            self._socket.close()
        if self._serial is not None:
            self._serial.close()


def check(text: str) -> None:
    """Raises UsageError where the text names no line. Opens nothing."""
    connection.check(text) if text.startswith("serial:") else _address(text)


def _address(text: str) -> tuple[str, int]:
    kind, _, place = text.partition(":")
    host, _, port = place.rpartition(":")
    if kind != "tcp" or not host or not port.isdecimal() or not 0 < int(port) <= 65535 or os.sep in host:
        raise UsageError(f"connection: found '{text}', wanted tcp:HOST:PORT or serial:DEVICE:BAUD")
    return host, int(port)
