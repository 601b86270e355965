"""Text as a terminal shows it: tables that fold between their columns, lines between their words, nothing that it obeys."""

import math
import os
import sys
import textwrap
from collections.abc import Callable, Sequence

GAP = 2  # spaces between columns
SHORTEST = 16  # characters that a name keeps, however narrow the terminal


def text_table(rows: Sequence[Sequence[str]], width: float | None = None, named: int = 1) -> str:
    """Rows of cells, the heads first: names in the first `named` columns to the left, all others to the right.

    Columns beyond `width` characters follow below, beside the names again; a name that leaves them no room loses its middle.
    width: that of the terminal where it is None; without a terminal all columns stand side by side.

    >>> print(text_table([["", "mean", "worst"], ["PID", "1.0", "12.5"]], width=11))
         mean
    PID   1.0
         worst
    PID   12.5
    """
    wide = output_width() if width is None else width
    widest = max(len(cell) for row in rows for cell in row[named:]) + GAP
    longest = max(SHORTEST, min(wide // 2, wide - widest)) if math.isfinite(wide) else math.inf
    stub = _aligned([[_shortened(cell, longest) for cell in row[:named]] for row in rows], str.ljust)
    columns = [_aligned([[row[i]] for row in rows], str.rjust) for i in range(named, len(rows[0]))]
    blocks: list[list[str]] = []
    for column in columns:
        if not blocks or len(blocks[-1][0]) + len(column[0]) > wide:
            blocks.append(list(stub))
        blocks[-1] = [line + cell for line, cell in zip(blocks[-1], column, strict=True)]
    return "\n".join(line.rstrip() for block in blocks for line in block)


def folded(text: str, indent: int, width: float | None = None) -> str:
    """A line of text in several of at most `width` characters, those after the first indented. width: as in text_table."""
    wide = output_width() if width is None else width
    if len(text) <= wide:
        return text
    width = max(int(wide), indent + SHORTEST)
    return "\n".join(textwrap.wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False))


def printable(text: str) -> str:
    """The text with characters that a terminal would obey written as escapes; lines stay lines.

    >>> print(printable("motor \\x1b[2J"))
    motor \\x1b[2J
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def output_width() -> float:
    """Characters that a line of the standard output may have: COLUMNS, or the terminal's; infinite where it is none."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or math.inf
    except (OSError, ValueError, AttributeError):  # a file, a pipe, or a stream of a test
        return math.inf


def _aligned(cells: Sequence[Sequence[str]], to_side: Callable[[str, int], str]) -> list[str]:
    """Cells of equal width, with the gap before the figures and between names."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    gap = " " * GAP
    lines = [gap.join(to_side(cell, width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return [gap + line for line in lines] if to_side is str.rjust else lines


def _shortened(name: str, longest: float) -> str:
    if len(name) <= longest:
        return name
    half = (int(longest) - 2) // 2
    return f"{name[:half]}..{name[-half:]}"
