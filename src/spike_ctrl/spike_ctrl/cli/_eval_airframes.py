"""The protocol airframes of `spike-ctrl eval`: what its options may be, its flights and tables."""

from __future__ import annotations

import argparse
import functools
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import shares

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.evaluation.controllers import Controller

Controllers: TypeAlias = "dict[str, Controller]"  # by what tables call them
Figures: TypeAlias = dict[str, dict[str, Any]]  # of each controller, for JSON

CARRIERS = {"motors": "any_quad", "rates": "any_rates"}  # as which the airframes are simulated, by layout
L2F = "l2f"
DRAWN_BY = ("us", "raptor")


def require_options(options: argparse.Namespace, protocols: list[str]) -> None:
    """Raise UsageError for l2f beside other simulators or protocols, and for RAPTOR's airframes elsewhere."""
    from spike_ctrl.evaluation.protocols import AIRFRAMES

    simulators = options.simulator or []
    if L2F in simulators and (simulators != [L2F] or protocols != [AIRFRAMES]):
        found = f"{', '.join(simulators)} with --protocol {', '.join(protocols)}"
        raise UsageError(f"--simulator: found {found}, wanted l2f alone with --protocol {AIRFRAMES} alone")
    if options.drawn_by != DRAWN_BY[0] and L2F not in simulators:
        raise UsageError(f"--drawn-by: found {options.drawn_by}, wanted it with --simulator {L2F}")


def require_carrier(vehicle: Airframe) -> None:
    """Raise UsageError for an airframe that cannot carry those that are drawn."""
    from spike_ctrl.sim import airframe_sampler
    from spike_ctrl.sim.randomisation import Randomisation

    try:
        airframe_sampler.require_carrier(vehicle, Randomisation())
    except ValueError as error:
        raise UsageError(
            f"--protocol airframes: {error}; leave --airframe out, or name {' or '.join(CARRIERS.values())}"
        ) from None


def fly_sets(flown: Controllers, vehicle: Airframe, options: argparse.Namespace) -> Figures:
    """Fly all controllers, print the tables, and give the figures of each. With l2f: in ours too, without drag."""
    fly = functools.partial(_fly, flown, vehicle, options)
    if L2F not in (options.simulator or ()):
        return fly("")
    figures: Figures = plug_ins.load("simulators", L2F, "--simulator")(fly, vehicle, options.drawn_by == "raptor")
    return figures


def _fly(flown: Controllers, vehicle: Airframe, options: argparse.Namespace, where: str, **how: Any) -> Figures:
    from spike_ctrl.evaluation import airframe_flights
    from spike_ctrl.evaluation.airframe_flights import AirframeFlights, airframe_table
    from spike_ctrl.evaluation.benchmark import STARTS

    airframes, sets = options.plants or STARTS, max(options.seeds, 1)
    begun = time.monotonic()
    found: dict[str, list[AirframeFlights]] = {label: [] for label in flown}
    seeds = airframe_flights.seeds(sets)
    for number, seed in enumerate(seeds):
        for index, (label, controller) in enumerate(flown.items()):
            shown = shares(f"set {number + 1}, {label}", number * len(flown) + index, sets * len(flown), begun)
            flights = airframe_flights.fly_airframes(controller, vehicle, seed=seed, airframes=airframes, shown=shown, **how)
            found[label].append(flights)
    words = f"{where}{sets} sets of {airframes} airframes, seeds {seeds[0]} to {seeds[-1]}"
    print(f"{words}; figure-eight: {min(airframes, airframe_flights.FOLLOWED)} of each\n{airframe_table(found)}")
    return {label: {"sets": [one.to_dict() for one in sets], "seeds": list(seeds)} for label, sets in found.items()}
