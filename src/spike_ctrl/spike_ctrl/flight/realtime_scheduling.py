"""How a process keeps its deadlines, or leaves the cores to those that have them.

The scheduler SCHED_FIFO, where this user may have it, and short garbage collection; the lowest priority of all.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")  # Linux shares the cores among sessions before it looks at a process's priority
PRIORITY = 50  # above all ordinary processes, below the kernel's own threads
HIGHEST = PRIORITY + 2  # of bridge and supervisor; the policy is between them and the guide


def allowed(priority: int = HIGHEST) -> bool:
    """Whether this user may run a process under SCHED_FIFO at that priority. A thread tries it, and takes it along."""
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


def freeze_objects() -> None:
    """Exclude all objects that exist now from later garbage collections.

    Call it once a process has loaded all it needs. With the objects of numba a collection takes 20 ms and more.
    """
    gc.collect()
    gc.freeze()


def give_way(rest: Callable[[float], object]) -> str:
    """Run this process only when no other wants the core. What does not hold of that, in words; empty where all does.

    A process that leads a session lowers that session too; in another's session it leaves that as it is.
    rest: waits for some s, as `time.sleep`.
    """
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if os.getsid(0) != os.getpid() or not AUTOGROUP.exists():
        return ""
    refused: OSError | None = None
    for _ in range(20):
        try:
            AUTOGROUP.write_text("19")
            return ""
        except BlockingIOError as error:  # ordinary users may do so once in .1 s, all of them together
            refused = error
            rest(0.1)
        except OSError as error:
            refused = error
            break
    return f"its session keeps its share of the cores: {AUTOGROUP}: {refused}"
