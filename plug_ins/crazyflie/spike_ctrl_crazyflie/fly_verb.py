"""Fly a Crazyflie whose firmware holds the policy, over its radio.

The vehicle must have the app of `spike-ctrl export MODEL --to crazyflie`. The firmware takes off and lands, the policy flies
the trajectories between. Ctrl-C lands. Exit code 0: flown and landed; 1: refused, or landed early; 2: the command line is
wrong. Nothing of this has flown on a real vehicle.
"""

import argparse
import logging
import math
import sys
import time
from pathlib import Path

from spike_ctrl._files import output_paths, ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import stop_signals

GROUP = "fly"
EXAMPLES = """
spike-ctrl fly crazyflie --uri radio://0/80/2M/E7E7E7E7E7 --model models/crazyflie_real.safetensors
spike-ctrl fly crazyflie --uri radio://0/80/2M --model mine.safetensors --trajectory hover,figure8:0.5:6 --duration 15
spike-ctrl fly crazyflie --uri usb://0 --model mine.safetensors --check    # what bars a flight; nothing turns
"""
FURTHER = 1.4  # m: a set-point so far from the take-off is refused; the app's guard ends the flight at 1.5 m from it


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vehicle", choices=["crazyflie"], help="what flies")
    parser.add_argument("--uri", required=True, help="its address, such as radio://0/80/2M/E7E7E7E7E7")
    parser.add_argument("--model", required=True, help="the checkpoint whose app is flashed")
    parser.add_argument("--height", type=float, default=0.6, help="of the take-off, m (default: 0.6)")
    parser.add_argument("--trajectory", default="hover", help="KIND[:SIZE[:PERIOD]],... (default: hover)")
    parser.add_argument("--duration", type=float, default=10.0, help="of each trajectory, s (default: 10)")
    parser.add_argument("--voltage", type=float, default=3.8, help="least before the take-off, V (default: 3.8)")
    parser.add_argument("--bag", type=Path, help="folder of the recording (default: bags/TIME)")
    parser.add_argument("--check", action="store_true", help="connect, tell what bars a flight, and end")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.control import trajectory
    from spike_ctrl.control.trajectory import SetPoint
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_crazyflie.onboard_flight import OnboardFlight, RadioFlightError
    from spike_ctrl_crazyflie.radio_checks import RadioLimits
    from spike_ctrl_export import crazyflie_app

    bounds = {"height": (0.3, 2.0), "duration": (0.1, 600.0), "voltage": (3.0, 4.2)}
    ranges.require(vars(options), bounds, "--")
    contract = (found := checkpoint.load(options.model)).manifest.contract
    if contract.action != "motors":
        raise UsageError(f"--model: {options.model}: action: found '{contract.action}', wanted 'motors'")
    craft = found.airframe()
    bag = options.bag or Path("bags") / time.strftime("%Y%m%d-%H%M%S")
    output_paths.require_bag(bag)
    centre = (0.0, 0.0, options.height)
    paths = trajectory.several(options.trajectory, centre, 0.0, 0.0, 0.0, options.duration)
    _require_near(paths, options.duration, options.height)
    cflib, synchronous, log_config = _radio()
    stop = stop_signals()
    print(f"connecting to {options.uri} ...", flush=True)
    cflib.init_drivers()
    try:
        link = synchronous(options.uri)
        link.open_link()
    except Exception as error:  # cflib raises nothing narrower, and puts its traceback below the first line
        print(f"error: {options.uri}: {next(iter(str(error).splitlines()), type(error).__name__)}", file=sys.stderr)
        return 1
    flight = OnboardFlight(
        link.cf, log_config, RadioLimits(options.voltage), time.monotonic, time.sleep, lambda: bool(stop), _say
    )
    code = 0
    try:
        link.wait_for_params()
        flight.prepare(crazyflie_app.weights_id(found))
        if not options.check:
            place = [flight.log.last(f"stateEstimate.{axis}") or 0.0 for axis in "xyz"]
            laid = [_laid(path, place) for path in paths]
            start = laid[0].at(0.0)
            flight.fly(
                place[2] + options.height, [(path, options.duration) for path in laid], lambda: SetPoint(start.position)
            )
    except RadioFlightError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    finally:
        flight.close()
        link.close_link()
    if not options.check:
        _record(flight.log, bag, craft, options)
    return code


def _radio():
    try:
        import cflib.crtp
        from cflib.crazyflie.log import LogConfig
        from cflib.crazyflie.syncCrazyflie import SyncCrazyflie
    except ImportError:
        raise UsageError("the package cflib is missing: pip install -r requirements/crazyflie.txt") from None
    logging.getLogger("cflib").addHandler(logging.NullHandler())  # what it also raises it would print with tracebacks
    return cflib.crtp, SyncCrazyflie, LogConfig


def _require_near(paths, duration: float, height: float) -> None:
    for path in paths:
        for step in range(int(duration / 0.05) + 1):
            x, y, z = path.at(0.05 * step).position
            if not (math.hypot(x, y) <= FURTHER and 0.2 <= z <= height + FURTHER):
                wanted = f"wanted within {FURTHER} m of the take-off and at least 0.2 m high"
                raise UsageError(f"--trajectory: {path.name}: found a set-point at {x:.2f}, {y:.2f}, {z:.2f} m, {wanted}")


def _laid(path, place: list[float]):
    """The path about where the vehicle stands."""
    import dataclasses

    x, y, z = (a + b for a, b in zip(path.centre, place, strict=True))
    return dataclasses.replace(path, centre=(x, y, z))


def _record(log, bag: Path, craft, options: argparse.Namespace) -> None:
    from spike_ctrl_identify import flight_import, imported_bag

    about = {"uri": options.uri, "model": options.model, "trajectory": options.trajectory}
    try:
        found = flight_import.prepare(log.flight(bag, craft.name, about), craft)
        imported_bag.write(bag, found.ticks, craft, found.origin)
    except UsageError as error:
        print(f"not recorded: {error}", file=sys.stderr)
        return
    print(f"bag: {bag}", flush=True)


def _say(line: str) -> None:
    print(line, flush=True)
