"""ros2 topic list, echo, hz, info."""

import argparse
import math
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from spike_ctrl_ros2cli.graph_listener import Listener, add_command, add_graph, add_verb, listening, print_names
from spike_ctrl_ros2cli.message_text import LENGTH, as_csv, as_yaml, interface

WINDOW = 10000  # messages
Filter = Callable[[Any], Any]


def add(commands: Any) -> None:
    verbs = add_command(commands, "topic", "Show the topics of the graph, and what is on them.")
    listed = add_verb(verbs, "list", list_topics, "ros2 topic list\nros2 topic list -t\nros2 topic list -v")
    add_graph(listed)
    listed.add_argument("-t", "--show-types", action="store_true", help="also their types")
    listed.add_argument("-c", "--count-topics", action="store_true", help="only their number")
    listed.add_argument("--include-hidden-topics", action="store_true", help="also hidden topics")
    listed.add_argument("-v", "--verbose", action="store_true", help="also how many nodes publish and subscribe")
    _add_echo(verbs)
    hertz = add_verb(verbs, "hz", measure_rate, "ros2 topic hz /flight_state\nros2 topic hz /state /policy/action -w 200")
    add_graph(hertz)
    hertz.add_argument("topic_name", nargs="+", help="as /state")
    hertz.add_argument("-w", "--window", type=_positive, default=WINDOW, help="messages to average (default: %(default)s)")
    hertz.add_argument("--filter", metavar="EXPR", help="count only messages m for which this Python expression is true")
    info = add_verb(verbs, "info", show_topic, "ros2 topic info /command\nros2 topic info /command -v")
    add_graph(info)
    info.add_argument("topic_name", help="as /command")
    info.add_argument("-v", "--verbose", action="store_true", help="also each publisher and subscription, with its QoS")


def _add_echo(verbs: Any) -> None:
    examples = """
ros2 topic echo /supervisor/status
ros2 topic echo /odometry --once --field pose.pose.position
ros2 topic echo /flight_state --csv
ros2 topic echo /policy/model --qos-durability transient_local -l 10
"""
    echo = add_verb(verbs, "echo", echo_topic, examples)
    add_graph(echo)
    echo.add_argument("topic_name", help="as /supervisor/status")
    echo.add_argument("message_type", nargs="?", help="as std_msgs/msg/String; else that of the publishers")
    echo.add_argument("--once", action="store_true", help="print the first message and end")
    echo.add_argument("--timeout", type=float, metavar="N", help="end after N seconds")
    echo.add_argument("--field", help="print one field of each message, as pose.pose.position")
    echo.add_argument("--filter", metavar="EXPR", help="print only messages m for which this Python expression is true")
    echo.add_argument("--csv", action="store_true", help="print all fields of a message in one line")
    echo.add_argument("--flow-style", action="store_true", help="print each list in one line")
    echo.add_argument("-f", "--full-length", action="store_true", help="print arrays and texts in full")
    echo.add_argument("-l", "--truncate-length", type=int, default=LENGTH, metavar="N", help="their length (default: 128)")
    echo.add_argument("--no-arr", action="store_true", help="print of arrays their sizes alone")
    echo.add_argument("--no-str", action="store_true", help="print of texts their lengths alone")
    echo.add_argument("--raw", action="store_true", help="print the bytes of each message")
    echo.add_argument("-n", "--node-name", help="name of the node that listens (default: a hidden one)")
    echo.add_argument("--qos-depth", type=_positive, metavar="N", help="messages that may wait (default: 5)")
    echo.add_argument("--qos-reliability", choices=("reliable", "best_effort"), help="(default: as the publishers)")
    echo.add_argument("--qos-durability", choices=("transient_local", "volatile"), help="(default: as the publishers)")


def list_topics(options: argparse.Namespace) -> None:
    """List the topics of the graph."""
    with listening(options) as graph:
        found = graph.topics(options.include_hidden_topics)
        counts = {name: (graph.node.count_publishers(name), graph.node.count_subscribers(name)) for name, _ in found}
    if options.count_topics:
        print(len(found))
    elif options.verbose and found:
        for side, (head, one) in enumerate((("Published", "publisher"), ("Subscribed", "subscriber"))):
            print(f"{head} topics:")
            for name, kinds in found:
                if count := counts[name][side]:
                    print(f" * {name} [{', '.join(kinds)}] {count} {one}{'s' if count > 1 else ''}")
            print()
    else:
        print_names(found, options.show_types)


def show_topic(options: argparse.Namespace) -> str | None:
    """Show a topic's type and how many nodes publish and subscribe."""
    name, end = options.topic_name, "\n\n" if options.verbose else "\n"
    with listening(options) as graph:
        if not (kinds := graph.types(name)):
            return f"Unknown topic '{name}'"
        node = graph.node
        print(f"Type: {kinds[0] if len(kinds) == 1 else kinds}", end=end)
        for label, count, described in (
            ("Publisher", node.count_publishers, node.get_publishers_info_by_topic),
            ("Subscription", node.count_subscribers, node.get_subscriptions_info_by_topic),
        ):
            print(f"{label} count: {count(name)}", end=end)
            for one in described(name) if options.verbose else ():
                print(one, end=end)
    return None


def echo_topic(options: argparse.Namespace) -> int | str | None:
    """Print the messages of a topic."""
    from rclpy.serialization import deserialize_message

    if options.field is not None and not options.field.strip("."):
        raise RuntimeError(f"Invalid field value '{options.field}'")
    wanted = _filter(options.filter)
    with listening(options, options.node_name) as graph:
        kind = _kind(graph, options.topic_name) if options.message_type is None else interface(options.message_type, "msg")
        if kind is None:
            return "Could not determine the type for the passed topic"
        waiting: deque[bytes] = deque()
        profile = _profile(graph, options)
        graph.node.create_subscription(kind, options.topic_name, lambda data: waiting.append(data), profile, raw=True)
        deadline = math.inf if options.timeout is None else time.monotonic() + options.timeout
        while graph.spin(lambda: bool(waiting), deadline - time.monotonic()):
            data = waiting.popleft()
            shown = data if options.raw else _field(deserialize_message(data, kind), options.field)
            if wanted is None or wanted(shown):
                print(_text(shown, options), end="\n" if options.csv and hasattr(shown, "SLOT_TYPES") else "---\n")
                if options.once:
                    break
    return None


def measure_rate(options: argparse.Namespace) -> None:
    """Print the rate of one or more topics once a second."""
    from rclpy.qos import qos_profile_sensor_data
    from rclpy.serialization import deserialize_message

    times: dict[str, deque[float]] = {}
    wanted = _filter(options.filter)
    with listening(options) as graph:

        def counter(kind: Any, heard: deque[float]) -> Callable[[bytes], None]:
            def count(data: bytes) -> None:
                if wanted is None or wanted(deserialize_message(data, kind)):
                    heard.append(time.monotonic())

            return count

        for name in options.topic_name:
            kind = _kind(graph, name, waits=True)
            times[name] = deque(maxlen=options.window + 1)
            graph.node.create_subscription(kind, name, counter(kind, times[name]), qos_profile_sensor_data, raw=True)
            if len(options.topic_name) > 1:
                print(f"Subscribed to [{name}]")
        printed: dict[str, float] = {}
        try:
            while True:
                graph.spin(lambda: False, 1.0)
                new = {
                    name: list(heard) for name, heard in times.items() if len(heard) > 1 and heard[-1] != printed.get(name)
                }
                printed |= {name: heard[-1] for name, heard in new.items()}
                if new:
                    print(_rate_table(new) if len(times) > 1 else _rate_line(*new.values()))
        except KeyboardInterrupt:
            pass


def rate(times: list[float]) -> tuple[float, float, float, float, int]:
    """Messages per second, least and largest distance (s), standard deviation (s) and number of distances of times (s)."""
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    return 1 / mean if mean > 0 else 0.0, min(gaps), max(gaps), deviation, len(gaps)


def _rate_line(times: list[float]) -> str:
    hertz, least, most, deviation, window = rate(times)
    about = f"min: {least:.3f}s max: {most:.3f}s std dev: {deviation:.5f}s window: {window}"
    return f"average rate: {hertz:.3f}\n\t{about}"


def _rate_table(times: dict[str, list[float]]) -> str:
    rows = []
    for name, heard in times.items():
        hertz, least, most, deviation, window = rate(heard)
        rows.append((name, f"{hertz:.3f}", f"{least:.3f}", f"{most:.3f}", f"{deviation:.5f}", str(window)))
    head = ("topic", "rate", "min_delta", "max_delta", "std_dev", "window")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    titles = "   ".join(word.center(width) for word, width in zip(head, widths, strict=True))
    lines = ["   ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([titles, "=" * (sum(widths) + 3 * (len(head) - 1)), *lines, ""])


def _kind(graph: Listener, topic: str, waits: bool = False) -> Any:
    """The class of a topic's messages; None where nobody publishes it, unless it waits for that."""
    name = topic if topic.startswith("/") else f"/{topic}"
    if not (found := graph.types(name)):
        print(f"WARNING: topic [{topic}] does not appear to be published yet")
        if not waits:
            return None
        found = graph.types(name, math.inf)
    if len(found) > 1:
        raise RuntimeError(f"Cannot echo topic '{topic}', as it contains more than one type: [{', '.join(found)}]")
    try:
        return interface(found[0], "msg")
    except RuntimeError:
        raise RuntimeError(f"The message type '{found[0]}' is invalid") from None


def _profile(graph: Listener, options: argparse.Namespace) -> Any:
    """The QoS that hears all publishers: as strict as the least strict of them."""
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    known = [info.qos_profile for info in graph.node.get_publishers_info_by_topic(options.topic_name)]
    reliable = [one.reliability == ReliabilityPolicy.RELIABLE for one in known]
    kept = [one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in known]
    given = (options.qos_reliability, options.qos_durability, options.qos_depth) != (None, None, None)
    for strict, policy, loose in (
        (reliable, "QoSReliabilityPolicy.RELIABLE", "QoSReliabilityPolicy.BEST_EFFORT"),
        (kept, "QoSDurabilityPolicy.TRANSIENT_LOCAL", "QoSDurabilityPolicy.VOLATILE"),
    ):
        if any(strict) and not all(strict) and not given:
            print(
                f"Some, but not all, publishers are offering {policy}. "
                f"Falling back to {loose} as it will connect to all publishers"
            )
    reliability = options.qos_reliability or ("reliable" if reliable and all(reliable) and not given else "best_effort")
    durability = options.qos_durability or ("transient_local" if kept and all(kept) and not given else "volatile")
    return QoSProfile(
        depth=5 if options.qos_depth is None else options.qos_depth,
        reliability=ReliabilityPolicy[reliability.upper()],
        durability=DurabilityPolicy[durability.upper()],
    )


def _field(message: Any, path: str | None) -> Any:
    for name in filter(None, (path or "").split(".")):
        try:
            message = getattr(message, name)
        except AttributeError as error:
            raise RuntimeError(f"Invalid field '{path}': {error}") from None
    return message


def _text(shown: Any, options: argparse.Namespace) -> str:
    if not hasattr(shown, "SLOT_TYPES"):
        return f"{shown}\n"
    form = (None if options.full_length else options.truncate_length, not options.no_arr, not options.no_str)
    return as_csv(shown, *form) if options.csv else as_yaml(shown, *form, options.flow_style)


def _filter(expression: str | None) -> Filter | None:
    """As the real one: any Python expression of the message m, by whoever calls this program."""

    def wanted(message: Any) -> Any:
        try:
            return eval(expression or "", {"m": message})
        except Exception as error:
            raise RuntimeError(f"--filter {expression}: {type(error).__name__}: {error}") from None

    return None if expression is None else wanted


def _positive(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError("value must be a positive integer")
    return int(text)
