"""Tells when a processor was held up: wakes every 2 ms, under SCHED_FIFO where that is allowed, and prints late wake-ups.

Each line has the time of the wake-up (s, monotonic) and how late it was (s).

Usage: canary.py PROCESSOR
"""

import os
import sys
import time

LATE = 0.02  # s: together with the time that a flight itself needs, a shorter delay causes no fault

os.sched_setaffinity(0, {int(sys.argv[1])})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))  # above all processes of a flight: they cannot hold it up
except PermissionError:
    pass
while True:
    due = time.monotonic() + 0.002
    time.sleep(0.002)
    if (late := time.monotonic() - due) > LATE:
        print(f"{time.monotonic():.3f} {late:.3f}", flush=True)
