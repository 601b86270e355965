"""Show a running graph in the terminal.

Rates and ages of its topics, who flies, how far from the set-point, spike rates, training.
"""

from __future__ import annotations

import argparse

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError

GROUP = "tools"
EXAMPLES = """
spike-ctrl watch                      # until Ctrl-C, in the ROS_DOMAIN_ID of the graph
spike-ctrl watch --seconds 3          # one picture of the first 3 s, as text
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=0.0, help="print one picture after this time and end")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import launching

    ranges.require(vars(options), {"seconds": (0, 3600)}, "--")
    try:
        launching.become("spike_ctrl_view", "dashboard", {"seconds": options.seconds})
    except launching.LaunchError as error:
        raise UsageError(str(error)) from None
