"""Throughput and latency of the ROS graph: simulator, guide_policy and snn_policy as processes, without a learner.

Throughput: lockstep as fast as all answer. Latency: one vehicle at 100 Hz, from the publication of a state until both
answers to it are there, as the simulator measures it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.flight import realtime_scheduling
from spike_ctrl.launching import installed
from spike_ctrl_ros import qos
from spike_ctrl_ros.spin import PRIORITY

MODEL = "crazyflie.safetensors"
SETTLE, SECONDS = 4, 10  # diagnostics, one each second
PATIENCE = 60  # s, for all of them


def measure() -> dict[str, float]:
    """Environment steps per second at N = 64 and 256, and latency in ms at N = 1, also under SCHED_FIFO."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(100 + os.getpid() % 100))
    os.environ.update(installed.environment() | os.environ)
    figures = {}
    for vehicles in (64, 256):
        ticks = [float(report["ticks_per_second"]) for report in _reports(vehicles, realtime=False)]
        figures[f"graph_steps_per_second_{vehicles}"] = vehicles * sum(ticks) / len(ticks)
    for name, priority in {"": 0, "fifo_": realtime_scheduling.PRIORITY}.items():
        if priority and not realtime_scheduling.allowed(priority):
            print("  not measured: latency under SCHED_FIFO, which this user may not set", flush=True)
            continue
        last = _reports(1, realtime=True, priority=priority)[-1]
        figures |= {
            f"graph_{name}latency_median_ms": float(last["latency_median_ms"]),
            f"graph_{name}latency_p99_ms": float(last["latency_p99_ms"]),
            f"graph_{name}deadlines_missed": float(last["deadlines_missed"]),
        }
    return figures


def _reports(vehicles: int, realtime: bool, patience: float = PATIENCE, priority: int = 0) -> list[dict[str, str]]:
    """The simulator's diagnostics, after it has settled. Raises UsageError, which names the node that is to blame."""
    nodes = {
        "guide_policy": {},
        "snn_policy": {"model": resources.find("models", MODEL), "realtime": str(realtime).lower()},
        "simulator": {"vehicles": vehicles, "realtime": str(realtime).lower(), "free_run": "true"},
    }
    environment = os.environ | {"OMP_NUM_THREADS": "1", PRIORITY: str(priority)}
    processes: dict[str, subprocess.Popen] = {}
    rclpy.init()
    try:
        for node, parameters in nodes.items():
            arguments = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
            command = [Path(sys.executable).parent / node, "--ros-args", *arguments]
            processes[node] = subprocess.Popen(command, env=environment)
        listener, reports = rclpy.create_node("bench"), []
        listener.create_subscription(DiagnosticArray, "/diagnostics", lambda message: reports.append(message), qos.STATUS)
        deadline = time.monotonic() + patience
        while len(reports) < SETTLE + SECONDS and time.monotonic() < deadline:
            rclpy.spin_once(listener, timeout_sec=0.5)
            for node, process in processes.items():
                if process.poll() is not None:
                    raise UsageError(f"graph: node {node}: ended with {process.returncode}, wanted it to run on")
        listener.destroy_node()
        found = [{value.key: value.value for value in report.status[0].values} for report in reports if report.status]
        flown = [report for report in found if int(report["tick"]) > 0]
        if len(flown) <= SETTLE:
            raise UsageError(
                f"graph: node simulator: found {len(flown)} reports in {patience:g} s, wanted more than {SETTLE}"
            )
        return flown[SETTLE:]
    finally:
        rclpy.shutdown()
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        for process in processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:  # Python may lose a signal that comes while it still imports
                process.kill()
                process.wait()


if __name__ == "__main__":
    print(measure())
