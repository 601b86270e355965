"""Text of others as a terminal may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with characters that a terminal would obey written as escapes; lines stay lines.

    >>> print(printable("motor \\x1b[2J"))
    motor \\x1b[2J
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
