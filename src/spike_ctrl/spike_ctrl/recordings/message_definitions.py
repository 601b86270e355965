"""Definitions of message types. A bag that holds them can be read without the packages that define them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from spike_ctrl.recordings import BagError


def standard() -> Typestore:
    """The message types that come with ROS 2 Kilted."""
    return get_typestore(Stores.ROS2_KILTED)


def add(store: Typestore, kind: str, prefixes: Iterable[str | Path]) -> None:
    """Register a message type, for example "spike_ctrl_msgs/msg/VehicleState", and the types of its fields.

    A type that is registered already stays as it is. prefixes: installation folders, each with share/PACKAGE/msg/NAME.msg.
    Raises BagError if a definition is missing or is not valid.
    """
    if kind in store.fielddefs:
        return
    package, _, name = kind.replace("/msg/", "/").partition("/")
    places = [Path(prefix) / "share" / package / "msg" / f"{name}.msg" for prefix in prefixes]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise BagError(f"{kind}: no definition; searched {', '.join(map(str, places)) or 'nowhere'}")
    try:
        found = get_types_from_msg(path.read_text(encoding="utf-8"), kind)
    except (TypesysError, OSError, UnicodeDecodeError) as error:
        raise BagError(f"{path}: not a message definition: {error}") from None
    for part in sorted({part for _, fields in found.values() for _, field in fields for part in _parts(field)}):
        if part not in found:
            add(store, part, prefixes)
    store.register(found)


def _parts(field: Any) -> Iterator[str]:
    """The message types that the description of a field refers to."""
    kind, about = field
    if kind is Nodetype.NAME:
        yield about
    elif kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        yield from _parts(about[0])
