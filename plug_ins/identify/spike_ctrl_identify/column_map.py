"""A map from the columns of a CSV log to quantities: which columns, in which unit, in which frame.

Maps are YAML files: those in maps/ are known by name, and the first that recognises a log reads it.
`spike-ctrl import --print-map NAME` shows one to begin with; docs/import.md explains each key.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from spike_ctrl._files import settings, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting
from spike_ctrl.px4 import frames
from spike_ctrl_identify.csv_table import CsvTable
from spike_ctrl_identify.logged_flight import AVERAGE_GRAVITY, Declared, Series

ROTORS = ("front-right", "back-right", "back-left", "front-left")
ANGLE = {"rad": 1.0, "deg": np.pi / 180}
LENGTH = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
SPEED = {"m/s": 1.0, "cm/s": 1e-2, "mm/s": 1e-3}
RATE = {"rad/s": 1.0, "deg/s": np.pi / 180, "mrad/s": 1e-3}
FORCE = {"m/s^2": 1.0, "g": AVERAGE_GRAVITY}
MOTOR = {"share": 1.0, "percent": 1e-2, "pwm16": 1 / 65535, "us": 1e-3, "speed": 1.0}
"""us: pulses of 1000 to 2000 microseconds. speed: of the rotors in any unit, with `full`, its value at u = 1."""
VOLTAGE = {"V": 1.0, "mV": 1e-3}
TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
NO_UNIT = {"": 1.0}
ROTATION = 0.05  # a rotation's determinant may differ from 1 by this
WORLD, BODY, NO_FRAME = ("ENU", "NED"), ("FLU", "FRD"), ("",)


class Kind(NamedTuple):
    """What a map may say of a quantity: how many columns, their units (factor to SI), and the frames."""

    size: int
    units: dict[str, float]
    frames: tuple[str, ...]


KINDS = {
    "position": Kind(3, LENGTH, WORLD),
    "quaternion": Kind(4, NO_UNIT, WORLD),
    "attitude": Kind(3, ANGLE, WORLD),
    "rotation": Kind(9, NO_UNIT, WORLD),
    "velocity": Kind(3, SPEED, (*WORLD, *BODY)),
    "rates": Kind(3, RATE, BODY),
    "acceleration": Kind(3, FORCE, BODY),
    "motors": Kind(4, MOTOR, NO_FRAME),
    "voltage": Kind(1, VOLTAGE, NO_FRAME),
    "set_point": Kind(3, LENGTH, WORLD),
    "set_point_yaw": Kind(1, ANGLE, WORLD),
    "reference_position": Kind(3, LENGTH, WORLD),
    "reference_quaternion": Kind(4, NO_UNIT, WORLD),
    "reference_attitude": Kind(3, ANGLE, WORLD),
    "reference_velocity": Kind(3, SPEED, WORLD),
    "reference_rates": Kind(3, RATE, BODY),
}
"""attitude: roll, pitch, yaw, applied as yaw, pitch, roll about the body's axes. rotation: the matrix body to world, row by
row. Both are used where there is no quaternion. velocity: in FLU or FRD it is the body's, turned by the attitude.

In the frame NED the body of a quaternion, a rotation or an attitude is FRD, in ENU it is FLU."""
MAPS = Path(__file__).parent / "maps"
ORDERS = {"motors": ROTORS, "quaternion": tuple("xyzw"), "reference_quaternion": tuple("xyzw")}


def _entry(name: str, kind: Kind) -> Any:
    """The dataclass of what a map says of this quantity; None: nothing."""
    each, order = {"length": (kind.size, kind.size)}, ORDERS.get(name)
    columns = setting(description="Its columns.", wanted=f"{kind.size} different names of columns", **each)
    signs = setting((1,) * kind.size, "Their signs.", choices=(1, -1), wanted=f"{kind.size} of 1 and -1", **each)
    parts: list[tuple[str, Any, Any]] = [("columns", tuple[str, ...], columns), ("signs", tuple[int, ...], signs)]
    parts += [("optional", bool, setting(False, "Whether a log may lack it."))]
    if kind.units != NO_UNIT:
        parts += [("unit", str, setting(description="Unit of the columns.", choices=tuple(kind.units)))]
    if kind.frames != NO_FRAME:
        parts += [("frame", str, setting(description="Frame of the columns.", choices=kind.frames))]
    if name == "motors":
        parts += [("full", float | None, setting(None, "Value of a column at u = 1, for the unit speed.", low=1e-9))]
    if order:
        wanted = f"{', '.join(order)} in the order of the columns"
        parts += [("order", tuple[str, ...], setting(description="What they are.", choices=order, wanted=wanted, **each))]
    return make_dataclass(name, parts, kw_only=True, frozen=True) | None


@dataclass(frozen=True)
class TimeColumn:
    """The column of the time."""

    column: str = setting(description="Its name.")
    unit: str = setting(description="Its unit.", choices=tuple(TIME))


Quantities = make_dataclass("Quantities", [(n, _entry(n, k), setting(None)) for n, k in KINDS.items()])


@dataclass(frozen=True)
class MapFile:
    """How to read a CSV log, as its file says it."""

    name: str = setting(description="Name of the map.")
    time: TimeColumn = setting(description="The column of the time.")
    quantities: Quantities = setting(description="Columns of each quantity.")  # type: ignore[valid-type]
    airframe: str = setting("", "Airframe whose motors are logged.")
    recognised_by: tuple[str, ...] = setting((), "Columns that only such a log has.", wanted="a list of names of columns")


@dataclass(frozen=True)
class MappedColumns:
    """One quantity of a map. signs: 1 or -1 per column. order: of a quaternion's columns or of the motors.

    full: a motor's speed at u = 1; None in another unit than speed.
    """

    quantity: str
    columns: tuple[str, ...]
    unit: str
    frame: str
    order: tuple[str, ...]
    signs: tuple[float, ...]
    optional: bool
    full: float | None = None


@dataclass(frozen=True)
class ColumnMap:
    """How to read a CSV log. airframe: whose motors it logs. recognised_by: columns that only such a log has."""

    name: str
    airframe: str
    recognised_by: tuple[str, ...]
    time: str
    time_unit: str
    quantities: tuple[MappedColumns, ...]

    def recognises(self, tables: Sequence[CsvTable]) -> bool:
        """Whether the tables of a flight have the columns that tell this kind of log."""
        return bool(self.recognised_by) and all(any(t.find(c) is not None for t in tables) for c in self.recognised_by)

    def series(self, tables: Sequence[CsvTable]) -> dict[str, Series]:
        """The quantities in the tables of one flight. Raises UsageError for a missing column.

        An optional quantity may lack all of its columns, but not some of them.
        """
        found = {}
        for entry in self.quantities:
            table = next((t for t in tables if all(t.find(c) is not None for c in entry.columns)), None)
            if table is not None:
                found[entry.quantity] = self._one(table, entry)
            elif not entry.optional or any(t.find(c) is not None for t in tables for c in entry.columns):
                raise _missing(tables, entry, self.name)
        for name in ("rotation", "attitude", "reference_attitude"):
            turned, wanted = found.pop(name, None), "reference_quaternion" if name.startswith("ref") else "quaternion"
            if turned is not None and wanted not in found:
                found[wanted] = turned._replace(value=_quaternions(self._frame(name), turned.value))
        if self._frame("velocity") in BODY and "velocity" in found and "quaternion" in found:
            found["velocity"] = _into_world(found["velocity"], found["quaternion"])
        return found

    def declared(self) -> dict[str, Declared]:
        """What this map says of each quantity, and of `time`."""
        said = {"time": Declared((self.time,), self.time_unit, TIME)}
        for entry in self.quantities:
            said[entry.quantity] = Declared(entry.columns, entry.unit, KINDS[entry.quantity].units)
        return said

    def _frame(self, quantity: str) -> str:
        return next((entry.frame for entry in self.quantities if entry.quantity == quantity), "")

    def _one(self, table: CsvTable, entry: MappedColumns) -> Series:
        when = table.find(self.time)
        if when is None:
            raise UsageError(f"{table.path}: found no column {self.time}, wanted it as the time, by map {self.name}")
        time = table.column(when) * TIME[self.time_unit]
        raw = np.column_stack([table.column(table.find(c)) for c in entry.columns])
        return Series(time, _converted(entry, raw))


def known() -> list[str]:
    """Names of the maps that come with this package."""
    return sorted(file.stem for file in MAPS.glob("*.yaml"))


def load(name: str) -> ColumnMap:
    """A map by name, or by the path of a YAML file. Raises UsageError that names the key."""
    path = yaml_file.find(name, "map", MAPS)
    return parse(yaml_file.read(path, "map"), f"map {path}")


def text(name: str) -> str:
    """The YAML of a map that comes with this package. Raises UsageError."""
    if name not in known():
        raise UsageError(f"map '{name}' not found; known: {', '.join(known())}")
    return (MAPS / f"{name}.yaml").read_text(encoding="utf-8")


def parse(data: Any, source: str) -> ColumnMap:
    """A map from the contents of its YAML. source: what an error begins with. Raises UsageError."""
    found = settings.convert(MapFile, data, source)
    entries = {name: getattr(found.quantities, name) for name in data["quantities"]}
    quantities = tuple(_mapped(name, entry, f"{source}: quantities.{name}") for name, entry in entries.items())
    return ColumnMap(found.name, found.airframe, found.recognised_by, found.time.column, found.time.unit, quantities)


def schema() -> dict[str, Any]:
    """The JSON Schema of a map's file."""
    return settings.schema(MapFile)


def _mapped(name: str, entry: Any, source: str) -> MappedColumns:
    order = getattr(entry, "order", ())
    for key, found in (("columns", entry.columns), ("order", order)):
        if len(set(found)) != len(found):
            wanted = next(known.metadata["wanted"] for known in fields(entry) if known.name == key)
            raise UsageError(f"{source}.{key}: found {list(found)}, wanted {wanted}")
    unit, frame, full = (getattr(entry, key, "") for key in ("unit", "frame", "full"))
    if (unit == "speed") is not bool(full):
        wanted = "wanted one with unit speed, and only there"
        raise UsageError(f"{source}.full: found {full or 'none'} with unit {unit}, {wanted}")
    signs = tuple(map(float, entry.signs))
    return MappedColumns(name, entry.columns, unit, frame, order, signs, entry.optional, full or None)


def _missing(tables: Sequence[CsvTable], entry: MappedColumns, name: str) -> UsageError:
    gone = next((c for c in entry.columns if all(t.find(c) is None for t in tables)), None)
    where = ", ".join(str(table.path) for table in tables)
    if gone is None:
        return UsageError(
            f"{where}: {entry.quantity}: found {', '.join(entry.columns)} in several files, wanted them in one"
        )
    near = difflib.get_close_matches(gone, [c for t in tables for c in t.names if c not in entry.columns], 2)
    hint = f" (there is {' and '.join(near)})" if near else ""
    return UsageError(f"{where}: {entry.quantity}: found no column {gone}{hint}, wanted it by map {name}")


def _converted(entry: MappedColumns, raw: np.ndarray) -> np.ndarray:
    """Columns as logged (K, n) to SI, ENU and FLU. Angles of an attitude stay in the map's frame, in rad."""
    kind = KINDS[entry.quantity]
    value = raw * np.array(entry.signs) * kind.units[entry.unit] / (entry.full or 1.0)
    if entry.unit == "us":
        value -= 1.0
    if entry.quantity == "motors":
        return value[:, [entry.order.index(rotor) for rotor in ROTORS]]
    if entry.order:
        value = value[:, [entry.order.index(part) for part in "xyzw"]]
        return quaternion_from_ned(value[:, [3, 0, 1, 2]]) if entry.frame == "NED" else value
    if entry.frame == "NED" and kind.size == 3 and not entry.quantity.endswith("attitude"):
        return np.stack(frames.enu_from_ned(value.T), axis=1)
    if entry.frame == "FRD":
        return np.stack(frames.flu_from_frd(value.T), axis=1)
    if entry.frame == "NED" and entry.quantity == "set_point_yaw":
        return np.pi / 2 - value
    return value


def quaternion_from_ned(value: np.ndarray) -> np.ndarray:
    """x, y, z, w of FLU to ENU (K, 4) from w, x, y, z of FRD to NED (K, 4)."""
    return np.stack(frames.enu_flu_from_ned_frd(value.T), axis=1)


def _quaternions(frame: str, turned: np.ndarray) -> np.ndarray:
    """x, y, z, w of FLU to ENU (K, 4) from angles (K, 3) or matrices row by row (K, 9) of `frame`; NaN where unknown."""
    found = np.full((len(turned), 4), np.nan)
    good = np.isfinite(turned).all(1)
    if turned.shape[1] == 9:
        good &= np.abs(np.linalg.det(np.nan_to_num(turned).reshape(-1, 3, 3)) - 1) < ROTATION
    if good.any():
        some = turned[good]
        by_matrix = turned.shape[1] == 9
        attitude = Rotation.from_matrix(some.reshape(-1, 3, 3)) if by_matrix else Rotation.from_euler("ZYX", some[:, ::-1])
        found[good] = attitude.as_quat()
    return quaternion_from_ned(found[:, [3, 0, 1, 2]]) if frame == "NED" else found


def _into_world(velocity: Series, quaternion: Series) -> Series:
    """A velocity in FLU turned by the attitude at its times; NaN where the attitude is unknown."""
    known = np.isfinite(quaternion.value).all(1) & (np.linalg.norm(quaternion.value, axis=1) > 0)
    time, first = np.unique(quaternion.time[known], return_index=True)
    found = np.full_like(velocity.value, np.nan)
    if len(time) > 1:
        inside = (velocity.time >= time[0]) & (velocity.time <= time[-1])
        attitude = Slerp(time, Rotation.from_quat(quaternion.value[known][first]))(velocity.time[inside])
        found[inside] = attitude.apply(velocity.value[inside])
    return velocity._replace(value=found)
