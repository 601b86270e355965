"""Tells when a processor was held up: wakes every 2 ms, under SCHED_FIFO where it may, and prints how late it was.

Usage: canary.py PROCESSOR
"""

import os
import sys
import time

LATE = 0.012  # s

os.sched_setaffinity(0, {int(sys.argv[1])})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))  # above the nodes: what holds it up is not them
except PermissionError:
    pass
while True:
    due = time.monotonic() + 0.002
    time.sleep(0.002)
    if (late := time.monotonic() - due) > LATE:
        print(f"{1e3 * late:.0f} ms", flush=True)
