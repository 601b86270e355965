"""Messages as text, in the form of ros2cli, and messages from text.

as_yaml(message)                        # "data: hello\\n"
set_fields(request, {"data": True})     # raises AttributeError or TypeError for what does not fit
"""

import importlib
import sys
from array import array
from typing import Any

import numpy as np
import yaml


class FieldLines(yaml.SafeDumper):
    """Writes each field in a line of its own, also where lists are in one line."""

    def represent_dict(self, data: Any) -> yaml.MappingNode:
        fields = [(self.represent_data(name), self.represent_data(value)) for name, value in data.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", fields)


FieldLines.add_representer(dict, FieldLines.represent_dict)
LENGTH = 128  # elements or characters that are shown of one value


def interface(name: str, kind: str) -> Any:
    """The class of a type, as package/msg/Name or package/Name. kind: msg or srv. Raises RuntimeError."""
    try:
        package, *middle, last = name.split("/")
        found = getattr(importlib.import_module(".".join((package, *(middle or [kind])))), last)
    except (AttributeError, ImportError, ValueError, TypeError):
        found = None
    if kind == "srv" and hasattr(found, "SLOT_TYPES"):
        raise RuntimeError("The passed type is not a service")
    if not hasattr(found, "SLOT_TYPES" if kind == "msg" else "Request"):
        raise RuntimeError(f"The passed {'message' if kind == 'msg' else 'service'} type is invalid")
    return found


def as_yaml(message: Any, length: int | None = None, arrays: bool = True, texts: bool = True, flow: bool = False) -> str:
    """All fields of a message. length: of what is shown of each array and text; arrays, texts: False shows their sizes."""
    found = _plain(message, length, arrays, texts)
    text: str = yaml.dump(found, Dumper=FieldLines, allow_unicode=True, width=sys.maxsize, default_flow_style=flow)
    return text


def as_csv(message: Any, length: int | None = None, arrays: bool = True, texts: bool = True) -> str:
    """All fields in their order, with commas between them."""
    return ",".join(map(str, _flat(_plain(message, length, arrays, texts))))


def set_fields(message: Any, values: Any) -> None:
    """Set the named fields. Raises AttributeError for an unknown one, TypeError, ValueError, AssertionError for others."""
    if not isinstance(values, dict):
        raise TypeError(f"Value '{values}' is expected to be a dictionary but is a {type(values).__name__}")
    for (name, value), kind in ((item, _kinds(message).get(item[0])) for item in values.items()):
        setattr(message, name, _cast(getattr(message, name), value, kind))


def _kinds(message: Any) -> dict[str, Any]:
    return dict(zip(message.get_fields_and_field_types(), message.SLOT_TYPES, strict=True))


def _cast(old: Any, value: Any, kind: Any) -> Any:
    """A value as the type of the field's old one. kind: the field's, of rosidl_parser."""
    if hasattr(old, "SLOT_TYPES"):
        set_fields(old, value)
        return old
    if isinstance(old, array):
        return array(old.typecode, value)
    if isinstance(old, np.ndarray):
        return np.array(value, old.dtype)
    element: Any = getattr(kind, "value_type", None)
    if isinstance(old, list) and hasattr(element, "namespaces"):
        made = [interface("/".join((*element.namespaces, element.name)), "msg")() for _ in value]
        return [_cast(one, given, element) for one, given in zip(made, value, strict=True)]
    if isinstance(old, bool) and not isinstance(value, bool):
        raise TypeError(f"'{value}' is expected to be true or false")
    return type(old)(value)


def _plain(value: Any, length: int | None, arrays: bool, texts: bool, kind: Any = None) -> Any:
    if hasattr(value, "SLOT_TYPES"):
        kinds = _kinds(value).items()
        return {name: _plain(getattr(value, name), length, arrays, texts, each) for name, each in kinds}
    if isinstance(value, bytes):
        value = "".join(map(chr, value))
    elif isinstance(value, str) and not texts:
        return f"<string length: <{len(value)}>>"
    if isinstance(value, str):
        return value if length is None or len(value) <= length else value[:length] + "..."
    if isinstance(value, list | tuple | array | np.ndarray):
        if not arrays and kind is not None:
            return _size(value, kind)
        shown = [_plain(one, length, arrays, texts) for one in value[:length]]
        return shown if length is None or len(value) <= length else [*shown, "..."]
    return value.item() if isinstance(value, np.generic) else value


def _size(value: Any, kind: Any) -> str:
    element, size = kind.value_type, getattr(kind, "size", None)
    name = getattr(element, "typename", None) or "/".join(
        (*getattr(element, "namespaces", ()), getattr(element, "name", ""))
    )
    name = name or "string"
    if size is not None:
        return f"<array type: {name}[{size}]>"
    bound = f"[{kind.maximum_size}]" if hasattr(kind, "maximum_size") else ""
    return f"<sequence type: {name}{bound}, length: {len(value)}>"


def _flat(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if values is None else [one for each in values for one in _flat(each)]
