"""The connection to the autopilot: a UDP port or a serial line. Reads wait with a time-out; no clock is read.

udpin:HOST:PORT     listen until the autopilot sends first, as PX4 does
udpout:HOST:PORT    send first
serial:DEVICE:BAUD  a serial line
"""

import os
import select
import socket
import termios
import threading
import tty
from contextlib import suppress
from dataclasses import dataclass

from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl._files.ranges import setting, within

LARGEST_DATAGRAM = 65535
SILENT = 1.0  # s without a packet, after which another sender may be the autopilot
REOPEN = 1.0  # s between attempts to open a serial line that was lost

Sender = tuple[str, int] | None


@dataclass(frozen=True)
class LinkOptions:
    """How an autopilot is reached: node parameters, launch arguments and options of `spike-ctrl preflight`."""

    connection: str = setting("udpin:127.0.0.1:14540", "Autopilot: udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD.")
    system: int = within(1, 1, 255, "The autopilot's MAV_SYS_ID: PX4's simulation number N has N + 1.")
    signing_key: str = setting("", "File with the key of a signed link (MAVLink 2); empty: not signed.")


class Connection:
    """Bytes to and from the autopilot. stream: a line of bytes instead of datagrams.

    Over UDP the autopilot is the last sender of a valid packet; until it is silent, other senders are ignored. A lost serial
    line is silent, and is opened again once it is back.
    """

    def __init__(self, text: str):
        self.text, self.stream = text, text.startswith("serial:")
        self._remote: Sender = None
        self._heard = 0.0
        self._waited = 0.0
        self._lock = threading.Lock()  # no line is closed while another thread writes to it
        self._line = _serial(text) if self.stream else None
        self._socket = None if self.stream else _socket(text)
        if text.startswith("udpout:"):
            self._remote = _address(text)

    def receive(self, timeout: float) -> tuple[bytes, Sender]:
        """Bytes that came within `timeout` (s), and their sender; no bytes where none came."""
        if self._socket is not None:
            try:
                if not timeout or select.select([self._socket], [], [], timeout)[0]:
                    return self._socket.recvfrom(LARGEST_DATAGRAM)
            except OSError:  # nothing waits, or the other end does not listen yet: silence, which the supervisor notices
                pass
            return b"", None
        if self._line is None:
            self._reopen(timeout)
        elif select.select([self._line], [], [], timeout)[0]:
            return self._read_line(self._line), None
        return b"", None

    def _read_line(self, line: int) -> bytes:
        try:
            if data := os.read(line, 4096):
                return data
        except BlockingIOError:
            return b""
        except OSError:  # the line is lost: silence, which the supervisor notices
            pass
        with self._lock:  # a lost line is always ready to be read, and while it is open the device cannot get its name back
            os.close(line)
            self._line, self._waited = None, 0.0
        return b""

    def _reopen(self, timeout: float) -> None:
        select.select([], [], [], timeout)  # waits, and reads no clock
        self._waited += timeout
        if self._waited < REOPEN:
            return
        self._waited = 0.0
        with suppress(UsageError):  # not back yet
            self._line = _serial(self.text)

    def believes(self, sender: Sender, now: float) -> bool:
        """Whether packets of this sender may be the autopilot's."""
        return self.stream or self._remote in (None, sender) or now - self._heard > SILENT

    def adopt(self, sender: Sender, now: float) -> None:
        """This sender has sent a valid packet: it is the autopilot."""
        if not self.stream:
            self._remote, self._heard = sender, now

    def send(self, data: bytes) -> None:
        """Send to the autopilot, once it is known. Bytes that the system cannot take are lost, as on any such link."""
        with suppress(OSError):
            if self._socket is not None:
                if self._remote is not None:
                    self._socket.sendto(data, self._remote)
            else:
                with self._lock:
                    if self._line is not None:
                        os.write(self._line, data)

    @property
    def outlet(self) -> tuple[int | None, Sender | None]:
        """File descriptor of socket or line, and where the autopilot is; None while unknown or lost."""
        return self._line if self._socket is None else self._socket.fileno(), self._remote

    def close(self) -> None:
        """Close socket or line."""
        if self._socket is not None:
            self._socket.close()
        elif self._line is not None:
            os.close(self._line)


def check(text: str) -> None:
    """Raises UsageError where the text names no connection. Opens nothing."""
    _parse_line(text) if text.startswith("serial:") else _address(text)


def require(text: str) -> None:
    """Raises UsageError where it cannot be made now. A serial line is not opened: that restarts some devices."""
    check(text)
    if not text.startswith("serial:"):
        return _socket(text).close()
    device, _ = _parse_line(text)
    if not os.access(device, os.R_OK | os.W_OK):
        reason = "Permission denied" if os.path.exists(device) else "No such file or directory"
        raise UsageError(f"connection {text}: {device} cannot be opened ({reason})")


def require_port(text: str, who: str) -> None:
    """Raises UsageError where a vehicle that `who` starts here could not send to it: it is no port to listen on."""
    if not text.startswith("udpin:") or text.endswith(":0"):
        raise UsageError(f"{who}: connection: found '{text}', wanted udpin:HOST:PORT with a port of 1 to 65535")


def _address(text: str) -> tuple[str, int]:
    kind, _, place = text.partition(":")
    host, _, port = place.rpartition(":")
    if kind not in ("udpin", "udpout") or not host or not port.isdecimal() or not int(port) <= 65535:
        wanted = "udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD"
        raise UsageError(f"connection: found '{text}', wanted {wanted}")
    with refused(f"connection {text}: host '{host}' is not known"):
        return socket.gethostbyname(host), int(port)


def _socket(text: str) -> socket.socket:
    host, port = _address(text)
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setblocking(False)
    try:
        if text.startswith("udpin:"):
            found.bind((host, port))
    except OSError as error:
        found.close()
        raise UsageError(f"connection {text}: cannot listen there ({error.strerror})") from None
    return found


def _parse_line(text: str) -> tuple[str, int]:
    device, _, baud = text.removeprefix("serial:").rpartition(":")
    speed = getattr(termios, f"B{baud}", None) if baud.isdecimal() else None
    if not device or speed is None:
        raise UsageError(f"connection: found '{text}', wanted serial:DEVICE:BAUD with a usual rate, as 921600")
    return device, speed


def _serial(text: str) -> int:
    device, speed = _parse_line(text)
    with refused(f"connection {text}: {device} cannot be opened"):
        line = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(line)
        settings = termios.tcgetattr(line)
        settings[2] |= termios.CLOCAL | termios.CREAD
        settings[4] = settings[5] = speed
        termios.tcsetattr(line, termios.TCSANOW, settings)
    except termios.error as error:
        os.close(line)
        raise UsageError(f"connection {text}: {device} is no serial line ({error.args[-1]})") from None
    return line
