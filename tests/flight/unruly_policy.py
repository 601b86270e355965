"""A policy for tests: it flies the model as snn_policy does until SIGUSR1, then as its first manner says, until SIGUSR2;
with the next SIGUSR1 as the second says, and so on.

Usage: unruly_policy.py MODEL [nan|flipped|constant|random|exception]...
"""

import signal
import sys

import numpy as np
import rclpy
from rclpy.node import Node
from spike_ctrl_msgs.msg import VehicleAction, VehicleState

from spike_ctrl import checkpoint
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds, view


class Unruly(Node):
    def __init__(self, model: str, *manners: str):
        super().__init__("unruly_policy")
        self.policy, self.manners, self.unruly = checkpoint.load(model).policy, list(manners), ""
        self.state, self.random = self.policy.initial_state(1), np.random.default_rng(0)
        self.action_out = self.create_publisher(VehicleAction, "policy/action", qos.STREAM)
        self.create_subscription(VehicleState, "state", self.on_state, qos.STREAM)
        signal.signal(signal.SIGUSR1, lambda number, frame: setattr(self, "unruly", self.manners.pop(0)))
        signal.signal(signal.SIGUSR2, lambda number, frame: setattr(self, "unruly", ""))

    def on_state(self, message: VehicleState) -> None:
        observation = view(message).observation
        action, self.state = self.policy.step(observation, self.state)
        if self.unruly == "exception":
            raise RuntimeError("out of order")
        if self.unruly:
            action = {
                "nan": np.full((1, 4), np.nan),
                "flipped": -action,
                "constant": np.float32([[0.1, 0.5, 0.0, 0.0]]),
                "random": self.random.uniform(-1, 1, (1, 4)),
            }[self.unruly]
        self.action_out.publish(
            fill(
                VehicleAction(),
                stamp=nanoseconds(message.header.stamp),
                frame_id="base_link",
                tick=message.tick,
                layout="rates",
                checkpoint_id="unruly",
                action=action,
                spike_rate=self.policy.spike_rates(self.state),
            )
        )


def main():
    rclpy.init()
    node = Unruly(*sys.argv[1:])
    while rclpy.ok():
        rclpy.spin_once(node, timeout_sec=0.1)


main()
