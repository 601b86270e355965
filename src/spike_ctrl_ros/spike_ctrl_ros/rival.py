"""One node of each kind in a ROS domain: a second one sees the first, and ends."""

from spike_ctrl_ros.node import ProcessNode

WATCH_TIME = 1.0  # s: discovery takes less


class RivalWatch:
    """In its first second a node looks for another publisher of its topic. `clear` is set if there was none.

    A node that answers others should wait for `clear`, so that it does not disturb the graph of the first one.
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
                "end it or set another ROS_DOMAIN_ID"
            )
        self._looks += 1
        if self._looks == 10:
            self.clear = True
            self.node.destroy_timer(self._timer)
