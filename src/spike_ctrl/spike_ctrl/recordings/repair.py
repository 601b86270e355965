"""Restores a bag that a killed process, a full disk or a truncated file has left damaged.

A file is read record by record up to the first incomplete record. After a kill only the last chunk is lost. The messages
that were read are written to a new file, which then replaces the damaged one.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from mcap.exceptions import EndOfFile
from mcap.records import Channel, DataEnd, Footer, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.rosbag2.metadata import dump_qos_v9, parse_qos
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from spike_ctrl.recordings import BagError, segment

MAGIC = b"\x89MCAP0\r\n"
HEAD = 9  # bytes before the contents of a record: its kind (1) and its length (8)


@dataclass(frozen=True)
class Repaired:
    """The result for one file.

    messages: how many it holds now. lost_bytes: bytes at its end that could not be used. whole: it was undamaged.
    A file from which no message could be read is renamed: `.broken` is appended to its name.
    """

    path: Path
    messages: int
    lost_bytes: int
    whole: bool


def repair(path: str | os.PathLike[str]) -> list[Repaired]:
    """Make a bag (its folder, or one MCAP file) readable again. Raises BagError, having changed nothing, if it cannot."""
    path = Path(os.path.abspath(path))
    single = path.is_file()
    files = [path] if single else [*segment.finished(path), *segment.unfinished(path)]
    if not files:
        raise BagError(f"{path}: found no .mcap file, wanted a bag")
    try:
        if not any(_whole(file) or any(found for found, _ in whole_records(file)) for file in files):
            raise BagError(f"{path}: no complete chunk in {', '.join(file.name for file in files)}: nothing can be restored")
        found = [_file(file, path if single else path / file.name) for file in files]
        if not single:
            segment.write_metadata(path, [describe(file.path) for file in found if file.messages or file.whole])
    except OSError as error:
        raise BagError(f"{path}: cannot be repaired: {error.strerror or error}") from None
    return found


def describe(file: Path) -> dict[str, Any]:
    """The metadata of a bag that consists of this file alone."""
    with Reader(file) as reader:
        topics = [
            {
                "topic_metadata": {
                    "name": connection.topic,
                    "type": connection.msgtype,
                    "serialization_format": connection.ext.serialization_format,
                    "offered_qos_profiles": dump_qos_v9(connection.ext.offered_qos_profiles),
                    "type_description_hash": _hash(connection.msgtype, connection.msgdef.data),
                },
                "message_count": connection.msgcount,
            }
            for connection in reader.connections
        ]
        count = reader.message_count
        times = {
            "duration": {"nanoseconds": reader.duration - 1 if count else 0},
            "starting_time": {"nanoseconds_since_epoch": reader.start_time if count else 0},
            "message_count": count,
        }
    return {
        "version": 9,
        "storage_identifier": "mcap",
        "relative_file_paths": [file.name],
        **times,
        "topics_with_message_count": topics,
        "compression_format": "",
        "compression_mode": "",
        "files": [{"path": file.name, **times}],
        "custom_data": None,
        "ros_distro": "rosbags",
    }


def _file(file: Path, target: Path) -> Repaired:
    """Repair one file, or move an undamaged one, to `target`."""
    size = file.stat().st_size
    if _whole(file):
        with Reader(file) as reader:
            done = Repaired(target, reader.message_count, 0, True)
        os.replace(file, target)
    elif any(found for found, _ in whole_records(file)):
        done = _rewritten(file, target)
        if file != target:
            file.unlink()
    else:
        done = Repaired(target.with_name(f"{target.name}.broken"), 0, size, False)
        os.replace(file, done.path)
    if file.parent != target.parent:
        shutil.rmtree(file.parent)
    return done


def _rewritten(file: Path, target: Path) -> Repaired:
    """Copy the readable messages of a file to a new file, which then replaces `target`."""
    scratch = target.with_name(f".{file.stem}.repair")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        count, used, size, connections = 0, 0, file.stat().st_size, {}
        with Writer(scratch, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            written = writer.storage.path
            segment.write_checksums(writer.storage)
            for found, end in whole_records(file):
                for schema, channel, message in found:
                    key = channel.topic, schema.name, str(channel.metadata)
                    if key not in connections:
                        connections[key] = writer.add_connection(
                            channel.topic,
                            schema.name,
                            msgdef=schema.data.decode(),
                            rihs01=_hash(schema.name, schema.data.decode()),
                            offered_qos_profiles=parse_qos(channel.metadata.get("offered_qos_profiles", "")),
                        )
                    writer.write(connections[key], message.log_time, message.data)
                count, used = count + len(found), end
        with open(written, "rb") as copy:
            os.fsync(copy.fileno())
        os.replace(written, target)
        return Repaired(target, count, size - used, False)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _whole(file: Path) -> bool:
    """Whether a rosbag2 reader reads the file to its end, checksums of chunks included."""
    try:
        with Reader(file) as reader:
            for _ in reader.messages():
                pass
            return True
    except Exception:  # whatever the parser finds in damaged bytes
        return False


def is_mcap(file: Path) -> bool:
    """Whether a file begins like an MCAP file. The rest may be damaged."""
    with open(file, "rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def whole_records(file: Path) -> Iterator[tuple[list[tuple[Schema, Channel, Message]], int]]:
    """For each complete record of a file: its messages (a chunk has many, an index none) and the offset after it.

    Each message comes with its schema and channel.
    """
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    size = file.stat().st_size
    with open(file, "rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return
        while True:
            head = stream.read(HEAD)
            length = int.from_bytes(head[1:], "little")
            end = stream.tell() + length
            if len(head) < HEAD or head[0] == 0 or end > size:
                return
            try:
                records = list(_records(head + stream.read(length)))
                schemas |= {record.id: record for record in records if isinstance(record, Schema)}
                channels |= {record.id: record for record in records if isinstance(record, Channel)}
                mine = [(channels[m.channel_id], m) for m in records if isinstance(m, Message)]
                found = [(schemas[channel.schema_id], channel, message) for channel, message in mine]
            except Exception:  # the length of the record is plausible, its contents are not: nothing after it can be read
                return
            yield found, end
            if any(isinstance(record, DataEnd | Footer) for record in records):
                return


def _records(data: bytes) -> Iterator[object]:
    """The records in the bytes of one record, which may be a chunk of many."""
    try:
        yield from StreamReader(BytesIO(data), skip_magic=True, validate_crcs=True).records
    except EndOfFile:
        return


def _hash(kind: str, definition: str) -> str:
    """The RIHS01 hash of a type from its definition. Empty if the definition is not in the language of .msg files."""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(definition, kind))
        return str(store.hash_rihs01(kind))
    except Exception:  # other tools may write definitions in another language, or none
        return ""
