"""A thread of a node that reads from a device or socket beside its executor."""

import threading
from collections.abc import Callable

from rclpy.node import Node


def start_reader(node: Node, whom: str, work: Callable[[], None]) -> threading.Thread:
    """Start the thread that runs `work`, which goes on until the node ends.

    An exception in it ends the node in one line (see `spin.run`): a node that no longer hears must not seem alive.
    """

    def run() -> None:
        try:
            work()
        except Exception as error:
            node.failure = f"listening to {whom} ended: {type(error).__name__}: {error}".partition("\n")[0]

    thread = threading.Thread(target=run, name=f"listens to {whom}", daemon=True)
    thread.start()
    return thread
