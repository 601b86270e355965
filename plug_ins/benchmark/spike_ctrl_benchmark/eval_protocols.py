"""Protocols that this package adds to `spike-ctrl eval`.

corners: hover, step and figure-eight on plants that are 20 % off in all combinations. real-flights: the references of real
flights on plants as an airframe with a battery was identified, with sensors that err, from full to empty, and a torque that
appears in a hover. airframes: whole quadrotors that nobody described to the controller, drawn by scaling laws. rotor-loss:
one rotor fails at a random time in a hover, a figure-eight and a step. rotor-stuck: it keeps to a speed. thrown: any
attitude, fast and turning.
"""

import argparse
import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.json_lines import plain
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation.benchmark import STARTS
from spike_ctrl.evaluation.controllers import GuideController, guides
from spike_ctrl.evaluation.protocols import Controllers, EvalProtocol, Figures
from spike_ctrl.sim import airframe_sampler
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.environment import require_short_delays
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss
from spike_ctrl_benchmark import (
    airframe_flights,
    any_airframe,
    l2f_flights,
    off_centre,
    off_nominal,
    real_flights,
    rotor_flights,
    thrown_flights,
    trim_step,
)
from spike_ctrl_benchmark.airframe_flights import AirframeFlights, airframe_table
from spike_ctrl_benchmark.baselines import nominal_guides
from spike_ctrl_benchmark.compensation import BatteryCompensated, HoverTold
from spike_ctrl_benchmark.progress import shares
from spike_ctrl_benchmark.real_flights import RealFlight
from spike_ctrl_benchmark.real_plants import SPREAD

CARRIERS = {"motors": "any_quad", "rates": "any_rates"}  # as which drawn airframes are simulated, by layout


def _require_corners(vehicle: Airframe, options: argparse.Namespace) -> None:
    _require_short_delays("corners", vehicle, Randomisation(delay=off_nominal.LATE))


def _fly_corners(controllers: Controllers, vehicle: Airframe, options: argparse.Namespace) -> Figures:
    figures = {}
    for label, controller in controllers.items():
        found = off_nominal.fly_corners(controller, vehicle)
        print(off_nominal.corner_table(label, found))
        figures[label] = {
            str(corner): {kind: one.to_dict(sudden=kind == "step") for kind, one in flights.items()}
            for corner, flights in found.items()
        }
    return figures


def _require_identified(vehicle: Airframe, options: argparse.Namespace) -> None:
    if vehicle.battery is None:
        raise UsageError(
            f"--protocol real-flights: found airframe {vehicle.name} without a battery, wanted one that was identified"
        )
    _require_short_delays("real-flights", vehicle, SPREAD)


def _fly_references(controllers: Controllers, vehicle: Airframe, options: argparse.Namespace) -> Figures:
    begun = time.monotonic()
    found: dict[str, dict[str, RealFlight]] = {}
    for label, controller in controllers.items():
        shown = shares(label, len(found), len(controllers), begun)
        found[label] = real_flights.fly_references(controller, vehicle, shown=shown)
    about = f"{real_flights.VEHICLES} plants, batteries from full to empty, {real_flights.SECONDS:g} s"
    print(f"\nairframe {vehicle.name}, {about}")
    print(real_flights.reference_table(found))
    spread = dataclasses.replace(SPREAD, moment=0.0)
    torque = trim_step.STEP * vehicle.inertia[0]
    answers = {
        label: trim_step.answer_trim_step(controller, vehicle, torque, spread) for label, controller in controllers.items()
    }
    print(trim_step.trim_table(answers))
    return {
        label: {name: one.to_dict() for name, one in those.items()} | {"trim step": answers[label].to_dict()}
        for label, those in found.items()
    }


def _require_carrier(vehicle: Airframe, options: argparse.Namespace) -> None:
    try:
        airframe_sampler.require_carrier(vehicle, Randomisation())
    except ValueError as error:
        raise UsageError(
            f"--protocol airframes: {error}; leave --airframe out, or name {' or '.join(CARRIERS.values())}"
        ) from None
    if options.in_l2f:
        vehicle.require_layout("motors")


def _guides_of_airframes(vehicle: Airframe) -> Controllers:
    told = BatteryCompensated if vehicle.action_layout == "motors" else HoverTold
    return {"guide, told each plant": told(GuideController(GeometricGuide(vehicle)))} | nominal_guides(vehicle)


def _fly_airframes(controllers: Controllers, vehicle: Airframe, options: argparse.Namespace) -> Figures:
    """With l2f: in ours too, without drag."""
    fly = functools.partial(_fly_sets, controllers, vehicle, options)
    if options.in_l2f:
        return l2f_flights.fly_l2f(fly, vehicle, options.drawn_by == "raptor")
    ranges = any_airframe.ranges(vehicle.action_layout, options.ranges)
    if options.off_centre is None:
        return fly("", ranges=ranges)
    words = f"centre of mass {options.off_centre:g} of an arm beside the middle, "
    return fly(words, ranges=ranges, simulator=off_centre.displaced(options.off_centre))


def _fly_sets(controllers: Controllers, vehicle: Airframe, options: argparse.Namespace, where: str, **how: Any) -> Figures:
    """Fly all controllers, print the table, and give the figures of each. where: its first words; how: of the flights."""
    airframes, sets = options.plants or STARTS, max(options.seeds, 1)
    begun = time.monotonic()
    found: dict[str, list[AirframeFlights]] = {label: [] for label in controllers}
    seeds = airframe_flights.seeds(sets)
    for number, seed in enumerate(seeds):
        for index, (label, controller) in enumerate(controllers.items()):
            shown = shares(f"set {number + 1}, {label}", number * len(found) + index, sets * len(found), begun)
            flights = airframe_flights.fly_airframes(controller, vehicle, seed=seed, airframes=airframes, shown=shown, **how)
            found[label].append(flights)
    words = f"{where}{_sets(seeds)} of {airframes} airframes, seeds {seeds[0]} to {seeds[-1]}"
    print(f"{words}; figure-eight: {min(airframes, airframe_flights.FOLLOWED)} of each\n{airframe_table(found)}")
    return {label: {"sets": plain(sets), "seeds": list(seeds)} for label, sets in found.items()}


def _sets(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} set{'s' * (len(seeds) != 1)}"


def _ranges(vehicle: Airframe, options: argparse.Namespace) -> AirframeRanges | None:
    """From where to where airframes are drawn, where the vehicle is their carrier. Raises UsageError."""
    if vehicle.name in CARRIERS.values():
        return any_airframe.ranges(vehicle.action_layout, options.ranges)
    if options.ranges is not None:
        raise UsageError(f"--ranges: found it with airframe {vehicle.name}, wanted {' or '.join(CARRIERS.values())}")
    return None


def _fly_rotor_failures(
    loss: RotorLoss, controllers: Controllers, vehicle: Airframe, options: argparse.Namespace
) -> Figures:
    vehicles, seeds = options.plants or rotor_flights.VEHICLES, airframe_flights.seeds(max(options.seeds, 1))
    ranges, figures = _ranges(vehicle, options), {}
    kinds = "level: vehicles that could hover without turning"
    if loss.stuck:
        kinds = f"the rotor keeps to a share of its full speed; a hover needs {vehicle.hover:.2f}"
    elif ranges is None:
        kinds = f"level: up to {rotor_flights.level_share(vehicle):.2f} of a rotor's thrust is lost"
    who = f"{_sets(seeds)} of {vehicles} failures of each path"
    print(f"airframe {vehicle.name}{', drawn' if ranges else ''}, {who}; {kinds}")
    for label, controller in controllers.items():
        found = rotor_flights.fly_rotor_losses(controller, vehicle, vehicles, seeds, ranges, loss)
        print(rotor_flights.rotor_table(label, found))
        figures[label] = plain(found)
    return figures


def _fly_thrown(controllers: Controllers, vehicle: Airframe, options: argparse.Namespace) -> Figures:
    """The vehicle or, where it is a carrier, airframes that are drawn."""
    vehicles, seeds = options.plants or thrown_flights.VEHICLES, airframe_flights.seeds(max(options.seeds, 1))
    ranges = _ranges(vehicle, options)
    found = {label: thrown_flights.fly_thrown(one, vehicle, vehicles, seeds, ranges) for label, one in controllers.items()}
    who = f"{_sets(seeds)} of {vehicles} {'vehicles' if ranges is None else 'drawn airframes'}"
    print(f"airframe {vehicle.name}, {who}, {thrown_flights.SECONDS:g} s\n{thrown_flights.thrown_table(found)}")
    return {label: plain(one) for label, one in found.items()}


def _guides_of_thrown(vehicle: Airframe) -> Controllers:
    return _guides_of_airframes(vehicle) if vehicle.name in CARRIERS.values() else guides(vehicle, unknown=True)


def _require_short_delays(protocol: str, vehicle: Airframe, spread: Randomisation) -> None:
    try:
        require_short_delays(vehicle, spread)
    except ValueError as error:
        raise UsageError(f"--protocol {protocol}: airframe {vehicle.name}: {error}") from None


corners = EvalProtocol(_fly_corners, functools.partial(guides, unknown=True), require=_require_corners)
references = EvalProtocol(_fly_references, nominal_guides, require=_require_identified, foreign=True)
rotor_loss = EvalProtocol(
    functools.partial(_fly_rotor_failures, rotor_flights.LOSS), rotor_flights.told_guides, foreign=True, sets=True
)
rotor_stuck = EvalProtocol(
    functools.partial(_fly_rotor_failures, rotor_flights.STUCK_LOSS),
    functools.partial(guides, unknown=True),
    foreign=True,
    sets=True,
)
thrown = EvalProtocol(_fly_thrown, _guides_of_thrown, foreign=True, sets=True)
airframes = EvalProtocol(
    _fly_airframes, _guides_of_airframes, require=_require_carrier, foreign=True, carriers=CARRIERS, sets=True
)
