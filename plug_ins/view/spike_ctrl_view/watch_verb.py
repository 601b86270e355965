"""Show a running graph in the terminal or the browser.

Who flies, how far from the set-point, rates and ages of topics, spikes, training; in the browser, the vehicles in 3-D too.
In the terminal, letters that are typed show only the topics with these in their name; Escape shows all.
"""

import argparse

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError

GROUP = "tools"
EXAMPLES = """
spike-ctrl watch                      # until Ctrl-C, in the ROS_DOMAIN_ID of the graph
spike-ctrl watch --web                # in the browser of this machine: vehicles, spikes, ladder
spike-ctrl watch --namespace b        # the graph of launch flight namespace:=b
spike-ctrl watch --topics policy      # only the topics with this in their name
spike-ctrl watch --seconds 3          # one picture of the first 3 s, as text
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topics", default="", metavar="TEXT", help="show the topics with this in their name")
    parser.add_argument("--namespace", default="", metavar="NAME", help="that of the graph (launch ... namespace:=NAME)")
    parser.add_argument("--seconds", type=float, default=0.0, help="print one picture after this time and end")
    parser.add_argument("--web", action="store_true", help="serve a page to the browser of this machine")
    parser.add_argument("--port", type=int, default=9090, help="of the page (default: 9090)")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import launching

    ranges.require(vars(options), {"seconds": (0, 3600), "port": (1, 65535)}, "--")
    if options.web and options.seconds:
        raise UsageError("--seconds: found with --web, wanted one of them: a page is served until Ctrl-C")
    node, about = ("viewer", {"port": options.port}) if options.web else ("dashboard", {"seconds": options.seconds})
    about |= {"topics": options.topics} if options.topics else {}
    launching.become("spike_ctrl_view", node, about, options.namespace)
