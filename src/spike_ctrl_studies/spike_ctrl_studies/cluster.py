"""Measures units on an existing Ray cluster whose machines have spike_ctrl installed. Events are those of worker_pool."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from spike_ctrl_studies import worker_pool
from spike_ctrl_studies.study import ExperimentError, Unit
from spike_ctrl_studies.worker_pool import ONE_THREAD, Event, Origin

REACH_SECONDS = 5.0  # to connect


def require() -> None:
    """Raises ExperimentError if Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise ExperimentError("--ray needs the package ray: pip install 'spike_ctrl[ray]', or pip install ray") from None


def events(name: str, units: Sequence[Unit], address: str, clock: Callable[[], float], origin: Origin) -> Iterator[Event]:
    """Measure all units of an experiment, one core each. There is an event when a unit is finished, but no progress.

    name: of the experiment. Raises ExperimentError if Ray is not installed, if the cluster does not answer, or if a unit
    was lost with its machine.
    """
    require()
    import ray

    _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": ONE_THREAD})
    except Exception as error:
        text = " ".join(str(error).split())
        raise ExperimentError(
            f"--ray {address}: found no cluster that answers ({text[:160]}), wanted one started by ray start"
        ) from None
    running: dict = {}
    try:
        task = ray.remote(num_cpus=1, max_retries=2)(_measure)
        running |= {task.remote(name, tuple(unit), clock, dict(origin)): unit for unit in units}
        while running:
            ready, _ = ray.wait(list(running), num_returns=1)
            for reference in ready:
                unit = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError as error:
                    text = " ".join(str(error).split())
                    raise ExperimentError(f"unit {unit.name}: lost on the cluster ({text[:160]})") from None
    finally:
        with suppress(Exception):
            for reference in running:
                ray.cancel(reference, force=True)
        ray.shutdown()


def _reach(address: str) -> None:
    """Raises ExperimentError if nothing listens at the address HOST:PORT. Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return  # for example "auto": Ray notices at once if there is no cluster
    try:
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ExperimentError(f"--ray {address}: cannot be reached ({why}), wanted a cluster started by ray start") from None


def _measure(name: str, unit: tuple, clock: Callable[[], float], origin: Origin) -> Event:
    return worker_pool.attempt(name, Unit(*unit), clock, lambda share, text: None, origin)
