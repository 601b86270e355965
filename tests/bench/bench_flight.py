"""Latency of a flight: from an ODOMETRY received to the SET_ATTITUDE_TARGET sent, as vehicle_bridge measures it at 100 Hz,
while the policy commands.

Whole rehearsed flights in which the policy hovers: on a computer that is otherwise idle; with an adapter that tunes a policy
every 3 s, which take over one after the other; and with a busy loop for each core from the first command on. With the
ordinary scheduler and, where the user may set it, under SCHED_FIFO. One flight's p99 differs from the next one's by some
tenths of a millisecond, so the first two are flown ROUNDS times, in turn; times are medians, and what was counted is summed.
"""

import math
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from statistics import median

from spike_ctrl._files.errors import UsageError
from spike_ctrl.flight import realtime_scheduling
from spike_ctrl.launching.installed import flight_middleware

SECONDS, ROUNDS = 15, 3  # that the policy hovers; of the flights whose figures are compared
LOADS = ("idle", "adapting", "loaded")
COUNTED = ("commands", "deadlines_missed", "tuned", "took_over", "stood_down")
TOOK_OVER = " takes over"
KEEP_TUNING = str(Path(__file__).with_name("keep_tuning.py"))
FIRST_COMMAND = "SILENT -> GUIDE"
FOUND = re.compile(r"to its command, policy: median ([\d.]+) ms, p99 ([\d.]+) ms, max ([\d.]+) ms over (\d+) commands")
MISSED = re.compile(r"deadline misses (\d+)")
STOOD_DOWN = re.compile(r"SNN -> (?:GUIDE|HOLD|LAND): ([A-Z_]+ \(.*)")  # the operator's own wish has no fault in capitals


def measure() -> dict[str, float]:
    """Milliseconds, the policy's missed deadlines and how often it was stood down, by scheduler and load."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(100 + os.getpid() % 100))
    figures = {}
    for scheduler in ("ordinary", "realtime"):
        if scheduler == "realtime" and not realtime_scheduling.allowed():
            print("  not measured: flights under SCHED_FIFO, which this user may not set", flush=True)
            continue
        rounds = ROUNDS * [*LOADS[:2]] + [LOADS[2]]
        flown = [(load, _fly(scheduler, load)) for load in rounds]
        for load in LOADS:
            found = [one for name, one in flown if name == load]
            for name in found[0]:
                of_all = sum if name in COUNTED else median
                figures[f"flight_{scheduler}_{load}_{name}"] = of_all([one.get(name, math.nan) for one in found])
    return figures


def _fly(scheduler: str, load: str) -> dict[str, float]:
    """Raises UsageError where the policy did not command."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ["vehicle:=embedded", "auto:=true", "record:=false", f"duration:={SECONDS}"]
    words += ["paced:=false"]  # late commands are what is measured
    words += [f"connection:=udpin:127.0.0.1:{port}", f"realtime:={str(scheduler == 'realtime').lower()}"]
    words += ["adapt:=true"] if load == "adapting" else []
    command = [sys.executable, "-m", "spike_ctrl.cli.main", "launch", "flight", *words]
    lines, busy = [], []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            lines.append(line)
            if load == "loaded" and not busy and FIRST_COMMAND in line:
                busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
            if load == "adapting" and not busy:  # early: it joins the graph before anything flies
                tuning = [sys.executable, KEEP_TUNING]
                busy = [subprocess.Popen(tuning, env=os.environ | flight_middleware(), stdout=subprocess.DEVNULL)]
    finally:
        for one in busy:
            one.kill()
            one.wait()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(90)
    output = "".join(lines)
    latency, missed = FOUND.search(output), MISSED.search(output)
    if latency is None:
        raise UsageError(f"flight, {scheduler}, {load}: the policy did not command; it ended with: {lines[-1]}")
    names = ("median_ms", "p99_ms", "max_ms", "commands")
    figures = {name: float(value) for name, value in zip(names, latency.groups(), strict=True)}
    print(f"  {scheduler}, {load}: {latency[0]}", flush=True)
    stood_down = STOOD_DOWN.findall(output)
    for reason in stood_down:
        print(f"    the policy was stood down: {reason}", flush=True)
    figures |= {"deadlines_missed": float(missed[1])} if missed else {}
    if load == "adapting":
        figures |= {"tuned": float(output.count(" offers ")), "took_over": float(output.count(TOOK_OVER))}
    return figures | {"stood_down": float(len(stood_down))}


if __name__ == "__main__":
    print(measure())
