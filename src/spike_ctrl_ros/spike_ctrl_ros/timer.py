"""Timers of nodes on the steady clock, which no change of the host's or the simulation's clock affects."""

from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def start_timer(node: Node, period: float, callback: Callable[[], None]) -> Timer:
    """Call `callback` every `period` seconds from now on."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
