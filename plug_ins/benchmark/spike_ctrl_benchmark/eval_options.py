"""Options that this package adds to `spike-ctrl eval`: controllers and simulators of others, drawn airframes, batteries."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from spike_ctrl import plug_ins
from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import eval as eval_verb

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.evaluation.protocols import Controllers, Figures

BASELINES = {"pid": "PID, Crazyflie firmware", "mellinger": "Mellinger, Crazyflie firmware", "raptor": "RAPTOR"}
AIRFRAMES, L2F = "airframes", "l2f"
COUNTED = (AIRFRAMES, "rotor-loss", "rotor-stuck", "thrown")  # protocols of which --plants gives the number of vehicles
DRAWN_BY = ("us", "raptor")
MOST_PLANTS = 8192
EXAMPLES = """
spike-ctrl eval models/crazyflie.safetensors --guide --raptor
spike-ctrl eval --pid --mellinger --protocol hover circle
spike-ctrl eval models/crazyflie.safetensors models/crazyflie_robust.safetensors --raptor --pid --simulator crazyflow rotorpy
spike-ctrl eval models/crazyflie_real.safetensors models/crazyflie.safetensors --pid --protocol real-flights
spike-ctrl eval models/any_quad.safetensors --protocol airframes --guide --raptor --seeds 5    # on 5 x 1024 quadrotors
spike-ctrl eval models/any_quad.safetensors --protocol airframes --raptor --simulator l2f --drawn-by raptor
spike-ctrl eval models/any_quad.safetensors --protocol airframes --raptor --ranges "dead_time: [0, 0], force: 0, trim: 0"
spike-ctrl eval models/any_quad.safetensors --protocol airframes --off-centre 0.2
spike-ctrl eval models/any_rates.safetensors models/sih_quadx.safetensors --protocol airframes --guide    # with rate loops
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options to the verb's own."""
    parser.add_argument(
        "--raptor", action="store_true", help="also RAPTOR, where the package foundation-policy is installed"
    )
    parser.add_argument("--pid", action="store_true", help="also the cascaded PID of the Crazyflie firmware")
    parser.add_argument("--mellinger", action="store_true", help="also the Mellinger controller of the Crazyflie firmware")
    parser.add_argument(
        "--simulator",
        nargs="+",
        choices=plug_ins.names("simulators"),
        metavar="NAME",
        help="fly by motor commands in simulators that others wrote, 5 s from starts near the set-point and tilted by 30 "
        f"degrees: {', '.join(plug_ins.names('simulators'))} (pip install -r requirements/simulators.txt; default: in ours)",
    )
    parser.add_argument("--seed", type=int, help="of the starts with --simulator (default: that of the frozen evaluation)")
    parser.add_argument(
        "--compensate-battery",
        action="append_const",
        dest="corrections",
        const=compensated,
        help="commands leave as u (nominal / V)^exponent, the firmware's compensation; for airframes with a battery",
    )
    parser.add_argument(
        "--drawn-by",
        choices=DRAWN_BY,
        default=DRAWN_BY[0],
        help=f"{AIRFRAMES}: from whose ranges they are drawn; raptor: those RAPTOR trained on, with --simulator {L2F} alone",
    )
    parser.add_argument(
        "--ranges",
        metavar="YAML",
        help=f"{', '.join(COUNTED)}: from where to where airframes are drawn, keys as of task.airframes in a recipe; "
        "the others stay as they are",
    )
    parser.add_argument(
        "--off-centre",
        type=float,
        metavar="SHARE",
        help=f"{AIRFRAMES}: the centre of mass lies this share of an arm beside the middle of the rotors, 0 to 1",
    )
    parser.add_argument(
        "--plants",
        type=int,
        metavar="N",
        help=f"{', '.join(COUNTED)}: quadrotors of a set, 1 to {MOST_PLANTS} (default: 1024)",
    )


def run(options: argparse.Namespace) -> int | None:
    """Check the options, and fly in simulators of others; in l2f the protocol airframes flies by itself."""
    if any(getattr(options, name) for name in BASELINES):
        options.baselines.append(lambda vehicle: _baselines(options, vehicle))
    simulators, protocols = options.simulator or [], options.protocol or ["frozen"]
    if options.plants is not None and (not 1 <= options.plants <= MOST_PLANTS or not {*COUNTED} & {*protocols}):
        raise UsageError(
            f"--plants: found {options.plants}, wanted 1 to {MOST_PLANTS}, with --protocol {' or '.join(COUNTED)}"
        )
    options.in_l2f = L2F in simulators
    if options.in_l2f:
        if simulators != [L2F] or protocols != [AIRFRAMES]:
            found = f"{', '.join(simulators)} with --protocol {', '.join(protocols)}"
            raise UsageError(f"--simulator: found {found}, wanted {L2F} alone with --protocol {AIRFRAMES} alone")
        options.simulator = None
    for name, allowed in (("ranges", COUNTED), ("off_centre", (AIRFRAMES,))):
        if getattr(options, name) is not None and (options.in_l2f or not {*allowed} & {*protocols}):
            where = f"in our simulator with --protocol {' or '.join(allowed)}"
            raise UsageError(f"--{name.replace('_', '-')}: found {getattr(options, name)}, wanted it {where}")
    if options.off_centre is not None and not 0 <= options.off_centre <= 1:
        raise UsageError(f"--off-centre: found {options.off_centre:g}, wanted 0 to 1")
    if options.drawn_by != DRAWN_BY[0] and not options.in_l2f:
        raise UsageError(f"--drawn-by: found {options.drawn_by}, wanted it with --simulator {L2F}")
    if compensated in options.corrections and options.simulator:
        wanted = "an airframe with a battery in our simulator"
        raise UsageError(f"--compensate-battery: found another simulator, wanted {wanted}")
    _require_seed(options)
    return _fly_elsewhere(options) if options.simulator else None


def _require_seed(options: argparse.Namespace) -> None:
    """Raise UsageError for a seed of starts that does not go with simulators of others, or is none."""
    if options.seed is not None and not options.simulator:
        raise UsageError("--seed: found without --simulator, wanted with it")
    if options.seed is not None and options.seed < 0:
        raise UsageError(f"--seed: found {options.seed}, wanted 0 or more")


def _fly_elsewhere(options: argparse.Namespace) -> int:
    """Fly all controllers in simulators of others, where nobody knows a plant; print tables, and write their figures."""
    eval_verb.require_controllers(options)
    for name, wanted in (("protocol", "only one of them"), ("seeds", "--seed, that of its starts")):
        if getattr(options, name):
            raise UsageError(f"--{name}: found with --simulator, wanted {wanted}")
    if options.insert:
        raise UsageError("--insert: found with --simulator, wanted our simulator and another protocol")
    if options.json:
        output_paths.require_file("--json", options.json)
    if "crazyflow" in options.simulator and "scipy" not in sys.modules:
        os.environ.setdefault("SCIPY_ARRAY_API", "1")  # crazyflow wants it before scipy, which numba brings, is imported
    from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
    from spike_ctrl.policy import voltage_input
    from spike_ctrl_benchmark.baselines import nominal_guides

    vehicle, policies = eval_verb.load(options, {"frozen": eval_verb.find("frozen")})
    for model, policy in policies.items():
        if voltage_input.of_policy(policy.policy) is not None:
            raise UsageError(f"--simulator: found {model}, which sees the battery's voltage, wanted one that does not")
    vehicle.require_layout("motors")
    flown: Controllers = {str(model): policy for model, policy in policies.items()}
    flown |= nominal_guides(vehicle) if options.guide else {}
    for baselines in options.baselines:
        flown |= baselines(vehicle)
    seed = EVALUATION_SEED if options.seed is None else options.seed
    found: Figures = {}
    for name in options.simulator:
        found |= plug_ins.load("simulators", name, "--simulator")(flown, vehicle, seed)
    if options.json:
        written = {"simulators": found, "seed": seed, "airframe": vehicle.name}
        output_paths.write_json("--json", options.json, written)
    return 0


def _baselines(options: argparse.Namespace, vehicle: Airframe) -> Controllers:
    """Controllers that nobody trained here, which see the observation alone. Raises UsageError for a missing one."""
    vehicle.require_layout("motors")
    asked = {name: label for name, label in BASELINES.items() if getattr(options, name)}
    try:
        return {label: plug_ins.load("controllers", name, f"--{name}")(vehicle) for name, label in asked.items()}
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from None


def compensated(controllers: Controllers, airframe: Airframe) -> Controllers:
    """The controllers, whose commands mean the same thrust at every voltage. Raises UsageError without a battery."""
    from spike_ctrl_benchmark.compensation import BatteryCompensated

    if airframe.battery is None:
        found, wanted = f"airframe {airframe.name} without a battery", "an airframe with a battery in our simulator"
        raise UsageError(f"--compensate-battery: found {found}, wanted {wanted}")
    airframe.require_layout("motors")
    return {f"{label}, duty by voltage": BatteryCompensated(controller) for label, controller in controllers.items()}
