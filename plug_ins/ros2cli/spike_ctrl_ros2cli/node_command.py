"""ros2 node list."""

import argparse
import sys
from typing import Any

from spike_ctrl_ros2cli.graph_listener import add_command, add_graph, add_verb, listening


def add(commands: Any) -> None:
    verbs = add_command(commands, "node", "Show the nodes of the graph.")
    listed = add_verb(verbs, "list", list_nodes, "ros2 node list\nros2 node list -a\nros2 node list -c")
    add_graph(listed)
    listed.add_argument("-a", "--all", action="store_true", help="also hidden nodes")
    listed.add_argument("-c", "--count-nodes", action="store_true", help="only their number")


def list_nodes(options: argparse.Namespace) -> None:
    """List the nodes that run."""
    with listening(options) as graph:
        names = graph.nodes(options.all)
    if options.count_nodes:
        print(len(names))
        return
    if len(set(names)) < len(names):
        print(
            "WARNING: Be aware that there are nodes in the graph that share an exact name, "
            "which can have unintended side effects.",
            file=sys.stderr,
        )
    for name in names:
        print(name)
