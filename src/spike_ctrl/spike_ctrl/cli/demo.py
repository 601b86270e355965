"""`spike-ctrl demo`: one whole flight of the embedded vehicle, and how well it was flown."""

from __future__ import annotations

import itertools
import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import flight

LEGS, DURATION = "hover,step:2,figure8:1:8", 16.0
KINDS = tuple(word.partition(":")[0] for word in LEGS.split(","))
LATENCY = 0.02  # s, with which all plants are flown too
OFF = 0.2  # that mass, thrust and lag are off
NOISE = "0.5"  # of PX4's simulation: with all of it the estimate alone is off by 8 cm, with this by 4 cm
OURS = ("vehicle", "auto", "trajectory", "duration", "record", "bag", "truth", "connection")


def add_demo(verbs, verb) -> None:
    parser = verb(
        verbs,
        "demo",
        "Fly the embedded vehicle on its own: take-off, hover, a step of 2 m, figure-eight, landing; judge the flight.\n\n"
        "The vehicle's truth decides. Exit code 0: the policy flew its part and reached the goals; 1: it did not;\n"
        "2: the command line is wrong.",
        "  spike-ctrl demo                                        # the whole ROS graph in real time, 80 s\n"
        "  spike-ctrl demo realtime:=true mass:=1.2 latency:=0.02  # arguments of launch/flight.launch.py\n"
        "  spike-ctrl demo noise:=1                # all of the sensor noise of PX4's simulation; default: half of it\n"
        "  spike-ctrl demo --plants                # in virtual time, without ROS: mass, thrust and lag +-20 %\n"
        "  spike-ctrl demo --plants model:=runs/rates/policy.safetensors\n",
    )
    parser.add_argument("arguments", nargs="*", metavar="KEY:=VALUE", help="arguments of the flight launch file")
    parser.add_argument("-o", "--output", type=Path, help="folder for figures and bag (default: build/flight_demo/TIME)")
    parser.add_argument(
        "--plants", action="store_true", help="instead: all of mass, thrust and lag +-20 %%, also 20 ms late"
    )
    parser.set_defaults(do=_demo)


def _demo(options) -> int:
    given = dict(word.partition(":=")[::2] for word in options.arguments)
    for word in options.arguments:
        name = word.partition(":=")[0]
        if ":=" not in word or name in OURS:
            raise UsageError(f"argument: found '{word}', wanted KEY:=VALUE with a key other than {', '.join(OURS)}")
    if options.plants:
        if options.output:
            raise UsageError(f"--output: found {options.output} with --plants, wanted none: it writes no files")
        return _plants(given)
    out = options.output or Path("build/flight_demo") / time.strftime("%Y%m%d-%H%M%S")
    if os.path.exists(out):  # False where its name is too long
        raise UsageError(f"--output: found {out}, wanted a folder that is not there yet")
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"--output {out}: cannot be written ({error.strerror})") from None
    code = _fly(out, options.arguments)
    if not any(out.iterdir()):  # refused: the launch has said why
        out.rmdir()
        return code
    return _judge(out) or code


def _fly(out: Path, arguments: list[str]) -> int:
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
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # it has got the signal too, lands and ends


def _judge(out: Path) -> int:
    """Figures of the flight in that folder, printed and drawn. 0: all goals are reached."""
    from spike_ctrl.flight import path_error
    from spike_ctrl.recordings import BagError
    from spike_ctrl.recordings.flight_log import read_log
    from spike_ctrl.report import bag_section as bag_report
    from spike_ctrl.report import page
    from spike_ctrl.report import track_section as track_report
    from spike_ctrl.simulated_px4 import ground_truth

    try:
        log, true = read_log(out / "bag"), ground_truth.read(out / "truth.csv")
    except (BagError, ground_truth.TruthError) as error:
        raise UsageError(str(error)) from None
    flown = None if log is None else path_error.flown_track(log, true)
    if flown is None:
        print("the policy did not fly")
        return 1
    found = path_error.legs(flown, KINDS, DURATION)
    for leg in found:
        print(leg)
    # What a leg does not have is NaN, which JSON does not know.
    figures = {leg.name: {n: v for n, v in leg._asdict().items() if n != "name" and v == v} for leg in found}
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    track_report.save_png(flown, found, DURATION, out / "track.png")
    sections = [track_report.section(flown, found, DURATION), bag_report.section(out / "bag")]
    (out / "track.html").write_text(page.page("spike_ctrl flight demo", sections), encoding="utf-8")
    print(f"drawn: {out / 'track.png'}, {out / 'track.html'}; figures: {out / 'figures.json'}")
    return 0 if all(leg.passed is not False for leg in found) else 1


def _plants(given: dict[str, str]) -> int:
    """All plants in virtual time. 0: the one that was described reaches the goals, and all others stay in the cage."""
    from spike_ctrl import airframe
    from spike_ctrl._files import resources
    from spike_ctrl.control import trajectory
    from spike_ctrl.flight import path_error
    from spike_ctrl.flight.geofence import Cage
    from spike_ctrl.policy import checkpoint
    from spike_ctrl.simulated_px4 import virtual_flight

    known = {"model": str(resources.find("models", "sih_quadx.safetensors")), "airframe": "sih_quadx"}
    known |= {"noise": NOISE, "seed": "0"}
    if unknown := set(given) - set(known):
        raise UsageError(f"argument: found '{unknown.pop()}:=' with --plants, wanted among {', '.join(known)}")
    known |= given
    noise = {"noise": _number("noise", float, known["noise"]), "seed": _number("seed", int, known["seed"])}
    flight.check_ranges(noise)
    craft = airframe.find(known["airframe"])
    expect = {"airframe_hash": craft.hash, "action": craft.action_layout}
    policy = checkpoint.load(known["model"], expect=expect).policy
    paths = trajectory.several(LEGS, (0.0, 0.0, 1.0), math.pi / 2, 0.0, 0.0, DURATION)
    head = "".join(f"{kind:>22}" for kind in KINDS)
    print(f"{'mass':>5}{'thrust':>8}{'lag':>6}{'late':>7}{head}     cm, RMSE (worst); s until within 15 cm", flush=True)
    good, cage = True, Cage()
    corners = [(1.0, 1.0, 1.0), *itertools.product((1 - OFF, 1 + OFF), repeat=3)]
    for latency, factors in itertools.product((0.0, LATENCY), corners):
        plant = airframe.altered(craft, *factors)
        flown = virtual_flight.fly(policy, craft, plant, paths, DURATION, latency=latency, **noise)
        found = path_error.legs(flown, KINDS, DURATION)
        inside = not any(cage.check(position) for position in flown.true)
        good &= inside and (factors != corners[0] or all(leg.passed is not False for leg in found))
        cells = "".join(f"{_cell(leg):>22}" for leg in found)
        numbers = "".join(f"{factor:>{width}.1f}" for factor, width in zip(factors, (5, 8, 6), strict=True))
        print(f"{numbers}{1e3 * latency:>4.0f} ms{cells}{'' if inside else '     LEFT THE CAGE'}", flush=True)
    return 0 if good else 1


def _number(name: str, kind: type, text: str):
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"the value of {name}: found '{text}', wanted {kind.__name__}") from None


def _cell(leg) -> str:
    if leg.name == "step":
        return f"{leg.settle:.2f} s"
    mark = {True: "pass", False: "FAIL", None: ""}[leg.passed]
    return f"{100 * leg.rmse:.1f} ({100 * leg.worst:.1f}) {mark}"
