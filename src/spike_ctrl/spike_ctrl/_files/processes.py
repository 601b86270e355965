"""Calls a function with the arguments of many tasks, in several processes of this computer."""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from spike_ctrl._files.errors import UsageError

T = TypeVar("T")
_WORK: list[Any] = []  # of a worker: the function, and the arguments of all tasks


def results(function: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], workers: int) -> Iterator[T]:
    """function(*arguments) of all tasks, by their names, as they end; with one worker here, one after the other.

    The arguments travel to each worker once, in a file: what is larger than a pipe holds would be written to a worker that
    has ended for ever. Raises UsageError where a worker was killed.
    """
    if workers == 1:
        yield from (function(*arguments) for arguments in tasks.values())
        return
    waiting = iter(range(len(tasks)))
    with tempfile.NamedTemporaryFile() as file:
        pickle.dump([function, *tasks.values()], file)
        file.flush()
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker, (file.name,)) as pool:
            try:
                running = {pool.submit(_call, number) for number in islice(waiting, 2 * workers)}
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    running |= {pool.submit(_call, number) for number in islice(waiting, len(done))}
                    yield from (future.result() for future in done)
            except KeyboardInterrupt:  # the workers have it too by a terminal's Ctrl-C, and not by `kill -INT`
                for worker in multiprocessing.active_children():
                    worker.terminate()
                raise
            except BrokenProcessPool:
                raise UsageError(f"one of {workers} processes ended by itself, killed or out of memory: try fewer") from None


def _call(number: int) -> Any:
    function, *tasks = _WORK
    return function(*tasks[number])


def _begin_worker(file: str) -> None:
    """Ctrl-C ends a worker at once, also one that holds a lock; one whose parent was killed would wait for work for ever."""
    _WORK[:] = pickle.loads(Path(file).read_bytes())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: parent.join() or os._exit(1), daemon=True).start()  # type: ignore[func-returns-value]
