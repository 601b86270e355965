"""Simulate a quadrotor that speaks MAVLink over UDP as PX4 does."""

import argparse
import os
import time
from pathlib import Path
from typing import Any

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._options import add_settings
from spike_ctrl.cli._terminal import stop_signals
from spike_ctrl.simulated_px4.vehicle_settings import VehicleSettings, parse_failure

GROUP = "fly"
EXAMPLES = """
spike-ctrl vehicle                                  # to 127.0.0.1:14540, ground station at 14550
spike-ctrl vehicle --set COM_OF_LOSS_T=0.2 --set COM_OBL_RC_ACT=4
spike-ctrl vehicle --set EKF2_ACC_NOISE=1.0 --set EKF2_GYR_NOISE=0.1   # an estimate that wanders less
spike-ctrl vehicle --instance 1 --seed 3 --speed 5
spike-ctrl vehicle --mass 1.2 --thrust 0.8 --lag 1.2 --latency 0.02    # not the vehicle that was described
spike-ctrl vehicle --airframe crazyflie_real --sensors real --noise 0   # an estimate that errs as a Crazyflie's
spike-ctrl vehicle --airframe crazyflie --fault rotor:2:60              # its second rotor loses 60 % of its thrust
spike-ctrl vehicle --set SIH_WIND_N=3.0                                # wind from north, m/s, as in PX4's simulation
spike-ctrl vehicle --connection 192.168.1.20:14540 --local 0.0.0.0:14580 --station none
"""
DEFAULTS: dict[str, Any] = {
    "connection": None, "local": None, "station": None, "latency": 0.0, "set": [], "signing_key": None, "priority": 0,
    "truth": "", "sensors": "", "paced": False, "fault": "",
}  # fmt: skip
"""Of the options that only a vehicle with our own autopilot has."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--airframe", default="sih_quadx", help="a name or a path to a YAML file (default: sih_quadx)")
    parser.add_argument(
        "--connection", metavar="HOST:PORT", help="the companion that flies it (default: 127.0.0.1:14540 + instance)"
    )
    parser.add_argument(
        "--local",
        metavar="HOST:PORT",
        help="where it listens; port 0 takes a free one (default: 127.0.0.1:14580 + instance)",
    )
    parser.add_argument(
        "--station",
        metavar="HOST:PORT",
        help="the ground station, or none (default: 127.0.0.1:14550, from port 18570 + instance)",
    )
    add_settings(parser, VehicleSettings, sensors="RECIPE", truth="FILE", fault="WHAT")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="a parameter of the autopilot; may be repeated")
    parser.add_argument("--signing-key", type=Path, metavar="FILE", help="key to sign with; messages without it are dropped")
    parser.add_argument("--paced", action="store_true", help="its time waits up to 1 s for the answer to each state")
    parser.add_argument("--until-disarmed", action="store_true", help="after a first signal, fly on until it is disarmed")
    parser.set_defaults(**DEFAULTS)


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe

    ranges.require(vars(options), ranges.bounds(VehicleSettings), "--")
    described = airframe.load(options.airframe)  # what the autopilot takes the vehicle for
    craft = airframe.altered(described, options.mass, options.thrust, options.lag)

    from spike_ctrl.flight import realtime_scheduling
    from spike_ctrl.learn import recipe
    from spike_ctrl.px4 import parameter_rules
    from spike_ctrl.px4.signing import Signing, read_key
    from spike_ctrl.simulated_px4 import ground_truth, simulated_parameters, udp_server
    from spike_ctrl.simulated_px4.pace import Pace
    from spike_ctrl.simulated_px4.plant import Plant
    from spike_ctrl.simulated_px4.vehicle import ONBOARD, STATION, Vehicle

    signing = {}
    if options.signing_key:
        key = read_key(options.signing_key)
        signing = {name: Signing(key, link, time.time(), 0.0) for link, name in enumerate((ONBOARD, STATION))}
    vehicle = Vehicle(
        craft,
        options.seed,
        parameter_rules.hover_changes(described) | dict(map(simulated_parameters.parse, options.set)),
        options.noise,
        options.latency,
        options.speed,
        signing=signing,
        system=1 + options.instance,
        sensors=recipe.sensors(options.sensors) if options.sensors else None,
        failure=parse_failure(options.fault) if options.fault else None,
    )
    print(f"airframe {craft.name}", flush=True)
    warm = Plant(craft)
    warm.advance(0.0, (0.0, 0.0, 0.0), running=False)
    if options.fault:  # what is compiled in flight holds the vehicle up
        warm.lose_rotor(0, 0.0)
        warm.advance(0.0, (0.0, 0.0, 0.0), running=False)
    ports = udp_server.open_ports(options.local, options.connection, options.station, options.instance)
    for name, link in ports.items():
        (here, mine), (there, its) = link.socket.getsockname(), link.remote
        print(f"{name}: from {here}:{mine} to {there}:{its}", flush=True)
    log = ground_truth.Log(Path(options.truth)) if options.truth else None  # that of a vehicle that has the ports stays
    stop = stop_signals()
    if options.priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(options.priority))
        except PermissionError:
            raise UsageError(f"--priority: found {options.priority}, which this user may not set: see ulimit -r") from None
    see = log.see if log else lambda vehicle: None
    realtime_scheduling.freeze_objects()

    def ended() -> bool:
        return len(stop) > options.until_disarmed or bool(stop and not vehicle.commander.armed)

    pace = Pace() if options.paced else None
    udp_server.serve(vehicle, ports, time.monotonic, ended, lambda line: print(line, flush=True), see, pace)
    if log:
        log.close()
    print(udp_server.summary(vehicle))
    if pace:
        print(pace)
    return 0
