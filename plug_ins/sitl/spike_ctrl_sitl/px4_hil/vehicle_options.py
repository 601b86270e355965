"""Options of `spike-ctrl vehicle` with which PX4's own firmware flies our dynamics, in lockstep.

spike-ctrl vehicle --px4-hil tcp:4560
spike-ctrl vehicle --px4-hil tcp:4560 --airframe x500 --speed 0 --rate 500        # as fast as PX4 answers
spike-ctrl vehicle --px4-hil tcp:4560 --fault rotor:2:20           # 12 s after the lift-off a rotor loses a fifth
eval "$(spike-ctrl vehicle --px4-hil tcp:4560 --px4-environment)"; make px4_sitl none_iris   # in PX4's folder
"""

import argparse
import sys
import time

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import stop_signals
from spike_ctrl.cli.vehicle import DEFAULTS

PX4S_OWN = {name: default for name, default in DEFAULTS.items() if name != "fault"}
OURS = {"rate": 250.0, "home": None, "patience": 5.0, "px4_environment": False}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options to the verb's own."""
    group = parser.add_argument_group("PX4 on our dynamics")
    group.add_argument("--px4-hil", metavar="tcp:[HOST:]PORT", help="serve PX4's simulator interface at PORT + instance")
    group.add_argument("--rate", type=float, help="rate of the samples, Hz, 250 to 500 (default: 250)")
    group.add_argument("--home", metavar="LAT,LON,ALT", help="where the origin lies: degrees, m (default: PX4's, Zurich)")
    group.add_argument("--patience", type=float, help="seconds to wait for PX4's answers (default: 5)")
    group.add_argument(
        "--px4-environment", action="store_true", help="print the environment that PX4 must be started with, and end"
    )
    parser.set_defaults(**OURS)


def run(options: argparse.Namespace) -> int | None:
    """Serve PX4 where --px4-hil is given; None where it is not. Raises UsageError for an option of the other vehicle."""
    from spike_ctrl import airframe
    from spike_ctrl.simulated_px4.vehicle_settings import VehicleSettings

    refused = (PX4S_OWN, "with --px4-hil, wanted without: PX4 has its own")
    if not options.px4_hil:
        refused = (OURS, "without --px4-hil, wanted with it")
    else:
        ranges.require(vars(options), ranges.bounds(VehicleSettings) | {"speed": (0, 100)}, "--")
    for name, default in refused[0].items():
        if getattr(options, name) != default:
            raise UsageError(f"--{name.replace('_', '-')}: found {refused[1]}")
    if not options.px4_hil:
        return None
    craft = airframe.altered(airframe.load(options.airframe), options.mass, options.thrust, options.lag)
    return _serve(options, craft)


def _serve(options, craft) -> int:
    """Fly until a signal (0) or until PX4 is gone (1)."""
    from spike_ctrl.simulated_px4.vehicle_settings import parse_failure
    from spike_ctrl_sitl import px4_environment
    from spike_ctrl_sitl.px4_hil import sensors, tcp_server
    from spike_ctrl_sitl.px4_hil.simulation import RATES, Simulation, SimulationError

    ranges.require(vars(options), {"rate": RATES, "patience": (0.1, 3600)}, "--")
    if options.px4_environment:
        print(px4_environment.environment(craft, options.rate, options.speed))
        return 0
    stop = stop_signals()
    place = sensors.parse_place(options.home) if options.home is not None else sensors.Place()
    failure = parse_failure(options.fault) if options.fault else None
    simulation = Simulation(craft, options.rate, options.seed, options.noise, place, failure)
    listener = tcp_server.listen(options.px4_hil, options.instance)
    print(f"airframe {craft.name}", flush=True)
    Simulation(craft, options.rate, failure=failure).advance()
    host, port = listener.getsockname()
    print(f"waiting for PX4 at tcp {host}:{port}", flush=True)
    connection = tcp_server.accept(listener, lambda: bool(stop))
    listener.close()
    if connection is None:
        return 0
    begin, failure = time.monotonic(), None
    pace = tcp_server.LockstepPace(options.speed, options.patience)
    print(f"PX4 has connected; samples at {options.rate:g} Hz", flush=True)
    try:
        tcp_server.serve(
            simulation, connection, time.monotonic, pace, lambda: bool(stop), lambda line: print(line, flush=True)
        )
    except SimulationError as error:
        failure = error
    connection.close()
    print(tcp_server.summary(simulation, time.monotonic() - begin))
    if failure is not None:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failure is not None else 0
