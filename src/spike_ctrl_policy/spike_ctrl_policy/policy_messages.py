"""What a policy tells of itself, as messages."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from spike_ctrl_msgs.msg import PolicyStatus, VehicleState

from spike_ctrl.policy.pilot import Flown, PilotAnswer, Reason
from spike_ctrl_ros.convert import fill, nanoseconds


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
