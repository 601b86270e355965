"""Inputs of a policy in addition to states: the battery's voltage, and what the supervisor commanded last."""

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import BatteryState
from spike_ctrl_msgs.msg import FlightCommand

from spike_ctrl.flight.measured_voltage import KEPT, STALE, MeasuredVoltages
from spike_ctrl.policy.command_telling import Commanded
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import nanoseconds


class BatteryVoltage:
    """heard: whether the policy is told a voltage, and so the topic is listened to."""

    def __init__(self, node: Node, heard: bool):
        self.node, self.measured = node, MeasuredVoltages()
        if heard:
            node.create_subscription(BatteryState, "battery", self.on_battery, qos.STATUS)

    def on_battery(self, message: BatteryState) -> None:
        self.measured = self.measured.heard(nanoseconds(message.header.stamp), message.voltage)

    def at(self, stamp: int) -> float | None:
        """The voltage (V) for the state of this stamp (ns); None: unknown."""
        found, age = self.measured.at(stamp)
        if age > STALE:
            words = f"battery: the last voltage is {age * 1e-9:.1f} s old; it counts up to {KEPT * 1e-9:.0f} s"
            self.node.get_logger().warning(words, throttle_duration_sec=1.0)
        return found


class ToldCommands:
    """For a policy in shadow that learns its plant from what commands do.

    heard: whether commands are listened to. last: the newest; None before the first, and where they are not.
    """

    def __init__(self, node: Node, heard: bool):
        self.last: Commanded | None = None
        if heard:
            node.create_subscription(FlightCommand, "command", self.on_command, qos.STREAM)

    def on_command(self, message: FlightCommand) -> None:
        action = np.array([message.action], np.float32)
        if np.isfinite(action).all():
            policy = message.commander == FlightCommand.POLICY
            self.last = Commanded(message.tick, action, (message.checkpoint_id, message.epoch) if policy else None)
