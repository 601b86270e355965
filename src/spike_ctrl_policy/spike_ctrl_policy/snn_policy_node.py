"""snn_policy: stateful inference of a spiking or any other network; a lifecycle node.

configure loads the model, if one is given, and so runs its self-test; activate lets it answer. In training a state asks for
the epoch of a checkpoint, which is swapped in at that tick and goes on with the policy's state: the weights of neighbouring
epochs hardly differ. Elsewhere a gap in the ticks, an old state and the start put the policy into shadow. A new checkpoint
then first flies beside the old one: see `pilot`. A checkpoint that is refused leaves the old one flying.
"""

import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer
from spike_ctrl_msgs.msg import Checkpoint, PolicyStatus, VehicleAction, VehicleState

from spike_ctrl._files.errors import UsageError
from spike_ctrl.flight import realtime_scheduling
from spike_ctrl.flight.flight_statistics import Latencies
from spike_ctrl.flight.queued_states import QueueWatch
from spike_ctrl.policy import voltage_input
from spike_ctrl.policy.pilot import SKIP, Flown, Pilot, PilotAnswer, Reason
from spike_ctrl_policy.candidate_loader import YIELD, CandidateLoader
from spike_ctrl_policy.loader import loader_for, of_file, take
from spike_ctrl_policy.policy_inputs import BatteryVoltage, ToldCommands
from spike_ctrl_policy.policy_messages import SpikeView, refusal_message, status_message
from spike_ctrl_policy.policy_parameters import PolicyParameters
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, action_message, nanoseconds, view
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import run

STATUS_PERIOD = 1.0  # s


class SnnPolicy(LifecycleNode, ProcessNode):
    def __init__(self) -> None:
        super().__init__("snn_policy")
        self.parameters = p = declare(self, PolicyParameters)
        self.stays_for = "command" if p.flight else ""  # the supervisor's, which may need an answer
        realtime, stream = p.realtime or p.flight, qos.STREAM if p.flight else qos.LOCKSTEP
        self.loader = loader_for(p, realtime)
        self.layout = self.loader.expect["action"]
        self.pilot = Pilot(p.warm_up, p.max_age if realtime else np.inf, SKIP if p.flight else 0, judged=p.flight)
        self.waiting: dict[int, Flown] = {}
        self.pending: VehicleState | None = None
        self.answer: VehicleAction | None = None
        self.active, self.reason, self.reported, self.inference = False, Reason.INACTIVE, 0.0, 0.0
        self.step_times, self.queue = Latencies("step"), QueueWatch()
        self.reported_candidate: Flown | None = None
        self.action_out = self.create_publisher(VehicleAction, "policy/action", stream)
        self.status_out = self.create_publisher(PolicyStatus, "policy/status", qos.STATUS)
        self.model_out = self.create_publisher(Checkpoint, "policy/model", qos.CHECKPOINTS)
        self.create_subscription(Checkpoint, "policy/checkpoint", self.on_checkpoint, qos.CHECKPOINTS)
        self.create_subscription(VehicleState, "state", self.on_state, stream)
        self.battery = BatteryVoltage(self, heard=self.loader.expect["observation"] == voltage_input.LAYOUT)
        self.candidates = CandidateLoader(self, self.pilot, self.layout, self.load) if p.flight else None
        self.told = ToldCommands(self, heard=p.tell_commands)
        self.spikes = SpikeView(self)
        self.rival = RivalWatch(self, "policy/action")
        self.starter: Timer | None = self.start_timer(0.01, self.start) if p.autostart else None

    def start(self) -> None:
        if self.starter is None:  # a timer may fire once more after it is destroyed
            return
        self.destroy_timer(self.starter)
        self.starter = None
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            self.failure = self.refused
        elif self.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            self.failure = "snn_policy could not be activated"

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self.parameters.model:
            try:
                model = of_file(self.parameters.model)
                self.pilot.take(self.loader.message(model))
                self.model_out.publish(model)  # kept for whoever records the flight: what comes later comes by message
            except Exception as error:  # rclpy would swallow any
                self.refuse(error)
                return TransitionCallbackReturn.FAILURE
            if self.parameters.flight:
                self.loader.get_ready()
            realtime_scheduling.freeze_objects()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active, self.answer = True, None
        self.pilot.stop()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active, self.reason = False, Reason.INACTIVE
        return super().on_deactivate(state)

    def on_checkpoint(self, message: Checkpoint) -> None:
        if self.candidates is not None and self.pilot.flown is not None:
            self.candidates.begin(message)  # control must not wait
        elif (found := self.load(message)) is not None:
            if self.parameters.flight:  # the first one: nothing commands yet
                realtime_scheduling.freeze_objects()
            self.waiting[message.epoch] = found
            if self.pending is not None:
                self.on_state(self.pending)

    def load(self, message: Checkpoint) -> Flown | None:
        try:
            return self.loader.message(message)
        except UsageError as error:
            self.refuse(error)
            return None

    def refuse(self, error: Exception) -> None:
        self.refused = f"refused: {error}"
        self.get_logger().error(self.refused)
        self.status_out.publish(refusal_message(self.pilot.flown, self.refused))

    def swap(self, epoch: int) -> None:
        """Take the checkpoint of the epoch that a state asks for, or the newest where it asks for none."""
        found, self.waiting = take(self.waiting, epoch)
        if found is not None:
            self.pilot.take(found) if epoch else self.pilot.warm(found)

    def on_state(self, message: VehicleState) -> None:
        begun = time.monotonic()
        if not (self.active and self.rival.clear):
            return
        if self.answer is not None and self.answer.tick == message.tick:
            self.action_out.publish(self.answer)  # asked again: the answer was lost, the state must not advance twice
            return
        if self.pilot.tick == message.tick:
            return  # the same in shadow
        self.swap(message.epoch) if self.candidates is None or self.pilot.flown is None else self.candidates.take()
        if self.pilot.flown is None or message.epoch not in (0, self.pilot.flown.epoch):
            self.pending, self.reason = message, Reason.NO_CHECKPOINT
            return
        self.pending = None
        try:
            seen = view(message)
        except MessageError as error:
            self.get_logger().warning(f"not answered: {error}", throttle_duration_sec=1.0)
            return
        first, previous = (seen.flags & VehicleState.FIRST) > 0, self.pilot.tick
        stamp = nanoseconds(message.header.stamp)
        received = stamp * 1e-9 if self.parameters.paced else begun
        self.queue, waited = self.queue.received(stamp * 1e-9, received)
        found = self.pilot.step(
            message.tick, first, seen.observation, lockstep=message.epoch > 0, now=received, waited=waited,
            voltage=self.battery.at(stamp), commanded=self.told.last,
        )  # fmt: skip
        self.inference = time.monotonic() - begun
        self.step_times.add(self.inference)
        flown = self.pilot.flown  # another one where it has taken over
        if found.commands and found.action is not None:
            rates = flown.policy.spike_rates(self.pilot.state) if self.parameters.flight else ()
            self.answer = action_message(message, flown.epoch, flown.name, self.layout, found.action, rates)
            self.action_out.publish(self.answer)
        self.pilot.fly_shadows()
        if self.candidates is not None:
            self.candidates.show(message)
        if found.action is not None:
            self.spikes.show(message, self.pilot)
        told, skipped = (self.reason, self.reported_candidate), previous is not None and message.tick - previous > 1
        if (found.reason, self.pilot.candidate) != told or skipped or begun - self.reported > STATUS_PERIOD:
            self.report(message, flown, found, begun, seen.observation[0], previous)

    def close(self) -> None:
        if self.parameters.flight and (flown := self.pilot.flown) is not None:
            print(f"a step of {flown.name} ({type(flown.policy).__name__}): {self.step_times}", flush=True)

    def report(
        self, message: VehicleState, flown: Flown, found: PilotAnswer, begun: float, observation: NDArray[Any],
        previous: int | None,
    ) -> None:  # fmt: skip
        if found.reason not in (Reason.OK, self.reason):
            self.get_logger().warning(f"{found.reason.name}: {found.detail}")
        self.reason, self.reported, self.reported_candidate = found.reason, begun, self.pilot.candidate
        rates = () if found.action is None else flown.policy.spike_rates(self.pilot.state)
        measured = observation, time.monotonic() - begun, self.inference, rates
        self.status_out.publish(status_message(message, previous, flown, self.reported_candidate, found, *measured))


def main() -> None:
    sys.setswitchinterval(YIELD)
    sys.exit(run(SnnPolicy, above=1))  # its answer is waited for before the guide's
