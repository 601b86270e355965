"""Checksums of the chunks of an MCAP file. rosbags reads them, and writes none."""

from __future__ import annotations

from typing import Any
from zlib import crc32

CRC_AT = 9 + 3 * 8  # bytes from the begin of a chunk's record: kind, length, two times, size


def write_checksums(storage: Any) -> None:
    """Let the storage of a rosbags writer write the checksum of each chunk."""
    close_chunk = storage.close_chunk

    def close_with_checksum() -> None:
        begin, checksum = storage.bio.tell(), crc32(storage.chunk.bio.getvalue())
        close_chunk()
        end = storage.bio.tell()
        storage.bio.seek(begin + CRC_AT)
        storage.bio.write(checksum.to_bytes(4, "little"))
        storage.bio.seek(end)

    storage.close_chunk = close_with_checksum
