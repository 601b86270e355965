"""Runs an experiment: finds or makes its folder, measures what is missing, writes the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from spike_ctrl.report import figures
from spike_ctrl_studies import cluster, study, worker_pool
from spike_ctrl_studies.study import ExperimentError, StudyOptions, Unit
from spike_ctrl_studies.study_folder import ROOT, Folder, unfinished
from spike_ctrl_studies.worker_pool import Done, Event, Failed, Origin, Progress

SHOW_PERIOD = 1.0  # wall seconds between two lines of progress


def run(
    name: str,
    options: StudyOptions,
    *,
    out: Path | None,
    stamp: str,
    workers: int,
    ray: str,
    clock: Callable[[], float],
    origin: Origin,
    show: Callable[[str], None],
) -> Folder:
    """Measure the units of an experiment that its folder lacks, then write its report.

    out: the folder; None for the unfinished one of the same command, else runs/experiments/NAME-STAMP. ray: address of
    a cluster, or "". show: takes progress, one line at a time. Raises ExperimentError.
    """
    experiment = study.find(name)
    figures.require()
    if ray:
        cluster.require()
    units = experiment.units(options)
    path = out or unfinished(name, options, units) or ROOT / f"{name}-{stamp}"
    folder = Folder(path, name, options, units, origin)
    missing = [unit for unit in units if not folder.done(unit)]
    show(f"{path}: {len(units) - len(missing)} of {len(units)} units are done")
    if missing:
        happening = (
            cluster.events(name, missing, ray, clock, origin)
            if ray
            else worker_pool.events(name, missing, workers, clock, origin)
        )
        with closing(happening):
            _collect(folder, happening, Account(units, missing, clock()), clock, show)
    folder.write(experiment.report(options, folder.results()))
    return folder


def _collect(folder: Folder, happening: Iterator[Event], account: Account, clock, show) -> None:
    shown = -SHOW_PERIOD
    for event in happening:
        if isinstance(event, Failed):
            trace = folder.path / "failed" / f"{event.unit.name}.txt"
            trace.parent.mkdir(exist_ok=True)
            trace.write_text(event.trace)
            raise ExperimentError(f"unit {event.unit.name}: {event.error}; traceback: {trace}; what is finished is kept")
        if isinstance(event, Done):
            folder.keep(event.unit, event.result)
        line, now = account.line(event, clock()), clock()
        if isinstance(event, Done) or now - shown >= SHOW_PERIOD:
            show(line)
            shown = now


class Account:
    """How much is done, and how long the rest takes at this sitting's pace."""

    def __init__(self, units: Sequence[Unit], missing: Sequence[Unit], now: float):
        self.total, self.started = len(units), now
        self.finished = len(units) - len(missing)
        self.left = {unit.name: unit.weight for unit in missing}
        self.worth = sum(self.left.values())

    def line(self, event: Progress | Done, now: float) -> str:
        """Progress as one line, after an event at time `now`."""
        share, text = (1.0, "done") if isinstance(event, Done) else (event.share, event.text)
        self.left[event.unit.name] = event.unit.weight * (1 - share)
        self.finished += isinstance(event, Done)
        return f"{self.finished}/{self.total} units | {event.unit.name}: {text} | {_clock(self.seconds_left(now))} left"

    def seconds_left(self, now: float) -> float:
        rest = sum(self.left.values())
        done = self.worth - rest
        return rest * (now - self.started) / done if done > 0 else float("inf")


def summary(folder: Folder) -> str:
    """The report of a finished folder without its figures, for the terminal."""
    text = (folder.path / "report.md").read_text()
    return text.split("## Figures")[0].split("## How it was measured")[0].strip()


def _clock(seconds: float) -> str:
    return "--:--" if seconds == float("inf") else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
