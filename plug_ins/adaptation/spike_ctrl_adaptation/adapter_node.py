"""adapter: tunes the policy in command for a vehicle that has changed in flight, and offers it as a checkpoint.

It listens to states, commands and set-points, and commands nothing: supervisor and policy decide about what it offers as
about any candidate. Service: adapt (std_srvs/Trigger), to tune now. It computes in the time that nobody else wants; where it
is stopped or ends, the flight goes on as if it had never been.

A thread computes, and shares nothing with the node: what it needs is given to it, and what came of it waits in a queue until
the node looks.
"""

import hashlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

import torch
from diagnostic_msgs.msg import DiagnosticArray
from spike_ctrl_msgs.msg import Checkpoint, FlightCommand, FlightState, SetPoint
from std_srvs.srv import Trigger

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.trajectory import SetPoint as Point
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.policy import checkpoint
from spike_ctrl_adaptation import session_priority
from spike_ctrl_adaptation.adapter import Adapter
from spike_ctrl_adaptation.adapter_parameters import AdapterParameters
from spike_ctrl_adaptation.fine_tuning import TunedPolicy, fine_tune, learn_from_flight, require_tunable, warm_up
from spike_ctrl_adaptation.flown_transitions import LEAST, TransitionMemory
from spike_ctrl_adaptation.plant_estimate import PlantEstimate
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.standard_topics import diagnostics

LOOK = 0.25  # s between two looks at the estimate
KEPT = 100  # states that wait for their commands


class Offer(NamedTuple):
    """A policy that was tuned for the vehicle of the estimate, in so many seconds of a core."""

    found: TunedPolicy
    epoch: int
    estimate: PlantEstimate
    seconds: float


class AdapterNode(ProcessNode):
    def __init__(self) -> None:
        super().__init__("adapter")
        p = self.parameters = declare(self, AdapterParameters)
        self.craft, data = airframe.load(p.airframe), checkpoint.read(p.model)
        require_tunable(checkpoint.loads(data, name=p.model), self.craft)
        if shared := session_priority.give_way(time.sleep):
            self.get_logger().warning(shared)
        self.files, self.adapter, self.epoch = {p.model: data}, Adapter(self.craft), 0
        self.states: dict[int, FlightState] = {}
        self.point: Point | None = None
        self.transitions = TransitionMemory()
        self.results: SimpleQueue[Offer | Exception | None] = SimpleQueue()
        self.checkpoint_out = self.create_publisher(Checkpoint, "policy/checkpoint", qos.CHECKPOINTS)
        self.diagnostics_out = self.create_publisher(DiagnosticArray, "diagnostics", qos.STATUS)
        self.create_subscription(FlightState, "flight_state", self.on_state, qos.STREAM)
        self.create_subscription(FlightCommand, "command", self.on_command, qos.STREAM)
        self.create_subscription(SetPoint, "set_point", self.on_set_point, qos.STREAM)
        self.create_service(Trigger, "adapt", self.on_adapt)
        self.start_timer(LOOK, self.look)
        self.compute(partial(warm_up, data, self.craft))

    def on_state(self, message: FlightState) -> None:
        self.states[message.tick] = message
        while len(self.states) > KEPT:
            del self.states[next(iter(self.states))]

    def on_set_point(self, message: SetPoint) -> None:
        self.point = Point(tuple(message.position.tolist()), tuple(message.velocity.tolist()), message.yaw)

    def on_command(self, message: FlightCommand) -> None:
        state = self.states.pop(message.tick, None)
        if message.commander != FlightCommand.POLICY:
            self.adapter.interrupted()
        elif state is not None and self.point is not None:
            position, quaternion, velocity, rates = (
                tuple(getattr(state, name).tolist()) for name in ("position", "quaternion", "velocity", "rates")
            )
            distance, stamp = math.dist(position, self.point.position), nanoseconds(state.header.stamp) * 1e-9
            action = tuple(message.action.tolist())
            self.adapter.see(stamp, quaternion, velocity, rates, action, distance, message.checkpoint_id)
            if self.parameters.from_transitions:
                seen = observed(Sample(message.tick, stamp, stamp, position, quaternion, velocity, rates), self.point)
                self.transitions.add(message.tick, seen, action)

    def on_adapt(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        self.take_results()
        refused, estimate = self.unable, None
        if not refused:
            estimate = self.adapter.decide(time.monotonic(), asked=True)
            refused = f"too little is known of the vehicle: {self.adapter.estimate}"
        if estimate is not None:
            self.begin(estimate)
        answer.success = estimate is not None
        answer.message = "granted" if answer.success else f"refused: {refused}"
        return answer

    @property
    def unable(self) -> str:
        """Why no policy can be tuned now; empty if one can."""
        if self.busy:
            return "the adapter is already tuning a policy, or compiling for it"
        return (
            ""
            if self.adapter.flying in self.files
            else "no policy flies, or one whose checkpoint the adapter has not received"
        )

    def look(self) -> None:
        self.take_results()
        if self.unable:
            return
        estimate = self.adapter.decide(time.monotonic())
        self.tell(self.adapter.estimate)
        if estimate is not None:
            self.begin(estimate)

    def begin(self, estimate: PlantEstimate) -> None:
        """Tune the policy in command for this vehicle."""
        self.epoch += 1
        parent = self.files[self.adapter.flying]
        rows = None
        if self.parameters.from_transitions and not self.adapter.explained and len(self.transitions) >= LEAST:
            rows = self.transitions.rows(self.craft)
        self.get_logger().info(f"{'tunes' if rows is None else 'learns'} {self.adapter.flying} for {estimate}")
        yaw = self.point.yaw if self.point is not None else 0.0
        self.compute(partial(self.tune, parent, estimate, yaw, self.epoch, rows))

    def compute(self, work: Callable[[], Offer | None]) -> None:
        """Do the work in a thread of its own: states go on coming in. The node is busy until it takes the result."""

        def run() -> None:
            try:
                self.results.put(work())
            except Exception as error:
                self.results.put(error)

        self.busy = True
        self.tuning = threading.Thread(target=run, name="tunes", daemon=True)
        self.tuning.start()

    def take_results(self) -> None:
        """Offer what has been tuned since the last call."""
        while not self.results.empty():
            result, self.busy = self.results.get(), False
            if isinstance(result, Offer):
                self.offer(result)
            elif result is not None:
                self.adapter.failed(time.monotonic())
                kind = "" if isinstance(result, UsageError) else f"{type(result).__name__}: "
                self.get_logger().warning(f"no tuned policy is offered: {kind}{result}")

    def offer(self, offer: Offer) -> None:
        """Offer a tuned policy to whoever flies."""
        name, data, before, after = offer.found
        self.files[name] = data
        self.adapter.offered(time.monotonic(), name, offer.estimate)
        about: dict[str, Any] = {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "epoch": offer.epoch}
        self.checkpoint_out.publish(fill(Checkpoint(), stamp=time.time_ns(), data=data, **about))
        off = f"{after:.3f} m off in simulation, its parent {before:.3f} m"
        self.get_logger().info(f"offers {name}: {off}; {offer.seconds:.1f} s of a core")

    def tell(self, estimate: PlantEstimate) -> None:
        """Publish the estimate of the vehicle, for tools and the recorder."""
        if estimate.seconds > 0:
            figures = {name: f"{value:.4g}" for name, value in estimate.figures.items()}
            self.diagnostics_out.publish(diagnostics(self, str(estimate), figures))

    def tune(self, parent: bytes, estimate: PlantEstimate, yaw: float, epoch: int, rows: Rows | None) -> Offer:
        """A child of the policy `parent`; see `fine_tune`. rows: transitions to learn from. Raises UsageError.

        It runs in a thread of its own, and reads only what never changes.
        """
        begin = time.process_time()
        about = (estimate, yaw, self.parameters.seed + epoch, f"{self.parameters.model}+{epoch}")
        if rows is None:
            found = fine_tune(parent, self.craft, *about)
        else:
            found = learn_from_flight(parent, self.craft, rows, *about)
        return Offer(found, epoch, estimate, time.process_time() - begin)


def main() -> None:
    os.environ["SPIKE_CTRL_PRIORITY"] = "0"  # never that of the nodes between state and command
    torch.set_num_threads(1)
    sys.exit(run(AdapterNode))
