"""The folder of a bag: one MCAP file per segment, and a metadata.yaml that lists the finished segments.

A segment is written as NAME_3/NAME_3.mcap. It is moved to NAME_3.mcap once it is complete. The folder is therefore a
readable bag at every moment, and an unfinished segment of a killed process is known by its place.
"""

import os
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml

from spike_ctrl._files import atomic_file

KEY = "rosbag2_bagfile_information"
CRC_AT = 9 + 3 * 8  # bytes from the begin of a chunk's record: kind, length, two times, size


def folder(bag: Path, number: int) -> Path:
    """The folder in which segment `number` of a bag is written."""
    return bag / f"{bag.name}_{number}"


def unfinished(bag: Path) -> list[Path]:
    """MCAP files of the segments that were never finished, in order."""
    found = [f for f in bag.glob("*/*.mcap") if f.stem == f.parent.name]
    return sorted(found, key=_order)


def finished(bag: Path) -> list[Path]:
    """MCAP files of the finished segments, in order."""
    return sorted(bag.glob("*.mcap"), key=_order)


def _order(path: Path) -> tuple[int, str]:
    number = path.stem.rpartition("_")[2]
    return (int(number) if number.isdecimal() else -1, path.name)


def write_checksums(storage: Any) -> None:
    """Let the storage of a rosbags writer write the checksum of each chunk, which rosbags itself only reads."""
    close_chunk = storage.close_chunk

    def close_with_checksum() -> None:
        begin, checksum = storage.bio.tell(), crc32(storage.chunk.bio.getvalue())
        close_chunk()
        end = storage.bio.tell()
        storage.bio.seek(begin + CRC_AT)
        storage.bio.write(checksum.to_bytes(4, "little"))
        storage.bio.seek(end)

    storage.close_chunk = close_with_checksum


def finish(written: Path, target: Path) -> dict[str, Any]:
    """Move a closed segment from its folder to `target`. Gives its metadata, with the new file name."""
    metadata = written.parent / "metadata.yaml"
    about: dict[str, Any] = yaml.safe_load(metadata.read_text(encoding="utf-8"))[KEY]
    about["relative_file_paths"] = [target.name]
    about["files"][0]["path"] = target.name
    os.replace(written, target)
    metadata.unlink()
    written.parent.rmdir()
    return about


def write_metadata(bag: Path, segments: list[dict[str, Any]]) -> None:
    """Write a bag's metadata.yaml from the metadata of its segments. A kill leaves the old file or the new one.

    Segments without a message do not affect start and duration.
    """
    topics: dict[str, dict[str, Any]] = {}
    for segment in segments:
        for topic in segment["topics_with_message_count"]:
            about = topic["topic_metadata"]
            known = topics.setdefault(f"{about['name']} {about['type']}", {"topic_metadata": about, "message_count": 0})
            known["message_count"] += topic["message_count"]
    files = [file for segment in segments for file in segment["files"]]
    spans = [
        (file["starting_time"]["nanoseconds_since_epoch"], file["duration"]["nanoseconds"])
        for file in files
        if file["message_count"]
    ]
    start = min((begin for begin, _ in spans), default=0)
    end = max((begin + duration for begin, duration in spans), default=0)
    merged = segments[0] | {
        "relative_file_paths": [file["path"] for file in files],
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(file["message_count"] for file in files),
        "topics_with_message_count": list(topics.values()),
        "files": files,
    }
    atomic_file.write(bag / "metadata.yaml", yaml.safe_dump({KEY: merged}, sort_keys=False).encode())
