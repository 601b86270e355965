"""CRSF, the serial protocol of Crossfire and ExpressLRS receivers: frames in a stream of bytes, and the sixteen channels.

Bytes in, frames out. No sockets, no clock. A frame is an address (0xC8: flight controller), the size of what follows, a
type, a payload and a CRC-8 (DVB-S2) of type and payload. The payload of type 0x16 holds sixteen channels of 11 bits each,
lowest bit first. A channel of 992 is 1500 us, 172 is 988 us and 1811 is 2012 us
(https://github.com/tbs-fpv/tbs-crsf-spec).
"""

from collections.abc import Sequence
from typing import NamedTuple

from spike_ctrl_betaflight.msp import crc8

BAUD = 420000  # of receivers; 8 bits, no parity, one stop bit
CONTROLLER = 0xC8
LINK_STATISTICS, CHANNELS, COMMAND = 0x14, 0x16, 0x32
NEW_BAUD = bytes((0x0A, 0x70))  # after both addresses of a COMMAND: a proposal of another baud rate
ADDRESSES = (0x00, 0xC8, 0xEC, 0xEE, 0xEA)  # that a frame to a flight controller may begin with
LARGEST = 64  # bytes of a frame
BITS, COUNT = 11, 16
PACKED = BITS * COUNT // 8  # bytes of sixteen channels
SCALE, OFFSET = (2012 - 988) / (1811 - 172), 881.0  # as Betaflight reads a channel: pulse (us) = SCALE * channel + OFFSET


class CrsfFrame(NamedTuple):
    """One frame. kind: its type. data: all of its bytes, as they came."""

    kind: int
    data: bytes

    @property
    def payload(self) -> bytes:
        return self.data[3:-1]


def frame(kind: int, payload: bytes, address: int = CONTROLLER) -> CrsfFrame:
    """A frame of this type."""
    body = bytes((kind,)) + payload
    if len(body) + 3 > LARGEST:
        raise ValueError(f"CRSF: found a payload of {len(payload)} bytes, wanted at most {LARGEST - 4}")
    return CrsfFrame(kind, bytes((address, len(body) + 1)) + body + bytes((crc8(body),)))


def packed(channels: Sequence[int], address: int = CONTROLLER) -> CrsfFrame:
    """The frame of sixteen channels, 0 to 2047 each."""
    if len(channels) != COUNT or not all(0 <= channel < 1 << BITS for channel in channels):
        raise ValueError(f"CRSF: found channels {list(channels)}, wanted {COUNT} of 0 to 2047")
    number = sum(channel << BITS * place for place, channel in enumerate(channels))
    return frame(CHANNELS, number.to_bytes(PACKED, "little"), address)


def channels(found: CrsfFrame) -> list[int]:
    """The sixteen channels of a frame of type CHANNELS."""
    if found.kind != CHANNELS or len(found.payload) != PACKED:
        raise ValueError(f"CRSF: found type {found.kind:#x} with {len(found.payload)} bytes, wanted type 0x16 with 22")
    number = int.from_bytes(found.payload, "little")
    return [number >> BITS * place & (1 << BITS) - 1 for place in range(COUNT)]


def channel(pulse: float) -> int:
    """The channel by which Betaflight flies a pulse (us)."""
    return min(max(round((pulse - OFFSET) / SCALE), 0), (1 << BITS) - 1)


def pulse(channel: int) -> float:
    """The pulse (us) that Betaflight reads from a channel."""
    return SCALE * channel + OFFSET


class CrsfReader:
    """Finds the frames in a stream of bytes. damaged: bytes that were no frame."""

    def __init__(self) -> None:
        self.damaged = 0
        self._waiting = bytearray()

    def read(self, data: bytes) -> list[CrsfFrame]:
        """The frames that are complete with these bytes, in order. After damage it begins anew at the next byte."""
        self._waiting += data
        found = []
        while len(self._waiting) >= 2:
            size = self._waiting[1] + 2
            if self._waiting[0] not in ADDRESSES or not 4 <= size <= LARGEST:
                self._skip()
                continue
            if len(self._waiting) < size:
                break
            one = bytes(self._waiting[:size])
            if crc8(one[2:-1]) != one[-1]:
                self._skip()
                continue
            found.append(CrsfFrame(one[2], one))
            del self._waiting[:size]
        return found

    def _skip(self) -> None:
        del self._waiting[0]
        self.damaged += 1
