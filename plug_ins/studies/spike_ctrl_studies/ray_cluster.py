"""Computes tasks on an existing Ray cluster whose machines have spike_ctrl installed. Ray comes with none of it."""

import hashlib
import importlib
import platform
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import show_line
from spike_ctrl_studies.cluster_cost import ClusterCost, TaskCost

Result = TypeVar("Result")
REACH_SECONDS = 5.0  # to connect
AHEAD = 2  # tasks that the cluster knows, per core
LOSSES = 3  # of one task, after which it is no longer begun again
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def require() -> None:
    """Raises UsageError if Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise UsageError("--ray needs the package ray: pip install 'spike_ctrl[ray]', or pip install ray") from None


def results(
    function: Callable[..., Result],
    tasks: Mapping[str, tuple[Any, ...]],
    folder: Path,
    address: str,
    tell: Callable[[str], None] = show_line,
) -> Iterator[Result]:
    """function(*arguments) of all tasks, by their names, as they end; one core and one thread each.

    A task that is lost with its machine or process is begun again, on any machine. folder: keeps what each task cost. tell:
    takes lines about losses and, at the end, the cost. Raises UsageError if Ray is not installed, if the cluster does not
    answer, if a machine has other sources, if a task raises, or if it is lost LOSSES times.
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
    cost, losses, wanted = ClusterCost(folder), Counter[str](), sources(function.__module__)
    waiting, running, shared = deque(tasks), dict[Any, str](), dict[bytes, Any]()
    try:
        task = ray.remote(num_cpus=1, max_retries=0)(_measured)
        while waiting or running:
            while waiting and len(running) < AHEAD * max(int(ray.cluster_resources().get("CPU", 0)), 1):
                name = waiting.popleft()
                for large in (one for one in tasks[name] if isinstance(one, bytes) and one not in shared):
                    shared[large] = ray.put(large)  # a model travels to each machine once
                arguments = (shared[one] if isinstance(one, bytes) else one for one in tasks[name])
                running[task.remote(function, wanted, name, *arguments)] = name
            for reference in ray.wait(list(running), num_returns=1)[0]:
                name = running.pop(reference)
                try:
                    result, spent = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise UsageError(f"{name}: {_line(getattr(error, 'cause', None) or error)}") from None
                except ray.exceptions.RayError as error:
                    losses[name] += 1
                    cost.keep(TaskCost(name, "", lost=_line(error)))
                    if losses[name] == LOSSES:
                        raise UsageError(f"{name}: lost on the cluster {LOSSES} times ({_line(error)})") from None
                    tell(f"{name}: lost with its machine or process, begun again ({_line(error)})")
                    waiting.appendleft(name)
                    continue
                cost.keep(spent)
                yield result
        tell(cost.told())
    finally:
        with suppress(Exception):
            for reference in running:
                ray.cancel(reference, force=True)
        ray.shutdown()


def _measured(function: Callable[..., Result], wanted: str, name: str, *arguments: Any) -> tuple[Result, TaskCost]:
    """On a machine of the cluster: the result and its cost."""
    import ray

    machine = f"{platform.node()} {ray.get_runtime_context().get_node_id()[:6]}"
    if (found := sources(function.__module__)) != wanted:
        raise UsageError(f"{machine}: sources: found {found}, wanted {wanted}: install this spike_ctrl there")
    core, wall = time.process_time(), time.monotonic()
    result = function(*arguments)
    count = len(result) if isinstance(result, list) else 1
    core, wall = time.process_time() - core, time.monotonic() - wall
    return result, TaskCost(name, machine, processor(), count, round(core, 3), round(wall, 3))


@cache
def sources(module: str) -> str:
    """The first digits of the sha256 of all sources of spike_ctrl, and of the package of a module."""
    digest = hashlib.sha256()
    for package in sorted({"spike_ctrl", module.partition(".")[0]}):
        folder = Path(next(iter(importlib.import_module(package).__path__)))
        for file in sorted(folder.rglob("*.py")):
            digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def processor() -> str:
    """The name of this computer's processor: results may differ in their last bits between kinds of processors."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _line(error: BaseException) -> str:
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
