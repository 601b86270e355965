"""States and transitions of training vehicles as messages, in the frame `odom`."""

from typing import Any

from spike_ctrl_msgs.msg import Transition, VehicleState

from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl_ros.convert import fill


def state_message(tick: int, epoch: int, stamp: int, **seen: Any) -> VehicleState:
    """What the vehicles' nodes see. epoch: of the checkpoint that must answer. stamp: ns. seen: the message's own fields."""
    return fill(VehicleState(), stamp=stamp, frame_id="odom", tick=tick, epoch=epoch, **seen)


def transition_message(tick: int, epoch: int, stamp: int, rows: Rows) -> Transition:
    """What came of a tick. stamp: ns."""
    return fill(Transition(), stamp=stamp, frame_id="odom", tick=tick, epoch=epoch, **rows._asdict())
