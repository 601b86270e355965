"""ros2 lifecycle nodes, get, set, list."""

import argparse
import sys
from typing import Any

from spike_ctrl_ros2cli.graph_listener import PATIENCE, Listener, add_command, add_graph, add_verb, listening


def add(commands: Any) -> None:
    verbs = add_command(commands, "lifecycle", "Show and change the states of nodes that have a lifecycle.")
    nodes = add_verb(verbs, "nodes", list_lifecycles, "ros2 lifecycle nodes")
    add_graph(nodes)
    nodes.add_argument("-a", "--all", action="store_true", help="also hidden nodes")
    nodes.add_argument("-c", "--count-nodes", action="store_true", help="only their number")
    state = add_verb(verbs, "get", get_state, "ros2 lifecycle get\nros2 lifecycle get /snn_policy")
    _add_node(state, nargs="?")
    listed = add_verb(verbs, "list", list_transitions, "ros2 lifecycle list /snn_policy\nros2 lifecycle list /snn_policy -a")
    _add_node(listed)
    listed.add_argument("-a", "--all", action="store_true", help="also those that the present state does not allow")
    change = add_verb(verbs, "set", set_state, "ros2 lifecycle set /snn_policy deactivate")
    _add_node(change)
    change.add_argument("transition", help="its label or number")


def list_lifecycles(options: argparse.Namespace) -> None:
    """List the nodes that have a lifecycle."""
    with listening(options) as graph:
        names = _nodes(graph, options.all)
    print(len(names)) if options.count_nodes else print(*names, sep="\n", end="\n" if names else "")


def get_state(options: argparse.Namespace) -> int | str | None:
    """Show the state of one node, or of all that have a lifecycle."""
    from lifecycle_msgs.srv import GetState

    with listening(options) as graph:
        names = _nodes(graph, options.include_hidden_nodes)
        if options.node_name:
            if (name := _named(graph, options)) is None:
                return "Node not found"
            names = [name]
        for name in names:
            response = graph.call(GetState, f"{name}/get_state", GetState.Request(), PATIENCE)
            if response is None:
                print(f"Exception while calling service of node '{name}': no answer", file=sys.stderr)
                if options.node_name:
                    return 1
                continue
            state = response.current_state
            print(f"{'' if options.node_name else f'{name}: '}{state.label} [{state.id}]")
    return None


def list_transitions(options: argparse.Namespace) -> str | None:
    """List the transitions that a node's present state allows."""
    with listening(options) as graph:
        if (name := _named(graph, options)) is None:
            return "Node not found"
        for one in _transitions(graph, name, "transition_graph" if options.all else "available_transitions"):
            print(f"- {one.transition.label} [{one.transition.id}]")
            print(f"\tStart: {one.start_state.label}\n\tGoal: {one.goal_state.label}")
    return None


def set_state(options: argparse.Namespace) -> str | None:
    """Trigger a transition."""
    from lifecycle_msgs.srv import ChangeState

    with listening(options) as graph:
        if (name := _named(graph, options)) is None:
            return "Node not found"
        found = [one.transition for one in _transitions(graph, name, "available_transitions")]
        wanted = [one for one in found if one.label == options.transition]
        wanted += [one for one in found if str(one.id) == options.transition]
        if not wanted:
            there = "".join(f"\n- {one.label} [{one.id}]" for one in found)
            return f"Unknown transition requested, available ones are:{there}"
        request = ChangeState.Request(transition=wanted[0])
        response = graph.call(ChangeState, f"{name}/change_state", request)  # may take its time
    if response is not None and response.success:
        print("Transitioning successful")
    else:
        print("Transitioning failed", file=sys.stderr)
    return None


def _add_node(parser: argparse.ArgumentParser, nargs: Any = None) -> None:
    add_graph(parser)
    parser.add_argument("node_name", nargs=nargs, help="as /snn_policy")
    parser.add_argument("--include-hidden-nodes", action="store_true", help="also hidden nodes")


def _nodes(graph: Listener, hidden: bool) -> list[str]:
    services = dict(graph.services(hidden))
    kind = "lifecycle_msgs/srv/GetState"
    return [name for name in dict.fromkeys(graph.nodes(hidden)) if kind in services.get(f"{name}/get_state", ())]


def _named(graph: Listener, options: argparse.Namespace) -> str | None:
    return graph.named(options.node_name, lambda: _nodes(graph, options.include_hidden_nodes))


def _transitions(graph: Listener, node: str, which: str) -> Any:
    from lifecycle_msgs.srv import GetAvailableTransitions

    service, request = f"{node}/get_{which}", GetAvailableTransitions.Request()
    response = graph.call(GetAvailableTransitions, service, request, PATIENCE)
    if response is None:
        raise RuntimeError(f"Exception while calling service of node '{node}': no answer")
    return response.available_transitions
