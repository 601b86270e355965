"""Calls a function with the arguments of many tasks, in several processes of this computer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
_LARGE: list[bytes] = []  # of a worker


class _Large(NamedTuple):
    """An argument that every worker has from its begin."""

    number: int


def results(function: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], workers: int) -> Iterator[T]:
    """function(*arguments) of all tasks, by their names, as they end; with one worker here, one after the other.

    Arguments of bytes travel to each worker once. Where the task itself is larger than a pipe holds, and the workers end
    while it is written, Python 3.11.2 waits for ever.
    """
    if workers == 1:
        yield from (function(*arguments) for arguments in tasks.values())
        return
    large = list(dict.fromkeys(one for arguments in tasks.values() for one in arguments if isinstance(one, bytes)))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker, (large,)) as pool:
        waiting = ([_Large(large.index(a)) if isinstance(a, bytes) else a for a in given] for given in tasks.values())
        running = {pool.submit(_call, function, arguments) for arguments in islice(waiting, 2 * workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(_call, function, arguments) for arguments in islice(waiting, len(done))}
            yield from (future.result() for future in done)


def _call(function: Callable[..., T], arguments: list[Any]) -> T:
    return function(*(_LARGE[one.number] if isinstance(one, _Large) else one for one in arguments))


def _begin_worker(large: list[bytes]) -> None:
    """Ctrl-C ends a worker at once, also one that holds a lock; one whose parent was killed would wait for work for ever."""
    _LARGE[:] = large
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: parent.join() or os._exit(1), daemon=True).start()  # type: ignore[func-returns-value]
