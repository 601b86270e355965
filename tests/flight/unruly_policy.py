"""A policy for tests: it flies the model as snn_policy does, until a line on stdin names another manner.

Usage: unruly_policy.py MODEL; the lines: model, nan, flipped, constant, random, shaking, sinking, scaled, zero, late: 40 ms,
and weights: those of the model, shuffled.
"""

import sys
import threading

import numpy as np
import rclpy
from rclpy.node import Node
from spike_ctrl_msgs.msg import VehicleAction, VehicleState

from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds, view

LATE = 0.04  # s


def shuffled(model: str) -> SpikingPolicy:
    found, dice = checkpoint.load(model), np.random.default_rng(1)
    weights = {name: dice.permutation(weight.ravel()).reshape(weight.shape) for name, weight in found.weights.items()}
    return SpikingPolicy(weights, found.manifest.contract.neuron)


class Unruly(Node):
    def __init__(self, model: str):
        super().__init__("unruly_policy")
        found = checkpoint.load(model)
        self.policy, self.layout, self.other = found.policy, found.manifest.contract.action, shuffled(model)
        self.manner = "model"
        self.state, self.random = self.policy.initial_state(1), np.random.default_rng(0)
        self.others_state = self.other.initial_state(1)
        self.action_out = self.create_publisher(VehicleAction, "policy/action", qos.STREAM)
        self.create_subscription(VehicleState, "state", self.on_state, qos.STREAM)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        for line in sys.stdin:
            self.manner = line.strip()
            print(self.manner, flush=True)

    def on_state(self, message: VehicleState) -> None:
        observation = view(message).observation
        action, self.state = self.policy.step(observation, self.state)
        weights, self.others_state = self.other.step(observation, self.others_state)
        manner = self.manner
        answer = fill(
            VehicleAction(),
            stamp=nanoseconds(message.header.stamp),
            frame_id="base_link",
            tick=message.tick,
            layout=self.layout,
            checkpoint_id="unruly",
            action={
                "model": action,
                "late": action,
                "scaled": np.clip(2.5 * action, -1, 1),
                "zero": np.zeros((1, 4), np.float32),
                "nan": np.full((1, 4), np.nan),
                "flipped": -action,
                "constant": np.float32([[0.1, 0.5, 0.0, 0.0]]),
                "random": self.random.uniform(-1, 1, (1, 4)),
                "shaking": np.clip(action + np.float32([0.0, 0.5, 0.0, 0.0]) * (-1) ** message.tick, -1, 1),
                "sinking": np.concatenate([np.full((1, 1), -0.3, np.float32), action[..., 1:].reshape(1, 3)], 1),
                "weights": np.clip(weights, -1, 1),
            }[manner],
            spike_rate=self.policy.spike_rates(self.state),
        )
        if manner == "late":
            threading.Timer(LATE, self.action_out.publish, [answer]).start()
        else:
            self.action_out.publish(answer)


def main():
    rclpy.init()
    node = Unruly(sys.argv[1])
    while rclpy.ok():
        rclpy.spin_once(node, timeout_sec=0.1)


main()
