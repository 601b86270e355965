"""Measures units in local processes. Each worker measures one unit after another and reports through a pipe."""

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context
from pathlib import Path
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl_studies import study
from spike_ctrl_studies.ray_cluster import ONE_THREAD
from spike_ctrl_studies.study import Unit, UnitContext, UnitResult

END_SECONDS = 5.0  # time for a worker to end before it is killed


class Progress(NamedTuple):
    """Progress of a unit: the share done, 0 to 1, and a few words."""

    unit: Unit
    share: float
    text: str


class Done(NamedTuple):
    """A unit is finished."""

    unit: Unit
    result: UnitResult


class Failed(NamedTuple):
    """A unit raised an exception: the error in one line, and its traceback."""

    unit: Unit
    error: str
    trace: str


Event = Progress | Done | Failed
Origin = Mapping[str, str]


def events(name: str, units: Sequence[Unit], workers: int, clock: Callable[[], float], origin: Origin) -> Iterator[Event]:
    """Measure all units of the experiment `name` in `workers` processes of one thread each. Gives events as they happen.

    Closing the iterator ends the processes. Raises UsageError if a process dies.
    """
    waiting = list(reversed(units))
    context = get_context("spawn")
    busy: dict[connection.Connection, tuple] = {}
    try:
        with _environment(ONE_THREAD):
            for _ in range(min(workers, len(units))):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, name, clock, dict(origin)), daemon=True)
                process.start()
                theirs.close()
                busy[ours] = (process, waiting.pop())
                ours.send(busy[ours][1])
        while busy:
            for pipe in connection.wait(list(busy)):
                process, unit = busy[pipe]
                try:
                    event = pipe.recv()
                except (EOFError, ConnectionResetError):
                    process.join(END_SECONDS)
                    raise UsageError(f"unit {unit.name}: its process ended by itself ({_code(process.exitcode)})") from None
                yield event
                if isinstance(event, Progress):
                    continue
                if waiting:
                    busy[pipe] = (process, waiting.pop())
                    pipe.send(busy[pipe][1])
                else:
                    del busy[pipe]
                    pipe.close()
                    process.join(END_SECONDS)
    finally:
        for pipe, (process, _) in busy.items():
            process.terminate()
            process.join(END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()


def measure(
    name: str, unit: Unit, clock: Callable[[], float], progress: Callable[[float, str], None], origin: Origin
) -> UnitResult:
    """Measure one unit in this process, with one thread and its own scratch folder."""
    from spike_ctrl.learn.training_process import training_process

    with training_process(), tempfile.TemporaryDirectory(prefix="spike-ctrl-") as scratch:
        return study.find(name).measure(unit.settings, UnitContext(clock, progress, Path(scratch), **origin))


def attempt(
    name: str, unit: Unit, clock: Callable[[], float], progress: Callable[[float, str], None], origin: Origin
) -> Event:
    """As `measure`, but give the result or the error as an event."""
    try:
        return Done(unit, measure(name, unit, clock, progress, origin))
    except Exception as error:
        return Failed(unit, f"{type(error).__name__}: {' '.join(str(error).split())}", traceback.format_exc())


def _work(pipe: connection.Connection, name: str, clock, origin: Origin) -> None:
    """The main function of a worker. It ends when the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent decides
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that scratch folders are removed
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            unit = pipe.recv()
            event = attempt(name, unit, clock, lambda share, text, unit=unit: pipe.send(Progress(unit, share, text)), origin)
            pipe.send(event)


def _code(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


@contextmanager
def _environment(values: Mapping[str, str]):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
