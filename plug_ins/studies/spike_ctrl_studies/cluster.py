"""Measures units on an existing Ray cluster whose machines have spike_ctrl installed. Events are those of worker_pool."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spike_ctrl_studies import ray_cluster, worker_pool
from spike_ctrl_studies.study import Unit
from spike_ctrl_studies.worker_pool import Event, Origin


def events(
    name: str, units: Sequence[Unit], folder: Path, address: str, clock: Callable[[], float], origin: Origin
) -> Iterator[Event]:
    """Measure all units of an experiment, one core each. There is an event when a unit is finished, but no progress.

    name: of the experiment. folder, and what it raises: as of `ray_cluster.results`.
    """
    tasks = {f"unit {unit.name}": (name, tuple(unit), clock, dict(origin)) for unit in units}
    return ray_cluster.results(_measure, tasks, folder, address)


def _measure(name: str, unit: tuple, clock: Callable[[], float], origin: Origin) -> Event:
    return worker_pool.attempt(name, Unit(*unit), clock, lambda share, text: None, origin)
