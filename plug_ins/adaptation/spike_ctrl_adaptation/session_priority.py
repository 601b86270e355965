"""How a process leaves the cores to those that have deadlines: the lowest priority of all, for it and its session."""

import os
from collections.abc import Callable
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")  # Linux shares the cores among sessions before it looks at a process's priority


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
