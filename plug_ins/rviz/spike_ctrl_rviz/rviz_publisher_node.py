"""rviz_publisher: what RViz and other ROS tools expect of a vehicle, from `odometry` and `set_point`.

tf (odom to base_link), robot_description (URDF), pose and path of the vehicle, and of the set-point once one is heard. It
acts on nothing, and no node waits for it. Stamps are those of odometry.
"""

import math
import sys

from geometry_msgs.msg import Point, PoseStamped, Quaternion, TransformStamped, Vector3
from nav_msgs.msg import Odometry, Path
from rclpy.serialization import deserialize_message
from spike_ctrl_msgs.msg import SetPoint
from std_msgs.msg import Header, String

from spike_ctrl import airframe
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import nanoseconds, time_message
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run
from spike_ctrl_rviz.flown_path import PathPose, longer
from spike_ctrl_rviz.rviz_parameters import RvizParameters
from spike_ctrl_rviz.urdf import urdf

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # ROS 2 wheels lack it; make setup builds it
    TFMessage = None

PATH_PERIOD = 0.5  # s
WORLD, BODY = "odom", "base_link"


class RvizPublisher(ProcessNode):
    def __init__(self) -> None:
        super().__init__("rviz_publisher")
        self.parameters = p = declare(self, RvizParameters)
        description = urdf(airframe.load(p.airframe))
        self.tf_out = None
        if TFMessage is None:
            self.get_logger().warning(
                "tf is not published: the package tf2_msgs is missing; `make setup` builds it, an installed ROS 2 has it"
            )
        else:
            self.tf_out = self.create_publisher(TFMessage, "tf", qos.STATUS)
        self.description_out = self.create_publisher(String, "robot_description", qos.CHECKPOINTS)
        self.pose_out = self.create_publisher(PoseStamped, "pose", qos.STATUS)
        self.path_out = self.create_publisher(Path, "path", qos.STATUS)
        self.set_point_out = self.create_publisher(PoseStamped, "set_point/pose", qos.STATUS)
        self.set_point_path_out = self.create_publisher(Path, "set_point/path", qos.STATUS)
        self.odometry, self.set_point = b"", b""  # the newest, as it came: decoded when it is shown
        self.flown: tuple[PathPose, ...] = ()
        self.wanted: tuple[PathPose, ...] = ()
        self.create_subscription(Odometry, "odometry", self.on_odometry, qos.STREAM, raw=True)
        self.create_subscription(SetPoint, "set_point", self.on_set_point, qos.STREAM, raw=True)
        self.description_out.publish(String(data=description))
        self.start_timer(1 / p.rate, self.show)
        self.start_timer(PATH_PERIOD, self.show_paths)

    def on_odometry(self, data: bytes) -> None:
        self.odometry = data

    def on_set_point(self, data: bytes) -> None:
        self.set_point = data

    def show(self) -> None:
        """Pose and tf of the vehicle, if it has moved on, and the set-point at the same time."""
        if not self.odometry:
            return
        pose = pose_of(deserialize_message(self.odometry, Odometry))
        self.odometry = b""
        self.flown = longer(self.flown, pose, self.parameters.path_time)
        if self.tf_out is not None:
            self.tf_out.publish(TFMessage(transforms=[transform(pose)]))
        self.pose_out.publish(pose_message(pose))
        if self.set_point:
            point = deserialize_message(self.set_point, SetPoint)
            turned = (0.0, 0.0, math.sin(point.yaw / 2), math.cos(point.yaw / 2))
            wanted = PathPose(pose.stamp, tuple(point.position.tolist()), turned, math.hypot(*point.velocity))
            self.wanted = longer(self.wanted, wanted, self.parameters.path_time)
            self.set_point_out.publish(pose_message(wanted))

    def show_paths(self) -> None:
        for out, path in ((self.path_out, self.flown), (self.set_point_path_out, self.wanted)):
            if path and out.get_subscription_count():
                message = Path(poses=[pose_message(pose) for pose in path])
                message.header = message.poses[-1].header
                out.publish(message)


def pose_of(message: Odometry) -> PathPose:
    """The pose of an odometry."""
    at, turned, moves = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist.linear
    quaternion, speed = (turned.x, turned.y, turned.z, turned.w), math.hypot(moves.x, moves.y, moves.z)
    return PathPose(nanoseconds(message.header.stamp), (at.x, at.y, at.z), quaternion, speed)


def pose_message(pose: PathPose) -> PoseStamped:
    message = PoseStamped()
    _fill(message.header, message.pose.position, message.pose.orientation, pose)
    return message


def transform(pose: PathPose) -> TransformStamped:
    """From odom to base_link."""
    message = TransformStamped(child_frame_id=BODY)
    _fill(message.header, message.transform.translation, message.transform.rotation, pose)
    return message


def _fill(header: Header, at: Point | Vector3, turned: Quaternion, pose: PathPose) -> None:
    header.stamp, header.frame_id = time_message(pose.stamp), WORLD
    at.x, at.y, at.z = pose.position
    turned.x, turned.y, turned.z, turned.w = pose.quaternion


def main() -> None:
    sys.exit(run(RvizPublisher))
