"""Flights on PX4's own firmware in which something fails 5 s after the policy took over, as a user starts them.

    export PYTHONPATH=tests/oracles
    python tests/flight/px4_strikes.py --px4 ~/PX4-Autopilot
    python tests/flight/px4_strikes.py --px4 ~/PX4-Autopilot --strike slow:0.06 satellites

policy, hang, guide, bridge, supervisor: that process. satellites: none is received any more. slow:S: a proxy between PX4
and the bridge passes all packets on S seconds later, both ways. PX4 starts anew for each. A line for each: how the flight
ended, how far off the vehicle got and how fast it came down by the truth that PX4 tells a ground station.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from gazebo_launches import STRIKES, ended, in_flight, strike
from output import executable
from programs import Program, Truth, free_port
from px4_launches import FLIGHT, START, ToldTruth, fly
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl.px4 import dialect

STANDS = 25.0  # s after a fault, until the vehicle stands
GPS_USED = 10  # SIM_GPS_USED by default; PX4 stores what it is set to
PROXY = Path(__file__).with_name("fault_injecting_link.py")


def see(station, satellites):
    """Set how many satellites PX4's simulated receiver uses."""
    station.say(mavlink.MAVLink_param_set_message(1, 1, b"SIM_GPS_USED", *dialect.parameter_to_wire(satellites)))


def struck(name, options, arguments):
    """A flight with one fault, on a PX4 of its own."""
    command, folder = str(executable("spike-ctrl")), options.output / name.replace(":", "_")
    px4, truth, proxy = Program([command, "px4", "sih", "--px4", options.px4]), ToldTruth(), None
    try:
        time.sleep(START)
        subprocess.run([command, "preflight", "--no-remote-control", "--set"], check=False, stdout=subprocess.DEVNULL)
        if name.startswith("slow"):
            bridge = free_port()
            proxy = Program([sys.executable, PROXY, bridge, 14540])
            proxy.wait_for(lambda: "ready" in proxy.output, START)
            arguments = arguments | {"connection": f"udpin:127.0.0.1:{bridge}"}
        see(truth.station, GPS_USED)  # a strike before may have left none
        truth.station.truth.clear()

        def act(launch):
            if name == "satellites":
                see(truth.station, 0)
            elif proxy is not None:
                proxy.tell(f"slow both {name.partition(':')[2]}")
            else:
                strike(name, launch)

        code, _ = fly(folder, arguments, in_flight(act))
        time.sleep(STANDS)
        see(truth.station, GPS_USED)
        told = Truth(*(np.array(column) for column in zip(*truth.station.truth, strict=True)))
        modes = " ".join(f"{mode:#010x}" for _, mode in truth.station.modes[-4:])
        print(f"{name}: exit code {code}; {ended(told)}; PX4's last modes {modes}", flush=True)
    finally:
        truth.end()
        for program in (proxy, px4):
            if program is not None:
                program.end()
                program.kill()


def main():
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--px4", type=Path, required=True, metavar="DIR", help="where PX4 is built")
    parser.add_argument("--strike", nargs="+", default=[*STRIKES, "satellites", "slow:0.06"], metavar="FAULT")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/px4_strikes"), metavar="DIR")
    parser.add_argument("arguments", nargs="*", metavar="NAME:=VALUE", help="of the launch, after --")
    options = parser.parse_args()
    for name in options.strike:
        if name not in STRIKES and name != "satellites" and not name.startswith("slow:"):
            parser.error(f"--strike: found '{name}', wanted of {', '.join(STRIKES)}, satellites, slow:S")
    arguments = FLIGHT | {"trajectory": "hover", "duration": "30"}
    arguments |= dict(word.split(":=", 1) for word in options.arguments)
    for name in options.strike:
        struck(name, options, arguments)


if __name__ == "__main__":
    main()
