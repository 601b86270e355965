"""Newest message and count of each topic, for dashboard and viewer. Streams are decoded only when they are read."""

import math
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from spike_ctrl_msgs.msg import (
    AutopilotStatus,
    FlightCommand,
    FlightState,
    PolicyStatus,
    SetPoint,
    SupervisorStatus,
    TrainingStatus,
    VehicleAction,
    VehicleState,
)  # fmt: skip

from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, view

STREAMS = {
    "state": VehicleState,
    "policy/action": VehicleAction,
    "guide/action": VehicleAction,
    "flight_state": FlightState,
    "set_point": SetPoint,
    "command": FlightCommand,
    "autopilot": AutopilotStatus,
}
RECENT = 1.0  # s
STATUS = {"policy/status": PolicyStatus, "supervisor/status": SupervisorStatus, "training/status": TrainingStatus}


class Hearing:
    """counts: messages by topic. times: of the newest, monotonic s. said: the supervisor's events since it was emptied."""

    def __init__(self, node: Node):
        self.said: list[tuple[float, str, str]] = []
        self.forget()
        for topic, kind in STREAMS.items():
            node.create_subscription(kind, topic, self._hear(topic), qos.ONLOOKER, raw=True)
        for topic, kind in STATUS.items():
            node.create_subscription(kind, topic, self._hear(topic), qos.STATUS)

    def forget(self) -> None:
        """All of it: what a graph said that has ended."""
        self.counts = dict.fromkeys((*STREAMS, *STATUS), 0)
        self.times: dict[str, float] = {}
        self._newest: dict[str, Any] = {}

    def _hear(self, topic: str) -> Callable[[Any], None]:
        def heard(message: Any) -> None:
            self.counts[topic] += 1
            self.times[topic], self._newest[topic] = time.monotonic(), message
            if topic == "supervisor/status":
                self.said += [(self.times[topic], *_event(text)) for text in message.events]

        return heard

    def newest(self, topic: str) -> Any:
        """The newest message of a topic; None: there was none, or it is malformed, which the nodes that act on it report."""
        found = self._newest.get(topic)
        if not isinstance(found, bytes):
            return found
        message = deserialize_message(found, STREAMS[topic])
        try:
            return message if not hasattr(message, "vehicles") or view(message) else None
        except MessageError:
            return None

    def present(self, topic: str) -> Any:
        """The newest message of a stream that still comes; None where it has stopped for RECENT."""
        return self.newest(topic) if time.monotonic() - self.times.get(topic, -math.inf) < RECENT else None


def _event(text: str) -> tuple[str, str]:
    severity, _, words = text.partition(": ")
    return severity, words
