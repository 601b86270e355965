"""The battery's voltage as the policy is told it, from the topic `battery`."""

from rclpy.node import Node
from sensor_msgs.msg import BatteryState

from spike_ctrl.flight.measured_voltage import KEPT, STALE, MeasuredVoltages
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
