"""Writing a bag while the graph runs: raw messages in, segments of a limited size out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as SegmentWriter
from rosbags.typesys.store import Typestore

from spike_ctrl.recordings import BagError, segment


class BagWriter:
    """Writes messages as they come off the wire to a new bag.

    max_bytes: a segment that has grown to this size is finished and the next one begun. store: knows all types written.
    Between two calls of `flush` messages wait in memory; a kill loses those and no others. Methods raise BagError, where
    the disk is full for example; after that only `abandon` is of use.
    """

    def __init__(self, path: str | os.PathLike, store: Typestore, *, max_bytes: int = 2**30):
        self.path, self.store, self.max_bytes = Path(os.path.abspath(path)), store, max_bytes
        self.messages = self.bytes = 0
        self.topics: dict[str, tuple[str, Sequence[Qos]]] = {}
        self._connections: dict[str, Connection] = {}
        self._done: list[dict] = []
        self._writer: SegmentWriter | None = None
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            raise BagError(f"{path}: exists already, wanted the name of a new bag") from None
        except OSError as error:
            raise self._error(error) from None
        self._begin()

    def add_topic(self, topic: str, kind: str, qos: Sequence[Qos] = ()) -> None:
        """Announce a topic, its type and the QoS profiles that its publishers offer; a known topic stays as it is."""
        if topic not in self.topics:
            self.topics[topic] = kind, tuple(qos)
            self._connect(topic)

    def write(self, topic: str, received: int, data: bytes) -> None:
        """Take a message: its CDR bytes and the time of its receipt, in nanoseconds since 1970."""
        try:
            self._writer.write(self._connections[topic], received, data)
            self.messages += 1
            self.bytes += len(data)
            storage = self._writer.storage
            if storage.bio.tell() + storage.chunk.bio.tell() >= self.max_bytes:
                self._finish()
                self._begin()
        except OSError as error:
            raise self._error(error) from None

    def flush(self) -> None:
        """Hand to the operating system what waits in memory: from then on a killed process does not lose it."""
        storage = self._writer.storage
        try:
            if storage.chunk.msgs:
                storage.close_chunk()
            storage.bio.flush()
        except OSError as error:
            raise self._error(error) from None

    def close(self) -> None:
        """Finish the bag: index, footer, metadata."""
        try:
            self._finish()
        except OSError as error:
            raise self._error(error) from None

    def abandon(self) -> None:
        """Let go of the open segment as it is, for `repair`; the finished ones stay readable."""
        if self._writer is not None:
            try:
                self._writer.abort()
            except OSError:  # the buffer of the file object still does not fit
                pass
            self._writer = None

    def _begin(self) -> None:
        self._writer = SegmentWriter(
            segment.folder(self.path, len(self._done)), version=9, storage_plugin=StoragePlugin.MCAP
        )
        try:
            self._writer.open()
        except OSError as error:
            raise self._error(error) from None
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
        self._done.append(segment.finish(self.path, written, self.path / written.name))
        segment.write_metadata(self.path, self._done)

    def _error(self, error: OSError) -> BagError:
        return BagError(f"{self.path}: cannot be written: {error.strerror or error}")
