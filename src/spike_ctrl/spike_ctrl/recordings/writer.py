"""Writes a bag while the graph runs: raw messages go in, segments of a limited size come out."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as SegmentWriter
from rosbags.typesys.store import Typestore

from spike_ctrl.recordings import BagError, segment


class BagWriter:
    """Writes serialised messages to a new bag.

    store: defines every type that is written. max_bytes: size at which a segment is finished and the next one begun.
    Messages wait in memory until `flush` is called; if the process is killed, only those are lost. All methods raise
    BagError, for example when the disk is full. After an error only `abandon` may be called.
    """

    def __init__(self, path: str | os.PathLike[str], store: Typestore, *, max_bytes: int = 2**30):
        self.path, self.store, self.max_bytes = Path(os.path.abspath(path)), store, max_bytes
        self.messages = self.bytes = 0
        self.topics: dict[str, tuple[str, Sequence[Qos]]] = {}
        self._connections: dict[str, Connection] = {}
        self._done: list[dict[str, Any]] = []
        self._writer: SegmentWriter = None  # of the open segment; None where there is none
        with self._writing():
            try:
                self.path.mkdir(parents=True)
            except FileExistsError:
                raise BagError(f"{path}: exists already, wanted the name of a new bag") from None
            self._begin()

    def add_topic(self, topic: str, kind: str, qos: Sequence[Qos] = ()) -> None:
        """Announce a topic, its type and the QoS profiles that its publishers offer. A known topic stays as it is."""
        if topic not in self.topics:
            self.topics[topic] = kind, tuple(qos)
            self._connect(topic)

    def write(self, topic: str, received: int, data: bytes) -> None:
        """Write a message. received: time of receipt, ns since 1970. data: the message in CDR."""
        with self._writing():
            self._writer.write(self._connections[topic], received, data)
            self.messages += 1
            self.bytes += len(data)
            storage = self._writer.storage
            if storage.bio.tell() + storage.chunk.bio.tell() >= self.max_bytes:
                self._finish()
                self._begin()

    def flush(self) -> None:
        """Hand the messages that wait in memory to the operating system. A kill of this process then loses none of them."""
        storage = self._writer.storage
        with self._writing():
            if storage.chunk.msgs:
                storage.close_chunk()
            storage.bio.flush()

    def close(self) -> None:
        """Finish the bag: write index, footer and metadata."""
        with self._writing():
            self._finish()

    def abandon(self) -> None:
        """Close the open segment unfinished. `repair` can restore it; the finished segments stay readable."""
        if self._writer is not None:
            with suppress(OSError):  # the disk is full: the buffer of the file cannot be written either
                self._writer.abort()
            self._writer = None

    def _begin(self) -> None:
        self._writer = SegmentWriter(
            segment.folder(self.path, len(self._done)), version=9, storage_plugin=StoragePlugin.MCAP
        )
        self._writer.open()
        segment.write_checksums(self._writer.storage)
        self._connections.clear()
        for topic in self.topics:
            self._connect(topic)

    def _connect(self, topic: str) -> None:
        kind, qos = self.topics[topic]
        self._connections[topic] = self._writer.add_connection(
            topic, kind, typestore=self.store, offered_qos_profiles=list(qos)
        )

    def _finish(self) -> None:
        written = self._writer.storage.path
        self._writer.close()
        self._writer = None
        self._done.append(segment.finish(written, self.path / written.name))
        segment.write_metadata(self.path, self._done)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BagError(f"{self.path}: cannot be written: {error.strerror or error}") from None
