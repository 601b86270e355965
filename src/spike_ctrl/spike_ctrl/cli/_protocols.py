"""The protocols of `spike-ctrl eval`: how ours are flown, and those that packages add."""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli._terminal import end_progress, show_progress

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.control.trajectory import Trajectory
    from spike_ctrl.evaluation.evaluation_result import Evaluation
    from spike_ctrl.evaluation.protocols import Controllers, EvalProtocol, Figures, Protocol


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
    except protocols.ProtocolError as error:
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
    seconds = path.lead + tracking.ROUNDS * path.period
    flights = f"{tracking.VEHICLES} vehicles, {seconds:g} s, span +-{path.size:g} m{_kind(protocol)}"
    print(f"airframe {vehicle.name}, {flights}\n{tracking.tracking_table(protocol.name, found, protocol.sudden)}")
    return {label: one.to_dict(protocol.sudden) for label, one in found.items()}


def _fly_starts(protocol: Protocol, flown: Controllers, vehicle: Airframe, options: argparse.Namespace) -> Figures:
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.evaluation_result import evaluation_table

    about = _about(protocol, vehicle, options)
    found = {label: evaluate(controller, vehicle, **about) for label, controller in flown.items()}
    first = next(iter(found.values()))
    print(f"airframe {vehicle.name}, {first.starts} starts{_kind(protocol)}\n{evaluation_table(found)}")
    if options.models:
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


def _about(protocol: Protocol, vehicle: Airframe, options: argparse.Namespace) -> dict[str, Any]:
    from spike_ctrl.evaluation.benchmark import randomised
    from spike_ctrl.sim.randomisation import Randomisation

    plants = randomised(vehicle) if protocol.unknown else Randomisation()
    return {"randomisation": plants, "inserts": options.inserts}


def _kind(protocol: Protocol) -> str:
    return ", randomised plants" if protocol.unknown else ""
