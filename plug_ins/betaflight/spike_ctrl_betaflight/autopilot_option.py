"""The option --autopilot of `spike-ctrl preflight`: beside which autopilot the flight is; PX4 without it."""

import argparse

EXAMPLES = """
spike-ctrl preflight --autopilot betaflight --connection serial:/dev/ttyUSB0:921600 --set
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option to the verb's own."""
    parser.add_argument("--autopilot", choices=("px4", "betaflight"), default="px4", help="default: px4")


def run(options: argparse.Namespace) -> int | None:
    """The preflight beside Betaflight, with the options that it has; its defaults where PX4's were not replaced."""
    if options.autopilot == "px4":
        return None
    from spike_ctrl.flight.flight_options import FlightOptions
    from spike_ctrl.px4.connection import LinkOptions
    from spike_ctrl_betaflight import betaflight_verb

    parser = argparse.ArgumentParser()
    betaflight_verb.add(parser)
    words = ["preflight", "--seconds", str(options.seconds), *(["--set"] if options.set else [])]
    for name, usual in (("connection", LinkOptions().connection), ("airframe", FlightOptions().airframe)):
        if getattr(options, name) != usual:
            words += [f"--{name}", getattr(options, name)]
    return betaflight_verb.run(parser.parse_args(words))
