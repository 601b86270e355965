"""A new checkpoint in flight: it is loaded beside the control, flies in shadow, and takes over when it is accepted."""

import sys
import threading
from collections.abc import Callable

from rclpy.node import Node
from spike_ctrl_msgs.msg import Acceptance, Checkpoint, VehicleAction, VehicleState

from spike_ctrl.policy.pilot import Pilot
from spike_ctrl_policy.policy_messages import action_message
from spike_ctrl_ros import qos

YIELD = 5e-4  # s, instead of Python's 5 ms: the control may need the interpreter three times for a tick


class Successor:
    """load: gives the policy of a message, None where it is refused.

    It runs in a thread of its own, which has to hand over the interpreter within YIELD of being asked.
    """

    def __init__(self, node: Node, pilot: Pilot, layout: str, load: Callable[[Checkpoint], object]):
        self.node, self.pilot, self.layout, self.load = node, pilot, layout, load
        self._loaded: list = []
        sys.setswitchinterval(YIELD)
        self.action_out = node.create_publisher(VehicleAction, "candidate/action", qos.STREAM)
        node.create_subscription(Acceptance, "policy/acceptance", self.on_acceptance, qos.STATUS)

    def begin(self, message: Checkpoint) -> None:
        threading.Thread(target=self._load, args=(message,), name="load", daemon=True).start()

    def _load(self, message: Checkpoint) -> None:
        if (found := self.load(message)) is not None:
            self._loaded.append(found)

    def take(self) -> None:
        """Between two ticks: let what has been loaded fly in shadow."""
        while self._loaded:
            self.pilot.warm(self._loaded.pop(0))

    def show(self, message: VehicleState) -> None:
        """Publish what the successor would have answered to this state."""
        if (candidate := self.pilot.candidate) is None:
            return
        found = action_message(message, candidate.flown, self.layout, candidate.action, candidate.spike_rate)
        self.action_out.publish(found)

    def on_acceptance(self, message: Acceptance) -> None:
        if self.pilot.accept(message.checkpoint_id, message.epoch):
            self.node.get_logger().info(f"{message.checkpoint_id} (epoch {message.epoch}) takes over")
