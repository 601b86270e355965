"""The cable between a companion and the simulated flight controller, in the simulation's hands. Bytes pass it unchanged.

It listens at a port of its own and keeps one connection to the firmware, which takes one at a time and is slow to see its
end. It counts the requests for the IMU and their answers, and takes out the words `answered` (msp.py), by which a flight
says up to which state it has commanded. So the simulation knows whose turn it is. A cable that is `cut` swallows all.
"""

import contextlib
import math
import select
import socket

from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight import msp

PORT = 5770  # TCP, for companions
LARGEST = 65536  # bytes of one read
POLLED = msp.request(msp.RC)  # ten times a second, of a flight alone: nobody else asks what is flown by
ASKED, GIVEN = msp.request(msp.RAW_IMU), b"$M>\x12" + bytes((msp.RAW_IMU,))  # a request, and how an answer begins


class Cable:
    """Passes bytes on when it is asked to. firmware, port: TCP ports on this computer. Raises UsageError.

    asked, given: requests for the IMU that went to the firmware, and answers that came back. polled: what a flight asks
    for ten times a second. answered: stamp (s) of the
    newest state to which all commands have passed; -inf: this companion has not said any.
    """

    def __init__(self, firmware: int, port: int = PORT):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror}: another `spike-ctrl betaflight sitl` runs") from None
        self._listener.listen(1)
        self._firmware = _connected(socket.create_connection(("127.0.0.1", firmware), 5.0))
        self._companion: socket.socket | None = None
        self.cut = False
        self.asked = self.given = self.polled = 0
        self.answered = -math.inf
        self._from_companion, self._from_firmware = b"", b""  # the ends of what passed, which may begin a packet

    @property
    def port(self) -> int:
        """Where companions connect."""
        return int(self._listener.getsockname()[1])

    def pass_on(self, patience: float) -> None:
        """Wait up to `patience` (s) for bytes, and pass on those that are there."""
        ends = [self._listener, self._firmware, *([self._companion] if self._companion else [])]
        for end in select.select(ends, [], [], max(patience, 0.0))[0]:
            if end is self._listener:
                self._take(_connected(self._listener.accept()[0]))
            elif end is self._firmware:
                self._down()
            elif end is self._companion:
                self._up()

    def _take(self, companion: socket.socket) -> None:
        """The newest companion has the cable."""
        if self._companion is not None:
            self._companion.close()
        self._companion, self.answered, self._from_companion = companion, -math.inf, b""

    def _up(self) -> None:
        assert self._companion is not None
        try:
            data = self._companion.recv(LARGEST)
        except OSError:
            data = b""
        if not data:
            self._companion.close()
            self._companion, self.answered = None, -math.inf
        elif not self.cut:
            data, stamps, self._from_companion = msp.without_answered(self._from_companion + data)
            self.answered = max([self.answered, *stamps])
            self.asked += data.count(ASKED)
            self.polled += data.count(POLLED)
            self._firmware.sendall(data)

    def _down(self) -> None:
        data = self._firmware.recv(LARGEST)
        if not data:
            raise UsageError("firmware: it has closed its connection")
        seen = self._from_firmware + data
        self.given = min(self.given + seen.count(GIVEN), self.asked)  # one that was given up may come after all
        self._from_firmware = seen[-len(GIVEN) + 1 :]
        if self._companion is not None and not self.cut:
            with contextlib.suppress(OSError):  # it has just gone
                self._companion.sendall(data)

    def close(self) -> None:
        """Close all ends."""
        for end in (self._listener, self._firmware, self._companion):
            if end is not None:
                end.close()


def _connected(end: socket.socket) -> socket.socket:
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end
