"""Standard messages for any ROS tool: odometry and battery of one vehicle, diagnostics of a node."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import BatteryState

from spike_ctrl.flight.attitude import rotate, rotate_back
from spike_ctrl_ros.convert import time_message


def odometry(state: Sequence[float] | NDArray[Any], stamp: int, variances: Sequence[float] = ()) -> Odometry:
    """Odometry of a vehicle in `odom` (ENU), with the twist in the body frame `base_link` (FLU).

    state: position 3 (m), quaternion x, y, z, w, velocity 3 (m/s, world), body rates 3 (rad/s); more is ignored. stamp: ns.
    variances: as in flight.estimate_quality; a covariance that is not known is 0.
    """
    x, y, z, qx, qy, qz, qw, vx, vy, vz, *rates = map(float, state[:13])
    message = Odometry(child_frame_id="base_link")
    message.header.stamp, message.header.frame_id = time_message(stamp), "odom"
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y, pose.position.z = x, y, z
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = qx, qy, qz, qw
    twist.linear.x, twist.linear.y, twist.linear.z = rotate_back((qx, qy, qz, qw), (vx, vy, vz))
    twist.angular.x, twist.angular.y, twist.angular.z = rates
    if variances:
        place, turned, moved = np.nan_to_num(variances, posinf=0.0).clip(0).reshape(3, 3)
        axes = np.array([rotate((qx, qy, qz, qw), axis) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1))])  # rows: the body's
        covariance = message.pose.covariance.reshape(6, 6)
        covariance[:3, :3], covariance[3:, 3:] = np.diag(place), axes.T * turned @ axes
        message.twist.covariance.reshape(6, 6)[:3, :3] = axes * moved @ axes.T
    return message


def battery(voltage: float, charge: float, stamp: int) -> BatteryState:
    """A battery: V, charge 0..1; what else the message says is unknown. stamp: ns."""
    unknown = dict.fromkeys(("temperature", "current", "charge", "capacity", "design_capacity"), math.nan)
    message = BatteryState(voltage=float(voltage), percentage=float(charge), present=True, **unknown)
    message.header.stamp, message.header.frame_id = time_message(stamp), "base_link"
    return message


def diagnostics(
    node: Node, text: str, values: Mapping[str, object] = {}, *, warn: bool = False, error: bool = False
) -> DiagnosticArray:
    """Diagnostics of a node now: a text and figures. error outranks warn."""
    level = DiagnosticStatus.ERROR if error else DiagnosticStatus.WARN if warn else DiagnosticStatus.OK
    figures = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    report = DiagnosticArray(status=[DiagnosticStatus(level=level, name=node.get_name(), message=text, values=figures)])
    report.header.stamp = node.get_clock().now().to_msg()
    return report
