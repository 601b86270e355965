"""ros2 param list, get, describe, set."""

import argparse
import re
import sys
from typing import Any

from spike_ctrl_ros2cli.graph_listener import PATIENCE, Listener, add_command, add_graph, add_verb, listening

# By the number of rcl_interfaces/ParameterType: its name, how a value is announced, and the field that holds it.
TYPES = (
    ("not set", "Parameter not set.", ""),
    ("boolean", "Boolean value is:", "bool_value"),
    ("integer", "Integer value is:", "integer_value"),
    ("double", "Double value is:", "double_value"),
    ("string", "String value is:", "string_value"),
    ("byte array", "Byte values are:", "byte_array_value"),
    ("boolean array", "Boolean values are:", "bool_array_value"),
    ("integer array", "Integer values are:", "integer_array_value"),
    ("double array", "Double values are:", "double_array_value"),
    ("string array", "String values are:", "string_array_value"),
)


def add(commands: Any) -> None:
    verbs = add_command(commands, "param", "Show and change the parameters of nodes.")
    listed = add_verb(verbs, "list", list_parameters, "ros2 param list\nros2 param list /supervisor --param-type")
    _add_common(listed, waits=False)
    listed.add_argument("node_name", nargs="?", help="as /supervisor; all nodes if it is left out")
    listed.add_argument("--filter", nargs=1, metavar="REGEX", help="only names that begin with this regular expression")
    listed.add_argument("--param-prefixes", nargs="+", default=[], metavar="PREFIX", help="only names with these prefixes")
    listed.add_argument("--param-type", action="store_true", help="also their types")
    read = add_verb(
        verbs, "get", get_parameter, "ros2 param get /vehicle_bridge connection\nros2 param get /learner steps --hide-type"
    )
    _add_common(read)
    read.add_argument("node_name", help="as /vehicle_bridge")
    read.add_argument("parameter_name", help="as connection")
    read.add_argument("--hide-type", action="store_true", help="the value alone")
    about = add_verb(verbs, "describe", describe_parameters, "ros2 param describe /supervisor airframe model")
    _add_common(about)
    about.add_argument("node_name", help="as /supervisor")
    about.add_argument("parameter_names", nargs="+", help="as airframe model")
    change = add_verb(verbs, "set", set_parameter, "ros2 param set /viewer use_sim_time false")
    _add_common(change)
    change.add_argument("node_name", help="as /viewer")
    change.add_argument("parameter_name", help="as use_sim_time")
    change.add_argument("value", help="as YAML")


def list_parameters(options: argparse.Namespace) -> str | None:
    """List the parameters of a node, or of all nodes."""
    from rcl_interfaces.srv import ListParameters

    with listening(options) as graph:
        names = graph.nodes(options.include_hidden_nodes)
        if options.node_name:
            if (name := graph.named(options.node_name, lambda: graph.nodes(options.include_hidden_nodes))) is None:
                return "Node not found"
            names = [name]
        for node in dict.fromkeys(names):
            request = ListParameters.Request(prefixes=options.param_prefixes)
            response = graph.call(ListParameters, f"{node}/list_parameters", request, PATIENCE)
            if response is None:
                print(f"Wait for service timed out waiting for parameter services for node {node}")
                continue
            found = sorted(response.result.names)
            if options.filter:
                found = [name for name in found if re.match(options.filter[0], name)]
            if found and not options.node_name:
                print(f"{node}:")
            kinds = {one.name: TYPES[one.type][0] for one in _described(graph, node, found)} if options.param_type else {}
            for name in found:
                print(f"  {name} (type: {kinds[name]})" if kinds else f"  {name}")
    return None


def get_parameter(options: argparse.Namespace) -> str | None:
    """Show the value of a parameter."""
    from rcl_interfaces.srv import GetParameters

    with listening(options) as graph:
        if not _waited(graph, options):
            return "Node not found"
        values = _asked(graph, options.node_name, GetParameters, "get_parameters", names=[options.parameter_name]).values
    if not values:
        return "Parameter not set"
    _, label, field = TYPES[values[0].type]
    value: Any = getattr(values[0], field) if field else None
    value = value.tolist() if hasattr(value, "tolist") else value
    if options.hide_type:
        print(value)
    else:
        print(*[label] if value is None else (label, value))
    return None


def describe_parameters(options: argparse.Namespace) -> str | None:
    """Show type, description and limits of parameters."""
    with listening(options) as graph:
        if not _waited(graph, options):
            return "Node not found"
        for one in _described(graph, options.node_name, options.parameter_names):
            print(f"Parameter name: {one.name}\n  Type: {TYPES[one.type][0]}")
            if one.description:
                print(f"  Description: {one.description}")
            print("  Constraints:")
            if one.read_only:
                print("    Read only: true")
            for limits in [*one.floating_point_range, *one.integer_range][:1]:
                print(f"    Min value: {limits.from_value}\n    Max value: {limits.to_value}")
                if limits.step:
                    print(f"    Step: {limits.step}")
            if one.additional_constraints:
                print(f"    Additional constraints: {one.additional_constraints}")
    return None


def set_parameter(options: argparse.Namespace) -> str | None:
    """Change the value of a parameter; a refusal goes to stderr."""
    from rcl_interfaces.msg import Parameter
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import get_parameter_value

    with listening(options) as graph:
        if not _waited(graph, options):
            return "Node not found"
        wanted = Parameter(name=options.parameter_name, value=get_parameter_value(string_value=options.value))
        (result,) = _asked(graph, options.node_name, SetParameters, "set_parameters", parameters=[wanted]).results
    words = "Set parameter successful" if result.successful else "Setting parameter failed"
    because = f": {result.reason}" if result.reason else ""
    print(f"{words}{because}", file=sys.stdout if result.successful else sys.stderr)
    return None


def _add_common(parser: argparse.ArgumentParser, waits: bool = True) -> None:
    add_graph(parser)
    parser.add_argument("--include-hidden-nodes", action="store_true", help="also hidden nodes")
    if waits:
        parser.add_argument("--timeout", type=int, default=1, metavar="N", help="wait N seconds for the node (default: 1)")


def _waited(graph: Listener, options: argparse.Namespace) -> bool:
    """Whether the node is there within the time limit."""
    return graph.named(options.node_name, lambda: graph.nodes(options.include_hidden_nodes), options.timeout) is not None


def _described(graph: Listener, node: str, names: list[str]) -> Any:
    from rcl_interfaces.srv import DescribeParameters

    return _asked(graph, node, DescribeParameters, "describe_parameters", names=names).descriptors


def _asked(graph: Listener, node: str, kind: Any, service: str, **fields: Any) -> Any:
    """The answer of a node's parameter service. Raises RuntimeError."""
    response = graph.call(kind, f"/{node.lstrip('/')}/{service}", kind.Request(**fields), PATIENCE)
    if response is None:
        raise RuntimeError(f"Wait for service timed out waiting for parameter services for node {node}")
    return response
