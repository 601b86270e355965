"""Recordings: CPU share of the recorder at 100 Hz with all topics, replay offline, and the report on a 10-minute flight.

The recorder listens to simulator, guide_policy and snn_policy, one vehicle in real time. The flight of 10 minutes is one of
the library's simulator, written as the recorder would have.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from spike_ctrl import report
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.launching.installed import environment
from spike_ctrl.policy.compiled_runtime import CompiledPolicy
from spike_ctrl.recordings import replay
from spike_ctrl.recordings.reader import read

MODEL = "crazyflie.safetensors"
PATIENCE, SETTLE, SECONDS = 180.0, 4.0, 10.0  # s
STARTED = 100_000  # bytes in the bag, by which the graph flies
MINUTES, RATE_HZ = 10, 100


def measure() -> dict[str, float]:
    """CPU share of one core (%), messages per second, replay as a multiple of real time, report in s and MB."""
    with tempfile.TemporaryDirectory() as folder:
        return _recorder(Path(folder) / "graph") | _offline(Path(folder))


def _recorder(bag: Path) -> dict[str, float]:
    os.environ.setdefault("ROS_DOMAIN_ID", str(100 + os.getpid() % 100))
    os.environ.update(environment() | os.environ)
    nodes = {
        "recorder": {"bag": bag},
        "guide_policy": {},
        "snn_policy": {"model": resources.find("models", MODEL), "realtime": "true"},
        "simulator": {"vehicles": 1, "realtime": "true", "free_run": "true"},
    }
    processes: dict[str, subprocess.Popen] = {}
    try:
        for node, parameters in nodes.items():
            arguments = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
            command = [Path(sys.executable).parent / node, "--ros-args", *arguments]
            processes[node] = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + PATIENCE
        while sum(file.stat().st_size for file in bag.rglob("*.mcap")) < STARTED:
            if time.monotonic() > deadline:
                raise UsageError(f"bag: node simulator: found no flight within {PATIENCE:g} s, wanted one at {RATE_HZ} Hz")
            time.sleep(0.2)
        time.sleep(SETTLE)
        before, begun = _cpu_seconds(processes["recorder"].pid), time.monotonic()
        time.sleep(SECONDS)
        for node, process in processes.items():
            if process.poll() is not None:
                raise UsageError(f"bag: node {node}: ended with {process.returncode}, wanted it to run on")
        share = (_cpu_seconds(processes["recorder"].pid) - before) / (time.monotonic() - begun)
    finally:
        for process in reversed(processes.values()):
            process.send_signal(signal.SIGINT)
        for process in processes.values():
            process.wait(20)
    recording = read(bag)
    ticks = len(recording.states.tick)
    if recording.policy is None or ticks < SECONDS * RATE_HZ / 2:
        raise UsageError(f"bag: found {ticks} ticks recorded, wanted some {SECONDS * RATE_HZ:.0f} and the policy's answers")
    return {"recorder_cpu_percent": 100 * share, "recorder_ticks": float(ticks)}


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _offline(folder: Path) -> dict[str, float]:
    sys.path.insert(0, str(resources.folder("config").parent / "tests" / "oracles"))
    from recorded import fly

    flight, seconds = folder / "flight", 60 * MINUTES
    fly(flight, resources.find("models", MODEL), vehicles=1, ticks=seconds * RATE_HZ, runtime=CompiledPolicy)
    with threadpool_limits(1):
        begun = time.monotonic()
        recording = read(flight, replay.TOPICS)
        loaded = time.monotonic()
        _, compared, _ = replay.judged(recording)
        replayed = time.monotonic()
        page = folder / "report.html"
        report.write(page, [flight])
        reported = time.monotonic()
    if not compared.same:
        raise UsageError(f"bag: replay: {compared.known_equal} of {compared.known} actions are equal, wanted all")
    return {
        "replay_times_real_time": seconds / (replayed - begun),
        "replay_read_s": loaded - begun,
        "report_10_minutes_s": reported - replayed,
        "report_10_minutes_mb": page.stat().st_size / 1e6,
    }


if __name__ == "__main__":
    print(measure())
