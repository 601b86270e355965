"""MAVLink 2 packet signing: which senders are trusted. pymavlink signs outgoing packets; incoming ones are checked here.

pymavlink stores the time stamp of a packet before it checks the signature, so that one forged packet would lock the true
sender out. The algorithm: mavlink.io/en/guide/message_signing.html.
"""

import hashlib
import hmac
import os
import stat
from pathlib import Path

from spike_ctrl._files.errors import UsageError, refused

EPOCH_2015 = 1420070400.0  # s since 1970; signing counts from here in units of 10 us
TICKS_PER_SECOND = 100_000
NEW_STREAM_LAG = 60 * TICKS_PER_SECOND  # a new stream may lag behind this end's time by so much
LONGEST = 1024  # bytes of a key file that are read
BLOCK = 13  # bytes: link id, time stamp of 6, signature of 6


def read_key(path: str | Path) -> bytes:
    """The 32 bytes of a key file, which holds them raw or as 64 hexadecimal digits, and which only its owner may read."""
    with refused(f"signing key {path}: cannot be read"), open(path, "rb") as file:
        mode, data = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(LONGEST)
    if mode & 0o077:
        raise UsageError(f"signing key {path}: found mode {mode:o}, wanted 600: others may read or change it (chmod 600)")
    if len(data) == 32:
        return data
    try:
        key = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise UsageError(f"signing key {path}: found {len(data)} bytes, wanted 32 bytes or 64 hexadecimal digits")
    return key


class Signing:
    """Both directions of one signed link.

    key: 32 bytes. link: 0 to 255, distinguishes the channels of one sender. wall: the time since 1970 (s) at the moment
    `now` (s) of the clock whose times are passed in later. Give the true time: after a second start with the same wall time,
    packets of the first could be replayed.
    """

    def __init__(self, key: bytes, link: int, wall: float, now: float):
        if len(key) != 32:
            raise UsageError(f"signing key: found {len(key)} bytes, wanted 32")
        self.key, self.link = key, link
        self._offset = wall - now - EPOCH_2015
        self._last = 0
        self._streams: dict[tuple[int, int, int], int] = {}

    def stamp(self, now: float) -> int:
        """The time stamp of the next outgoing packet. Each is larger than the one before."""
        self._last = max(self._last + 1, self._ticks(now))
        return self._last

    def fault(self, frame: bytes, now: float) -> str | None:
        """Why a whole packet is not trusted: "unsigned", "bad signature" or "replayed"; None: it is trusted."""
        if frame[0] != 0xFD or not frame[2] & 1:
            return "unsigned"
        link, stamp = frame[-BLOCK], int.from_bytes(frame[-BLOCK + 1 : -6], "little")
        signature = hashlib.sha256(self.key + frame[:-6]).digest()[:6]
        if not hmac.compare_digest(signature, frame[-6:]):
            return "bad signature"
        stream = (frame[5], frame[6], link)
        if stamp <= self._streams.get(stream, self._ticks(now) - NEW_STREAM_LAG):
            return "replayed"
        self._streams[stream] = stamp
        self._last = max(self._last, stamp)
        return None

    def _ticks(self, now: float) -> int:
        return int((now + self._offset) * TICKS_PER_SECOND)
