"""What keeps a process on time: the scheduler SCHED_FIFO, where this user may have it, and short pauses for garbage."""

from __future__ import annotations

import gc
import os
import threading

PRIORITY = 50  # above all ordinary processes, below the kernel's own threads
HIGHEST = PRIORITY + 2  # of bridge and supervisor; the policy is between them and the guide


def allowed(priority: int = HIGHEST) -> bool:
    """Whether a process of this user may run under SCHED_FIFO at that priority. Tried in a thread, which takes it along."""
    found = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            found.append(True)
        except PermissionError:
            pass

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(found)


def settle() -> None:
    """What is there now stays: later collections of garbage look at new objects alone.

    For who has made many objects before it starts: with those of numba a collection takes 20 ms and more.
    """
    gc.collect()
    gc.freeze()
