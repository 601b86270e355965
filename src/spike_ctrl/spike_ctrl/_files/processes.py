"""Calls a function with the arguments of many tasks, in several processes of this computer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


def results(function: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], workers: int) -> Iterator[T]:
    """function(*arguments) of all tasks, by their names, as they end; with one worker here, one after the other."""
    if workers == 1:
        yield from (function(*arguments) for arguments in tasks.values())
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker) as pool:
        waiting = iter(tasks.values())
        running = {pool.submit(function, *arguments) for arguments in islice(waiting, 2 * workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(function, *arguments) for arguments in islice(waiting, len(done))}
            yield from (future.result() for future in done)


def _begin_worker() -> None:
    """Ctrl-C ends a worker at once, also one that holds a lock; one whose parent was killed would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: parent.join() or os._exit(1), daemon=True).start()  # type: ignore[func-returns-value]
