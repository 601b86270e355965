"""Check an autopilot before a flight.

Every condition that is not met is told in words, with the value to set.
Exit code 0: nothing bars a flight; 1: something does; 2: the command line is wrong.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._options import add_settings
from spike_ctrl.flight.flight_options import FlightOptions
from spike_ctrl.px4.connection import LinkOptions

if TYPE_CHECKING:
    from spike_ctrl.px4.parameter_rules import Unmet

GROUP = "fly"
EXAMPLES = """
spike-ctrl preflight --model models/sih_quadx.safetensors
spike-ctrl preflight --connection serial:/dev/ttyUSB0:921600 --cage=-2,-2,-0.5,2,2,2.5
spike-ctrl preflight --no-remote-control           # against `spike-ctrl vehicle`
spike-ctrl preflight --no-remote-control --set     # and write the wanted values to its parameters
spike-ctrl preflight --no-remote-control --speed 5 --assume 1.18       # a faster simulation of a version that is not known
"""
RANGES = ranges.bounds(LinkOptions) | ranges.bounds(FlightOptions) | {"seconds": (1, 600), "speed": (0.1, 100)}
WARM_UP = 4.0  # s, after which rates, clock and wander of the estimate can be told


def add(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, LinkOptions, signing_key="FILE")
    add_settings(parser, FlightOptions, "airframe rate cage height assume", assume="VERSION")
    parser.add_argument("--model", type=Path, help="a checkpoint that must fit the vehicle")
    parser.add_argument("--no-remote-control", action="store_true", help="there is no safety pilot with a remote control")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="speed of a simulation, as a multiple of real time, 0.1 to 100 (default: 1)"
    )
    parser.add_argument(
        "--set", action="store_true", help="write the wanted values to the parameters that bar a flight; PX4 keeps them"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to listen at most, 1 to 600 (default: 10)")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl.flight.flight_settings import settings_for
    from spike_ctrl.policy import checkpoint
    from spike_ctrl.px4 import parameter_rules, parameter_writer, preflight
    from spike_ctrl.px4.companion import Companion
    from spike_ctrl.px4.connection import Connection
    from spike_ctrl.px4.link import Link
    from spike_ctrl.px4.signing import Signing, read_key

    ranges.require(vars(options), RANGES, "--")
    craft = airframe.load(options.airframe)
    contract = checkpoint.load(options.model).manifest.contract if options.model else None
    limits = settings_for(craft, options.rate, options.cage, options.height)
    parameter_rules.require_version(options.assume, "--assume")
    given = not options.no_remote_control, options.assume, options.speed
    wanted = parameter_rules.Wanted(*given, state_rate=0.8 * options.rate)
    key = options.signing_key
    signing = Signing(read_key(key), 0, time.time(), time.monotonic()) if key else None
    connection = Connection(options.connection)
    names = parameter_rules.parameter_names(parameter_rules.rules_for(limits, craft, wanted))
    companion = Companion(Link(connection.stream, signing, options.system), options.rate, names)
    print(f"listening at {options.connection} for up to {options.seconds:g} s", flush=True)
    begun, talk = time.monotonic(), (connection, companion, time.monotonic)

    def rules(heard: preflight.Heard) -> list[parameter_rules.Rule]:
        return parameter_rules.rules_for(limits, craft, wanted, heard.home, heard.version)

    def unmet_at(now: float) -> list[Unmet]:
        heard = companion.heard_of(now)
        companion.want(parameter_rules.parameter_names(rules(heard)))
        return preflight.audit(heard, limits, craft, wanted)

    parameter_writer.listen(*talk, begun + options.seconds, lambda now: not unmet_at(now) and now > begun + WARM_UP)
    if options.set:
        try:
            written = parameter_writer.write(*talk, lambda heard: parameter_rules.to_set(heard.parameters, rules(heard)))
        except UsageError as error:
            raise UsageError(f"--set: {error}") from None
        for name, value in written.items():
            print(f"set {name}: {value.before:g} -> {value.after:g}")
    unmet = unmet_at(time.monotonic())
    connection.close()
    if contract is not None:
        unmet += preflight.audit_contract(contract, craft, options.rate, limits.layout)
    for one in unmet:
        print(f"{'unmet' if one.blocks else 'warning'}: {one}")
    barring = sum(one.blocks for one in unmet)
    print("ready to fly" if not barring else f"{barring} conditions bar a flight")
    return 1 if barring else 0
