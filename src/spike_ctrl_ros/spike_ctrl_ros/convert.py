"""Conversion of numpy and Python values to the fields of messages, and back.

rclpy sends values of a wrong type as garbage without an error. Therefore `fill` writes every field and casts it to the type
of the message, and `view` reads every array and checks its shape.

    message = fill(VehicleState(), stamp=now, frame_id="odom", tick=7, flags=flags, observation=observation)
    state = view(message)           # state.observation: float32 [N,18], shares memory with the message
"""

import re
from array import array
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from spike_ctrl_msgs.msg import Transition, VehicleAction, VehicleState

Message = TypeVar("Message")
Cast = Callable[[Any], Any]
# Columns of each array with one row per vehicle. None: any number, the same for all vehicles; 0: no second axis.
ROWS: dict[str, int | None] = {
    "flags": 0,
    "observation": 18,
    "rotor_speed": 4,
    "disturbance": 6,
    "plant": None,
    "action": 4,
    "guide_action": 4,
    "reward": 0,
}
OPTIONAL = {"rotor_speed", "disturbance", "plant"}  # empty in flight


class MessageError(ValueError):
    """A field does not fit its message; the text names the field, found and wanted."""


def fill(message: Message, *, stamp: int | None = None, frame_id: str | None = None, **fields: Any) -> Message:
    """Set fields of a message and return it. stamp (ns) and frame_id go into its header.

    Arrays of a message with `vehicles` have the shapes of ROWS, and `vehicles` is set from them. None or an empty array
    leaves an optional one empty. Raises MessageError for unknown fields, wrong shapes and numbers out of range.
    """
    filled: Any = message  # which fields it has is known by its type's description alone
    if stamp is not None:
        filled.header.stamp = time_message(stamp)
    if frame_id is not None:
        filled.header.frame_id = str(frame_id)
    casts = _casts(filled.__class__)
    if "vehicles" in casts:
        fields["vehicles"] = _vehicles(message, fields)
    for name, value in fields.items():
        if name not in casts:
            raise MessageError(f"{type(message).__name__}.{name}: no such field; there are: {', '.join(casts)}")
        setattr(message, name, casts[name](value))
    return message


def view(message: Any) -> SimpleNamespace:
    """The arrays of a message with `vehicles` as numpy arrays [N, columns] that share its memory; None where empty.

    All other fields are unchanged. Raises MessageError where an array does not fit the number of vehicles.
    """
    kind, count = type(message).__name__, message.vehicles
    if count == 0:
        raise MessageError(f"{kind}.vehicles: found 0, wanted at least 1")
    found = {}
    for name in _casts(message.__class__):
        value = getattr(message, name)
        if name in ROWS:
            value = _rows(np.asarray(value, np.uint8 if name == "flags" else np.float32), name, count, kind)
        found[name] = value
    return SimpleNamespace(**found)


def answered(message: Any, vehicles: int) -> NDArray[np.float32]:
    """The actions [N, 4] of a VehicleAction. Raises MessageError where they are not finite, or not those of N vehicles."""
    kind = type(message).__name__
    actions: NDArray[np.float32] = view(message).action
    if message.vehicles != vehicles:
        raise MessageError(f"{kind}.vehicles: found {message.vehicles}, wanted {vehicles}")
    bad = np.flatnonzero(~np.isfinite(actions).all(1))
    if len(bad):
        raise MessageError(f"{kind}.action: found {actions[bad[0]].tolist()} of vehicle {bad[0]}, wanted finite numbers")
    return actions


def action_message(
    state: VehicleState, epoch: int, checkpoint_id: str, layout: str, action: Any, spike_rate: tuple[float, ...] = ()
) -> VehicleAction:
    """The answer (N, 4) of a policy or guide to a state. layout: of the actions."""
    stamp, about = nanoseconds(state.header.stamp), {"tick": state.tick, "epoch": epoch, "checkpoint_id": checkpoint_id}
    answer: dict[str, Any] = {"layout": layout, "action": action, "spike_rate": spike_rate}
    return fill(VehicleAction(), stamp=stamp, frame_id="base_link", **about, **answer)


def state_message(tick: int, epoch: int, stamp: int, **seen: Any) -> VehicleState:
    """What the nodes of training vehicles see. epoch: of the checkpoint that must answer. stamp: ns. seen: other fields."""
    return fill(VehicleState(), stamp=stamp, frame_id="odom", tick=tick, epoch=epoch, **seen)


def transition_message(tick: int, epoch: int, stamp: int, **rows: Any) -> Transition:
    """What came of a tick of training vehicles. stamp: ns. rows: the other fields."""
    return fill(Transition(), stamp=stamp, frame_id="odom", tick=tick, epoch=epoch, **rows)


def time_message(nanoseconds: int) -> Time:
    """A stamp from nanoseconds since the epoch or since the start of the simulation."""
    seconds, rest = divmod(int(nanoseconds), 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def nanoseconds(stamp: Time) -> int:
    """Nanoseconds of a stamp: the inverse of time_message."""
    found: int = stamp.sec * 1_000_000_000 + stamp.nanosec
    return found


def _vehicles(message: Any, fields: dict[str, Any]) -> int:
    """The number of vehicles in the given arrays. All must agree in rows, and fit in columns."""
    kind = type(message).__name__
    count: int | None = fields.get("vehicles")
    for name in ROWS.keys() & fields.keys():
        values = fields[name]
        if values is None or (len(values) == 0 and name in OPTIONAL):
            fields[name] = ()
            continue
        shape = np.shape(values)
        count = shape[0] if count is None else count
        columns = ROWS[name]
        fits = len(shape) == 1 if columns == 0 else len(shape) == 2 and columns in (None, shape[1])
        if shape[0] != count or not fits:
            raise MessageError(f"{kind}.{name}: found shape {list(shape)}, wanted {_wanted(count, columns)}")
    found: int = message.vehicles if count is None else count
    return found


def _rows(flat: NDArray[Any], name: str, count: int, kind: str) -> NDArray[Any] | None:
    columns, size = ROWS[name], flat.size
    if size == 0 and name in OPTIONAL:
        return None
    fits = size % count == 0 if columns is None else size == count * max(columns, 1)
    if not fits:
        raise MessageError(f"{kind}.{name}: found {size} numbers, wanted {_wanted(count, columns)}")
    return flat if columns == 0 else flat.reshape(count, -1)


def _wanted(count: int, columns: int | None) -> str:
    return f"[{count}]" if columns == 0 else f"[{count}, {'any' if columns is None else columns}]"


@lru_cache
def _casts(kind: Any) -> dict[str, Cast]:
    """For each field of a message type, the function that casts to its type. Nested messages are unchanged."""
    types = kind.get_fields_and_field_types()
    return {name: _cast(ros, f"{kind.__name__}.{name}") for name, ros in types.items()}


def _cast(ros: str, field: str) -> Cast:
    if ros == "string":
        return lambda value: _text(value, field)
    if ros == "boolean":
        return bool
    if ros in ("float", "double"):
        return lambda value: _number(value, field)
    if re.fullmatch(r"u?int\d+", ros):
        low, high = np.iinfo(ros).min, np.iinfo(ros).max
        return lambda value: _integer(value, low, high, field)
    if ros == "sequence<float>":
        return lambda values: _array("f", np.float32, values, field)
    if ros == "sequence<uint8>":
        return lambda values: _array("B", np.uint8, values, field)
    return lambda value: value


def _array(code: str, dtype: type, values: Any, field: str) -> "array[Any]":
    if isinstance(values, bytes) and code == "B":
        return array(code, values)
    values = np.asarray(values)
    if code == "B" and values.dtype != np.uint8 and values.size and not (0 <= values.min() and values.max() <= 255):
        raise MessageError(f"{field}: found {values.min()}..{values.max()}, wanted 0..255")
    found: array[Any] = array(code)
    found.frombytes(np.ascontiguousarray(values, dtype).reshape(-1).view(np.uint8).data)
    return found


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise MessageError(f"{field}: found {value!r}, wanted text")
    return value


def _number(value: Any, field: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MessageError(f"{field}: found {value!r}, wanted a number") from None


def _integer(value: Any, low: int, high: int, field: str) -> int:
    try:
        number = int(value)
        if number == value and low <= number <= high:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise MessageError(f"{field}: found {value!r}, wanted a whole number in {low}..{high}")
