"""The spikes of the first vehicle's neurons, for onlookers. Nothing is computed while nobody listens or nothing spikes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from spike_ctrl_msgs.msg import Spikes, VehicleState

from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.pilot import Flown, Pilot
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds

STEPS = 10  # to a message


class SpikeView:
    """Collects the spikes of steps that follow each other with the same checkpoint, and sends them STEPS at a time."""

    def __init__(self, node: Node):
        self.spikes_out = node.create_publisher(Spikes, "policy/spikes", qos.STREAM)
        self.flown: Flown | None = None
        self.first = 0
        self.rows: list[NDArray[Any]] = []

    def show(self, message: VehicleState, pilot: Pilot) -> None:
        """Take the step that answered this state. Call it last, when the answer is on its way."""
        flown = pilot.flown if self.spikes_out.get_subscription_count() else None
        if flown is None or not isinstance(flown.policy, SpikingPolicy):
            self.rows.clear()
            return
        if message.tick != self.first + len(self.rows) or flown is not self.flown:
            self.first, self.flown = message.tick, flown
            self.rows.clear()
        self.rows.append(np.packbits(pilot.state.spike[:, 0] > 0))
        if len(self.rows) < STEPS:
            return
        self.spikes_out.publish(
            fill(
                Spikes(),
                stamp=nanoseconds(message.header.stamp),
                frame_id="base_link",
                tick=self.first,
                epoch=flown.epoch,
                checkpoint_id=flown.name,
                neurons=flown.policy.sizes[1:-1],
                spikes=np.concatenate(self.rows),
            )
        )
        self.first += STEPS
        self.rows.clear()
