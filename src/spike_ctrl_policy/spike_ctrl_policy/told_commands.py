"""What the supervisor commanded last, for a policy in shadow that learns its plant from what commands do."""

import numpy as np
from rclpy.node import Node
from spike_ctrl_msgs.msg import FlightCommand

from spike_ctrl.policy.command_telling import Commanded
from spike_ctrl_ros import qos


class ToldCommands:
    """heard: whether commands are listened to. last: the newest; None before the first, and where they are not."""

    def __init__(self, node: Node, heard: bool):
        self.last: Commanded | None = None
        if heard:
            node.create_subscription(FlightCommand, "command", self.on_command, qos.STREAM)

    def on_command(self, message: FlightCommand) -> None:
        action = np.array([message.action], np.float32)
        if np.isfinite(action).all():
            policy = message.commander == FlightCommand.POLICY
            self.last = Commanded(message.tick, action, (message.checkpoint_id, message.epoch) if policy else None)
