"""snn_policy: stateful spiking inference; a lifecycle node.

configure loads the model, if one is given, and so runs its self-test; activate lets it answer. A vehicle's spiking state
starts from zero with each of its episodes. In training a state asks for the epoch of a checkpoint, which is swapped in at
that tick and goes on with the spiking state: the weights of neighbouring epochs hardly differ. Where a state asks for
none, a new checkpoint first flies in shadow, from the zero state through the warm-up, while the old one answers. A
checkpoint that is refused leaves the old one flying.
"""

import hashlib
import sys
import time
from dataclasses import dataclass

import numpy as np
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from spike_ctrl_msgs.msg import Checkpoint, PolicyStatus, VehicleAction, VehicleState

from spike_ctrl import airframe, checkpoint
from spike_ctrl.airframe import AirframeError
from spike_ctrl.checkpoint import CheckpointError
from spike_ctrl.observation import LAYOUT
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds, view
from spike_ctrl_ros.parameters import ParameterError, declare, parameter
from spike_ctrl_ros.rival import RivalWatch
from spike_ctrl_ros.spin import run

STATUS_PERIOD = 1.0  # s


@dataclass(frozen=True)
class Parameters:
    airframe: str = parameter("crazyflie", "The vehicle that every checkpoint must have been trained for.")
    model: str = parameter("", "Checkpoint to load when configured; empty: wait for the learner's.")
    warm_up: int = parameter(50, "Steps that a new checkpoint flies in shadow before it answers.", low=0, high=100_000)
    autostart: bool = parameter(True, "Configure and activate without being asked.")


class SnnPolicy(LifecycleNode):
    def __init__(self):
        super().__init__("snn_policy")
        self.parameters = p = declare(self, Parameters)
        try:
            vehicle = airframe.find(p.airframe)
        except AirframeError as error:
            raise ParameterError(str(error)) from None
        self.expect = {"airframe_hash": vehicle.hash, "observation": LAYOUT, "action": vehicle.action_layout}
        self.waiting: dict[int, tuple[str, checkpoint.Checkpoint]] = {}
        self.name, self.policy, self.epoch = "", None, 0
        self.state, self.pending, self.answer = None, None, None
        self.shadow, self.shadow_state, self.shadow_steps = None, None, 0
        self.active, self.reason, self.detail, self.reported = False, PolicyStatus.INACTIVE, "not active", 0.0
        self.action_out = self.create_publisher(VehicleAction, "policy/action", qos.LOCKSTEP)
        self.status_out = self.create_publisher(PolicyStatus, "policy/status", qos.STATUS)
        self.create_subscription(Checkpoint, "policy/checkpoint", self.on_checkpoint, qos.CHECKPOINTS)
        self.create_subscription(VehicleState, "state", self.on_state, qos.LOCKSTEP)
        self.rival = RivalWatch(self, "policy/action")
        if p.autostart:
            self.start_timer = self.create_timer(0.01, self.start)

    def start(self) -> None:
        if self.start_timer is None:  # a timer may fire once more after it is destroyed
            return
        self.destroy_timer(self.start_timer)
        self.start_timer = None
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            self.failure = self.detail
        elif self.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            self.failure = "snn_policy could not be activated"

    def on_configure(self, state) -> TransitionCallbackReturn:
        if self.parameters.model:
            try:
                self.swap(self.parameters.model, checkpoint.load(self.parameters.model, expect=self.expect), 0)
            except CheckpointError as error:
                self.refuse(error)
                return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state) -> TransitionCallbackReturn:
        self.active, self.state, self.answer = True, None, None
        return super().on_activate(state)

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        self.active, self.reason, self.detail = False, PolicyStatus.INACTIVE, "not active"
        return super().on_deactivate(state)

    def on_checkpoint(self, message: Checkpoint) -> None:
        data = bytes(message.data)
        try:
            if (found := hashlib.sha256(data).hexdigest()) != message.sha256:
                raise CheckpointError(f"{message.name}: sha256: found {found}, wanted {message.sha256}")
            self.waiting[message.epoch] = message.name, checkpoint.loads(data, expect=self.expect, name=message.name)
        except CheckpointError as error:
            self.refuse(error)
            return
        if self.pending is not None:
            self.on_state(self.pending)

    def refuse(self, error: CheckpointError) -> None:
        self.reason, self.detail = PolicyStatus.NO_CHECKPOINT, f"refused: {error}"
        self.get_logger().error(self.detail)
        self.status_out.publish(
            fill(PolicyStatus(), epoch=self.epoch, reason=self.reason, detail=self.detail, checkpoint_id=self.name)
        )

    def swap(self, name: str, found: checkpoint.Checkpoint, epoch: int) -> None:
        if self.policy is not None and self.policy.sizes != found.policy.sizes:
            self.state = None
        self.name, self.policy, self.epoch = name, found.policy, epoch

    def on_state(self, message: VehicleState) -> None:
        received = time.monotonic()
        if not (self.active and self.rival.clear):
            return
        if self.answer is not None and self.answer.tick == message.tick:
            self.action_out.publish(self.answer)  # asked again: the answer was lost, the state must not advance twice
            return
        wanted = message.epoch or (max(self.waiting) if self.waiting else 0)
        if wanted in self.waiting:
            found = self.waiting[wanted]
            self.waiting = {epoch: kept for epoch, kept in self.waiting.items() if epoch > wanted}
            if message.epoch or self.policy is None:
                self.swap(*found, wanted)
            else:
                self.shadow, self.shadow_state, self.shadow_steps = (*found, wanted), None, 0
        if self.policy is None or message.epoch not in (0, self.epoch):
            self.pending = message
            self.reason, self.detail = PolicyStatus.NO_CHECKPOINT, f"tick {message.tick} wants epoch {message.epoch}"
            return
        self.pending = None
        seen = view(message)
        bad = ~np.isfinite(seen.observation)
        if bad.any():
            vehicle, field = np.argwhere(bad)[0]
            self.reason, self.detail = PolicyStatus.BAD_OBSERVATION, f"observation[{vehicle},{field}] is not finite"
            self.report(message, None, received)
            return
        first = (seen.flags & VehicleState.FIRST) > 0
        if self.shadow is not None:
            self.fly_shadow(seen, first)
        started = time.monotonic()
        action, after = step(self.policy, seen, first, self.state)
        self.inference = time.monotonic() - started
        if not np.isfinite(action).all():
            self.reason, self.detail = PolicyStatus.BAD_ACTION, "the network's answer is not finite"
            self.report(message, None, received)
            return
        self.state = after
        self.answer = fill(
            VehicleAction(),
            stamp=nanoseconds(message.header.stamp),
            frame_id="base_link",
            tick=message.tick,
            epoch=self.epoch,
            layout=self.expect["action"],
            checkpoint_id=self.name,
            action=action,
        )
        self.action_out.publish(self.answer)
        self.reason, self.detail = PolicyStatus.OK, ""
        if self.shadow is not None:
            self.reason, self.detail = PolicyStatus.WARMING_UP, f"{self.shadow[0]} flies in shadow"
        if received - self.reported > STATUS_PERIOD:
            self.report(message, action[0], received, seen.observation[0])

    def fly_shadow(self, seen, first) -> None:
        """One step of the checkpoint that is to take over; with the warm-up behind it, it does so at this tick."""
        if self.shadow_steps < self.parameters.warm_up:
            _, self.shadow_state = step(self.shadow[1].policy, seen, first, self.shadow_state)
            self.shadow_steps += 1
            return
        self.swap(*self.shadow)
        self.state, self.shadow, self.shadow_state = self.shadow_state, None, None
        self.get_logger().info(f"{self.name} flies after {self.parameters.warm_up} steps in shadow")

    def report(self, message: VehicleState, action, received: float, observation=()) -> None:
        self.reported = received
        fields = (
            {"inference_time": self.inference, "spike_rate": self.policy.spike_rates(self.state)}
            if action is not None
            else {}
        )
        self.status_out.publish(
            fill(
                PolicyStatus(),
                stamp=nanoseconds(message.header.stamp),
                frame_id="odom",
                tick=message.tick,
                epoch=self.epoch,
                reason=self.reason,
                detail=self.detail,
                checkpoint_id=self.name,
                observation=observation,
                action=() if action is None else action,
                state_age=time.monotonic() - received,
                **fields,
            )
        )


def step(policy, seen, first, state):
    """One step of a policy for all vehicles; spiking states start from zero where an episode does."""
    if state is None or state.membrane.shape[-1] != seen.vehicles:
        state = policy.initial_state(seen.vehicles)
    elif first.any():
        state = policy.reset_rows(state, first)
    return policy.step(seen.observation, state)


def main():
    sys.exit(run(SnnPolicy))
