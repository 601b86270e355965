"""The page of a certification: what was flown, what violated the safety property, and the worst flights drawn."""

import math
from collections.abc import Sequence

import numpy as np
from plotly.subplots import make_subplots

from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import FAR, HARD, FlightOutcome
from spike_ctrl.certification.safety_statistics import FamilyRow, placed
from spike_ctrl.flight.faults import Rung
from spike_ctrl.report import thinned
from spike_ctrl.report.colours import COLOURS, LEVEL_COLOUR
from spike_ctrl.report.flight_charts import styled
from spike_ctrl.report.page import Chart, FigureTile, Section, Table, Tiles, Verdict

HEAD = (
    "family", "flights", f"outside by > {FAR} m", "outside at all", f"touchdown > {HARD:g} m/s", "false alarms",
    "worst, m outside", "hardest, m/s", "reaction, s (99 %)", "at most, with 95 %",
)  # fmt: skip
RUNG_COLOURS = {rung: COLOURS[n] for n, rung in enumerate(Rung)}


def sections(
    rows: Sequence[FamilyRow],
    phases: Sequence[FamilyRow],
    struck: Sequence[FamilyRow],
    worst: Sequence[tuple[FlightOutcome, FlightCore]],
    seconds: float,
) -> list[Section]:
    """The sections. struck: by row of the fault table. worst: flights to draw. seconds: of virtual time in all."""
    tables = {"Phases of a flight": phases, "Rows of the fault table, struck in motion": struck}
    by_fault = [Section(title, [Table(HEAD, _cells(found))]) for title, found in tables.items() if found]
    drawn = Section(f"The {len(worst)} worst flights", [_listed(worst), *(_drawn(o, c) for o, c in worst)])
    return [_numbers(rows, seconds), *by_fault, drawn]


def _numbers(rows: Sequence[FamilyRow], seconds: float) -> Section:
    parts = [row for row in rows if not row.family.startswith("all")]
    flights, exits, hits = (sum(getattr(row, name) for row in parts) for name in ("flights", "exits", "hits"))
    alarms = sum(row.alarms for row in rows)
    tiles = [
        FigureTile("flights", f"{flights}"),
        FigureTile("hours of flight", f"{seconds / 3600:.2g}"),
        FigureTile(f"outside by more than {FAR} m", f"{exits}", exits == 0),
        FigureTile(f"touchdowns above {HARD:g} m/s", f"{hits}", hits == 0),
        FigureTile("false alarms", f"{alarms}", alarms == 0),
    ]
    words = (
        "Each flight is drawn from its seed: plant, wind, noise, motion, and a fault that strikes while the vehicle moves. "
        "The last column is the exact (Clopper-Pearson) upper bound, with 95 % confidence, of the probability that such a "
        "flight leaves the cage by more than .3 m or touches down faster than 1 m/s. Negative: it stayed inside by so much."
    )
    return Section("What was flown", [Tiles(tiles), words, Table(HEAD, _cells(rows))])


def _cells(rows: Sequence[FamilyRow]) -> list[tuple[object, ...]]:
    return [
        (r.family, r.flights, r.exits, r.outs, r.hits, r.alarms, r.worst, r.hardest, r.reaction, f"{r.bound:.2g}")
        for r in rows
    ]


def _listed(worst: Sequence[tuple[FlightOutcome, FlightCore]]) -> Table:
    rows = [
        (str(o.seed), o.motion, o.faults or "none", Verdict(f"{o.outside:.2f} m", not o.left),
         Verdict(f"{o.hit:.2f} m/s", not o.crashed),
         "; ".join(f"{at:.2f} s {rung.name}: {why}" for at, rung, why in core.moves[1:]))
        for o, core in worst
    ]  # fmt: skip
    return Table(("seed", "motion", "fault", "outside", "touchdown", "who flew"), rows)


def _drawn(outcome: FlightOutcome, core: FlightCore) -> Chart:
    """From above and from the south, in the colours of who flew; the cage, and where the fault began."""
    figure = make_subplots(1, 2, subplot_titles=("from above", "from the south"))
    at = thinned(len(core.steps), 800)
    steps = [core.steps[n] for n in at]
    place, wanted = np.array([s.position for s in steps]), np.array([s.wanted for s in steps])
    begin = next((n for n, s in enumerate(steps) if s.time >= core.scenario.begin), None)
    cage = np.array([core.settings.cage.low, core.settings.cage.high])
    for vertical in (1, 2):  # y, then z
        into = {"row": 1, "col": vertical}
        line = {"color": LEVEL_COLOUR, "width": 2}
        x, y = cage[[0, 1, 1, 0, 0], 0], cage[[0, 0, 1, 1, 0], vertical]
        figure.add_scatter(x=x, y=y, mode="lines", line=line, name="cage", showlegend=False, **into)
        line = {"color": LEVEL_COLOUR, "dash": "dot", "width": 1}
        x, y = wanted[:, 0], wanted[:, vertical]
        figure.add_scatter(x=x, y=y, mode="lines", line=line, name="set-point", showlegend=False, **into)
        for rung in Rung:
            mine = np.array([s.rung is rung for s in steps])
            if not mine.any():
                continue
            x, y = (np.where(mine, place[:, axis], math.nan) for axis in (0, vertical))
            shown = {"name": rung.name, "showlegend": vertical == 1, "legendgroup": rung.name}
            figure.add_scatter(x=x, y=y, mode="lines", line={"color": RUNG_COLOURS[rung]}, **shown, **into)
        if begin is not None:
            mark = {"color": COLOURS[4], "size": 9, "symbol": "x"}
            x, y = place[[begin], 0], place[[begin], vertical]
            figure.add_scatter(x=x, y=y, mode="markers", marker=mark, name="fault", showlegend=vertical == 1, **into)
    figure.update_yaxes(scaleanchor="x", scaleratio=1, row=1, col=1)
    caption = f"{outcome.faults or 'no fault'}; {placed(outcome.outside)}, {outcome.hit:.2f} m/s. Axes in m."
    return Chart(f"seed {outcome.seed}", styled(figure), caption, wide=True)
