"""Fly recorded references again, beside the firmware's controllers.

The plant is the airframe as it was identified, with its spread, a battery, and an estimate that errs, in ticks of 1 ms. With
--firmware also its PID and Mellinger controller fly, from the Python bindings that the firmware's make has built there; with
--estimator, all fly on what its Kalman filter makes of their sensors. The first column is the vehicle of the flight itself.
"""

import argparse
import time
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli._terminal import end_progress, show_progress

GROUP = "recordings"
EXAMPLES = """
spike-ctrl refly bags/* --model models/crazyflie_real.safetensors
spike-ctrl refly bags/* --model models/crazyflie_real.safetensors --firmware ../crazyflie-firmware --json refly.json
spike-ctrl refly bags/* --model models/crazyflie_real.safetensors --firmware ../crazyflie-firmware --estimator flow
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bags", nargs="+", metavar="BAG", type=Path, help="flights with set-points: spike-ctrl import")
    parser.add_argument("--model", nargs="+", default=[], type=Path, metavar="MODEL", help="checkpoints of layout motors")
    parser.add_argument(
        "--firmware", type=Path, metavar="DIR", help="a checkout of the Crazyflie's firmware whose Python bindings are built"
    )
    parser.add_argument(
        "--estimator",
        default="measured",
        metavar="KIND",
        help="measured: the true state, with the errors of a real vehicle's estimate (default); pose, position, flow: the "
        "firmware's Kalman filter, told poses or positions by motion capture, or by its flow deck what it sees below",
    )
    parser.add_argument(
        "--airframe", default="crazyflie_real", help="a name or a path to a YAML file (default: crazyflie_real)"
    )
    parser.add_argument("--plants", type=int, default=8, metavar="N", help="vehicles on each reference (default: 8)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl_crazyflie import flown_again

    if not options.model and options.firmware is None:
        raise UsageError("nothing to fly: give --model, --firmware, or both")
    if not 1 <= options.plants <= 1024:
        raise UsageError(f"--plants: found {options.plants}, wanted 1 to 1024")
    if options.json:
        output_paths.require_file("--json", options.json)
    vehicle = airframe.load(options.airframe)
    vehicle.require_layout("motors")
    firmware = _firmware(options)
    estimator = _estimator(options, firmware)
    paths = [flown_again.reference(bag) for bag in options.bags]
    if twice := {path.name for path in paths if [other.name for other in paths].count(path.name) > 1}:
        raise UsageError(f"{', '.join(sorted(twice))}: found bags of one name, wanted each once")
    commanders = _commanders(options, firmware)  # slow: it compiles
    found, begun, done = {}, time.monotonic(), 0
    whole = len(paths) * len(commanders) * options.plants

    def shown() -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - begun) * (whole - done) / done
        show_progress(f"{done / whole:.0%}, {time_left(left)} left")

    for path in paths:
        found[path.name] = {"the flight itself": flown_again.judged(path.flown[None], path)} | {
            label: flown_again.follow(commander, vehicle, path, options.plants, estimator, shown)
            for label, commander in commanders.items()
        }
    end_progress()
    print(
        f"airframe {vehicle.name}, {options.plants} plants, {_words(options.estimator)}; "
        f"vehicles {flown_again.LOST:g} m off are lost"
    )
    print(flown_again.reference_table(found))
    print(flown_again.estimates(found))
    if options.json:
        figures = {name: {label: one.to_dict() for label, one in followed.items()} for name, followed in found.items()}
        about = {"airframe": vehicle.name, "plants": options.plants, "estimator": options.estimator}
        output_paths.write_json("--json", options.json, about | {"flights": figures})
    return 0


def _words(estimator: str) -> str:
    return "estimates that err" if estimator == "measured" else f"estimates of the firmware's Kalman filter ({estimator})"


def _firmware(options):
    from spike_ctrl_crazyflie import firmware_bindings, firmware_estimator

    known = ("measured", *firmware_estimator.POSITIONING)
    if options.estimator not in known:
        raise UsageError(f"--estimator: found '{options.estimator}', wanted one of {', '.join(known)}")
    if options.firmware is None:
        if options.estimator != "measured":
            raise UsageError(
                f"--estimator {options.estimator}: found no --firmware, wanted it: the filter is the firmware's own"
            )
        return None
    found = firmware_bindings.load(options.firmware)
    if options.estimator != "measured":
        firmware_estimator.require(found, options.firmware)
    return found


def _estimator(options, firmware):
    from spike_ctrl_benchmark.real_plants import SENSORS
    from spike_ctrl_crazyflie.erring_estimate import ErringEstimate
    from spike_ctrl_crazyflie.firmware_estimator import FirmwareKalman

    if options.estimator == "measured":
        return lambda seed: ErringEstimate(SENSORS, seed)
    return lambda seed: FirmwareKalman(firmware, options.estimator, SENSORS, seed)


def _commanders(options, firmware) -> dict:
    from spike_ctrl.evaluation import controllers
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_crazyflie.fine_flight import PolicyOnBoard
    from spike_ctrl_crazyflie.firmware_bindings import StockController

    found = {}
    for model in options.model:
        loaded = checkpoint.load(model)
        checkpoint.require(loaded.manifest.contract, {"action": "motors", "rate_hz": 100.0}, str(model))
        found[controllers.short_name(model, options.model)] = PolicyOnBoard(loaded.compiled(), loaded.airframe())
    if firmware is not None:
        labels = {"pid": "firmware's PID", "mellinger": "firmware's Mellinger"}
        found |= {label: StockController(firmware, kind) for kind, label in labels.items()}
    return found
