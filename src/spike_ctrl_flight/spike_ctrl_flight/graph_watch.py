"""What the supervisor watches in the graph: other publishers, messages that do not fit, the recorder, the preflight."""

from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSCompatibility, qos_check_compatible
from spike_ctrl_msgs.msg import Preflight

from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.px4 import preflight
from spike_ctrl_ros import qos
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.standard_topics import diagnostics

PERIOD, PREFLIGHT_AGE = 0.2, 3.0  # s
# A foreign publisher on one of these topics could fly the vehicle or end the flight. On preflight it can only bar an
# engagement, and does.
HEARD = ("flight_state", "autopilot", "guide/action", "policy/action")  # by the supervisor
COMMANDING = (*HEARD, "state", "command", "autopilot_request", "set_point")
PUBLISHERS = dict.fromkeys((*COMMANDING, "preflight"), 1)


class GraphWatch:
    """reports: the present faults of the graph. recorded: a recorder belongs to the flight, and its loss is reported.

    conditions: of plug-ins, at the point `flight_conditions`; docs/plug_ins.md.
    """

    def __init__(self, node: ProcessNode, recorded: bool, conditions: Sequence[Any] = ()):
        self.node, self.recorded, self.conditions = node, recorded, conditions
        self.reports: tuple[Finding, ...] = ()
        self._unmet: tuple[str, ...] | None = None
        self._audited: tuple[float, tuple[str, ...]] | None = None
        self._looks = 0
        self._warned: set[str] = set()
        self._diagnostics_out = node.create_publisher(DiagnosticArray, "diagnostics", qos.STATUS)
        node.start_timer(PERIOD, self.look)

    def look(self) -> None:
        """Look for a second publisher (it bars the policy), unfit messages (they bar an engagement) and a lost recorder.

        Once a second the graph's faults are published as diagnostics.
        """
        counts = {topic: self.node.count_publishers(topic) for topic in PUBLISHERS}
        more = [words for condition in self.conditions for words in condition.unmet()]
        self._unmet = (*map(str, preflight.audit_publishers(counts, PUBLISHERS)), *more)
        many = [f"{topic}: found {counts[topic]} publishers, wanted 1" for topic in COMMANDING if counts[topic] > 1]
        found = [Finding(Fault.SECOND_PUBLISHER, "; ".join(many))] if many else []
        found += [Finding(Fault.INTERFACE_MISMATCH, detail) for topic in HEARD for detail in self.mismatches(topic)]
        own = "recorder", self.node.get_namespace()
        if self.recorded and own not in self.node.get_node_names_and_namespaces():
            found.append(Finding(Fault.RECORDER_LOST, "the node recorder is missing"))
        self.reports = tuple(found)
        self._looks += 1
        if self._looks % round(1.0 / PERIOD) == 0:
            lost = "; ".join(map(str, self.reports))
            self._diagnostics_out.publish(diagnostics(self.node, lost or "ok", error=bool(lost)))

    def mismatches(self, topic: str) -> list[str]:
        """Publishers of a topic whose messages the supervisor cannot receive, and what to do about each."""
        ours = [s for s in self.node.get_subscriptions_info_by_topic(topic) if s.node_name == self.node.get_name()]
        found = []
        for theirs in self.node.get_publishers_info_by_topic(topic) if ours else ():
            who = f"of node {theirs.node_name}, wanted"
            fits, why = qos_check_compatible(theirs.qos_profile, ours[0].qos_profile)
            if theirs.topic_type != ours[0].topic_type:
                found.append(f"{topic}: found type {theirs.topic_type} {who} {ours[0].topic_type}: end that node")
            elif theirs.topic_type_hash != ours[0].topic_type_hash:
                found.append(f"{topic}: found another definition of {theirs.topic_type} {who} this one's: build both alike")
            elif fits == QoSCompatibility.ERROR:
                found.append(f"{topic}: found QoS {who} one that fits: {why.strip()}")
        return found

    def audited(self, message: Preflight, now: float) -> None:
        """Take the bridge's preflight. Each warning is logged once, whatever value it finds later."""
        for text in message.warnings:
            if (about := text.partition(" found ")[0]) not in self._warned:
                self._warned.add(about)
                self.node.get_logger().warning(f"preflight: {text}")
        self._audited = (now, tuple(message.unmet))

    def unmet(self, now: float) -> tuple[str, ...] | None:
        """Conditions that bar a flight, in words; None while they are not known."""
        if self._audited is None or now - self._audited[0] > PREFLIGHT_AGE or self._unmet is None:
            return None
        return self._audited[1] + self._unmet
