"""What a policy tells of itself, as messages: its status, and its spikes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from spike_ctrl_msgs.msg import PolicyStatus, Spikes, VehicleState

from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.pilot import Flown, Pilot, PilotAnswer, Reason
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds

STEPS = 10  # to a message of spikes


def status_message(
    state: VehicleState, previous: int | None, flown: Flown, candidate: Flown | None, found: PilotAnswer,
    observation: NDArray[Any], state_age: float, inference_time: float, spike_rate: tuple[float, ...],
) -> PolicyStatus:  # fmt: skip
    """How the step upon a state went.

    previous: tick of the step before it. observation (18,): of vehicle 0, as is the action that is told. state_age,
    inference_time: s. spike_rate: of each layer in this step.
    """
    computed: dict[str, Any] = {}
    if found.action is not None:
        computed = {"action": found.action[0], "inference_time": inference_time, "spike_rate": spike_rate}
    if candidate is not None:
        computed |= {"candidate_epoch": candidate.epoch, "candidate_id": candidate.name}
    return fill(
        PolicyStatus(),
        stamp=nanoseconds(state.header.stamp),
        frame_id="odom",
        tick=state.tick,
        previous_tick=state.tick if previous is None or found.reason is Reason.STALE_STATE else previous,
        epoch=flown.epoch,
        reason=found.reason,
        detail=found.detail,
        checkpoint_id=flown.name,
        observation=observation if np.isfinite(observation).all() else (),
        state_age=state_age,
        **computed,
    )


def refusal_message(flown: Flown | None, why: str) -> PolicyStatus:
    """That a checkpoint is refused; flown: what goes on flying."""
    about: dict[str, Any] = {} if flown is None else {"epoch": flown.epoch, "checkpoint_id": flown.name}
    return fill(PolicyStatus(), reason=Reason.NO_CHECKPOINT, detail=why, **about)


class SpikeView:
    """Sends the spikes of the first vehicle's neurons to onlookers, STEPS steps of one checkpoint at a time.

    Nothing is computed while nobody listens or nothing spikes.
    """

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
