"""Runs an experiment: finds or creates its folder, measures the missing units, writes the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.text_table import folded, text_table
from spike_ctrl._files.time_left import Forecast, time_left
from spike_ctrl_studies import cluster, figures, ray_cluster, study, worker_pool
from spike_ctrl_studies.study import StudyOptions, Unit
from spike_ctrl_studies.study_folder import ROOT, Folder, table_cells, unfinished
from spike_ctrl_studies.worker_pool import Done, Event, Failed, Origin, Progress

SHOW_PERIOD = 1.0  # s between two lines of progress


def run(
    name: str,
    options: StudyOptions,
    *,
    out: Path | None,
    stamp: str,
    workers: int,
    ray: str,
    clock: Callable[[], float],
    unit_clock: Callable[[], float],
    origin: Origin,
    show: Callable[[str], None],
) -> Folder:
    """Measure the missing units of the experiment `name`, then write its report. Gives its folder.

    out: the folder. If None, it is the unfinished one of the same experiment, else runs/experiments/NAME-STAMP.
    workers: local processes. ray: address of a cluster, or "". clock: gives wall seconds,
    for the time left. unit_clock: gives CPU seconds of the process that measures. show: takes lines of progress.
    Raises UsageError.
    """
    experiment = study.find(name)
    figures.require()
    if ray:
        ray_cluster.require()
    units = experiment.units(options)
    path = out or unfinished(name, options, units) or ROOT / f"{name}-{stamp}"
    folder = Folder(path, name, options, units, origin)
    missing = [unit for unit in units if not folder.done(unit)]
    show(f"{path}: {len(units) - len(missing)} of {len(units)} units are done")
    if missing:
        happening = (
            cluster.events(name, missing, path, ray, unit_clock, origin)
            if ray
            else worker_pool.events(name, missing, workers, unit_clock, origin)
        )
        with closing(happening):
            _collect(folder, happening, ProgressEstimate(units, missing, clock()), clock, show)
    folder.write(experiment.report(options, folder.results()))
    return folder


def _collect(folder: Folder, happening: Iterator[Event], progress: ProgressEstimate, clock, show) -> None:
    shown = -SHOW_PERIOD
    for event in happening:
        if isinstance(event, Failed):
            trace = folder.path / "failed" / f"{event.unit.name}.txt"
            trace.parent.mkdir(exist_ok=True)
            trace.write_text(event.trace)
            raise UsageError(f"unit {event.unit.name}: {event.error}; traceback: {trace}; what is finished is kept")
        if isinstance(event, Done):
            folder.keep(event.unit, event.result)
        line, now = progress.line(event, clock()), clock()
        if isinstance(event, Done) or now - shown >= SHOW_PERIOD:
            show(line)
            shown = now


class ProgressEstimate:
    """Counts the finished units, and estimates the time left from their pace. now: s."""

    def __init__(self, units: Sequence[Unit], missing: Sequence[Unit], now: float):
        self.total, self.pace = len(units), Forecast(now)
        self.finished = len(units) - len(missing)
        self.left = {unit.name: unit.weight for unit in missing}
        self.worth = sum(self.left.values())

    def line(self, event: Progress | Done, now: float) -> str:
        """The line of progress after an event at time `now` (s)."""
        share, text = (1.0, "done") if isinstance(event, Done) else (event.share, event.text)
        self.left[event.unit.name] = event.unit.weight * (1 - share)
        self.finished += isinstance(event, Done)
        return f"{self.finished}/{self.total} units, {time_left(self.seconds_left(now))} left, {event.unit.name}: {text}"

    def seconds_left(self, now: float) -> float:
        """Estimated time left, s; infinity until a pace is known."""
        return self.pace.left(1 - sum(self.left.values()) / self.worth, now)


def summary(folder: Folder) -> str:
    """The report of a finished folder for the terminal, without figures and notes."""
    text = (folder.path / "report.md").read_text()
    before, heading, after = text.split("## Figures")[0].split("## How it was measured")[0].partition("## Table\n")
    lines = [folded(line, 2) for line in before.strip().splitlines()]
    if rows := [table_cells(line) for line in after.strip().splitlines()]:
        lines += [heading, text_table([rows[0], *rows[2:]])]
    return "\n".join(lines)
