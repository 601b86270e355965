"""The frames of docs/uart_policy.c: a request with an observation, a reply with an action, both with a CRC.

request  A5 5A, sequence, flags (bit 0: first of an activation), float32 observation, CRC
reply    A5 5A, sequence, status, float32 action, CRC
"""

import enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError

MARK = b"\xa5\x5a"
WARM_UP = 50  # the step from which a reply is READY


class ReplyStatus(enum.IntEnum):
    """What a reply's action is worth."""

    READY = 0
    WARMING_UP = 1
    DAMAGED = 2
    NOT_FINITE = 3


class Reply(NamedTuple):
    """A reply; action float32 [out], zeros unless the status is READY or WARMING_UP."""

    sequence: int
    status: ReplyStatus
    action: NDArray[np.float32]


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def request(sequence: int, observation: NDArray[np.float32], first: bool = False) -> bytes:
    """A request for an observation [in]."""
    body = bytes([sequence & 0xFF, int(first)]) + observation.astype("<f4").tobytes()
    return MARK + body + crc16(body).to_bytes(2, "little")


def reply(data: bytes, outputs: int = 4) -> Reply:
    """Read a reply. Raises UsageError for one that is damaged."""
    size = 6 + 4 * outputs
    if len(data) != size or data[:2] != MARK or crc16(data[2:-2]) != int.from_bytes(data[-2:], "little"):
        raise UsageError(f"reply: found {data.hex() or 'nothing'}, wanted {size} bytes with their marks and CRC")
    return Reply(data[2], ReplyStatus(data[3]), np.frombuffer(data[4:-2], "<f4").astype(np.float32))
