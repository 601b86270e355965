"""A CSV file as columns of numbers, plain or gzipped, with the sha256 of its decompressed contents."""

import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError

DELIMITERS = ",;\t"
GZIP = b"\x1f\x8b"


class CsvTable(NamedTuple):
    """Columns by name. values (K, C): NaN where a cell is empty or no number.

    words: {column: (line, text)} of the first cell in a column that is text. sha256: of the decompressed contents.
    """

    path: Path
    names: tuple[str, ...]
    values: np.ndarray
    words: dict[str, tuple[int, str]]
    sha256: str
    notes: tuple[str, ...] = ()

    def find(self, name: str) -> int | None:
        """The number of a column; capitals may differ where no other column has that name. None if there is none."""
        if name in self.names:
            return self.names.index(name)
        alike = [number for number, known in enumerate(self.names) if known.lower() == name.lower()]
        return alike[0] if len(alike) == 1 else None

    def column(self, number: int) -> np.ndarray:
        """A column (K,). Raises UsageError if a cell of it is text."""
        name = self.names[number]
        if name in self.words:
            line, text = self.words[name]
            raise UsageError(f"{self.path}: line {line}, column {name}: found {text!r}, wanted a number")
        return self.values[:, number]


def contents(path: Path) -> bytes:
    """The contents of a file, decompressed if it is gzipped, whatever its name. Raises UsageError."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(GZIP) else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path}: found a damaged gzip file ({error}), wanted a whole one") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_table(path: Path) -> CsvTable:
    """Read a CSV file with one line of column names. Raises UsageError."""
    data = contents(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: found bytes that are no text, wanted a CSV file") from None
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise UsageError(f"{path}: found {'no line' if not lines else 'an empty first line'}, wanted a line of column names")
    delimiter = max(DELIMITERS, key=lines[0].count)
    names = tuple(name.strip().strip("\"'") for name in lines[0].split(delimiter))
    doubled = sorted({name for name in names if names.count(name) > 1 and name})
    if doubled:
        raise UsageError(f"{path}: column {doubled[0]}: found it twice, wanted each name once")
    body, notes = lines[1:], []
    while body and not body[-1].strip():
        body.pop()
    if len(body) > 1 and body[-1].count(delimiter) < len(names) - 1:
        body.pop()
        notes.append("the last line is cut off and left out")
    if not body:
        raise UsageError(f"{path}: found column names and no row, wanted rows")
    values, words = _numbers(path, names, body, delimiter)
    return CsvTable(path, names, values, words, hashlib.sha256(data).hexdigest(), tuple(notes))


def _numbers(path: Path, names: tuple[str, ...], body: list[str], delimiter: str) -> tuple[np.ndarray, dict]:
    try:
        values = np.loadtxt(io.StringIO("\n".join(body)), delimiter=delimiter, ndmin=2, comments=None)
        if values.shape == (len(body), len(names)):
            return values, {}
    except ValueError:
        pass  # an empty cell, or text: looked at cell by cell
    values, words = np.full((len(body), len(names)), np.nan), {}
    for row, line in enumerate(body):
        cells = line.split(delimiter)
        if len(cells) != len(names):
            raise UsageError(
                f"{path}: line {row + 2}: found {len(cells)} cells, wanted {len(names)} as in the line of names"
            )
        for number, cell in enumerate(cells):
            text = cell.strip().strip("\"'")
            try:
                values[row, number] = float(text or "nan")
            except ValueError:
                words.setdefault(names[number], (row + 2, text))
    return values, words
