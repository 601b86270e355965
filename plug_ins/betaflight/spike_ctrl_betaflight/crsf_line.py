"""A line that carries CRSF: a UART at any baud rate, or TCP as the UARTs of Betaflight's simulation. A lost line is silent.

serial:DEVICE[:BAUD]  420000 baud where none is given, which is no usual rate: Linux is asked for it by number
tcp:HOST:PORT
"""

import fcntl
import os
import socket
import struct
import termios
import tty
from contextlib import suppress

from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl_betaflight import crsf

LARGEST = 4096  # bytes of one read
TCGETS2, TCSETS2, SPEED_MASK, OTHER_SPEED = 0x802C542A, 0x402C542B, 0o10017, 0o10000  # Linux, on all but old architectures
CLOCAL, CREAD = 0o4000, 0o200


class CrsfLine:
    """Bytes to and from one device, without waiting. Raises UsageError where it cannot be opened."""

    def __init__(self, text: str):
        kind, _, place = text.partition(":")
        self.text, self._socket = text, None
        if kind == "tcp":
            host, _, port = place.rpartition(":")
            if not host or not port.isdecimal():
                raise UsageError(f"line: found '{text}', wanted tcp:HOST:PORT")
            with refused(f"line {text}: nobody answers there"):
                self._socket = socket.create_connection((host, int(port)), 2.0)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setblocking(False)
            self.descriptor = self._socket.fileno()
        elif kind == "serial" and place:
            device, _, baud = place.partition(":")
            if baud and not baud.isdecimal():
                raise UsageError(f"line: found '{text}', wanted serial:DEVICE or serial:DEVICE:BAUD")
            self.descriptor = _serial(device, int(baud or crsf.BAUD))
        else:
            raise UsageError(f"line: found '{text}', wanted serial:DEVICE[:BAUD] or tcp:HOST:PORT")

    def read(self) -> bytes:
        """The bytes that are there. Raises UsageError where the line is lost."""
        try:
            data = os.read(self.descriptor, LARGEST)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise UsageError(f"line {self.text}: lost ({error.strerror})") from None
        if not data:
            raise UsageError(f"line {self.text}: lost (closed)")
        return data

    def write(self, data: bytes) -> None:
        """Write; bytes that the system cannot take at once are lost. Raises UsageError where the line is lost."""
        try:
            os.write(self.descriptor, data)
        except BlockingIOError:
            pass
        except OSError as error:
            raise UsageError(f"line {self.text}: lost ({error.strerror})") from None

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self._socket.close() if self._socket is not None else os.close(self.descriptor)


def _serial(device: str, baud: int) -> int:
    with refused(f"line {device}: cannot be opened"):
        line = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(line)
        found = bytearray(fcntl.ioctl(line, TCGETS2, bytes(44)))  # struct termios2: four flags, 20 bytes, two speeds
        flags = struct.unpack_from("=I", found, 8)[0] & ~SPEED_MASK | OTHER_SPEED | CLOCAL | CREAD
        struct.pack_into("=I", found, 8, flags)
        struct.pack_into("=II", found, 36, baud, baud)
        fcntl.ioctl(line, TCSETS2, bytes(found))
    except (OSError, termios.error) as error:
        os.close(line)
        raise UsageError(f"line {device}: is no serial line that takes {baud} baud ({error.args[-1]})") from None
    return line


def baud(descriptor: int) -> int:
    """The baud rate at which a serial line sends."""
    return int(struct.unpack_from("=I", fcntl.ioctl(descriptor, TCGETS2, bytes(44)), 40)[0])
