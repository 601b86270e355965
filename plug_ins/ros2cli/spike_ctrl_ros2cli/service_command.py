"""ros2 service list, call."""

import argparse
import sys
from typing import Any

import yaml

from spike_ctrl_ros2cli.graph_listener import add_command, add_graph, add_verb, listening, print_names
from spike_ctrl_ros2cli.message_text import interface, set_fields


def add(commands: Any) -> None:
    verbs = add_command(commands, "service", "Show and call the services of the graph.")
    listed = add_verb(verbs, "list", list_services, "ros2 service list\nros2 service list -t")
    add_graph(listed)
    listed.add_argument("-t", "--show-types", action="store_true", help="also their types")
    listed.add_argument("-c", "--count-services", action="store_true", help="only their number")
    listed.add_argument("--include-hidden-services", action="store_true", help="also hidden services")
    examples = """
ros2 service call /land std_srvs/srv/Trigger
ros2 service call /set_target spike_ctrl_msgs/srv/SetTarget "{position: [1.0, 0.0, 1.5]}"
"""
    called = add_verb(verbs, "call", call_service, examples)
    called.add_argument("service_name", help="as /land")
    called.add_argument("service_type", help="as std_srvs/srv/Trigger")
    given = called.add_mutually_exclusive_group()
    given.add_argument("values", nargs="?", default="{}", help="fields of the request as YAML (default: {})")
    given.add_argument("--stdin", action="store_true", help="read them from the standard input")
    called.add_argument("-r", "--rate", type=float, metavar="N", help="call N times a second until Ctrl-C")


def list_services(options: argparse.Namespace) -> None:
    """List the services of the graph."""
    with listening(options) as graph:
        found = graph.services(options.include_hidden_services)
    if options.count_services:
        print(len(found))
        return
    print_names(found, options.show_types)


def call_service(options: argparse.Namespace) -> str | None:
    """Call a service, and show its response."""
    if options.rate is not None and not options.rate > 0:
        raise RuntimeError("rate must be greater than zero")
    kind = interface(options.service_type, "srv")
    request = kind.Request(check_fields=True)  # else a value out of range is sent as another one
    try:
        set_fields(request, yaml.safe_load(sys.stdin.read() if options.stdin else options.values))
    except (AttributeError, TypeError, ValueError, AssertionError, OverflowError, yaml.YAMLError) as error:
        return f"Failed to populate field: {error}"
    options.spin_time = 0.0
    with listening(options) as graph:
        client = graph.node.create_client(kind, options.service_name)
        if not graph.spin(client.service_is_ready, 0.2):
            print("waiting for service to become available...")
            graph.spin(client.service_is_ready)
        while True:
            print(f"requester: making request: {request!r}\n")
            future = client.call_async(request)
            graph.spin(future.done)
            print(f"response:\n{future.result()!r}\n")
            if options.rate is None:
                return None
            graph.spin(lambda: False, 1 / options.rate)
