"""The base of all nodes of spike_ctrl: each is a process of its own, which `spin.run` starts and ends."""

from rclpy.node import Node


class ProcessNode(Node):
    """A node that says itself when it ends.

    finished: its work is done; it ends with exit code 0. failure: one line that says why it cannot go on; exit code 1. Both
    are set in callbacks, failure in other threads too.
    """

    finished: bool = False
    failure: str | None = None

    def stopping(self) -> bool:
        """Whether it has to go on although a signal asks it to end. It is asked again until it need not."""
        return False

    def close(self) -> None:
        """What it does last, while messages can still be sent."""
