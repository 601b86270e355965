"""Flies the flight of tutorial 1 on a busy computer, with each airframe and trajectory, and prints how each ended.

    export PYTHONPATH=tests/oracles
    python tests/flight/busy_flights.py --burners 6 --flights 20
    python tests/flight/busy_flights.py --burners 3 --flights 4 --airframes crazyflie -- realtime:=false

--fresh: a policy that was just trained (spike-ctrl train --run runs/first); without it one is trained first. Arguments of
the launch file follow `--`: realtime:=false flies without SCHED_FIFO, paced:=false without a vehicle that waits.
Exit code 0: all flights had exit code 0, and their bags replay bit by bit.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from printed_figures import cells, figures
from programs import free_port

ROOT = Path(__file__).resolve().parents[2]
SPIKE_CTRL = [sys.executable, "-m", "spike_ctrl.cli.main"]
TRAJECTORIES = ("figure8:1:8", "hover", "step", "circle", "square", "lissajous")
AIRFRAMES = ("fresh", "crazyflie", "sih_quadx")
FIGURES = ("RMSE cm", "worst cm", "pace", "p99 ms", "waits", "longest s", "alone")
FAULT = re.compile(r"(?:SNN|GUIDE|HOLD) -> \w+: ([A-Z]+_?[A-Z_]+ .*)")


def tutorial() -> dict[str, str]:
    """The launch arguments of tutorial 1, without those that busy_flights sets itself."""
    page = (ROOT / "docs" / "tutorial_fly.md").read_text()
    words = shlex.split(re.search(r"^spike-ctrl launch flight .*$", page, re.MULTILINE)[0])[3:]
    return dict(word.split(":=", 1) for word in words)


def fly(number: int, airframe: str, trajectory: str, options: argparse.Namespace, folder: Path) -> bool:
    """One flight. Prints its row; tells whether it and its replay ended with exit code 0."""
    craft = "crazyflie" if airframe == "fresh" else airframe
    model = options.fresh if airframe == "fresh" else ROOT / "models" / f"{airframe}.safetensors"
    words = tutorial() | {
        "airframe": craft, "model": str(model), "trajectory": trajectory, "bag": str(folder / "bag"),
        "duration": str(options.duration), "connection": f"udpin:127.0.0.1:{free_port()}", "seed": str(number),
    }  # fmt: skip
    words |= dict(word.split(":=", 1) for word in options.arguments)
    command = [*SPIKE_CTRL, "launch", "flight", *(f"{name}:={value}" for name, value in words.items())]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    seconds, output = time.monotonic() - begin, done.stdout + done.stderr
    (folder / "output").write_text(output)
    replayed = subprocess.run([*SPIKE_CTRL, "replay", folder / "bag"], capture_output=True, text=True, cwd=folder)
    fault = FAULT.search(output)
    equal = "equal" if replayed.returncode == 0 else f"replay: {replayed.returncode}"
    why = fault[1][:80] if fault else "" if done.returncode == 0 else output.strip().splitlines()[-1][:80]
    head = f"{number:2} {airframe:10}{trajectory:12}{done.returncode:5}{seconds:7.0f}"
    row = cells(figures(output, FIGURES), FIGURES, 10)  # a blank before each
    print(f"{head}{row}  {equal}  {why}", flush=True)
    return done.returncode == 0 and replayed.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--burners", type=int, default=6, help="processes that each keep a core busy (default: 6)")
    parser.add_argument("--flights", type=int, default=20, help="flights, through airframes and trajectories (default: 20)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    parser.add_argument("--airframes", nargs="+", choices=AIRFRAMES, default=AIRFRAMES)
    parser.add_argument("--trajectories", nargs="+", default=TRAJECTORIES)
    parser.add_argument("--duration", type=float, default=20.0, help="time that the policy flies, s (default: 20)")
    parser.add_argument("--fresh", type=Path, help="the policy of `fresh`; without it one is trained")
    parser.add_argument("-o", "--output", type=Path, help="folder for bags and outputs (default: a new one in /tmp)")
    parser.add_argument("arguments", nargs="*", metavar="KEY:=VALUE", help="arguments of the launch file, after --")
    options = parser.parse_args()
    out = (options.output or Path(tempfile.mkdtemp(prefix="busy_flights_"))).absolute()
    kinds = [(a, t) for t in options.trajectories for a in options.airframes]
    numbers = range(options.first, options.first + options.flights)
    if options.fresh is None and any(kinds[number % len(kinds)][0] == "fresh" for number in numbers):
        subprocess.run([*SPIKE_CTRL, "train", "--run", out / "run"], cwd=ROOT, check=True)
        options.fresh = out / "run" / "policy.safetensors"
    options.fresh = options.fresh and options.fresh.absolute()
    print(f"{options.burners} burners on {len(os.sched_getaffinity(0))} cores; outputs in {out}")
    heads = [f"{name:>9}" for name in FIGURES]
    print(f"{'':3}{'policy':10}{'trajectory':12}{'exit':>5}{'s':>7}", *heads, " replay  fault or last line")
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.burners)]
    passed = 0
    try:
        for number in numbers:
            folder = out / f"{number:02}"
            folder.mkdir(parents=True)
            passed += fly(number, *kinds[number % len(kinds)], options, folder)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    print(f"{passed} of {options.flights} flights with exit code 0 and equal replays")
    return 0 if passed == options.flights else 1


if __name__ == "__main__":
    sys.exit(main())
