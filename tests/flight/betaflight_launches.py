"""Whole flights on Betaflight's own firmware by `spike-ctrl betaflight sitl` and `spike-ctrl launch flight`.

    export PYTHONPATH=tests/oracles
    python tests/flight/betaflight_launches.py --firmware FILE --flights 10
    python tests/flight/betaflight_launches.py --firmware FILE --airframe any_rates --flights 3
    python tests/flight/betaflight_launches.py --firmware FILE --strike policy hang guide bridge supervisor mocap-lost \\
        mocap-frozen mocap-jump cable receiver pilot

The simulation starts once, and flights follow each other: a simulated pilot arms for each, gives the vehicle over, and
disarms after the landing. A line for each flight: its exit code, and for each trajectory the RMSE (m) by motion capture and
by the truth in brackets. --strike: a flight for each with a simulation of its own, in which that is struck 5 s after the
policy took over, in real time where no state comes any more. `cable` is between companion and flight controller, `pilot`
takes over by the switch. It tells how far off the vehicle got, how fast it touched down, and whether the pilot had to take
it. Arguments of the launch come last. The exit code is the number of flights without a strike whose own was not 0.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from gazebo_launches import STRIKES, ended, in_flight, strike
from output import executable
from programs import Program
from px4_launches import FLIGHT, fly, followed

from spike_ctrl_sitl import true_states
from spike_ctrl_sitl.true_states import Truth

START, STANDS = 120.0, 12.0  # s: of the simulation; after a fault, until it stands
SAID = {
    "mocap-lost": "mocap lost", "mocap-frozen": "mocap frozen", "mocap-jump": "mocap jump", "cable": "cable cut",
    "receiver": "receiver lost", "pilot": "pilot takes",
}  # fmt: skip


REAL_TIME = ("mocap-lost", "mocap-frozen", "cable")  # no state comes any more, by whose stamps the time of a flight goes on


class Simulation:
    """`spike-ctrl betaflight sitl`, until `end`. Its truth is in the folder."""

    def __init__(self, folder, options):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.truth = folder, folder / "truth.csv"
        words = ["--firmware", options.firmware, "--airframe", options.airframe, "--folder", folder / "firmware"]
        words += ["--truth", self.truth, "--speed", options.speed, "--noise", options.noise]
        self.program = Program([executable("spike-ctrl"), "betaflight", "sitl", *words])
        self.program.wait_for(lambda: "connection tcp" in self.program.output, START)
        self.program.wait_for(lambda: self.truth.exists() and self.truth.read_text().count("\n") > 1, START)
        self.connection = f"sitl:{folder / 'firmware'}"

    @property
    def now(self):
        """Its time, s."""
        return float(self.truth.read_text().splitlines()[-1].partition(",")[0])

    def since(self, begin):
        """The truth from then on, s."""
        truth = true_states.read(self.truth)
        return Truth(*(column[truth.time >= begin] for column in truth))

    def end(self):
        try:
            return self.program.end(seconds=30)
        finally:
            self.program.kill()
            (self.folder / "sitl.txt").write_text(self.program.output + "\n")


def struck(name, options, arguments):
    """A flight with one fault."""
    simulation = Simulation(options.output / name, options)
    try:
        moments = []

        def act(launch):
            moments.append(simulation.now)
            if name in SAID:
                simulation.program.tell(SAID[name])
            else:
                strike(name, launch)

        paced = {"paced": "false" if name in REAL_TIME else "true"}
        code, _ = fly(simulation.folder, paced | arguments | {"connection": simulation.connection}, in_flight(act))
        time.sleep(STANDS)
        truth = simulation.since(0.0)
        taken = "the pilot took over" if "the pilot takes over" in simulation.program.output else "without the pilot"
        soon = simulation.since(moments[0])
        reached = abs(soon.velocity[soon.time < moments[0] + 1.0]).max() if len(soon.time) else float("nan")
        print(f"{name}: exit code {code}; {ended(truth)}; at most {reached:.2f} m/s within 1 s; {taken}", flush=True)
    finally:
        simulation.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firmware", default=os.environ.get("BETAFLIGHT_SITL"), metavar="FILE", help="the SITL")
    parser.add_argument("--airframe", default="racer", help="that flies behind it (default: racer)")
    parser.add_argument("--speed", default="1", metavar="FACTOR", help="of real time, at most (default: 1)")
    parser.add_argument("--noise", default="1", metavar="FACTOR", help="of the sensors (default: 1)")
    parser.add_argument("--flights", type=int, default=10, metavar="N")
    parser.add_argument(
        "--strike", nargs="+", default=[], choices=[*STRIKES, *SAID], help="instead: a flight with each fault"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("build/betaflight_flights"), metavar="DIR")
    parser.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="of the launch, after --")
    options = parser.parse_args()
    arguments = {name: value for name, value in FLIGHT.items() if name not in ("realtime", "remote_control")}
    arguments |= {"link": "betaflight", "airframe": "any_rates", "model": "models/any_rates.safetensors"}
    arguments |= dict(word.split(":=", 1) for word in options.arguments)
    for name in options.strike:
        struck(name, options, arguments)
    if options.strike:
        return 0
    simulation, failed = Simulation(options.output, options), 0
    arguments = {"paced": "true"} | arguments | {"connection": simulation.connection}
    try:
        for number in range(options.flights):
            begin, wall = simulation.now, time.monotonic()
            code, log = fly(options.output / f"{number:02d}", arguments)
            failed += code != 0
            truth = simulation.since(begin)
            said = f"{followed(log, truth, arguments)}; {ended(truth)}; {truth.time[-1] - begin:.0f} s"
            print(f"flight {number}: exit code {code}; {said} in {time.monotonic() - wall:.0f} s", flush=True)
            time.sleep(3.0)
    finally:
        code = simulation.end()
    print(f"`spike-ctrl betaflight sitl` ended with exit code {code}")
    print(f"{options.flights - failed} of {options.flights} flights ended with exit code 0")
    return failed


if __name__ == "__main__":
    sys.exit(main())
