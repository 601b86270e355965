"""A thread of a node that reads from a device or a socket, beside the executor."""

import threading
from collections.abc import Callable

from spike_ctrl_ros.node import ProcessNode


def start_reader(node: ProcessNode, whom: str, work: Callable[[], None]) -> threading.Thread:
    """Start a thread that runs `work` until the node ends. whom: what it listens to, in words.

    An exception in it ends the node with one line (see `spin.run`): a node that no longer listens must not seem alive.
    """

    def run() -> None:
        try:
            work()
        except Exception as error:
            node.failure = f"listening to {whom} ended: {type(error).__name__}: {error}".partition("\n")[0]

    thread = threading.Thread(target=run, name=f"listens to {whom}", daemon=True)
    thread.start()
    return thread
