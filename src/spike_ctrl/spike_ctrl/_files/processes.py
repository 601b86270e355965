"""Calls a function with the arguments of many tasks, in several processes of this computer."""

from __future__ import annotations

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
from typing import Any, NamedTuple, TypeVar

from spike_ctrl._files.errors import UsageError

T = TypeVar("T")
_LARGE: list[bytes] = []  # of a worker


class _Large(NamedTuple):
    """An argument that every worker has from its begin."""

    number: int


def results(function: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], workers: int) -> Iterator[T]:
    """function(*arguments) of all tasks, by their names, as they end; with one worker here, one after the other.

    Arguments of bytes travel to each worker once, in a file: what is larger than a pipe holds would be written to a worker
    that has ended for ever. Raises UsageError where a worker was killed.
    """
    if workers == 1:
        yield from (function(*arguments) for arguments in tasks.values())
        return
    large = list(dict.fromkeys(one for arguments in tasks.values() for one in arguments if isinstance(one, bytes)))
    waiting = ([_Large(large.index(a)) if isinstance(a, bytes) else a for a in given] for given in tasks.values())
    with tempfile.NamedTemporaryFile() as file:
        pickle.dump(large, file)
        file.flush()
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker, (file.name,)) as pool:
            try:
                running = {pool.submit(_call, function, arguments) for arguments in islice(waiting, 2 * workers)}
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    running |= {pool.submit(_call, function, arguments) for arguments in islice(waiting, len(done))}
                    yield from (future.result() for future in done)
            except BrokenProcessPool:
                raise UsageError(f"one of {workers} processes ended by itself, killed or out of memory: try fewer") from None


def _call(function: Callable[..., T], arguments: list[Any]) -> T:
    return function(*(_LARGE[one.number] if isinstance(one, _Large) else one for one in arguments))


def _begin_worker(file: str) -> None:
    """Ctrl-C ends a worker at once, also one that holds a lock; one whose parent was killed would wait for work for ever."""
    _LARGE[:] = pickle.loads(Path(file).read_bytes())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: parent.join() or os._exit(1), daemon=True).start()  # type: ignore[func-returns-value]
