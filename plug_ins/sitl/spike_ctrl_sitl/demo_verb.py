"""Fly a whole flight of the simulated vehicle, and judge it.

Take-off, hover, a step of 2 m, a figure-eight, landing. The vehicle's truth decides.
Exit code 0: the policy flew its part and reached the goals; 1: it did not; 2: the command line is wrong.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError, refused

if TYPE_CHECKING:
    from spike_ctrl_sitl.path_error import FlownLeg

Number = TypeVar("Number", int, float)
GROUP = "fly"
EXAMPLES = """
spike-ctrl demo                                         # the whole ROS graph in real time, 80 s
spike-ctrl demo realtime:=true mass:=1.2 latency:=0.02  # arguments of launch/flight.launch.py
spike-ctrl demo noise:=1                # all of the sensor noise of PX4's simulation; default: half of it
spike-ctrl demo --plants                # in virtual time, without ROS: mass, thrust and lag +-20 %
spike-ctrl demo --plants model:=runs/rates/policy.safetensors
"""
LEGS, DURATION = "hover,step:2,figure8:1:8", 16.0
KINDS = tuple(word.partition(":")[0] for word in LEGS.split(","))
WIDTHS = {"hover": 18, "step": 9, "figure8": 18}  # of the columns of --plants
NOISE = "0.5"  # of PX4's simulation: with all of it the estimate alone is off by 8 cm, with this by 4 cm
OURS = ("vehicle", "auto", "trajectory", "duration", "record", "bag", "truth", "connection")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs="*", metavar="KEY:=VALUE", help="arguments of the flight launch file")
    parser.add_argument("-o", "--output", type=Path, help="folder for figures and bag (default: build/flight_demo/TIME)")
    parser.add_argument(
        "--plants",
        action="store_true",
        help="instead: all combinations of mass, thrust and lag +-20 %%, also with commands 20 ms late",
    )


def run(options: argparse.Namespace) -> int:
    given = dict(word.partition(":=")[::2] for word in options.arguments)
    for word in options.arguments:
        name = word.partition(":=")[0]
        if ":=" not in word or name in OURS:
            raise UsageError(f"argument: found '{word}', wanted KEY:=VALUE with a key other than {', '.join(OURS)}")
    if options.plants:
        if options.output:
            raise UsageError(f"--output: found {options.output} with --plants, wanted none: it writes no files")
        return _fly_plants(given)
    out = options.output or Path("build/flight_demo") / time.strftime("%Y%m%d-%H%M%S")
    if os.path.exists(out):  # False where its name is too long
        raise UsageError(f"--output: found {out}, wanted a folder that is not there yet")
    with refused(f"--output {out}: cannot be written"):
        out.mkdir(parents=True)
    code = _fly(out, options.arguments)
    if not any(out.iterdir()):  # refused: the launch has said why
        out.rmdir()
        return code
    return _judge(out) or code


def _fly(out: Path, arguments: list[str]) -> int:
    """Run the flight launch file, and leave bag and truth in the folder."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    ours = {
        "vehicle": "embedded", "auto": "true", "trajectory": LEGS, "duration": DURATION, "bag": out / "bag",
        "truth": (out / "truth.csv").absolute(), "connection": f"udpin:127.0.0.1:{port}",
    }  # fmt: skip
    words = [f"{name}:={value}" for name, value in ours.items()]
    words += [] if any(word.startswith("noise:=") for word in arguments) else [f"noise:={NOISE}"]
    command = [sys.executable, "-m", "spike_ctrl.cli.main", "launch", "flight", *words, *arguments]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())  # unlike Ctrl-C it reaches this program alone
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # it has got the signal too, lands and ends


def _judge(out: Path) -> int:
    from spike_ctrl_sitl import flight_demo

    legs = flight_demo.judge(out, KINDS, DURATION)
    if legs is None:
        print("the policy did not fly")
        return 1
    for leg in legs:
        print(leg)
    print(f"drawn: {out / 'track.png'}, {out / 'track.html'}; figures: {out / 'figures.json'}")
    return 0 if all(leg.passed is not False for leg in legs) else 1


def _fly_plants(given: dict[str, str]) -> int:
    """All plants in virtual time. 0: the one that was described reaches the goals, and all others stay in the cage."""
    from spike_ctrl import airframe
    from spike_ctrl._files import resources
    from spike_ctrl.control import trajectory
    from spike_ctrl.policy import checkpoint
    from spike_ctrl.simulated_px4.vehicle_settings import VehicleSettings
    from spike_ctrl_sitl import plant_sweep

    model = resources.shipped_model(given.get("airframe", "")) or resources.find("models", "sih_quadx.safetensors")
    known = {"model": str(model), "airframe": "sih_quadx", "noise": NOISE, "seed": "0"}
    if unknown := set(given) - set(known):
        raise UsageError(f"argument: found '{unknown.pop()}:=' with --plants, wanted among {', '.join(known)}")
    known |= given
    noise, seed = _number("noise", float, known["noise"]), _number("seed", int, known["seed"])
    ranges.require({"noise": noise, "seed": seed}, ranges.bounds(VehicleSettings))
    craft = airframe.load(known["airframe"])
    expect = {"airframe_hash": craft.hash, "action": craft.action_layout}
    policy = checkpoint.load(known["model"], expect=expect).policy
    paths = trajectory.several(LEGS, (0.0, 0.0, 1.0), math.pi / 2, 0.0, 0.0, DURATION)
    print("cm, RMSE (worst); of the step: s until within 15 cm")
    head = "".join(f"{kind:>{WIDTHS[kind]}}" for kind in KINDS)
    print(f"{'mass':>4}{'thrust':>8}{'lag':>5}{'late':>7}{head}", flush=True)
    good = True
    for one in plant_sweep.fly_plants(policy, craft, paths, KINDS, DURATION, noise, seed):
        good &= one.good
        cells = "".join(f"{_cell(leg):>{WIDTHS[leg.name]}}" for leg in one.legs)
        numbers = "".join(f"{factor:>{width}.1f}" for factor, width in zip(one.factors, (4, 8, 5), strict=True))
        print(f"{numbers}{1e3 * one.latency:>4.0f} ms{cells}{'' if one.inside else '  LEFT THE CAGE'}", flush=True)
    return 0 if good else 1


def _number(name: str, kind: type[Number], text: str) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"the value of {name}: found '{text}', wanted {kind.__name__}") from None


def _cell(leg: FlownLeg) -> str:
    if leg.name == "step":
        return f"{leg.settle:.2f} s"
    mark = {True: "pass", False: "FAIL", None: ""}[leg.passed]
    return f"{100 * leg.rmse:.1f} ({100 * leg.worst:.1f}) {mark}"
