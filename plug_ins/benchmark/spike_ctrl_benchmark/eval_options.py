"""Options that this package adds to `spike-ctrl eval`: of the protocol airframes, of l2f, and for batteries that empty."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from spike_ctrl._files.errors import UsageError

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.evaluation.protocols import Controllers

AIRFRAMES, L2F = "airframes", "l2f"
DRAWN_BY = ("us", "raptor")
MOST_PLANTS = 8192
EXAMPLES = """
spike-ctrl eval models/crazyflie_real.safetensors models/crazyflie.safetensors --pid --protocol real-flights
spike-ctrl eval models/any_quad.safetensors --protocol airframes --guide --raptor --seeds 5    # on 5 x 1024 quadrotors
spike-ctrl eval models/any_quad.safetensors --protocol airframes --raptor --simulator l2f --drawn-by raptor
spike-ctrl eval models/any_rates.safetensors models/sih_quadx.safetensors --protocol airframes --guide    # with rate loops
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options to the verb's own."""
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
        help=f"{AIRFRAMES}: who draws them; raptor: its training, with --simulator {L2F} alone, in which RAPTOR learned",
    )
    parser.add_argument(
        "--plants",
        type=int,
        metavar="N",
        help=f"{AIRFRAMES}: quadrotors of a set, 1 to {MOST_PLANTS} (default: 1024)",
    )


def run(options: argparse.Namespace) -> None:
    """Check the options, and take l2f from the simulators of others: the protocol airframes flies in it by itself."""
    simulators, protocols = options.simulator or [], options.protocol or ["frozen"]
    if options.plants is not None and (not 1 <= options.plants <= MOST_PLANTS or AIRFRAMES not in protocols):
        raise UsageError(f"--plants: found {options.plants}, wanted 1 to {MOST_PLANTS}, with --protocol {AIRFRAMES}")
    options.in_l2f = L2F in simulators
    if options.in_l2f:
        if simulators != [L2F] or protocols != [AIRFRAMES]:
            found = f"{', '.join(simulators)} with --protocol {', '.join(protocols)}"
            raise UsageError(f"--simulator: found {found}, wanted {L2F} alone with --protocol {AIRFRAMES} alone")
        options.simulator = None
    if options.drawn_by != DRAWN_BY[0] and not options.in_l2f:
        raise UsageError(f"--drawn-by: found {options.drawn_by}, wanted it with --simulator {L2F}")
    if compensated in options.corrections and options.simulator:
        wanted = "an airframe with a battery in our simulator"
        raise UsageError(f"--compensate-battery: found another simulator, wanted {wanted}")
    if "crazyflow" in simulators and "scipy" not in sys.modules:
        os.environ.setdefault("SCIPY_ARRAY_API", "1")  # crazyflow wants it before scipy, which numba brings, is imported


def compensated(controllers: Controllers, airframe: Airframe) -> Controllers:
    """The controllers, whose commands mean the same thrust at every voltage. Raises UsageError without a battery."""
    from spike_ctrl_benchmark.compensation import BatteryCompensated

    if airframe.battery is None:
        found, wanted = f"airframe {airframe.name} without a battery", "an airframe with a battery in our simulator"
        raise UsageError(f"--compensate-battery: found {found}, wanted {wanted}")
    airframe.require_layout("motors")
    return {f"{label}, duty by voltage": BatteryCompensated(controller) for label, controller in controllers.items()}
