"""The messages of a bag, one by one: of a complete one through rosbags, of a damaged one record by record."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcap.records import Schema
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from spike_ctrl._files.text_table import printable
from spike_ctrl.recordings import BagError, segment
from spike_ctrl.recordings.repair import is_mcap, whole_records

TYPES = "spike_ctrl_msgs/msg/"
Timed = list[tuple[int, Any]]  # messages with the time of their receipt, ns


def messages(path: Path, notes: list[str]) -> Iterator[tuple[str, str, int, Callable[[], Any]]]:
    """Iterate over the messages of a bag: (topic, type, received, decode), in order of receipt within each file.

    received: when the recorder received the message, ns since 1970. decode: a function that gives the decoded message.
    A damaged bag is read as far as possible, and a line about it is appended to `notes`. Raises BagError.
    """
    if not path.exists():
        raise BagError(f"{path}: no such bag")
    try:
        with AnyReader([path]) as reader:
            for _ in reader.messages():  # a damaged chunk is found before the first message is given away
                pass
            for connection, received, raw in reader.messages():
                kind = connection.msgtype
                yield connection.topic, kind, received, _checked(path, connection.topic, reader.deserialize, raw, kind)
            return
    except BagError:
        raise
    except Exception as error:  # whatever the parser finds in damaged bytes
        files = [path] if path.is_file() else [*segment.finished(path), *segment.unfinished(path)]
        if not files and not (path / "metadata.yaml").exists():
            raise BagError(f"{path}: found no .mcap file, wanted a bag") from None
        if not files:
            raise BagError(f"{path}: not a bag that can be read: {error}") from None
        if not any(map(is_mcap, files)):
            raise BagError(f"{path}: found no MCAP file, wanted one or a bag's folder") from None
    stores: dict[str, Callable[[bytes], object]] = {}
    count = lost = 0
    for file in files:
        used = 0
        for records, end in whole_records(file):
            for schema, channel, message in records:
                decode = stores.get(schema.name) or stores.setdefault(schema.name, _decoder(path, schema))
                yield channel.topic, schema.name, message.log_time, _checked(path, channel.topic, decode, message.data)
            count, used = count + len(records), end
        lost += file.stat().st_size - used
    unread = f"{count} messages were read, {lost} bytes could not be used"
    notes.append(f"not closed: {unread}; to restore the bag: spike-ctrl repair {path}")


def of_one_graph(path: Path, topics: Mapping[str, str], notes: list[str], graph: str | None = None) -> dict[str, Timed]:
    """The messages of topics, given by name and type, by name, in the namespace `graph` or the first."""
    found: dict[str, Timed] = {name: [] for name in topics}
    namespace = None if graph is None else f"/{graph.strip('/')}/".replace("//", "/")
    for topic, kind, received, message in messages(path, notes):
        name = next((n for n in topics if topic.endswith(f"/{n}") or topic == n), None)
        if name is None or kind != topics[name]:
            continue
        space = topic[: -len(name)]
        namespace = space if namespace is None and kind.startswith(TYPES) else namespace
        if namespace in (None, space):
            found[name].append((received, message()))
        else:
            notes.append(f"{printable(topic)}: left out, the flight read is that of {namespace or '/'}")
    return found


@contextmanager
def fitting(path: str | os.PathLike[str]) -> Iterator[None]:
    """Take a bag's messages for ours: BagError for those of another version, and for numbers that none of ours has."""
    try:
        yield
    except AttributeError as error:
        raise BagError(f"{path}: the bag's message types are of another version: {error}") from None
    except OverflowError:
        raise BagError(f"{path}: found a time or tick of 2^63 or more, wanted less") from None


def _checked(path: Path, topic: str, decode: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """Decodes one message. It raises BagError for bytes that are no such message."""

    def decoded() -> object:
        try:
            return decode(*arguments)
        except Exception as error:  # whatever the decoder finds in damaged bytes
            raise BagError(f"{path}: {topic}: a message cannot be decoded ({' '.join(str(error).split())[:120]})") from None

    return decoded


def _decoder(path: Path, schema: Schema) -> Callable[[bytes], object]:
    """Decodes messages by the definition that the bag itself holds. Raises BagError."""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(schema.data.decode(), schema.name))
    except Exception as error:
        raise BagError(f"{path}: {schema.name}: not a message definition ({' '.join(str(error).split())[:120]})") from None
    return lambda data: store.deserialize_cdr(data, schema.name)
