"""simulator: flies N vehicles in lockstep with guide and policy; the learner says which of the two flies each vehicle.

Each tick it publishes the state, waits for both answers, moves the vehicles and publishes the transition. It sends a
state that stays unanswered again each second; after five seconds it ends with an error that names who is missing. The
learner's orders say up to which tick it may fly, and it waits for a slow learner. When the learner is gone, the vehicles
fly on with the last policy.
"""

import dataclasses
import sys
import time
from collections import deque
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rosgraph_msgs.msg import Clock
from spike_ctrl_msgs.msg import JumpStart, Transition, VehicleAction, VehicleState

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe, resumption
from spike_ctrl.learn.rollout import Rollout, VehicleStates, training_environment
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, answered, state_message, time_message, transition_message
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.standard_topics import diagnostics, odometry
from spike_ctrl_sim.lockstep_patience import PATIENCE, AnswerCounts, Waiting, unanswered, waited
from spike_ctrl_sim.simulator_parameters import SimulatorParameters

TICK = int(1e9 / RATE_HZ)  # ns of simulated time
ANSWERS = {"guide/action": "guide_policy", "policy/action": "snn_policy"}


class Simulator(ProcessNode):
    def __init__(self) -> None:
        super().__init__("simulator")
        p = self.parameters = declare(self, SimulatorParameters)
        vehicle, plan = airframe.load(p.airframe), recipe.find(p.recipe)
        flown = resumption.flown_before(p.resume, dataclasses.asdict(p))
        self.environment, self.task = training_environment(plan, vehicle, p.vehicles), plan.task
        self.environment.reset()
        self.environment.step(np.zeros((p.vehicles, 4), np.float32))  # compiles the kernels that are not in the cache
        # A resumed run draws starts that it has not flown yet.
        self.rollout = Rollout(self.environment, p.seed + flown, plan.jump_start)
        self.tick = 0
        self.seen: VehicleStates | None = None
        self.answers: dict[str, NDArray[np.float32]] = {}
        self.orders: deque[JumpStart] = deque()
        self.order = JumpStart(until_tick=2**63 if p.free_run else 0)
        self.sent = self.asked = time.monotonic()
        self.waiting, self.silent = Waiting(), False
        self.counts = AnswerCounts()
        self.state_out = self.create_publisher(VehicleState, "state", qos.LOCKSTEP)
        self.transition_out = self.create_publisher(Transition, "transition", qos.LOCKSTEP)
        self.odometry_out = self.create_publisher(Odometry, "odometry", qos.STREAM)
        self.clock_out = self.create_publisher(Clock, "clock", qos.STREAM)
        self.diagnostics_out = self.create_publisher(DiagnosticArray, "diagnostics", qos.STATUS)
        self.create_subscription(JumpStart, "jump_start", self.on_order, qos.LOCKSTEP)
        for topic in ANSWERS:
            self.create_subscription(VehicleAction, topic, partial(self.on_answer, topic), qos.LOCKSTEP)
        self.pace = self.start_timer(1 / RATE_HZ, self.on_deadline) if p.realtime else None
        self.start_timer(0.1, self.watch)
        self.start_timer(1.0, self.diagnose)
        self.rival = RivalWatch(self, "state")

    def on_order(self, message: JumpStart) -> None:
        self.orders.append(message)
        if self.seen is None:
            self.show()

    def show(self) -> None:
        """Publish the state of this tick, if the learner permits to fly it."""
        while self.tick >= self.order.until_tick and self.orders:
            self.order = self.orders.popleft()
        if self.tick >= self.order.until_tick or (self.tick == 0 and (self.absent() or not self.rival.clear)):
            return
        self.environment.coefficients = self.task.coefficients(self.order.curriculum)
        self.seen = seen = self.rollout.see()
        self.answers = {}
        self.message = state_message(self.tick, self.order.epoch, self.tick * TICK, **seen._asdict())
        self.sent, self.waiting = time.monotonic(), self.waiting._replace(waits=0)
        self.asked = self.asked if self.silent else self.sent
        self.state_out.publish(self.message)

    def absent(self) -> list[str]:
        """The names of the nodes that must answer or listen, and are not connected."""
        found = [node for topic, node in ANSWERS.items() if self.count_publishers(topic) == 0]
        learner = self.parameters.free_run or self.is_heard(self.transition_out)
        return found if learner else [*found, "learner"]

    def on_answer(self, topic: str, message: VehicleAction) -> None:
        if self.seen is None or message.tick != self.tick or topic in self.answers:
            return
        try:
            self.answers[topic] = answered(message, self.parameters.vehicles)
        except MessageError as error:
            self.refuse(f"tick {self.tick}: {topic} from {ANSWERS[topic]}: {error}")
            return
        if len(self.answers) == len(ANSWERS):
            self.counts.latencies.append(time.monotonic() - self.sent)
            if self.pace is None:
                self.advance(self.seen)

    def refuse(self, why: str) -> None:
        """In lockstep a malformed answer ends the training; in real time it counts as one that did not come."""
        if self.pace is None:
            self.failure = why
            return
        self.counts.malformed += 1
        self.get_logger().warning(f"answer dropped: {why}", throttle_duration_sec=1.0)

    def on_deadline(self) -> None:
        if self.seen is None:
            return
        late = len(self.answers) < len(ANSWERS)
        self.counts.missed += late and self.tick > 0
        # Unless a certain checkpoint must answer, the policy may be silent: it is in shadow, and the guide flies.
        if not late or (self.tick > 0 and self.order.epoch == 0 and "guide/action" in self.answers):
            self.advance(self.seen)

    def advance(self, seen: VehicleStates) -> None:
        """The next tick: the vehicles fly on from the states that were answered."""
        order, guide, policy = self.order, self.answers["guide/action"], self.answers.get("policy/action")
        self.silent = policy is None
        flown, noise = (guide, 0.0) if policy is None else (policy, order.noise)
        try:
            rows = self.rollout.fly(seen, flown, guide, order.horizon, noise)
        except UsageError as error:
            self.failure = f"tick {self.tick}: {error}"
            return
        if policy is None:
            rows = rows._replace(flags=rows.flags | VehicleState.GUIDE)
            self.counts.stood_in += 1
        self.transition_out.publish(transition_message(self.tick, order.epoch, self.tick * TICK, **rows._asdict()))
        self.tick += 1
        self.seen = None
        if self.pace is not None:
            self.publish_vehicle()
        self.show()

    def watch(self) -> None:
        """Repeat a state that got no answer; after a while give up and name who is silent."""
        now = time.monotonic()
        if self.seen is None:
            self.show()
            if self.seen is None and now - self.asked > PATIENCE:
                self.asked = now
                self.wait(self.absent())
            return
        missing = [f"{topic} from {node}" for topic, node in ANSWERS.items() if topic not in self.answers]
        resend, failure = unanswered(self.tick, self.order.epoch, missing, self.asked, self.sent, now)
        self.failure = failure or self.failure
        if resend:
            self.sent = now
            self.state_out.publish(self.message)

    def wait(self, absent: list[str]) -> None:
        """There was nothing to fly for a while."""
        self.waiting, found = waited(self.waiting, self.tick, absent)
        self.failure = found.failure or self.failure
        if found.warning:
            self.get_logger().warning(found.warning)
        if found.info:
            self.get_logger().info(found.info)
        if found.learner_gone:
            self.get_logger().error(f"tick {self.tick}: the learner is gone; flying on with epoch {self.order.epoch}")
            self.order.until_tick = self.tick + int(PATIENCE * RATE_HZ)
            self.show()

    def publish_vehicle(self) -> None:
        """Vehicle 0 for any ROS tool: clock and odometry."""
        stamp = self.tick * TICK
        self.odometry_out.publish(odometry(self.environment.read(dynamics.STATE_ROWS)[0], stamp))
        self.clock_out.publish(Clock(clock=time_message(stamp)))

    def diagnose(self) -> None:
        if self.pace is None:
            self.publish_vehicle()
        waits = self.seen is None and self.tick > 0
        text = "flying" if self.seen else "waiting for the learner"
        self.diagnostics_out.publish(diagnostics(self, text, self.counts.figures(self.tick), warn=waits))


def main() -> None:
    sys.exit(run(Simulator))
