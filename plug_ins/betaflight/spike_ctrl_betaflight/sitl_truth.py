"""The truth of the simulation as motion capture would tell it: nav_msgs/Odometry, its twist in the body."""

from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry

from spike_ctrl.flight.attitude import rotate_back
from spike_ctrl_betaflight import mocap_noise
from spike_ctrl_betaflight.sitl_packets import SensedMotion

PERIOD = 0.01  # s
JUMP = 1.0  # m, eastwards


class Mocap:
    """Publishes a pose each PERIOD. noise: factor of that of `mocap_noise`. fault: lost, frozen, jump, or back: none."""

    def __init__(self, publish: Callable[[Odometry], None], noise: float, draws: np.random.Generator):
        self.publish, self.noise, self.draws, self.fault = publish, noise, draws, "back"
        self._due = 0.0
        self._last: SensedMotion | None = None

    def moved(self, now: float, sensed: SensedMotion) -> float | None:
        """After a step of the simulation at `now` (s): the stamp of the pose that was published, None if there was none."""
        if now < self._due - 1e-9:
            return None
        self._due = max(self._due, now - PERIOD) + PERIOD
        if self.fault != "frozen" or self._last is None:
            self._last = sensed
        if self.fault == "lost":
            return None
        message = self.message(now, self._last)
        message.pose.pose.position.x += JUMP * (self.fault == "jump")
        self.publish(message)
        return float(message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec)

    def message(self, now: float, sensed: SensedMotion) -> Any:
        """The pose at `now` (s)."""
        draw = (self.noise * self.draws.standard_normal(9)).tolist()
        found: Any = Odometry()
        found.header.stamp.sec, found.header.stamp.nanosec = divmod(round(now * 1e9), 10**9)
        found.header.frame_id, found.child_frame_id = "odom", "base_link"
        place, turned, twist = found.pose.pose.position, found.pose.pose.orientation, found.twist.twist.linear
        moving = rotate_back(sensed.quaternion, sensed.velocity)
        seen, attitude, speed = mocap_noise.measured(sensed.position, sensed.quaternion, moving, draw)
        place.x, place.y, place.z = seen
        turned.x, turned.y, turned.z, turned.w = attitude
        twist.x, twist.y, twist.z = speed
        return found
