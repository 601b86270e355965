"""The way to the autopilot: a UDP port or a serial line, named as PX4's users do. Reads wait with a time-out; no clock.

udpin:HOST:PORT     wait there until the autopilot speaks, as PX4 does
udpout:HOST:PORT    speak first
serial:DEVICE:BAUD  a serial line
"""

from __future__ import annotations

import os
import select
import socket
import termios
import threading
import tty

LARGEST_DATAGRAM = 65535
SILENT = 1.0  # s: then another sender may be the autopilot
REOPEN = 1.0  # s of waiting between attempts to open a serial line that has gone

Sender = tuple[str, int] | None


class ConnectionFault(ValueError):
    """A connection that cannot be made; the message names it, found and wanted."""


class Connection:
    """Bytes to and from the autopilot. `stream`: a line of bytes instead of datagrams.

    Over UDP the autopilot is whoever last spoke sensibly; while it is heard, others are not. A serial line that has gone is
    silent, and opened again once it is back.
    """

    def __init__(self, text: str):
        self.text, self.stream = text, text.startswith("serial:")
        self._remote: Sender = None
        self._heard = 0.0
        self._waited, self._lock = 0.0, threading.Lock()  # of who sends, against a line that is closed meanwhile
        self._file = _serial(text) if self.stream else _socket(text)
        if text.startswith("udpout:"):
            self._remote = _address(text)

    def receive(self, timeout: float) -> tuple[bytes, Sender]:
        """What came within `timeout` (s) and from whom; nothing where nothing did."""
        if self._file is None:
            self._reopen(timeout)
        elif select.select([self._file], [], [], timeout)[0]:
            return self._receive()
        return b"", None

    def _receive(self) -> tuple[bytes, Sender]:
        try:
            if not self.stream:
                return self._file.recvfrom(LARGEST_DATAGRAM)
            if data := os.read(self._file, 4096):
                return data, None
        except OSError as error:  # nobody listens yet, or the line is gone: silence, which the supervisor notices
            if not self.stream or isinstance(error, BlockingIOError):
                return b"", None
        with self._lock:  # a dead line is always ready to be read; held open, it keeps its name from the device's return
            os.close(self._file)
            self._file, self._waited = None, 0.0
        return b"", None

    def _reopen(self, timeout: float) -> None:
        select.select([], [], [], timeout)  # waits, and reads no clock
        self._waited += timeout
        if self._waited < REOPEN:
            return
        self._waited = 0.0
        try:
            self._file = _serial(self.text)
        except ConnectionFault:
            pass  # not back yet

    def believes(self, sender: Sender, now: float) -> bool:
        return self.stream or self._remote in (None, sender) or now - self._heard > SILENT

    def adopt(self, sender: Sender, now: float) -> None:
        """This sender has spoken sensibly: it is the autopilot."""
        if not self.stream:
            self._remote, self._heard = sender, now

    def send(self, data: bytes) -> None:
        """Send it, if it is known to whom; what the system cannot take is lost, as on any such link."""
        try:
            if self.stream:
                with self._lock:
                    if self._file is not None:
                        os.write(self._file, data)
            elif self._remote is not None:
                self._file.sendto(data, self._remote)
        except OSError:
            pass

    def close(self) -> None:
        if not self.stream:
            self._file.close()
        elif self._file is not None:
            os.close(self._file)


def check(text: str) -> None:
    """Raises ConnectionFault where the text names no connection. Opens none."""
    _line(text) if text.startswith("serial:") else _address(text)


def require(text: str) -> None:
    """Raises ConnectionFault where it cannot be made now. A serial line is not opened: some devices start anew then."""
    check(text)
    if not text.startswith("serial:"):
        return _socket(text).close()
    device, _ = _line(text)
    if not os.access(device, os.R_OK | os.W_OK):
        reason = "Permission denied" if os.path.exists(device) else "No such file or directory"
        raise ConnectionFault(f"connection {text}: {device} cannot be opened ({reason})")


def require_port(text: str, who: str) -> None:
    """Raises ConnectionFault where the vehicle that `who` starts here could not speak to it: it is no port to listen on."""
    if not text.startswith("udpin:") or text.endswith(":0"):
        raise ConnectionFault(f"{who}: connection: found '{text}', wanted udpin:HOST:PORT with a port of 1 to 65535")


def _address(text: str) -> tuple[str, int]:
    kind, _, place = text.partition(":")
    host, _, port = place.rpartition(":")
    if kind not in ("udpin", "udpout") or not host or not port.isdecimal() or not int(port) <= 65535:
        wanted = "udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD"
        raise ConnectionFault(f"connection: found '{text}', wanted {wanted}")
    try:
        return socket.gethostbyname(host), int(port)
    except OSError as error:
        raise ConnectionFault(f"connection {text}: host '{host}' is not known ({error.strerror})") from None


def _socket(text: str) -> socket.socket:
    host, port = _address(text)
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setblocking(False)
    try:
        if text.startswith("udpin:"):
            found.bind((host, port))
    except OSError as error:
        found.close()
        raise ConnectionFault(f"connection {text}: cannot listen there ({error.strerror})") from None
    return found


def _line(text: str) -> tuple[str, int]:
    device, _, baud = text.removeprefix("serial:").rpartition(":")
    speed = getattr(termios, f"B{baud}", None) if baud.isdecimal() else None
    if not device or speed is None:
        raise ConnectionFault(f"connection: found '{text}', wanted serial:DEVICE:BAUD with a usual rate, as 921600")
    return device, speed


def _serial(text: str) -> int:
    device, speed = _line(text)
    try:
        line = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise ConnectionFault(f"connection {text}: {device} cannot be opened ({error.strerror})") from None
    try:
        tty.setraw(line)
        settings = termios.tcgetattr(line)
        settings[2] |= termios.CLOCAL | termios.CREAD
        settings[4] = settings[5] = speed
        termios.tcsetattr(line, termios.TCSANOW, settings)
    except termios.error as error:
        os.close(line)
        raise ConnectionFault(f"connection {text}: {device} is no serial line ({error.args[-1]})") from None
    return line
