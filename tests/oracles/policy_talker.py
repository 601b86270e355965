"""snn_policy as a process of its own, with states and checkpoints from a test."""

import hashlib
import subprocess
import time
from pathlib import Path

import numpy as np
import rclpy
from output import executable
from spike_ctrl_msgs.msg import Checkpoint, PolicyStatus, VehicleAction, VehicleState

from spike_ctrl import airframe
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Contract
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl.snn.weight_shapes import weight_shapes
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill

SIZES = (18, 16, 8, 4)
VEHICLES, WARM_UP = 3, 5


def a_checkpoint(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    weights = {name: random.uniform(0.1, 0.9, shape).astype(np.float32) for name, shape in weight_shapes(SIZES).items()}
    vehicle = airframe.load("crazyflie")
    return checkpoint.dumps(weights, Contract("crazyflie", vehicle.hash, LAYOUT, "motors", 100.0, SIZES))


class Talker:
    """Sends states and checkpoints, keeps answers and status."""

    def __init__(self, model: Path, vehicles: int, *parameters: str):
        self.vehicles = vehicles
        given = [f"model:={model}", f"warm_up:={WARM_UP}", *parameters]
        command = [executable("snn_policy"), "--ros-args", *(w for p in given for w in ("-p", p))]
        self.process = subprocess.Popen(command)
        self.node = rclpy.create_node("talker")
        self.answers: list[VehicleAction] = []
        self.status: list[PolicyStatus] = []
        self.state_out = self.node.create_publisher(VehicleState, "state", qos.LOCKSTEP)
        self.checkpoint_out = self.node.create_publisher(Checkpoint, "policy/checkpoint", qos.CHECKPOINTS)
        self.node.create_subscription(VehicleAction, "policy/action", self.answers.append, qos.LOCKSTEP)
        self.node.create_subscription(PolicyStatus, "policy/status", self.status.append, qos.STATUS)
        self.until(lambda: self.state_out.get_subscription_count() and self.node.count_publishers("policy/action"))
        self.tick, self.random = 0, np.random.default_rng(0)

    def until(self, condition, seconds: float = 60.0):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "nothing came"
            rclpy.spin_once(self.node, timeout_sec=0.05)
        return found

    def state(self, observation=None, tick=None) -> VehicleState:
        """The state of the next tick; the first one starts the episode of every vehicle."""
        self.tick = self.tick + 1 if tick is None else tick
        shape, first = (self.vehicles, 18), VehicleState.FIRST if self.tick == 1 else 0
        self.observation = self.random.standard_normal(shape).astype(np.float32) if observation is None else observation
        flags = np.full(self.vehicles, first, np.uint8)
        stamp = time.monotonic_ns()
        return fill(VehicleState(), stamp=stamp, tick=self.tick, flags=flags, observation=self.observation)

    def ask(self, observation=None, tick=None) -> VehicleAction:
        """Send a state, repeated each second as the simulator does, and return the answer to it."""
        message = self.state(observation, tick)
        before = len(self.answers)
        for _ in range(10):
            self.state_out.publish(message)
            deadline = time.monotonic() + 1
            while len(self.answers) == before and time.monotonic() < deadline:
                rclpy.spin_once(self.node, timeout_sec=0.05)
            if len(self.answers) > before:
                return self.answers[-1]
        raise AssertionError("no answer")


def send(talker: Talker, data: bytes, name: str, sha256: str | None = None) -> None:
    digest = sha256 or hashlib.sha256(data).hexdigest()
    talker.checkpoint_out.publish(fill(Checkpoint(), epoch=7, name=name, sha256=digest, data=data))
