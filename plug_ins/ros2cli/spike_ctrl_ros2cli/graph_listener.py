"""A node that asks the running graph: it finds it, calls its services and hears its topics. It publishes nothing."""

import argparse
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spike_ctrl.launching import installed

SPIN_TIME = 0.5  # s
LATE = 2.0  # s more for what was named and is not found yet
PATIENCE = 5.0  # s for a node's services


class Stopped(Exception):
    """SIGTERM ends the program."""


class Listener:
    """node: of rclpy. Times are of the steady clock, s."""

    def __init__(self, node: Any, executor: Any):
        self.node, self._executor = node, executor

    def spin(self, until: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Work until a condition holds, for at most some seconds. Whether it holds."""
        deadline = time.monotonic() + seconds
        while not (found := until()) and (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(min(left, 0.1))
        return found

    def named(self, node: str, names: Callable[[], list[str]], seconds: float = LATE) -> str | None:
        """The full name of a node among those that `names` gives; None where it does not come within these seconds."""
        full = node if node.startswith("/") else f"/{node}"
        return full if self.spin(lambda: full in names(), seconds) else None

    def call(self, kind: Any, service: str, request: Any, seconds: float = float("inf")) -> Any:
        """The response of a service, or None where there is none within these seconds."""
        client = self.node.create_client(kind, service)
        try:
            if not self.spin(client.service_is_ready, seconds):
                return None
            future = client.call_async(request)
            return future.result() if self.spin(future.done, seconds) else None
        finally:
            self.node.destroy_client(client)

    def nodes(self, hidden: bool = False) -> list[str]:
        """Full names of all nodes, sorted; hidden: also of those whose names begin with an underscore."""
        names = [(name, f"{space.rstrip('/')}/{name}") for name, space in self.node.get_node_names_and_namespaces()]
        return sorted(full for name, full in names if hidden or not name.startswith("_"))

    def topics(self, hidden: bool = False) -> list[tuple[str, list[str]]]:
        """Each topic with its types."""
        return _shown(self.node.get_topic_names_and_types(), hidden)

    def types(self, topic: str, seconds: float = LATE) -> list[str]:
        """The types of a topic, of which there are none where it does not appear within these seconds."""
        self.spin(lambda: topic in dict(self.topics(hidden=True)), seconds)
        return dict(self.topics(hidden=True)).get(topic, [])

    def services(self, hidden: bool = False) -> list[tuple[str, list[str]]]:
        """Each service with its types."""
        return _shown(self.node.get_service_names_and_types(), hidden)


@contextmanager
def listening(options: argparse.Namespace, name: str | None = None) -> Iterator[Listener]:
    """A listener that had `options.spin_time` (s) to find the graph. name: of its node, else a hidden one."""
    for key, value in installed.environment().items():
        os.environ.setdefault(key, value)
    import rclpy
    from rclpy.experimental import EventsExecutor
    from rclpy.signals import SignalHandlerOptions

    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    before = signal.signal(signal.SIGTERM, _stop)
    node = rclpy.create_node(
        name or f"_ros2cli_{os.getpid()}", context=context, start_parameter_services=False, enable_rosout=False
    )
    executor = EventsExecutor(context=context)
    executor.add_node(node)
    try:
        listener = Listener(node, executor)
        listener.spin(lambda: False, options.spin_time)
        yield listener
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
        signal.signal(signal.SIGTERM, before)


def add_graph(parser: argparse.ArgumentParser) -> None:
    """Options of each verb that looks at the graph."""
    parser.add_argument(
        "--spin-time", type=float, default=SPIN_TIME, metavar="S", help="time to find the graph (default: %(default)s s)"
    )
    parser.add_argument("--no-daemon", action="store_true", help="taken for the real ros2's sake: there is no daemon here")


def add_command(commands: Any, name: str, about: str) -> Any:
    """A command, whose verbs are added to what is returned."""
    found = commands.add_parser(name, help=about, description=about)
    found.set_defaults(about=found)
    return found.add_subparsers(title="verbs", metavar="VERB")


def add_verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], Any], examples: str) -> argparse.ArgumentParser:
    """A verb, described by the first line of the docstring of `run`."""
    about = (run.__doc__ or "").partition("\n")[0]
    form = argparse.RawDescriptionHelpFormatter
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    found: argparse.ArgumentParser = verbs.add_parser(
        name, help=about, description=about, epilog=f"examples:\n{lines}", formatter_class=form
    )
    found.set_defaults(run=run)
    return found


def print_names(found: list[tuple[str, list[str]]], types: bool) -> None:
    """Print the names of topics or services, one in a line. types: also their types."""
    for name, kinds in found:
        print(f"{name} [{', '.join(kinds)}]" if types else name)


def _shown(names: list[tuple[str, list[str]]], hidden: bool) -> list[tuple[str, list[str]]]:
    return [(name, kinds) for name, kinds in names if hidden or not any(part[:1] == "_" for part in name.split("/"))]


def _stop(number: int, frame: object) -> None:
    raise Stopped
