"""Flies two vehicles in one ROS domain, kills the policy of one in the air, and prints what the other felt.

    export PYTHONPATH=tests/oracles
    python tests/flight/two_flights.py --rounds 5                               # embedded vehicles
    python tests/flight/two_flights.py --rounds 20 trajectory:=hover realtime:=true
    python tests/flight/two_flights.py --rounds 5 --px4 ~/PX4-Autopilot         # two of PX4's own simulations
    python tests/flight/two_flights.py --rounds 5 --px4 ~/PX4-Autopilot speed:=0.5   # on a computer with two cores

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
from programs import Program, nodes

FLIGHT = {"auto": "true", "trajectory": "figure8:1:8", "duration": "16"}
EMBEDDED = {"vehicle": "embedded"}
ON_PX4 = {"remote_control": "false", "setpoint": "0,0,1.2"}
INSTANCES = {"a": 0, "b": 1}  # of PX4, by namespace
APART = 8.0  # m between the vehicles, on PX4
KINDS = ("alone", "beside", "killed")
LIMIT, START = 300.0, 10.0  # s of a flight, and until PX4 has started
FIGURES = ("RMSE cm", "worst cm", "p99 ms", "max ms", "pace")
FALLEN_BACK = re.compile(r"SNN -> GUIDE: POLICY_SILENT")


def start(namespace: str, folder: Path, arguments: dict[str, str]) -> Output:
    words = FLIGHT | {"namespace": namespace, "bag": str(folder / f"bag_{namespace}")} | arguments
    command = [executable("spike-ctrl"), "launch", "flight", *(f"{name}:={value}" for name, value in words.items())]
    return Output(command, cwd=folder, env=os.environ | {"PYTHONUNBUFFERED": "1"})


def simulation(number: int) -> dict[str, str]:
    """How a flight reaches PX4's simulation of that number."""
    return {"connection": f"udpin:127.0.0.1:{14540 + number}", "system": str(number + 1), "east": str(APART * number)}


def start_px4(folder: Path, running: list[Program], speed: str) -> None:
    """Start PX4 twice, once for each flight, and write its parameters."""
    command = str(executable("spike-ctrl"))
    for number in INSTANCES.values():
        running.append(Program([command, "px4", "sih", "--px4", folder, "--instance", number, "--speed", speed]))
        time.sleep(START)
        about = simulation(number)
        words = ["--connection", about["connection"], "--system", about["system"], "--speed", speed]
        subprocess.run([command, "preflight", *words, "--no-remote-control", "--set"], check=False)


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


def fly(kind: str, folder: Path, about: dict[str, dict[str, str]]) -> tuple[int, Output, Output | None]:
    """A flight of `b`, and that of `a` beside it: exit code of `b` and both outputs. about: their arguments."""
    folder.mkdir(parents=True)
    a = None if kind == "alone" else start("a", folder, about["a"])
    b = start("b", folder, about["b"])
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
    parser.add_argument("--px4", type=Path, metavar="DIR", help="where PX4 is built; without it embedded vehicles fly")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="bags and outputs (default: a new one in /tmp)")
    parser.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="of the launch")
    options = parser.parse_args()
    out = (options.output or Path(tempfile.mkdtemp(prefix="two_flights_"))).absolute()
    given = dict(word.split(":=", 1) for word in options.arguments)
    kinds = {space: ON_PX4 | simulation(number) if options.px4 else EMBEDDED for space, number in INSTANCES.items()}
    about = {space: kind | given for space, kind in kinds.items()}
    running: list[Program] = []
    try:
        if options.px4:
            start_px4(options.px4, running, given.get("speed", "1"))
        return fly_rounds(options.rounds, out, about)
    finally:
        for program in running:
            program.end()


def fly_rounds(rounds: int, out: Path, about: dict[str, dict[str, str]]) -> int:
    """Fly all kinds so often, and print their figures; gives how many rounds failed."""
    print(f"outputs in {out}; {len(os.sched_getaffinity(0))} cores")
    print(f"{'':9}{'exit':>6}" + "".join(f"{name:>10}" for name in FIGURES) + "      load")
    rows, failed = {kind: [] for kind in KINDS}, 0
    for number in range(rounds):
        bad = False
        for kind in KINDS:
            code, b, a = fly(kind, out / f"{number:02}_{kind}", about)
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
    print(f"{rounds - failed} of {rounds} rounds: b flew to its end, and a fell back to its guide")
    return failed


if __name__ == "__main__":
    sys.exit(main())
