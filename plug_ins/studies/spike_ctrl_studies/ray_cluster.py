"""Runs tasks on an existing Ray cluster whose machines have spike_ctrl installed. Ray is not installed with spike_ctrl."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from spike_ctrl._files.errors import UsageError

Result = TypeVar("Result")
REACH_SECONDS = 5.0  # to connect
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def require() -> None:
    """Raises UsageError if Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise UsageError("--ray needs the package ray: pip install 'spike_ctrl[ray]', or pip install ray") from None


def results(function: Callable[..., Result], tasks: Mapping[str, tuple[Any, ...]], address: str) -> Iterator[Result]:
    """function(*arguments) of all tasks, by their names, as they end; one core and one thread each.

    Raises UsageError if Ray is not installed, if the cluster does not answer, or if a task was lost with its machine.
    """
    require()
    import ray

    _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": ONE_THREAD})
    except Exception as error:
        raise UsageError(
            f"--ray {address}: found no cluster that answers ({_line(error)}), wanted one started by ray start"
        ) from None
    running: dict[Any, str] = {}
    try:
        task = ray.remote(num_cpus=1, max_retries=2)(function)
        running |= {task.remote(*arguments): name for name, arguments in tasks.items()}
        while running:
            ready, _ = ray.wait(list(running), num_returns=1)
            for reference in ready:
                name = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError as error:
                    why = getattr(error, "cause", None) or error  # what the task raised, without the traceback there
                    raise UsageError(f"{name}: lost on the cluster ({_line(why)})") from None
    finally:
        with suppress(Exception):
            for reference in running:
                ray.cancel(reference, force=True)
        ray.shutdown()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _reach(address: str) -> None:
    """Raises UsageError if nothing listens at the address HOST:PORT. Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return  # for example "auto": Ray notices at once if there is no cluster
    try:
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"--ray {address}: cannot be reached ({why}), wanted a cluster started by ray start") from None
