"""What a frozen evaluation found, as numbers and as a table. It asks for no simulator: a computer on board shows it, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spike_ctrl._files.json_lines import plain
from spike_ctrl._files.text_table import text_table

BOXES = {"1.5m": 1.5, "0.6m": 0.6}
STAGES = ("start", "end")  # of the reward's coefficients
COLUMNS = tuple(f"{box}_{stage}" for box in BOXES for stage in STAGES)
HEADS = tuple(column.replace("_", " ") for column in COLUMNS)
FIGURES = ("return_mean", "return_std", "survival", "length_mean")
HEADLINE = "1.5m_start"


@dataclass(frozen=True)
class Evaluation:
    """Result of the frozen evaluation: figures of each column.

    hover_error_m and action_change (mean change of u from step to step) are those of the last second of the vehicles that
    flew to the end in the larger box; NaN where none did. spike_rates: of each layer, () where nothing spikes.

    >>> from spike_ctrl import evaluate
    >>> found = evaluate("crazyflie", starts=64)
    >>> 450 < found.headline < 500, found.hover_error_m["median"] < 0.01
    (True, True)
    """

    columns: dict[str, dict[str, float]]
    hover_error_m: dict[str, float]
    action_change: float
    starts: int
    spike_rates: tuple[float, ...] = ()

    @property
    def headline(self) -> float:
        """Mean return of the headline column: 1.5 m box, start coefficients."""
        return self.columns[HEADLINE]["return_mean"]

    @property
    def score(self) -> float:
        """Mean return over all columns: what checkpoints are chosen by."""
        return float(np.mean([column["return_mean"] for column in self.columns.values()]))

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain numbers for JSON; null where there is none."""
        return dict(plain(self))

    @classmethod
    def from_dict(cls, figures: Any) -> Evaluation:
        """The evaluation that `to_dict` gave, also from JSON. Raises ValueError for anything else."""

        def known(figure: Any) -> float:
            return np.nan if figure is None else float(figure)

        try:
            return cls(
                columns={name: {key: known(figures["columns"][name][key]) for key in FIGURES} for name in COLUMNS},
                hover_error_m={name: known(figures["hover_error_m"][name]) for name in ("median", "p95")},
                action_change=known(figures["action_change"]),
                starts=int(figures["starts"]),
                spike_rates=tuple(float(rate) for rate in figures["spike_rates"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"evaluation: found {str(figures)[:60]}, wanted what an evaluation saves ({error})") from None


def spread_table(evaluations: dict[str, list[Evaluation]]) -> str:
    """Mean and standard deviation of return and survival over the start sets (two or more) that each controller flew."""
    rows = [["over start sets", *HEADS]]
    for name, sets in evaluations.items():
        cells = []
        for column in COLUMNS:
            returns, survivals = ([found.columns[column][key] for found in sets] for key in ("return_mean", "survival"))
            cells.append(
                f"{np.mean(returns):.1f} +- {np.std(returns, ddof=1):.1f} "
                f"({np.mean(survivals):.3f} +- {np.std(survivals, ddof=1):.3f})"
            )
        rows.append([name, *cells])
    return text_table(rows)


def evaluation_table(evaluations: dict[str, Evaluation]) -> str:
    """Mean return and survival of each controller in each column; hover error and change of u in the last second."""
    rows = [["return (survival)", *HEADS, "hover, p95 cm", "|du|"]]
    for name, found in evaluations.items():
        cells = (f"{c['return_mean']:.1f} ({c['survival']:.3f})" for c in (found.columns[column] for column in COLUMNS))
        median, p95 = found.hover_error_m["median"], found.hover_error_m["p95"]
        error = "none survived" if np.isnan(median) else f"{100 * median:.1f}, {100 * p95:.1f}"
        rows.append([name, *cells, error, f"{found.action_change:.3f}"])
    return text_table(rows)
