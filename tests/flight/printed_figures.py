"""The figures that a flight prints at its end."""

import re
from collections.abc import Iterable

PRINTED = {  # by name: a pattern, and the factor to the unit of the name
    "RMSE cm": (r"policy: RMSE ([\d.]+) m", 100.0),
    "worst cm": (r"worst ([\d.]+) m", 100.0),
    "p99 ms": (r"to its command, policy: .*p99 ([\d.]+) ms", 1.0),
    "max ms": (r"to its command, policy: .*max ([\d.]+) ms", 1.0),
    "pace": (r"at ([\d.]+) of real time", 1.0),
    "waits": (r"waited for an answer (\d+) times", 1.0),
    "longest s": (r"longest ([\d.]+) s", 1.0),
    "alone": (r"without an answer (\d+) times", 1.0),
}


def figures(output: str, names: Iterable[str]) -> dict[str, float]:
    """Those of these names that are in the output."""
    found = {name: re.search(PRINTED[name][0], output) for name in names}
    return {name: PRINTED[name][1] * float(match[1]) for name, match in found.items() if match}


def cells(found: dict[str, float], names: Iterable[str], width: int) -> str:
    """A row of a table, with blanks for what was not printed."""
    return "".join(f"{found[name]:{width}.3g}" if name in found else " " * width for name in names)
