"""Fly policies and other controllers through fixed tests.

Without a protocol: the frozen evaluation, 1024 fixed starts, no steps flown by the guide, four columns. A set of starts may
be lucky: --seeds also flies other sets.
With --simulator: by motor commands in simulators that others wrote, for 5 s from starts near the set-point and tilted by 30
degrees. They come with `pip install -r requirements/simulators.txt`; crazyflow flies its four Crazyflies, rotorpy its one.
With --protocol airframes --simulator l2f: whole airframes in the simulator in which RAPTOR learned.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from spike_ctrl import plug_ins
from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli import _eval_airframes
from spike_ctrl.cli._eval_airframes import CARRIERS, DRAWN_BY, L2F, Controllers, Figures
from spike_ctrl.cli._terminal import end_progress, shares, show_progress

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import Evaluation
    from spike_ctrl.evaluation.protocols import Protocol
    from spike_ctrl.sim.pipeline import InsertFunction

Policies: TypeAlias = "dict[Path, PolicyController]"

GROUP = "train"
EXAMPLES = """
spike-ctrl eval models/crazyflie.safetensors
spike-ctrl eval models/crazyflie.safetensors --guide --raptor
spike-ctrl eval models/crazyflie*.safetensors --protocol randomised --guide
spike-ctrl eval models/crazyflie.safetensors --seeds 8           # also mean and deviation over 8 other sets of starts
spike-ctrl eval models/sih_quadx.safetensors --protocol hover step figure8 gust --json tracking.json
spike-ctrl eval models/crazyflie_robust.safetensors --protocol figure8 randomised-figure8
spike-ctrl eval runs/short/policy.safetensors --json evaluation.json
spike-ctrl eval models/crazyflie.safetensors --insert wind=examples.own_physics:turbulence    # physics of your own
spike-ctrl eval --guide --airframe crazyflie_l2f
spike-ctrl eval --pid --mellinger --protocol hover circle
spike-ctrl eval models/crazyflie_real.safetensors models/crazyflie.safetensors --pid --protocol real-flights
spike-ctrl eval models/any_quad.safetensors --protocol airframes --guide --raptor --seeds 5    # on 5 x 1024 quadrotors
spike-ctrl eval models/any_quad.safetensors --protocol airframes --raptor --simulator l2f --drawn-by raptor
spike-ctrl eval models/any_rates.safetensors models/sih_quadx.safetensors --protocol airframes --guide    # with rate loops
spike-ctrl eval models/crazyflie.safetensors models/crazyflie_robust.safetensors --raptor --pid --simulator crazyflow rotorpy
"""


def add(parser: argparse.ArgumentParser) -> None:
    from spike_ctrl.evaluation.protocols import NAMES, UNKNOWN

    parser.add_argument("models", nargs="*", metavar="MODEL", type=Path, help="checkpoints, all for the same airframe")
    parser.add_argument("--airframe", help="a name or a path to a YAML file (default: the first model's, or crazyflie)")
    parser.add_argument("--guide", action="store_true", help="also the geometric guide, and models after 50 steps of it")
    parser.add_argument(
        "--raptor", action="store_true", help="also RAPTOR, where the package foundation-policy is installed"
    )
    parser.add_argument("--pid", action="store_true", help="also the cascaded PID of the Crazyflie firmware")
    parser.add_argument("--mellinger", action="store_true", help="also the Mellinger controller of the Crazyflie firmware")
    parser.add_argument(
        "--compensate-battery",
        action="store_true",
        help="commands leave as u (nominal / V)^exponent, the firmware's compensation; for airframes with a battery",
    )
    parser.add_argument(
        "--simulator",
        nargs="+",
        choices=plug_ins.names("simulators"),
        metavar="NAME",
        help=f"fly in simulators that others wrote: {', '.join(plug_ins.names('simulators'))} (default: in ours); "
        f"{L2F} with --protocol airframes alone",
    )
    parser.add_argument(
        "--drawn-by",
        choices=DRAWN_BY,
        default=DRAWN_BY[0],
        help="airframes: who draws them; raptor: its training, in l2f alone",
    )
    parser.add_argument(
        "--insert",
        nargs="+",
        default=[],
        metavar="WHAT",
        help="STEP=MODULE:NAME: fly with functions of your own at steps of the simulator, see docs/insert.md",
    )
    parser.add_argument("--seed", type=int, help="of the starts with --simulator (default: that of the frozen evaluation)")
    parser.add_argument(
        "--protocol",
        nargs="+",
        metavar="NAME",
        help=f"{', '.join(NAMES)}; {UNKNOWN}figure8 and so on fly on unknown plants, as randomised does: +-20 %% "
        "of mass, inertia, thrust, torque, lag; steady force and torque; noise; delay (default: frozen)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=0,
        metavar="N",
        help="frozen, randomised: also mean, deviation over N other sets of 1024 starts; airframes: over N sets (2 or more)",
    )
    parser.add_argument(
        "--plants",
        type=int,
        metavar="N",
        help="airframes: quadrotors of a set, 1 to 8192 (default: 1024)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures: of each protocol and controller or, without --protocol, of the first of them",
    )


def run(options: argparse.Namespace) -> int:
    if "crazyflow" in (options.simulator or ()) and "scipy" not in sys.modules:
        os.environ.setdefault("SCIPY_ARRAY_API", "1")  # crazyflow wants it before scipy, which numba brings, is imported
    from spike_ctrl import airframe
    from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
    from spike_ctrl.evaluation.controllers import PolicyController, require_airframe
    from spike_ctrl.evaluation.protocols import AIRFRAMES, CORNERS, REAL, SETS, find
    from spike_ctrl.policy import checkpoint

    if not (options.models or options.guide or options.raptor or options.pid or options.mellinger):
        raise UsageError("nothing to fly: give a model, --guide, --raptor, --pid or --mellinger")
    elsewhere = [name for name in options.simulator or () if name != L2F]
    if elsewhere and options.protocol:
        raise UsageError("--protocol: found with --simulator, wanted only one of them")
    if elsewhere and options.seeds:
        raise UsageError("--seeds: found with --simulator, wanted --seed, that of its starts")
    if options.seed is not None and not elsewhere:
        raise UsageError("--seed: found without --simulator, wanted with it")
    if options.seed is not None and options.seed < 0:
        raise UsageError(f"--seed: found {options.seed}, wanted 0 or more")
    if options.json:
        output_paths.require_file("--json", options.json)
    try:
        protocols = [find(name) for name in options.protocol or ["frozen"]]
    except UsageError as error:
        raise UsageError(f"--protocol: {error}; models come before it") from None
    if options.seeds and (options.seeds < 2 or not any(one.name in SETS for one in protocols)):
        found = f"{options.seeds} with {', '.join(one.name for one in protocols)}"
        raise UsageError(f"--seeds: found {found}, wanted 2 or more, with one of the protocols {', '.join(SETS)}")
    if options.plants is not None and (not 1 <= options.plants <= 8192 or AIRFRAMES not in [one.name for one in protocols]):
        raise UsageError(f"--plants: found {options.plants}, wanted 1 to 8192, with --protocol {AIRFRAMES}")
    _eval_airframes.require_options(options, [one.name for one in protocols])
    alone = [f"--protocol {one.name}" for one in protocols if one.name in (CORNERS, REAL, AIRFRAMES)]
    if options.insert and (options.simulator or alone):
        found = "--simulator" if options.simulator else alone[0]
        raise UsageError(f"--insert: found with {found}, wanted our simulator and another protocol")
    options.inserts = _inserts(options.insert)
    loaded = {model: checkpoint.load(model) for model in options.models}
    names = [one.manifest.contract.airframe for one in loaded.values()]
    drawn = [one.name == AIRFRAMES for one in protocols]
    layout = next(iter(loaded.values())).manifest.contract.action if loaded else "motors"
    own = CARRIERS[layout] if all(drawn) else names[0] if names else "crazyflie"
    vehicle = airframe.load(options.airframe or own)
    policies = {}
    real = [one.name == REAL for one in protocols]
    foreign = all(real) or all(drawn)  # there the plants are never the one that a policy was made for
    for model, one in loaded.items():
        if foreign:
            vehicle.require_layout(one.manifest.contract.action)
        else:
            require_airframe(one, vehicle, str(model))
        if elsewhere and one.manifest.contract.voltage:
            raise UsageError(f"--simulator: found {model}, which sees the battery's voltage, wanted one that does not")
        policies[model] = PolicyController(one.policy)
    if any(real) and vehicle.battery is None:
        raise UsageError(
            f"--protocol {REAL}: found airframe {vehicle.name} without a battery, wanted one that was identified"
        )
    if any(drawn):
        _eval_airframes.require_carrier(vehicle)
    if options.raptor or options.pid or options.mellinger or options.simulator:
        vehicle.require_layout("motors")
    if options.compensate_battery:
        if vehicle.battery is None or elsewhere:
            found = "another simulator" if elsewhere else f"airframe {vehicle.name} without a battery"
            raise UsageError(f"--compensate-battery: found {found}, wanted an airframe with a battery in our simulator")
        vehicle.require_layout("motors")
    if elsewhere:
        controllers, seed = _controllers_elsewhere(options, vehicle, policies), options.seed
        seed = EVALUATION_SEED if seed is None else seed
        there: Figures = {}
        for name in elsewhere:
            there |= plug_ins.load("simulators", name, "--simulator")(controllers, vehicle, seed)
        written: dict[str, Any] = {"simulators": there, "seed": seed}
    else:
        written = {protocol.name: _fly(protocol, options, vehicle, policies) for protocol in protocols}
        if not options.protocol:
            label, first = next(iter(written["frozen"].items()))
            written = first | {"model": label}
    if options.json:
        output_paths.write_json("--json", options.json, written | {"airframe": vehicle.name})
    return 0


def _inserts(given: list[str]) -> dict[str, list[InsertFunction]]:
    """The functions by their step. Raises UsageError."""
    from spike_ctrl.sim.pipeline import require_step

    found: dict[str, list[InsertFunction]] = {}
    for text in given:
        step, _, name = text.partition("=")
        require_step(step, "--insert")
        found.setdefault(step, []).append(NamedObject(name).function(f"--insert {step}"))
    return found


def _fly(protocol: Protocol, options: argparse.Namespace, vehicle: Airframe, policies: Policies) -> Figures:
    """Fly all controllers through one protocol, print its table, and give the figures of each."""
    from spike_ctrl.evaluation import tracking
    from spike_ctrl.evaluation.benchmark import evaluate, randomised
    from spike_ctrl.evaluation.evaluation_result import evaluation_table
    from spike_ctrl.evaluation.protocols import AIRFRAMES, CORNERS, REAL
    from spike_ctrl.sim.randomisation import Randomisation

    flown = _controllers(protocol, options, vehicle, policies)
    if protocol.name == CORNERS:
        return _fly_corners(flown, vehicle)
    if protocol.name == REAL:
        return _fly_references(flown, vehicle)
    if protocol.name == AIRFRAMES:
        return _eval_airframes.fly_sets(flown, vehicle, options)
    plants = randomised(vehicle) if protocol.unknown else Randomisation()
    about: dict[str, Any] = {"randomisation": plants, "inserts": options.inserts}
    kind = ", randomised plants" if protocol.unknown else ""
    if (path := protocol.trajectory) is not None:
        tracked = {
            label: tracking.track(controller, path, vehicle, gust=protocol.gust, **about)
            for label, controller in flown.items()
        }
        seconds = path.lead + tracking.ROUNDS * path.period
        print(f"airframe {vehicle.name}, {tracking.VEHICLES} vehicles, {seconds:g} s, span +-{path.size:g} m{kind}")
        print(tracking.tracking_table(protocol.name, tracked, protocol.sudden))
        return {label: one.to_dict(protocol.sudden) for label, one in tracked.items()}
    found = {label: evaluate(controller, vehicle, **about) for label, controller in flown.items()}
    first = next(iter(found.values()))
    print(f"airframe {vehicle.name}, {first.starts} starts{kind}\n{evaluation_table(found)}")
    if policies:
        rates = " ".join(f"{rate:.2f}" for rate in first.spike_rates) or "no spikes"
        print(f"spike rates of {options.models[0]}: {rates}")
    figures = {label: one.to_dict() for label, one in found.items()}
    if options.seeds:
        sets = _fly_start_sets(flown, vehicle, about, options.seeds)
        for label, those in sets.items():
            figures[label]["start_sets"] = [one.to_dict() for one in those]
    return figures


def _fly_start_sets(flown: Controllers, vehicle: Airframe, about: dict[str, Any], count: int) -> dict[str, list[Evaluation]]:
    """Fly all controllers from other sets of starts, and print the table of mean and deviation."""
    from spike_ctrl.evaluation.benchmark import evaluate, start_set_seeds
    from spike_ctrl.evaluation.evaluation_result import spread_table

    found: dict[str, list[Evaluation]] = {label: [] for label in flown}
    begun = time.monotonic()
    for number, seed in enumerate(start_set_seeds(count), 1):
        for label, controller in flown.items():
            found[label].append(evaluate(controller, vehicle, seed=seed, **about))
        left = (time.monotonic() - begun) / number * (count - number)
        show_progress(f"{number}/{count} start sets, {time_left(left)} left")
    end_progress()
    print(f"airframe {vehicle.name}, {count} other sets of starts, mean +- deviation\n{spread_table(found)}")
    return found


def _fly_corners(flown: Controllers, vehicle: Airframe) -> Figures:
    from spike_ctrl.evaluation import off_nominal

    figures = {}
    for label, controller in flown.items():
        found = off_nominal.fly_corners(controller, vehicle)
        print(off_nominal.corner_table(label, found))
        figures[label] = {
            str(corner): {kind: one.to_dict(sudden=kind == "step") for kind, one in flights.items()}
            for corner, flights in found.items()
        }
    return figures


def _fly_references(flown: Controllers, vehicle: Airframe) -> Figures:
    from spike_ctrl.evaluation import real_flights, trim_step

    begun = time.monotonic()
    found: dict[str, dict[str, real_flights.RealFlight]] = {}
    for label, controller in flown.items():
        found[label] = real_flights.fly_references(controller, vehicle, shown=shares(label, len(found), len(flown), begun))
    about = f"{real_flights.VEHICLES} plants, batteries from full to empty, {real_flights.SECONDS:g} s"
    print(f"\nairframe {vehicle.name}, {about}")
    print(real_flights.reference_table(found))
    spread = dataclasses.replace(real_flights.SPREAD, moment=0.0)
    torque = trim_step.STEP * vehicle.inertia[0]
    answers = {label: trim_step.answer_trim_step(controller, vehicle, torque, spread) for label, controller in flown.items()}
    print(trim_step.trim_table(answers))
    return {
        label: {name: one.to_dict() for name, one in those.items()} | {"trim step": answers[label].to_dict()}
        for label, those in found.items()
    }


def _controllers_elsewhere(options: argparse.Namespace, vehicle: Airframe, policies: Policies) -> Controllers:
    """What flies in the simulators of others: nobody there knows a plant."""
    from spike_ctrl.control.geometric_guide import GeometricGuide
    from spike_ctrl.control.indi_guide import IndiGuide
    from spike_ctrl.evaluation.controllers import GuideController

    flown: Controllers = {str(model): policy for model, policy in policies.items()}
    if options.guide:
        flown["guide, nominal, integral"] = GuideController(GeometricGuide(vehicle), privileged=False)
        flown["guide, nominal, INDI"] = GuideController(IndiGuide(vehicle), privileged=False)
    return flown | _baselines(options, vehicle)


def _controllers(protocol: Protocol, options: argparse.Namespace, vehicle: Airframe, policies: Policies) -> Controllers:
    from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
    from spike_ctrl.control.indi_guide import IndiGuide
    from spike_ctrl.evaluation.compensation import BatteryCompensated, HoverTold
    from spike_ctrl.evaluation.controllers import GuideController, GuideFirstController
    from spike_ctrl.evaluation.protocols import AIRFRAMES, CORNERS, REAL, STARTS

    flown: Controllers = {}
    for model, policy in policies.items():
        flown[str(model)] = policy
        if options.guide and protocol.name in STARTS:
            guide_first = GuideFirstController(policy, GuideController(GeometricGuide(vehicle)))
            flown[f"  {model.stem} after 50 guide-flown steps"] = guide_first
    if options.guide and protocol.name == AIRFRAMES:
        told = BatteryCompensated if vehicle.action_layout == "motors" else HoverTold
        flown["guide, told each plant"] = told(GuideController(GeometricGuide(vehicle)))
        flown["guide, nominal, integral"] = GuideController(GeometricGuide(vehicle), privileged=False)
        flown["guide, nominal, INDI"] = GuideController(IndiGuide(vehicle), privileged=False)
    elif options.guide and protocol.name != REAL:
        flown["guide (lead cap 1.5)"] = GuideController(GeometricGuide(vehicle))
        flown["guide (lead to 20 ms)"] = GuideController(GeometricGuide(vehicle, Gains(lead_cap=10)))
    if options.guide and (protocol.unknown or protocol.name == CORNERS) and protocol.name != AIRFRAMES:
        flown["guide, nominal, integral"] = GuideController(GeometricGuide(vehicle), privileged=False)
    flown |= _baselines(options, vehicle)
    if not options.compensate_battery:
        return flown
    return {f"{label}, duty by voltage": BatteryCompensated(controller) for label, controller in flown.items()}


def _baselines(options: argparse.Namespace, vehicle: Airframe) -> Controllers:
    """Controllers that nobody trained here, which see the observation alone. Raises UsageError for a missing one."""
    labels = {"pid": "PID, Crazyflie firmware", "mellinger": "Mellinger, Crazyflie firmware", "raptor": "RAPTOR"}
    asked = {name: label for name, label in labels.items() if getattr(options, name)}
    try:
        return {label: plug_ins.load("controllers", name, f"--{name}")(vehicle) for name, label in asked.items()}
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from None
