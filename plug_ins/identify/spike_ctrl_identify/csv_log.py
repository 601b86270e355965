"""The importer of CSV logs: a file, or a folder with the files of one flight, plain or gzipped, read by a map of columns."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from spike_ctrl._files.errors import UsageError
from spike_ctrl_identify import column_map
from spike_ctrl_identify.column_map import ColumnMap
from spike_ctrl_identify.csv_table import CsvTable, read_table
from spike_ctrl_identify.logged_flight import LoggedFlight

ENDINGS = (".csv", ".csv.gz")
COUNTS = {
    "imu": "rates", "motor": "motors", "estimator": "position", "attitude_qw": "quaternion", "setpoint": "set_point",
    "power": "voltage",
}  # fmt: skip
"""What NanoBench's file beside a log calls the samples that it counts."""


def reads(path: Path) -> bool:
    """Whether it is a folder or a CSV file."""
    return path.is_dir() or path.name.endswith(ENDINGS)


def read(path: Path, chosen: ColumnMap | None = None) -> LoggedFlight:
    """Read a CSV file, or a folder of CSV files of one flight.

    chosen: the map; None: the known one that recognises it. Raises UsageError.
    """
    files = sorted(file for file in path.iterdir() if file.name.endswith(ENDINGS)) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path}: found no .csv and no .csv.gz in the folder, wanted the files of one flight")
    tables = [read_table(file) for file in files]
    chosen = chosen or _recognised(path, tables)
    hashes = [table.sha256 for table in tables]
    about, logged = _beside(path)
    return LoggedFlight(
        path=path,
        sha256=hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest(),
        how=f"map {chosen.name}",
        airframe=chosen.airframe,
        series=chosen.series(tables),
        about=about,
        logged=logged,
        declared=chosen.declared(),
        notes=tuple(f"{table.path.name}: {note}" for table in tables for note in table.notes),
    )


def _recognised(path: Path, tables: Sequence[CsvTable]) -> ColumnMap:
    maps = [column_map.load(name) for name in column_map.known()]
    found = next((one for one in maps if one.recognises(tables)), None)
    if found is None:
        names = ", ".join(tables[0].names[:6])
        wanted = "; ".join(f"{one.name} has {', '.join(one.recognised_by)}" for one in maps if one.recognised_by)
        raise UsageError(f"{path}: found columns {names} ..., which no map knows ({wanted}); wanted --map FILE.yaml")
    return found


def _beside(path: Path) -> tuple[dict, dict[str, int]]:
    """What NAME_metadata.yaml beside NAME.csv tells, and the samples that it counts."""
    file = path.with_name(f"{_name(path)}_metadata.yaml")
    if not file.is_file():
        return {}, {}
    try:
        about = yaml.safe_load(file.read_text(encoding="utf-8"))
        counts = about.get("row_counts", {})
        return about, {COUNTS[name]: int(count) for name, count in counts.items() if name in COUNTS}
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"{file}: cannot be used ({error}), wanted keys and values, or no file") from None


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")
