"""Who else is in the graph, and whether the preflight is clear: what the supervisor knows beside what it is sent."""

from rclpy.node import Node
from spike_ctrl_msgs.msg import Preflight

from spike_ctrl import preflight
from spike_ctrl.fault import Fault, Finding

PERIOD, PREFLIGHT_AGE = 0.2, 3.0  # s
PUBLISHERS = {"flight_state": 1, "state": 1, "autopilot": 1, "guide/action": 1, "policy/action": 1, "command": 1}
COMMANDING = ("flight_state", "state", "guide/action", "policy/action", "command")


class Watch:
    """`reports`: faults of the graph that are there now. `recorded`: a recorder belongs to the flight."""

    def __init__(self, node: Node, recorded: bool):
        self.node, self.recorded = node, recorded
        self.reports: tuple[Finding, ...] = ()
        self._unmet: tuple[str, ...] | None = None
        self._audited: tuple[float, tuple[str, ...]] | None = None
        node.create_timer(PERIOD, self.look)

    def look(self) -> None:
        """A second publisher bars the policy; a lost recorder is told."""
        counts = {topic: self.node.count_publishers(topic) for topic in PUBLISHERS}
        self._unmet = tuple(map(str, preflight.audit_publishers(counts, PUBLISHERS)))
        many = [f"{topic}: found {counts[topic]}, wanted 1" for topic in COMMANDING if counts[topic] > 1]
        found = [Finding(Fault.SECOND_PUBLISHER, "; ".join(many))] if many else []
        if self.recorded and "recorder" not in self.node.get_node_names():
            found.append(Finding(Fault.RECORDER_LOST, "node recorder is not there"))
        self.reports = tuple(found)

    def audited(self, message: Preflight, now: float) -> None:
        """The bridge has audited the autopilot; warnings are told once."""
        for text in message.warnings if self._audited is None else ():
            self.node.get_logger().warning(f"preflight: {text}")
        self._audited = (now, tuple(message.unmet))

    def unmet(self, now: float) -> tuple[str, ...] | None:
        """What bars a flight; None while that is not known."""
        if self._audited is None or now - self._audited[0] > PREFLIGHT_AGE or self._unmet is None:
            return None
        return self._audited[1] + self._unmet
