"""A soak: the policy flies a figure-eight at 100 Hz for a long time; memory, missed deadlines and rhythm in a table.

Usage: soak.py SECONDS; make soak SECONDS=600. Ends with 1 where a process grew, the policy was replaced, or commands failed.
"""

import os
import re
import signal
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from spike_ctrl.launching.installed import dds_profile

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "flight"), str(ROOT / "tests" / "oracles")]
WARM_UP, EVERY = 20.0, 5.0  # s
GROWTH = 3.0  # MB from the end of the warm-up to the end


def settled_environment() -> None:
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID", "77"),
    } | dds_profile()


def processor_time(process: int) -> float:
    """Processor time of a process, s."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    seconds = float(sys.argv[1])
    settled_environment()
    import rclpy
    from reactions import resident
    from rehearsal import SNN, Flight
    from spike_ctrl_msgs.srv import SetTarget

    rclpy.init()
    flight = Flight(Path(tempfile.mkdtemp(prefix="soak")), "record:=true", SIM_BAT_MIN_PCT=60.0)
    try:
        flight.take_off()
        flight.engage()
        eight = SetTarget.Request(trajectory="figure8", position=(0.0, 0.0, 1.0), size=1.0, period=8.0)
        assert flight.call(flight.target_service, eight).success
        flight.status[:] = flight.status[-1:]
        flight.commands.clear()
        processes = {name: node.process for name, node in flight.nodes().items()} | {"vehicle": flight.vehicle.process.pid}
        begin, due = time.monotonic(), 0.0
        memory, used, rungs, gaps, last = {name: [] for name in processes}, {}, set(), [], None
        while (passed := time.monotonic() - begin) < seconds:
            flight.spin()
            if passed >= due:
                due += EVERY
                for name, process in processes.items():
                    memory[name].append((passed, resident(process)))
                    used.setdefault(name, (passed, processor_time(process)))
                moments = ([last] if last else []) + flight.stamps()
                gaps += [b - a for a, b in pairwise(moments)]
                last = moments[-1] if moments else None
                rungs |= {status.rung for status in flight.status}
                flight.commands.clear()
                flight.status[:] = flight.status[-1:]
                flight.station.truth[:] = flight.station.truth[-1:]
                print(f"\r{passed:.0f} of {seconds:.0f} s, {len(gaps)} commands", end="", flush=True)
        print()
        share = {n: (processor_time(p) - used[n][1]) / (passed - used[n][0]) for n, p in processes.items()}
        flight.graph.process.send_signal(signal.SIGINT)
        flight.graph.process.wait(60)
        flight.graph._reader.join(5)
        told = re.search(r"policy: RMSE .*", flight.graph.output)
        table, grown = tabled(memory, share)
        report = told[0] if told else "no summary of the supervisor"
        text = written(seconds, gaps, report, table, rungs)
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build" / "soak.md").write_text(text, encoding="utf-8")
        print(text)
        if rungs != {SNN} or grown:
            print(f"soak failed: rungs {sorted(rungs)}, wanted only {SNN}; grown: {', '.join(grown) or 'none'}")
            return 1
        return 0
    finally:
        flight.close()
        rclpy.shutdown()


def tabled(memory, share) -> tuple[str, list[str]]:
    """The rows of the table, and the processes that grew."""
    lines, grown = [], []
    for name, sizes in memory.items():
        late = [size for passed, size in sizes if passed >= min(WARM_UP, sizes[-1][0] / 3)]
        if late[-1] - late[0] > GROWTH:
            grown.append(name)
        figures = f"{sizes[0][1]:.1f} | {late[0]:.1f} | {max(late):.1f} | {late[-1]:.1f} | {late[-1] - late[0]:+.1f}"
        lines.append(f"| {name} | {figures} | {100 * share[name]:.0f} |")
    return "\n".join(lines), grown


def written(seconds: float, gaps: list[float], report: str, table: str, rungs: set[int]) -> str:
    middle, late, worst = (1e3 * np.percentile(gaps, q) for q in (50, 99, 100))
    missed = sum(gap > 0.025 for gap in gaps)
    return f"""## Soak

`make soak SECONDS={seconds:.0f}`: the policy flies a figure-eight of 8 s at 100 Hz for {seconds:.0f} s, recorded; load
average {os.getloadavg()[2]:.1f} over the last 15 minutes, {os.cpu_count()} processors. {len(gaps) + 1} commands; from one to
the next {middle:.1f} ms median, {late:.1f} ms p99, {worst:.1f} ms at most, {missed} times more than 25 ms. Who flew:
{", ".join(("SNN", "GUIDE", "HOLD", "LAND", "SILENT")[rung] for rung in sorted(rungs))}. The supervisor's own summary:

    {report}

| process | MB at first | MB after the warm-up | MB at most | MB at last | growth, MB | processor, % |
|---|---|---|---|---|---|---|
{table}
"""


if __name__ == "__main__":
    sys.exit(main())
