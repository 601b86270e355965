"""The battery's voltage for policies that see it, on the clock of the states; see `flight.measured_voltage`."""

import math

from rclpy.node import Node
from sensor_msgs.msg import BatteryState

from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl_ros import qos
from spike_ctrl_ros.standard_topics import battery

PERIOD = 0.5  # s, longest time between two measurements of an unchanged voltage


class BatteryTopic:
    """Publishes `battery` for a node."""

    def __init__(self, node: Node):
        self._battery_out = node.create_publisher(BatteryState, "battery", qos.STATUS)
        self._last = (math.nan, -math.inf)

    def show(self, status: Autopilot | None, stamp: float) -> None:
        """Publish the voltage that the autopilot reports with the stamp (s) of a state; nothing where it reports none."""
        voltage, at = self._last
        if status is None or not math.isfinite(status.voltage):
            return
        if status.voltage != voltage or not 0 <= stamp - at < PERIOD:
            self._last = status.voltage, stamp
            self._battery_out.publish(battery(status.voltage, status.battery, round(stamp * 1e9)))
