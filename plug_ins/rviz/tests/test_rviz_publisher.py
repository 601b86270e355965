"""What rviz_publisher makes of odometry and set-points.

- tf, pose and path are the odometry's, with its stamp; robot_description is there for those who come later
- pose and path of a set-point come once one is heard
- where tf2_msgs is missing, a line says so and everything else comes
"""

import threading
import time
from itertools import pairwise

import pytest

from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds
from spike_ctrl_ros.standard_topics import odometry
from spike_ctrl_rviz import rviz_publisher_node

ROW = (1.0, 2.0, 3.0, 0.0, 0.0, 0.6, 0.8, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def heard(ros_domain_id):
    """heard(topics, until) gives the newest message by topic of a node that is fed odometry and, if asked, set-points."""
    import rclpy
    from geometry_msgs.msg import PoseStamped
    from nav_msgs.msg import Odometry, Path
    from rclpy.executors import SingleThreadedExecutor
    from spike_ctrl_msgs.msg import SetPoint
    from std_msgs.msg import String

    kinds = {"pose": PoseStamped, "path": Path, "set_point/pose": PoseStamped, "set_point/path": Path}
    if rviz_publisher_node.TFMessage is not None:
        kinds["tf"] = rviz_publisher_node.TFMessage
    rclpy.init()
    made = [rviz_publisher_node.RvizPublisher(), rclpy.create_node("vehicle")]
    node, executor, found = made[1], SingleThreadedExecutor(), {}
    for one in made:
        executor.add_node(one)

    def run(topics, set_points):
        out, point_out = (
            node.create_publisher(Odometry, "odometry", qos.STREAM),
            node.create_publisher(SetPoint, "set_point", qos.STREAM),
        )

        def keep(topic):
            return lambda message: found.__setitem__(topic, message)

        for topic, kind in kinds.items():
            node.create_subscription(kind, topic, keep(topic), qos.STATUS)
        deadline, tick = time.monotonic() + 20, 0
        while not topics <= set(found) or len(found["path"].poses) < 3:
            assert time.monotonic() < deadline, f"heard only {sorted(found)}"
            tick += 1
            out.publish(odometry(ROW, tick * 50_000_000))
            if set_points:
                point_out.publish(fill(SetPoint(), stamp=5, frame_id="odom", position=[1.0, 2.0, 2.5], yaw=1.0))
            until = time.monotonic() + 0.02
            while (left := until - time.monotonic()) > 0:
                executor.spin_once(left)
        node.create_subscription(String, "robot_description", keep("robot_description"), qos.CHECKPOINTS)
        while "robot_description" not in found:
            assert time.monotonic() < deadline
            executor.spin_once(0.1)
        return found

    yield run
    executor.shutdown()
    for one in made:
        one.destroy_node()
    rclpy.shutdown()


def test_poses_paths_and_the_description_come_in_odom_with_the_stamps_of_odometry(heard):
    found = heard({"pose", "path", "set_point/pose", "set_point/path"}, set_points=True)
    pose, wanted = found["pose"], found["set_point/pose"]
    assert pose.header.frame_id == wanted.header.frame_id == found["path"].header.frame_id == "odom"
    assert nanoseconds(pose.header.stamp) % 50_000_000 == 0 and wanted.header.stamp == pose.header.stamp
    assert (pose.pose.position.x, pose.pose.position.y, pose.pose.position.z) == (1.0, 2.0, 3.0)
    assert (pose.pose.orientation.z, pose.pose.orientation.w) == (0.6, 0.8)
    assert wanted.pose.position.z == 2.5 and wanted.pose.orientation.z == pytest.approx(0.479425539)
    stamps = [nanoseconds(one.header.stamp) for one in found["path"].poses]
    assert all(later - earlier >= 100_000_000 for earlier, later in pairwise(stamps))
    assert '<robot name="sih_quadx">' in found["robot_description"].data


@pytest.mark.skipif(rviz_publisher_node.TFMessage is None, reason="no tf2_msgs: make setup builds it")
def test_tf_leads_from_odom_to_base_link(heard):
    (transform,) = heard({"tf", "path"}, set_points=False)["tf"].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("odom", "base_link")
    moved = transform.transform
    assert (moved.translation.x, moved.translation.y, moved.translation.z) == (1.0, 2.0, 3.0)
    assert (moved.rotation.z, moved.rotation.w) == (0.6, 0.8)


def test_without_tf2_msgs_a_line_says_so_and_the_rest_comes(monkeypatch, request, capfd):
    monkeypatch.setattr(rviz_publisher_node, "TFMessage", None)
    found = request.getfixturevalue("heard")({"pose", "path"}, set_points=False)
    assert "tf" not in found and "set_point/pose" not in found
    threading.Event().wait(0.05)
    assert "tf is not published: the package tf2_msgs is missing" in "".join(capfd.readouterr())
