"""Fly policies and other controllers through fixed tests.

Without a protocol: the frozen evaluation, 1024 fixed starts, no steps flown by the guide, four columns. A set of starts may
be lucky: --seeds also flies other sets.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from spike_ctrl import plug_ins
from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.cli._terminal import end_progress, progress_with_time_left

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.control.trajectory import Trajectory
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import Evaluation
    from spike_ctrl.evaluation.protocols import Controllers, EvalProtocol, Figures, Protocol

Policies: TypeAlias = "dict[Path, PolicyController]"
Protocols: TypeAlias = "dict[str, EvalProtocol]"  # by name

GROUP = "train"
EXAMPLES = """
spike-ctrl eval models/crazyflie.safetensors
spike-ctrl eval models/crazyflie*.safetensors --protocol randomised --guide
spike-ctrl eval models/crazyflie.safetensors --seeds 8           # also mean and deviation over 8 other sets of starts
spike-ctrl eval models/sih_quadx.safetensors --protocol hover step figure8 gust --json tracking.json
spike-ctrl eval models/crazyflie_robust.safetensors --protocol figure8 randomised-figure8
spike-ctrl eval runs/short/policy.safetensors --json evaluation.json
spike-ctrl eval models/crazyflie.safetensors --insert wind=examples.own_physics:turbulence    # physics of your own
spike-ctrl eval --guide --airframe crazyflie_l2f
"""


def add(parser: argparse.ArgumentParser) -> None:
    from spike_ctrl.evaluation.protocols import NAMES, UNKNOWN

    parser.add_argument("models", nargs="*", metavar="MODEL", type=Path, help="checkpoints, all for the same airframe")
    parser.add_argument("--airframe", help="a name or a path to a YAML file (default: the first model's, or crazyflie)")
    parser.add_argument("--guide", action="store_true", help="also the geometric guide, and models after 50 steps of it")
    parser.add_argument(
        "--insert",
        nargs="+",
        default=[],
        metavar="WHAT",
        help="STEP=MODULE:NAME: fly with functions of your own at steps of the simulator, see docs/insert.md",
    )
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
        help="N, 2 or more: frozen and randomised also fly N other sets of starts; other drawn protocols fly N sets",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures of each protocol and controller; without --protocol, of the first controller alone",
    )
    # Options of plug-ins append functions: airframe -> controllers; (controllers, airframe) -> controllers.
    parser.set_defaults(baselines=[], corrections=[])


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.evaluation.protocols import STARTS

    require_controllers(options)
    if options.json:
        output_paths.require_file("--json", options.json)
    protocols = {name: find(name) for name in options.protocol or ["frozen"]}
    if options.seeds and (options.seeds < 2 or not any(one.sets for one in protocols.values())):
        known = [*STARTS, *(name for name, one in plug_ins.loaded("protocols") if getattr(one, "sets", False))]
        found = f"{options.seeds} with {', '.join(protocols)}"
        raise UsageError(f"--seeds: found {found}, wanted 2 or more, with one of the protocols {', '.join(known)}")
    without = [f"--protocol {name}" for name, one in protocols.items() if not one.inserts]
    if options.insert and without:
        raise UsageError(f"--insert: found with {without[0]}, wanted our simulator and another protocol")

    from spike_ctrl.sim.pipeline import require_step

    options.inserts = {}  # functions by their step
    for text in options.insert:
        step, _, name = text.partition("=")
        require_step(step, "--insert")
        options.inserts.setdefault(step, []).append(NamedObject(name).function(f"--insert {step}"))
    vehicle, policies = load(options, protocols)
    for one in protocols.values():
        one.require(vehicle, options)
    written: dict[str, Any] = {}
    for name, one in protocols.items():
        written[name] = one.fly(_controllers(one, options, vehicle, policies), vehicle, options)
    if not options.protocol:
        label, first = next(iter(written["frozen"].items()))
        written = first | {"model": label}
    if options.json:
        output_paths.write_json("--json", options.json, written | {"airframe": vehicle.name})
    return 0


def require_controllers(options: argparse.Namespace) -> None:
    """Raise UsageError where nothing is to fly."""
    if not (options.models or options.guide or options.baselines):
        raise UsageError("nothing to fly: give a model, --guide or an option for another controller, see --help")


def load(options: argparse.Namespace, protocols: Protocols) -> tuple[Airframe, Policies]:
    """The airframe that flies, and the policies of the models. Raises UsageError."""
    from spike_ctrl import airframe
    from spike_ctrl.evaluation.controllers import PolicyController, require_airframe, require_set_point
    from spike_ctrl.policy import checkpoint

    loaded = {model: checkpoint.load(model) for model in options.models}
    contracts = [one.manifest.contract for one in loaded.values()]
    foreign = all(one.foreign for one in protocols.values())
    first, *others = protocols.values()
    carrier = None if others else first.carriers.get(contracts[0].action if contracts else "motors")
    if options.airframe or carrier or not contracts:
        vehicle = airframe.load(options.airframe or carrier or "crazyflie")
    else:
        try:
            vehicle = loaded[options.models[0]].airframe()
        except UsageError as error:
            raise UsageError(f"{error}; --airframe FILE gives the one that it was made for") from None
    for model, one in loaded.items():
        if foreign:
            vehicle.require_layout(one.manifest.contract.action)
            require_set_point(one, str(model))
        else:
            require_airframe(one, vehicle, str(model))
    return vehicle, {model: PolicyController(one.policy) for model, one in loaded.items()}


def _controllers(protocol: EvalProtocol, options: argparse.Namespace, vehicle: Airframe, policies: Policies) -> Controllers:
    """What flies through a protocol: the policies, the guides that go with it, and what options of plug-ins add."""
    from spike_ctrl.control.geometric_guide import GeometricGuide
    from spike_ctrl.evaluation.controllers import GuideController, GuideFirstController, short_name

    flown: Controllers = {}
    for model, policy in policies.items():
        flown[str(model)] = policy
        if options.guide and protocol.guide_first:
            guide_first = GuideFirstController(policy, GuideController(GeometricGuide(vehicle)))
            flown[f"  {short_name(model, policies)} after 50 guide-flown steps"] = guide_first
    flown |= protocol.guides(vehicle) if options.guide else {}
    for baselines in options.baselines:
        flown |= baselines(vehicle)
    for correct in options.corrections:
        flown = correct(flown, vehicle)
    return flown


# --- protocols ------------------------------------------------------------------------------------------------------


def find(name: str) -> EvalProtocol:
    """The protocol of that name, ours or a plug-in's. Raises UsageError."""
    from spike_ctrl.evaluation import protocols
    from spike_ctrl.evaluation.controllers import guides

    others = plug_ins.names("protocols")
    if name in others:
        added: EvalProtocol = plug_ins.load("protocols", name, "--protocol")
        return added
    try:
        ours = protocols.find(name, others)
    except UsageError as error:
        raise UsageError(f"--protocol: {error}; models come before it") from None
    known = partial(guides, unknown=ours.unknown)
    if path := ours.trajectory:
        return protocols.EvalProtocol(partial(_follow, ours, path), known, inserts=True)
    return protocols.EvalProtocol(partial(_fly_starts, ours), known, guide_first=True, sets=True, inserts=True)


def _follow(
    protocol: Protocol, path: Trajectory, flown: Controllers, vehicle: Airframe, options: argparse.Namespace
) -> Figures:
    from spike_ctrl.evaluation import tracking

    about = _about(protocol, vehicle, options)
    found = {
        label: tracking.track(controller, path, vehicle, gust=protocol.gust, **about) for label, controller in flown.items()
    }
    plants = ", randomised plants" if protocol.unknown else ""
    seconds = path.lead + tracking.ROUNDS * path.period
    flights = f"{tracking.VEHICLES} vehicles, {seconds:g} s, span +-{path.size:g} m{plants}"
    print(f"airframe {vehicle.name}, {flights}\n{tracking.tracking_table(protocol.name, found, protocol.sudden)}")
    return {label: one.to_dict(protocol.sudden) for label, one in found.items()}


def _fly_starts(protocol: Protocol, flown: Controllers, vehicle: Airframe, options: argparse.Namespace) -> Figures:
    from spike_ctrl.evaluation.benchmark import evaluate, start_set_seeds
    from spike_ctrl.evaluation.evaluation_result import evaluation_table, spread_table

    about = _about(protocol, vehicle, options)
    found = {label: evaluate(controller, vehicle, **about) for label, controller in flown.items()}
    first, plants = next(iter(found.values())), ", randomised plants" if protocol.unknown else ""
    print(f"airframe {vehicle.name}, {first.starts} starts{plants}\n{evaluation_table(found)}")
    if options.models:
        rates = " ".join(f"{rate:.2f}" for rate in first.spike_rates) or "no spikes"
        print(f"spike rates of {options.models[0]}: {rates}")
    figures = {label: one.to_dict() for label, one in found.items()}
    if count := options.seeds:
        sets: dict[str, list[Evaluation]] = {label: [] for label in flown}
        show = progress_with_time_left()
        for number, seed in enumerate(start_set_seeds(count), 1):
            for label, controller in flown.items():
                sets[label].append(evaluate(controller, vehicle, seed=seed, **about))
            show(f"{number}/{count} start sets", number / count)
        end_progress()
        print(f"airframe {vehicle.name}, {count} other sets of starts, mean +- deviation\n{spread_table(sets)}")
        for label, those in sets.items():
            figures[label]["start_sets"] = [one.to_dict() for one in those]
    return figures


def _about(protocol: Protocol, vehicle: Airframe, options: argparse.Namespace) -> dict[str, Any]:
    from spike_ctrl.evaluation.benchmark import randomised
    from spike_ctrl.sim.randomisation import Randomisation

    plants = randomised(vehicle) if protocol.unknown else Randomisation()
    return {"randomisation": plants, "inserts": options.inserts}
