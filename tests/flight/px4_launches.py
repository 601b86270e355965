"""Whole flights on PX4's own firmware by `spike-ctrl launch flight`: every node a process, as a user starts them.

    export PYTHONPATH=tests/oracles
    python tests/flight/px4_launches.py --px4 ~/PX4-Autopilot --flights 20 -o build/px4_flights
    python tests/flight/px4_launches.py --px4 ~/PX4-Autopilot --flights 3 trajectory:=lissajous link:=uxrce
    python tests/flight/px4_launches.py --px4 ~/PX4-Autopilot --simulation hil --flights 3        # on our dynamics
    python tests/flight/px4_launches.py --flights 3 trajectory:=course:split_s:2 duration:=45 cage:=-26,-26,-.5,26,26,15

PX4 starts once; `spike-ctrl preflight --set` writes its parameters; then flights follow each other. The launch's arguments
come last. A line for each flight: its exit code, and for each trajectory the RMSE (m) by the estimate and by the truth that
PX4 tells a ground station. The exit code is the number of flights whose own was not 0.
"""

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from aligned_truth import AlignedTruth
from output import executable
from programs import Program, Station
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl.recordings.flight_log import read_log
from spike_ctrl_sitl import path_error

GROUND_STATION = 14550  # the port to which PX4 sends for one
LIMIT, START = 300.0, 10.0  # s of a flight, and until PX4 has started
FLIGHT = {
    "auto": "true", "remote_control": "false", "realtime": "true", "setpoint": "0,0,1.2",
    "trajectory": "hover,figure8:1:8", "duration": "20",
}  # fmt: skip


class ToldTruth:
    """Where PX4's simulation truly is, as it tells a ground station. A thread listens until `end`."""

    def __init__(self):
        self.station, self._goes_on = Station(None, GROUND_STATION), True
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        beat = 0.0
        while self._goes_on:
            self.station.listen()
            if self.station._remote is not None and time.monotonic() - beat > 1.0:
                beat = time.monotonic()
                kind = mavlink.MAV_TYPE_GCS, mavlink.MAV_AUTOPILOT_INVALID
                self.station.say(mavlink.MAVLink_heartbeat_message(*kind, 0, 0, mavlink.MAV_STATE_ACTIVE, 3))
            time.sleep(0.002)

    def end(self):
        self._goes_on = False
        self._thread.join()


def told_positions(log, told):
    """True positions that a ground station was told, by the stamps of a flight and in the frame of its estimate."""
    rows = np.array([(row.time, *row.position) for row in told])
    stamps = np.interp(rows[:, 0] + time.time() - time.monotonic(), 1e-9 * log.received, log.stamp, np.nan, np.nan)
    known = np.isfinite(stamps)
    return AlignedTruth(log, stamps[known], rows[known, 1:])


def fly(folder, arguments, during=lambda launch: None):
    """The exit code of a launch, and what it recorded; `during` is called beside it."""
    if (folder / "bag").exists():
        sys.exit(f"{folder}: holds a flight already, wanted a new folder: -o DIR")
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"{name}:={value}" for name, value in ({"bag": folder / "bag"} | arguments).items()]
    launch = Program([executable("spike-ctrl"), "launch", "flight", *words])
    try:
        during(launch)
        code = launch.process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        code = launch.end(seconds=60)
    finally:
        launch.kill()
        (folder / "output.txt").write_text(launch.output + "\n")
    return code, read_log(folder / "bag")


def followed(log, truth, arguments):
    """RMSE (m) of each trajectory by the estimate and by the truth."""
    track = log and path_error.flown_track(log, truth)
    if not track:
        return "the policy did not fly"
    kinds, duration = [name.split(":")[0] for name in arguments["trajectory"].split(",")], float(arguments["duration"])
    told = path_error.FlownTrack(track.time, track.estimate, track.estimate, track.set_point)
    pairs = zip(*(path_error.legs(one, kinds, duration) for one in (told, track)), strict=True)
    return "; ".join(f"{told.name} {told.rmse:.3f} ({true.rmse:.3f})" for told, true in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--px4", type=Path, metavar="DIR", help="where PX4 is built; without it one flies at 14540 already")
    parser.add_argument("--simulation", choices=["sih", "hil"], default="sih", help="PX4's own dynamics, or ours")
    parser.add_argument("--flights", type=int, default=20, metavar="N")
    parser.add_argument("--speed", default="1", metavar="FACTOR", help="of real time (default: 1)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/px4_flights"), metavar="DIR")
    parser.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="of the launch")
    options = parser.parse_args()
    arguments = FLIGHT | {"speed": options.speed} | dict(word.split(":=", 1) for word in options.arguments)
    command = [str(executable("spike-ctrl"))]
    dynamics = [["vehicle", "--px4-hil", "tcp:4560"]] if options.simulation == "hil" else []
    px4 = ["px4", options.simulation, "--px4", str(options.px4), "--speed", options.speed]
    programs = [*dynamics, px4] if options.px4 else []
    running = [Program([*command, *words]) for words in programs]
    truth, failed = ToldTruth(), 0
    try:
        time.sleep(START if running else 0.0)
        cage = [f"--cage={arguments['cage']}"] if "cage" in arguments else []
        wanted = ["--no-remote-control", "--set", "--speed", options.speed, *cage]
        subprocess.run([*command, "preflight", *wanted], check=False)
        for number in range(options.flights):
            truth.station.truth.clear()
            code, log = fly(options.output / f"{number:02d}", arguments)
            failed += code != 0
            said = followed(log, told_positions(log, truth.station.truth), arguments)
            print(f"flight {number}: exit code {code}; {said}", flush=True)
    finally:
        truth.end()
        for program in reversed(running):
            program.end()
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "px4.txt").write_text("\n".join(program.output for program in running) + "\n")
    print(f"{options.flights - failed} of {options.flights} flights ended with exit code 0")
    return failed


if __name__ == "__main__":
    sys.exit(main())
