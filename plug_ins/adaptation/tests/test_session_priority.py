"""A process that gives way gets next to nothing of a core that another wants, though each leads a session of its own."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

BUSY = """
import os, sys, time
from spike_ctrl_adaptation import session_priority
core, name, seconds = sys.argv[1:]
os.sched_setaffinity(0, {int(core)})
if name == "gives way":
    session_priority.give_way(time.sleep)
print(name, flush=True)
begin, end = time.process_time(), time.monotonic() + float(seconds)
while time.monotonic() < end:
    pass
print((time.process_time() - begin) / float(seconds))
"""


def started(*about):
    """A process that computes, once it does."""
    command = [sys.executable, "-c", BUSY, *map(str, about)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="the scheduler is Linux's")
def test_a_process_that_gives_way_leaves_the_core_to_one_in_another_session():
    core = max(os.sched_getaffinity(0))
    busy, idle = started(core, "works", 6.0), started(core, "gives way", 2.0)
    gave, worked = (float(process.communicate(timeout=60)[0]) for process in (idle, busy))
    assert gave < 0.2 * worked  # half, where it lowered itself alone
