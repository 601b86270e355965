"""MAVLink packets: bytes to messages and back. No bytes make it raise; unusable packets are counted by reason."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from spike_ctrl.px4.dialect import messages
from spike_ctrl.px4.signing import BLOCK, Signing

V1, V2 = 0xFE, 0xFD
MOST_WRONG = 32  # packets of a datagram with a wrong checksum: each could begin at any byte, and every try costs time
MAY_BE_UNSIGNED = {messages.MAVLINK_MSG_ID_RADIO_STATUS}  # the link's own radio cannot sign; it commands nothing


class Received(NamedTuple):
    """A message, and the system and component that sent it."""

    message: messages.MAVLink_message
    system: int
    component: int


class Reader:
    """Cuts bytes into packets, checks the packets, and decodes those with wanted ids.

    A datagram holds whole packets; a stream (serial line) may cut them anywhere. counts: "good" packets, and the others by
    reason. "garbage" counts bytes, "lost" gaps in the sequence, "late" packets behind their place in it.
    """

    def __init__(self, wanted: set[int], stream: bool = False, signing: Signing | None = None):
        self.wanted, self.stream, self.signing = wanted, stream, signing
        self.counts: Counter[str] = Counter()
        self._rest = b""
        self._next: dict[tuple[int, int], int] = {}
        self._decoder = messages.MAVLink(None)

    def read(self, data: bytes, now: float) -> list[Received]:
        """The wanted messages in `data`, which arrived at `now` (s)."""
        return [found for frame in self._frames(data) if (found := self._accepted(frame, now)) is not None]

    def _frames(self, data: bytes) -> Iterator[bytes]:
        data = self._rest + bytes(data)
        self._rest = b""
        at = wrong = 0
        while at < len(data):
            size = _size(data, at)
            end = at + size if size else 0  # 0: no packet starts here
            tried = 0 < end <= len(data)
            if size and self._foreign(data, at, size):
                self.counts["unknown"] += 1
                at = end
            elif tried and self._whole(data[at:end]):
                yield data[at:end]
                at = end
            elif self.stream and (size is None or end > len(data)):
                self._rest = data[at:]  # the rest of the packet may come later
                return
            elif wrong < MOST_WRONG or self.stream:
                wrong += tried
                self.counts["garbage"] += 1
                at += 1
            else:
                self.counts["garbage"] += len(data) - at
                return

    @staticmethod
    def _foreign(data: bytes, at: int, size: int) -> bool:
        """Whether a message of another dialect lies here, whole: what follows it, if anything, begins a packet.

        It cannot be checked. Newer firmware has messages that this dialect lacks; what their payloads hold is no packet.
        """
        end = at + size
        known = end <= len(data) and _number(data[at:end]) in messages.mavlink_map
        return not known and (end == len(data) or (end < len(data) and data[end] in (V1, V2)))

    def _whole(self, frame: bytes) -> bool:
        """Whether the checksum holds. A message of another dialect cannot be checked, and counts as garbage."""
        new = frame[0] == V2
        kind = messages.mavlink_map.get(_number(frame))
        if kind is None:
            self.counts["unknown"] += 1
            return False
        end = (10 if new else 6) + frame[1]
        crc = messages.x25crc(frame[1:end])
        crc.accumulate(bytes([kind.crc_extra]))
        holds = bool(crc.crc == int.from_bytes(frame[end : end + 2], "little"))
        self.counts["bad checksum"] += not holds
        return holds

    def _accepted(self, frame: bytes, now: float) -> Received | None:
        sequence, system, component = frame[4:7] if frame[0] == V2 else frame[2:5]
        number = _number(frame)
        if self.signing and number not in MAY_BE_UNSIGNED and (fault := self.signing.fault(frame, now)):
            self.counts[fault] += 1
            return None
        gap = (sequence - self._next.get((system, component), sequence)) % 256
        if gap < 128:
            self.counts["lost"] += gap
            self._next[system, component] = (sequence + 1) % 256
        else:
            self.counts["late"] += 1
        if number not in self.wanted:
            self.counts["unwanted"] += 1
            return None
        try:
            message = self._decoder.decode(bytearray(frame))
        except messages.MAVError:
            self.counts["undecodable"] += 1
            return None
        self.counts["good"] += 1
        return Received(message, system, component)


class Writer:
    """Packs messages of one system and component, signed where a `signing` is given."""

    def __init__(self, system: int, component: int, signing: Signing | None = None):
        self.signing = signing
        self._encoder = messages.MAVLink(None, srcSystem=system, srcComponent=component)
        if signing:
            self._encoder.signing.secret_key = signing.key
            self._encoder.signing.link_id = signing.link
            self._encoder.signing.sign_outgoing = True

    def write(self, message: messages.MAVLink_message, now: float) -> bytes:
        """The packet, for sending at `now` (s)."""
        if self.signing:
            self._encoder.signing.timestamp = self.signing.stamp(now)
        packet = bytes(message.pack(self._encoder))
        self._encoder.seq = (self._encoder.seq + 1) % 256
        return packet


def _size(data: bytes, at: int) -> int | None:
    """Size of the packet that starts here; 0: no packet starts here; None: more bytes are needed to know."""
    if data[at] == V1:
        return 8 + data[at + 1] if at + 1 < len(data) else None
    if data[at] != V2:
        return 0
    if at + 2 >= len(data):
        return None
    if data[at + 2] & ~1:  # a flag that this reader does not know
        return 0
    return 12 + data[at + 1] + (BLOCK if data[at + 2] & 1 else 0)


def _number(frame: bytes) -> int:
    """Id of the packet's message."""
    return int.from_bytes(frame[7:10], "little") if frame[0] == V2 else frame[5]
