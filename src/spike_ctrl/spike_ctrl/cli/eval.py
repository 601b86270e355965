"""Fly policies and other controllers through fixed tests.

Without a protocol: the frozen evaluation, 1024 fixed starts, no steps flown by the guide, four columns. A set of starts may
be lucky: --seeds also flies other sets.
With --simulator: by motor commands in simulators that others wrote, for 5 s from starts near the set-point and tilted by 30
degrees. They come with `pip install -r requirements/simulators.txt`; crazyflow flies its four Crazyflies, rotorpy its one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from spike_ctrl import plug_ins
from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.cli import _protocols

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.protocols import Controllers, EvalProtocol, Figures
    from spike_ctrl.sim.pipeline import InsertFunction

Policies: TypeAlias = "dict[Path, PolicyController]"
Protocols: TypeAlias = "dict[str, EvalProtocol]"  # by name

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
        "--simulator",
        nargs="+",
        choices=plug_ins.names("simulators"),
        metavar="NAME",
        help=f"fly in simulators that others wrote: {', '.join(plug_ins.names('simulators'))} (default: in ours)",
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
        help=f"{', '.join((*NAMES, *plug_ins.names('protocols')))}; {UNKNOWN}figure8 and so on fly on unknown plants, "
        "as randomised does: +-20 %% of mass, inertia, thrust, torque, lag; steady force and torque; noise; delay "
        "(default: frozen)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=0,
        metavar="N",
        help="frozen, randomised: also mean, deviation over N other sets of starts; others with sets: over N (2 or more)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures: of each protocol and controller or, without --protocol, of the first of them",
    )
    parser.set_defaults(corrections=[])  # functions (controllers, airframe) -> controllers, which options of plug-ins append


def run(options: argparse.Namespace) -> int:
    if not (options.models or options.guide or options.raptor or options.pid or options.mellinger):
        raise UsageError("nothing to fly: give a model, --guide, --raptor, --pid or --mellinger")
    _require_simulators(options)
    if options.json:
        output_paths.require_file("--json", options.json)
    protocols = {name: _protocols.find(name) for name in options.protocol or ["frozen"]}
    _require_protocols(options, protocols)
    options.inserts = _inserts(options.insert)
    vehicle, policies = _load(options, protocols)
    for one in protocols.values():
        one.require(vehicle, options)
    if options.raptor or options.pid or options.mellinger or options.simulator:
        vehicle.require_layout("motors")
    written: dict[str, Any]
    if options.simulator:
        written = _fly_elsewhere(options, vehicle, policies)
    else:
        written = {}
        for name, one in protocols.items():
            written[name] = one.fly(_controllers(one, options, vehicle, policies), vehicle, options)
        if not options.protocol:
            label, first = next(iter(written["frozen"].items()))
            written = first | {"model": label}
    if options.json:
        output_paths.write_json("--json", options.json, written | {"airframe": vehicle.name})
    return 0


def _require_simulators(options: argparse.Namespace) -> None:
    """Raise UsageError for options that do not go with simulators of others, or only with them."""
    if options.simulator and options.protocol:
        raise UsageError("--protocol: found with --simulator, wanted only one of them")
    if options.simulator and options.seeds:
        raise UsageError("--seeds: found with --simulator, wanted --seed, that of its starts")
    if options.seed is not None and not options.simulator:
        raise UsageError("--seed: found without --simulator, wanted with it")
    if options.seed is not None and options.seed < 0:
        raise UsageError(f"--seed: found {options.seed}, wanted 0 or more")


def _require_protocols(options: argparse.Namespace, protocols: Protocols) -> None:
    """Raise UsageError for options that do not go with the protocols."""
    from spike_ctrl.evaluation.protocols import STARTS

    if options.seeds and (options.seeds < 2 or not any(one.sets for one in protocols.values())):
        known = [*STARTS, *(name for name, one in plug_ins.loaded("protocols") if getattr(one, "sets", False))]
        found = f"{options.seeds} with {', '.join(protocols)}"
        raise UsageError(f"--seeds: found {found}, wanted 2 or more, with one of the protocols {', '.join(known)}")
    without = [f"--protocol {name}" for name, one in protocols.items() if not one.inserts]
    if options.insert and (options.simulator or without):
        found = "--simulator" if options.simulator else without[0]
        raise UsageError(f"--insert: found with {found}, wanted our simulator and another protocol")


def _inserts(given: list[str]) -> dict[str, list[InsertFunction]]:
    """The functions by their step. Raises UsageError."""
    from spike_ctrl.sim.pipeline import require_step

    found: dict[str, list[InsertFunction]] = {}
    for text in given:
        step, _, name = text.partition("=")
        require_step(step, "--insert")
        found.setdefault(step, []).append(NamedObject(name).function(f"--insert {step}"))
    return found


def _load(options: argparse.Namespace, protocols: Protocols) -> tuple[Airframe, Policies]:
    """The airframe that flies, and the policies of the models. Raises UsageError."""
    from spike_ctrl import airframe
    from spike_ctrl.evaluation.controllers import PolicyController, require_airframe
    from spike_ctrl.policy import checkpoint

    loaded = {model: checkpoint.load(model) for model in options.models}
    contracts = [one.manifest.contract for one in loaded.values()]
    foreign = all(one.foreign for one in protocols.values())
    own = contracts[0].airframe if contracts else "crazyflie"
    first, *others = protocols.values()
    if not others:
        own = first.carriers.get(contracts[0].action if contracts else "motors", own)
    try:
        vehicle = airframe.load(options.airframe or own)
    except UsageError as error:
        if options.airframe or not contracts:
            raise
        raise UsageError(f"{options.models[0]}: {error}; --airframe FILE gives the one that it was made for") from None
    for model, one in loaded.items():
        if foreign:
            vehicle.require_layout(one.manifest.contract.action)
        else:
            require_airframe(one, vehicle, str(model))
        if options.simulator and one.manifest.contract.voltage:
            raise UsageError(f"--simulator: found {model}, which sees the battery's voltage, wanted one that does not")
    return vehicle, {model: PolicyController(one.policy) for model, one in loaded.items()}


def _fly_elsewhere(options: argparse.Namespace, vehicle: Airframe, policies: Policies) -> dict[str, Any]:
    """Fly all controllers in simulators of others, where nobody knows a plant. The figures by simulator."""
    from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
    from spike_ctrl.evaluation.controllers import nominal_guides

    flown: Controllers = {str(model): policy for model, policy in policies.items()}
    flown |= nominal_guides(vehicle) if options.guide else {}
    flown |= _baselines(options, vehicle)
    seed = EVALUATION_SEED if options.seed is None else options.seed
    found: Figures = {}
    for name in options.simulator:
        found |= plug_ins.load("simulators", name, "--simulator")(flown, vehicle, seed)
    return {"simulators": found, "seed": seed}


def _controllers(protocol: EvalProtocol, options: argparse.Namespace, vehicle: Airframe, policies: Policies) -> Controllers:
    """What flies through a protocol: the policies, the guides that go with it, and the baselines that were asked for."""
    from spike_ctrl.control.geometric_guide import GeometricGuide
    from spike_ctrl.evaluation.controllers import GuideController, GuideFirstController

    flown: Controllers = {}
    for model, policy in policies.items():
        flown[str(model)] = policy
        if options.guide and protocol.guide_first:
            guide_first = GuideFirstController(policy, GuideController(GeometricGuide(vehicle)))
            flown[f"  {model.stem} after 50 guide-flown steps"] = guide_first
    flown |= protocol.guides(vehicle) if options.guide else {}
    flown |= _baselines(options, vehicle)
    for correct in options.corrections:
        flown = correct(flown, vehicle)
    return flown


def _baselines(options: argparse.Namespace, vehicle: Airframe) -> Controllers:
    """Controllers that nobody trained here, which see the observation alone. Raises UsageError for a missing one."""
    labels = {"pid": "PID, Crazyflie firmware", "mellinger": "Mellinger, Crazyflie firmware", "raptor": "RAPTOR"}
    asked = {name: label for name, label in labels.items() if getattr(options, name)}
    try:
        return {label: plug_ins.load("controllers", name, f"--{name}")(vehicle) for name, label in asked.items()}
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from None
