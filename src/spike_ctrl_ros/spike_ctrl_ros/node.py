"""The base of all nodes of spike_ctrl: each is a process of its own, which `spin.run` starts and ends."""

import threading
from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.timer import Timer

WATCH_TIME = 1.0  # s in which a node looks for a rival: discovery takes less
ONLOOKERS = ("recorder", "rosbag2_recorder", "dashboard", "viewer")  # names of nodes that act on no topic


class ProcessNode(Node):
    """A node that says itself when it ends.

    finished: its work is done; it ends with exit code 0. failure: one line that says why it cannot go on; exit code 1. Both
    are set in callbacks, failure in other threads too. stays_for: a topic; told to end, it goes on while that is published.
    """

    finished: bool = False
    failure: str | None = None
    exit_code: int = 0  # of an orderly end
    stays_for: str = ""

    def stopping(self) -> bool:
        """Whether it has to go on although a signal asks it to end. It is asked again until it need not."""
        return bool(self.stays_for) and self.count_publishers(self.stays_for) > 0

    def close(self) -> None:
        """What it does last, while messages can still be sent."""

    def start_timer(self, period: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` every `period` (s) of the steady clock, which no change of the host's clock affects."""
        return self.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def is_heard(self, publisher: Publisher) -> bool:
        """Whether a node that acts on the topic listens to this publisher, and all known listeners are connected."""
        listeners = self.get_subscriptions_info_by_topic(publisher.topic_name)
        connected = len(listeners) <= publisher.get_subscription_count()
        return connected and any(listener.node_name not in ONLOOKERS for listener in listeners)

    def start_reader(self, whom: str, work: Callable[[], None]) -> threading.Thread:
        """Start a thread beside the executor that runs `work` until the node ends. whom: what it listens to, in words.

        An exception in it ends the node with one line (see `spin.run`): a node that no longer listens must not seem alive.
        """

        def run() -> None:
            try:
                work()
            except Exception as error:
                self.failure = f"listening to {whom} ended: {type(error).__name__}: {error}".partition("\n")[0]

        thread = threading.Thread(target=run, name=f"listens to {whom}", daemon=True)
        thread.start()
        return thread


class RivalWatch:
    """One node of each kind in a ROS domain: in its first second a node looks for another publisher of its topic.

    A second one sees the first, and ends. `clear` is set if there was none. A node that answers others should wait for
    `clear`, so that it does not disturb the graph of the first one.
    """

    def __init__(self, node: ProcessNode, topic: str):
        self.node, self.topic, self.clear, self._looks = node, topic, False, 0
        self._timer = node.start_timer(WATCH_TIME / 10, self._look)

    def _look(self) -> None:
        if self.clear:  # a timer may fire once more after it is destroyed
            return
        if self.node.count_publishers(self.topic) > 1:
            self.node.failure = (
                f"another {self.node.get_name()} publishes '{self.topic}' in this ROS domain: "
                "end it, or start this graph in another namespace (namespace:=b) or ROS_DOMAIN_ID"
            )
        self._looks += 1
        if self._looks == 10:
            self.clear = True
            self.node.destroy_timer(self._timer)
