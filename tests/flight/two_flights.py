"""Flies two embedded vehicles in one ROS domain, kills the policy of one in the air, and prints what the other felt.

    export PYTHONPATH=tests/oracles
    python tests/flight/two_flights.py --rounds 5
    python tests/flight/two_flights.py --rounds 20 trajectory:=hover realtime:=true

Each round is three flights of the vehicle in namespace `b`: alone; beside one in `a`; and beside one in `a` whose policy is
killed once both policies fly. A line for each: exit code, RMSE and worst error by the estimate, p99 and longest time from a
state to the policy's command, pace. Then their medians. The launch's arguments come last. The exit code is the number of
rounds in which a flight of `b` did not end with 0, or the supervisor of `a` did not fall back to its guide.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from output import Output, executable
from printed_figures import cells, figures
from programs import nodes

FLIGHT = {"vehicle": "embedded", "auto": "true", "trajectory": "figure8:1:8", "duration": "16"}
KINDS = ("alone", "beside", "killed")
LIMIT = 300.0  # s of a flight
FIGURES = ("RMSE cm", "worst cm", "p99 ms", "max ms", "pace")
FALLEN_BACK = re.compile(r"SNN -> GUIDE: POLICY_SILENT")


def start(namespace: str, folder: Path, arguments: dict[str, str]) -> Output:
    words = FLIGHT | {"namespace": namespace, "bag": str(folder / f"bag_{namespace}")} | arguments
    command = [executable("spike-ctrl"), "launch", "flight", *(f"{name}:={value}" for name, value in words.items())]
    return Output(command, cwd=folder, env=os.environ | {"PYTHONUNBUFFERED": "1"})


def wait(flights: list[Output], condition) -> bool:
    """Whether it became true before one of the flights ended."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline or any(flight.process.poll() is not None for flight in flights):
            return False
        time.sleep(0.05)
    return True


def end(flight: Output) -> int:
    """Its exit code. A flight beyond the limit is ended."""
    try:
        code = flight.process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        flight.process.send_signal(signal.SIGINT)
        code = flight.process.wait(90)
    flight._reader.join(5)
    return code


def kill_policy(flight: Output) -> None:
    """Of this launch alone: its nodes are its children."""
    os.kill(nodes([flight.process.pid])["snn_policy"].process, signal.SIGKILL)


def fly(kind: str, folder: Path, arguments: dict[str, str]) -> tuple[int, Output, Output | None]:
    """A flight of `b`, and that of `a` beside it: exit code of `b` and both outputs."""
    folder.mkdir(parents=True)
    a = None if kind == "alone" else start("a", folder, arguments)
    b = start("b", folder, arguments)
    flights = [b] if a is None else [a, b]
    flying = re.compile(r"INFO SNN for [1-9]")
    if kind == "killed" and wait(flights, lambda: all(flying.search(one.output) for one in flights)):
        kill_policy(a)
    code = end(b)
    if a is not None:
        end(a)
    for name, flight in (("a", a), ("b", b)):
        if flight is not None:
            (folder / f"output_{name}").write_text(flight.output + "\n")
    return code, b, a


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="bags and outputs (default: a new one in /tmp)")
    parser.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="of the launch")
    options = parser.parse_args()
    out = (options.output or Path(tempfile.mkdtemp(prefix="two_flights_"))).absolute()
    arguments = dict(word.split(":=", 1) for word in options.arguments)
    print(f"outputs in {out}; {len(os.sched_getaffinity(0))} cores")
    print(f"{'':9}{'exit':>6}" + "".join(f"{name:>10}" for name in FIGURES) + "      load")
    rows, failed = {kind: [] for kind in KINDS}, 0
    for number in range(options.rounds):
        bad = False
        for kind in KINDS:
            code, b, a = fly(kind, out / f"{number:02}_{kind}", arguments)
            rows[kind].append(figures(b.output, FIGURES))
            fell = kind != "killed" or FALLEN_BACK.search(a.output)
            bad |= code != 0 or not fell
            words = "" if fell else "  a did not fall back to its guide"
            print(
                f"{number:2} {kind:6}{code:6}{cells(rows[kind][-1], FIGURES, 10)}",
                f"{os.getloadavg()[0]:9.1f}{words}",
                flush=True,
            )
        failed += bad
    for kind, found in rows.items():
        medians = {n: statistics.median(values) for n in FIGURES if (values := [row[n] for row in found if n in row])}
        print(f"median {kind:8}{cells(medians, FIGURES, 10)}")
    print(f"{options.rounds - failed} of {options.rounds} rounds: b flew to its end, and a fell back to its guide")
    return failed


if __name__ == "__main__":
    sys.exit(main())
