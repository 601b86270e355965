"""How often the safety property was violated in flights, and the upper bound of its probability with 95 % confidence."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spike_ctrl._files.text_table import text_table
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl.certification.injected_fault import FAMILIES, PHASES, struck_rows

CONFIDENCE = 0.95
SEEN = "all faults that can be seen"


def upper_bound(broken: int, flights: int) -> float:
    """Exact one-sided upper bound, at CONFIDENCE, of the probability of what happened `broken` times in `flights`.

    Source: Clopper and Pearson, Biometrika 26 (1934).

    >>> round(upper_bound(0, 10_000), 6)  # the rule of three
    0.0003
    """
    from scipy.stats import beta

    return 1.0 if broken >= flights else float(beta.ppf(CONFIDENCE, broken + 1, flights - broken))


def placed(outside: float) -> str:
    """How far (m) beyond the cage a vehicle got, or stayed from its wall, in words."""
    return f"{abs(outside):.2f} m {'outside' if outside > 0 else 'inside'}"


class FamilyRow(NamedTuple):
    """One family. exits: by more than .3 m; outs: by any length. worst: m outside; hardest: m/s. reaction: s, 99 % quantile.

    bound: upper bound of the probability that such a flight violates the safety property.
    """

    family: str
    flights: int
    outs: int
    exits: int
    hits: int
    alarms: int
    worst: float
    hardest: float
    reaction: float
    bound: float


def by_family(outcomes: Iterable[FlightOutcome]) -> list[FamilyRow]:
    """A row per class that was flown, and one of all promised with faults. Families of plug-ins and TOO_HEAVY come last."""
    found = list(outcomes)
    names = dict.fromkeys((*FAMILIES, *(o.counted for o in found)))
    rows = [_row(name, part) for name in names if (part := [o for o in found if o.counted == name])]
    faulty = [o for o in found if o.promised and o.family != "none"]
    return [*rows, _row(SEEN, faulty)] if faulty else rows


def by_phase(outcomes: Iterable[FlightOutcome]) -> list[FamilyRow]:
    """A row per phase in which a fault struck, of all that is promised; of the others where nothing else was flown."""
    faulty = [o for o in outcomes if o.family != "none"]
    found = [o for o in faulty if o.promised] or faulty
    return [_row(name, part) for name in PHASES if (part := [o for o in found if o.phase == name])]


def by_fault_row(outcomes: Iterable[FlightOutcome]) -> list[FamilyRow]:
    """A row per row of the fault table that was struck in motion, by a single fault."""
    found = list(outcomes)
    rows = struck_rows().items()
    return [_row(f"row {row}", part) for row, names in rows if (part := [o for o in found if o.what in names])]


def table(rows: Iterable[FamilyRow]) -> str:
    """The rows as text: flights, exits by more than .3 m, touch-downs over 1 m/s, alarms, the worst of both, the bound."""
    lines = [
        ["family", "flights", "left cage", "hit ground", "false alarms", "worst, m outside", "hardest, m/s", "bound, 95 %"]
    ]
    for r in rows:
        counts = map(str, (r.flights, r.exits, r.hits, r.alarms))
        lines.append([r.family, *counts, f"{r.worst:.2f}", f"{r.hardest:.2f}", f"{r.bound:.2g}"])
    return text_table(lines)


def _row(name: str, part: Sequence[FlightOutcome]) -> FamilyRow:
    broken = sum(o.left or o.crashed for o in part)
    reactions = sorted(o.reaction for o in part if not math.isnan(o.reaction))
    return FamilyRow(
        name,
        len(part),
        sum(o.outside > 0 for o in part),
        sum(o.left for o in part),
        sum(o.crashed for o in part),
        sum(bool(o.alarm) for o in part),
        max(o.outside for o in part),
        max(o.hit for o in part),
        reactions[min(int(0.99 * len(reactions)), len(reactions) - 1)] if reactions else math.nan,
        upper_bound(broken, len(part)),
    )
