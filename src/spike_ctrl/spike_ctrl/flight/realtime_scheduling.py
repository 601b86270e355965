"""How a process keeps its deadlines: the scheduler SCHED_FIFO, where this user may have it; short garbage collection."""

import gc
import os
import threading
from contextlib import suppress

PRIORITY = 50  # above all ordinary processes, below the kernel's own threads
HIGHEST = PRIORITY + 2  # of bridge and supervisor; the policy is between them and the guide


def allowed(priority: int = HIGHEST) -> bool:
    """Whether this user may run a process under SCHED_FIFO at that priority. A thread tries it, and takes it along."""
    found = []

    def attempt() -> None:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            found.append(True)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(found)


def freeze_objects() -> None:
    """Exclude all objects that exist now from later garbage collections.

    Call it once a process has loaded all it needs. With the objects of numba a collection takes 20 ms and more.
    """
    gc.collect()
    gc.freeze()
