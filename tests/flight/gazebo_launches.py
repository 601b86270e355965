"""Whole flights in Gazebo by `spike-ctrl px4 gazebo` and `spike-ctrl launch flight`, judged by the poses that Gazebo tells.

    export PYTHONPATH=tests/oracles
    python tests/flight/gazebo_launches.py --px4 ~/PX4-Autopilot --flights 10 -o build/gazebo_flights
    python tests/flight/gazebo_launches.py --px4 ~/PX4-Autopilot --own --flights 2
    python tests/flight/gazebo_launches.py --px4 ~/PX4-Autopilot --strike policy hang guide bridge supervisor
    python tests/flight/gazebo_launches.py --again -o build/gazebo_flights       # the figures of the flights there

Gazebo and PX4 start once; `spike-ctrl preflight --set` writes PX4's parameters; then flights follow each other. The launch's
arguments come last. A line for each flight: its exit code, for each trajectory the RMSE (m) by the estimate and by the truth
in brackets, and the mean tilt while the policy hovers. --strike: a flight for each, in which that process is killed (`hang`:
the policy is stopped) 5 s after the policy took over; told are how far off the vehicle got and how fast it touched down.
The exit code is the number of flights without a strike whose own was not 0.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from aligned_truth import AlignedTruth
from output import executable
from programs import Program, nodes
from px4_launches import FLIGHT, fly, followed

from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings.flight_log import read_log
from spike_ctrl_sitl import path_error, true_states

START, STANDS = 150.0, 15.0  # s until Gazebo and PX4 have started, and until the estimator knows a vehicle that was put back
STRIKES = {
    "policy": ("snn_policy", signal.SIGKILL),
    "hang": ("snn_policy", signal.SIGSTOP),
    "guide": ("guide_policy", signal.SIGKILL),
    "bridge": ("vehicle_bridge", signal.SIGKILL),
    "supervisor": ("supervisor", signal.SIGKILL),
}
GROUND = 0.1  # m above the place where it stood: lower, it has touched down


def tilt(truth):
    """Angle (T,) between the body's axis and the vertical, degrees."""
    x, y = truth.quaternion[:, 0], truth.quaternion[:, 1]
    return np.degrees(np.arccos(np.clip(1 - 2 * (x**2 + y**2), -1, 1)))


def hovering_tilt(log, truth, arguments):
    """Mean tilt (degrees) while the policy hovers, after the time to settle; NaN where it did not."""
    engaged = log.stamp[log.rung_at(log.received) == int(Rung.SNN)]
    kinds, duration = [name.split(":")[0] for name in arguments["trajectory"].split(",")], float(arguments["duration"])
    if not len(engaged) or "hover" not in kinds:
        return np.nan
    begin = engaged[0] + kinds.index("hover") * duration
    rows = (truth.time >= begin + path_error.SETTLING_TIME) & (truth.time < begin + duration)
    return tilt(truth)[rows].mean()


def ended(truth):
    """How far off the vehicle got, and how fast it came down last."""
    height = truth.position[:, 2] - truth.position[0, 2]
    off = np.linalg.norm((truth.position - truth.position[0])[:, :2], axis=1).max()
    flown = np.flatnonzero(height > GROUND)
    if not len(flown):
        return "it did not fly"
    last = flown[-1]
    if last == len(height) - 1:
        return f"at most {off:.2f} m off and {height.max():.2f} m high; still in the air at {height[-1]:.2f} m"
    return f"at most {off:.2f} m off and {height.max():.2f} m high; touch-down {-truth.velocity[last, 2]:.2f} m/s"


def in_flight(act):
    """What to do beside a launch: `act(launch)` 5 s after the policy took over."""

    def during(launch):
        launch.wait_for(lambda: "GUIDE -> SNN" in launch.output, 120.0)
        time.sleep(5.0)
        act(launch)

    return during


def strike(name, launch):
    """Kill or stop the process of this name."""
    node, number = STRIKES[name]
    os.kill(nodes([launch.process.pid])[node].process, number)


def recorded(name, folder, arguments, world, during):
    """Fly beside a recorder of the truth, which goes on until the vehicle stands."""
    folder.mkdir(parents=True, exist_ok=True)
    poses = Program([executable("spike-ctrl"), "truth", folder / "truth.csv", "--world", world])
    try:
        code, log = fly(folder, arguments, during)
        if name:
            time.sleep(STANDS)
    finally:
        poses.end()
    return code, log, true_states.read(folder / "truth.csv")


def figures(log, truth, arguments):
    """What a line says of a flight, in words."""
    leaning = hovering_tilt(log, truth, arguments)
    aligned = AlignedTruth(log, truth.time, truth.position)
    return f"{followed(log, aligned, arguments)}; tilt in the hover {leaning:.1f} deg"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--px4", type=Path, metavar="DIR", help="where PX4 is built (default: as `spike-ctrl px4` finds it)")
    parser.add_argument("--flights", type=int, default=10, metavar="N")
    parser.add_argument("--strike", nargs="+", default=[], choices=STRIKES, help="instead: a flight with each fault")
    parser.add_argument("--own", action="store_true", help="PX4's own world and model")
    parser.add_argument("--speed", default="1", metavar="FACTOR", help="of real time (default: 1)")
    parser.add_argument("--wind", metavar="M_S", help="wind of Gazebo's plugin, m/s")
    parser.add_argument("--reset", action="store_true", help="put the vehicle back into the middle after each flight")
    parser.add_argument("--again", action="store_true", help="fly nothing: print the figures of the flights in DIR again")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gazebo_flights"), metavar="DIR")
    parser.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="of the launch, after --")
    options = parser.parse_args()
    arguments = FLIGHT | {"airframe": "x500", "connection": "udpin:127.0.0.1:14540", "speed": options.speed}
    arguments |= dict(word.split(":=", 1) for word in options.arguments)
    if options.again:
        for folder in sorted(path.parent for path in options.output.glob("*/truth.csv")):
            said = figures(read_log(folder / "bag"), true_states.read(folder / "truth.csv"), arguments)
            print(f"flight {folder.name}: {said}", flush=True)
        return 0
    command, world = executable("spike-ctrl"), "default" if options.own else "spike_ctrl"
    words = [*(["--px4", options.px4] if options.px4 else []), *(["--own"] if options.own else []), "--speed", options.speed]
    words += ["--wind", options.wind] if options.wind else []
    gazebo, failed = Program([command, "px4", "gazebo", *words]), 0
    try:
        gazebo.wait_for(lambda: "Startup script returned" in gazebo.output, START)
        time.sleep(STANDS)
        wanted = ["--no-remote-control", "--set", "--airframe", arguments["airframe"], "--speed", options.speed]
        subprocess.run([command, "preflight", *wanted], check=False)
        for number, name in enumerate(options.strike or [None] * options.flights):
            if number and (options.reset or options.strike):
                subprocess.run([command, "truth", "--reset", "--world", world], check=True)
                time.sleep(STANDS)
            during = in_flight(partial(strike, name)) if name else lambda launch: None
            code, log, truth = recorded(name, options.output / f"{number:02d}", arguments, world, during)
            failed += code != 0
            if name:
                print(f"{name}: exit code {code}; {ended(truth)}", flush=True)
                continue
            print(f"flight {number}: exit code {code}; {figures(log, truth, arguments)}", flush=True)
    finally:
        code = gazebo.end(seconds=60)
        gazebo.kill()
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "gazebo.txt").write_text(gazebo.output + "\n")
    print(f"`spike-ctrl px4 gazebo` ended with exit code {code}")
    if options.strike:
        return 0
    print(f"{options.flights - failed} of {options.flights} flights ended with exit code 0")
    return failed


if __name__ == "__main__":
    sys.exit(main())
