"""The topic `battery` of the bridge: a voltage that the autopilot reports, with the stamp of the state that came with it."""

import math

from spike_ctrl.flight.autopilot import Autopilot, Mode
from spike_ctrl_flight.bridge_outputs import BatteryTopic
from spike_ctrl_ros.convert import nanoseconds


class Told:
    """Stands for a node and for its publisher."""

    def __init__(self):
        self.messages = []

    def create_publisher(self, *about):
        return self

    def publish(self, message):
        self.messages.append((nanoseconds(message.header.stamp), message.voltage))


def test_a_voltage_is_told_when_it_changes_and_twice_a_second_and_never_where_it_is_unknown():
    told = Told()
    topic = BatteryTopic(told)
    at = {100: 4.0, 120: 4.0, 130: 3.9, 180: 3.9, 181: math.nan, 300: math.nan, 320: 3.9}  # tick of 10 ms: V
    topic.show(None, 0.9)
    for tick, voltage in at.items():
        topic.show(Autopilot(0.0, 0.0, Mode.OFFBOARD, True, False, 0.5, voltage), 0.01 * tick)
    assert told.messages == [(10_000_000 * tick, at_v) for tick, at_v in ((100, 4.0), (130, 3.9), (180, 3.9), (320, 3.9))]
