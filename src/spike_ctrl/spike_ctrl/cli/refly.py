"""Fly recorded references again, beside the firmware's controllers.

The plant is the airframe as it was identified, with its spread, a battery, and an estimate that errs, in ticks of 1 ms. With
--firmware also its PID and Mellinger controller fly, from the Python bindings that the firmware's make has built there. The
first column is the vehicle of the flight itself.
"""

from __future__ import annotations

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
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bags", nargs="+", metavar="BAG", type=Path, help="flights with set-points: spike-ctrl import")
    parser.add_argument("--model", nargs="+", default=[], type=Path, metavar="MODEL", help="checkpoints of layout motors")
    parser.add_argument(
        "--firmware", type=Path, metavar="DIR", help="a checkout of the Crazyflie's firmware whose Python bindings are built"
    )
    parser.add_argument(
        "--airframe", default="crazyflie_real", help="a name or a path to a YAML file (default: crazyflie_real)"
    )
    parser.add_argument("--plants", type=int, default=8, metavar="N", help="vehicles on each reference (default: 8)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl.crazyflie import flown_again

    if not options.model and options.firmware is None:
        raise UsageError("nothing to fly: give --model, --firmware, or both")
    if not 1 <= options.plants <= 1024:
        raise UsageError(f"--plants: found {options.plants}, wanted 1 to 1024")
    if options.json:
        output_paths.require_file("--json", options.json)
    vehicle = airframe.load(options.airframe)
    vehicle.require_layout("motors")
    commanders = _commanders(options)
    paths = [flown_again.reference(bag) for bag in options.bags]
    if twice := {path.name for path in paths if [other.name for other in paths].count(path.name) > 1}:
        raise UsageError(f"{', '.join(sorted(twice))}: found bags of one name, wanted each once")
    found, begun, done = {}, time.monotonic(), 0
    whole = len(paths) * len(commanders) * options.plants

    def shown() -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - begun) * (whole - done) / done
        show_progress(f"{done / whole:.0%}, {time_left(left)} left")

    for path in paths:
        found[path.name] = {"the flight itself": flown_again.judged(path.flown[None], path)} | {
            label: flown_again.follow(commander, vehicle, path, options.plants, shown)
            for label, commander in commanders.items()
        }
    end_progress()
    print(
        f"airframe {vehicle.name}, {options.plants} plants, estimates that err; vehicles {flown_again.LOST:g} m off are lost"
    )
    print(flown_again.table(found))
    if options.json:
        figures = {name: {label: one.to_dict() for label, one in followed.items()} for name, followed in found.items()}
        about = {"airframe": vehicle.name, "plants": options.plants}
        output_paths.write_json("--json", options.json, about | {"flights": figures})
    return 0


def _commanders(options) -> dict:
    from spike_ctrl import airframe
    from spike_ctrl.crazyflie import firmware_bindings
    from spike_ctrl.crazyflie.fine_flight import PolicyOnBoard
    from spike_ctrl.policy import checkpoint

    found = {}
    for model in options.model:
        loaded = checkpoint.load(model)
        checkpoint.require(loaded.manifest.contract, {"action": "motors", "rate_hz": 100.0}, str(model))
        found[model.stem] = PolicyOnBoard(loaded.compiled(), airframe.load(loaded.manifest.contract.airframe))
    if options.firmware is not None:
        try:
            firmware = firmware_bindings.load(options.firmware)
        except firmware_bindings.FirmwareError as error:
            raise UsageError(str(error)) from None
        labels = {"pid": "firmware's PID", "mellinger": "firmware's Mellinger"}
        found |= {label: firmware_bindings.StockController(firmware, kind) for kind, label in labels.items()}
    return found
