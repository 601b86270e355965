"""Messages: what goes into the fields comes out of them, in this process and through two.

- every field is cast to its exact type, or refused by name
- arrays come back as numpy views with their shapes
- a state of 256 vehicles crosses to another process and back, unchanged in every field
"""

import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.serialization import deserialize_message, serialize_message
from spike_ctrl_msgs.msg import Checkpoint, JumpStart, PolicyStatus, VehicleAction, VehicleState

from spike_ctrl.flight.attitude import rotate
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, fill, nanoseconds, view
from spike_ctrl_ros.standard_topics import odometry


def a_state(vehicles: int) -> dict:
    generator = np.random.default_rng(1)
    return {
        "stamp": 12_345_678_901,
        "frame_id": "odom",
        "tick": np.int64(2**40),
        "epoch": 3,
        "flags": generator.integers(0, 16, vehicles),  # int64 on purpose
        "observation": generator.standard_normal((vehicles, 18)),  # float64 on purpose
        "rotor_speed": generator.random((vehicles, 8), np.float32)[:, ::2],  # not contiguous on purpose
        "disturbance": generator.random((vehicles, 6), np.float32),
        "plant": None,
    }


def assert_same(message: VehicleState, wanted: dict) -> None:
    found = view(message)
    assert nanoseconds(message.header.stamp) == wanted["stamp"]
    assert message.header.frame_id == wanted["frame_id"]
    assert (found.tick, found.epoch, found.vehicles) == (wanted["tick"], wanted["epoch"], len(wanted["flags"]))
    assert found.flags.dtype == np.uint8
    np.testing.assert_array_equal(found.flags, wanted["flags"])
    for name in ("observation", "rotor_speed", "disturbance"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(found, name), wanted[name].astype(np.float32))
    assert found.plant is None


def test_a_state_survives_serialisation():
    wanted = a_state(256)
    data = serialize_message(fill(VehicleState(), **wanted))
    assert_same(deserialize_message(data, VehicleState), wanted)


def test_a_view_shares_the_memory_of_the_message():
    message = fill(VehicleAction(), action=np.zeros((2, 4)), layout="motors")
    view(message).action[1, 2] = 0.5
    assert message.action[6] == 0.5


def test_a_message_can_be_filled_again_with_another_number_of_vehicles():
    message = fill(VehicleAction(), action=np.zeros((5, 4)))
    assert view(fill(message, action=np.ones((1, 4)))).action.shape == (1, 4)


def test_plants_may_have_any_number_of_columns():
    message = fill(VehicleState(), **a_state(3) | {"plant": np.ones((3, 23))})
    assert view(message).plant.shape == (3, 23)


def test_checkpoints_carry_bytes():
    data = bytes(range(256)) * 1200
    message = fill(Checkpoint(), epoch=1, name="a", data=data)
    assert bytes(deserialize_message(serialize_message(message), Checkpoint).data) == data


@pytest.mark.parametrize(
    ("kind", "fields", "wanted"),
    [
        (VehicleAction, {"action": np.zeros((3, 5))}, r"VehicleAction.action: found shape \[3, 5\], wanted \[3, 4\]"),
        (VehicleState, {"flags": np.zeros(2), "observation": np.zeros((3, 18))}, r"VehicleState\.\w+: found shape"),
        (VehicleState, {"flags": [300]}, r"VehicleState.flags: found 300..300, wanted 0..255"),
        (VehicleState, {"tick": -1}, r"VehicleState.tick: found -1, wanted a whole number in 0\.\."),
        (VehicleState, {"tick": 1.5}, r"VehicleState.tick: found 1.5, wanted a whole number"),
        (VehicleAction, {"layout": 3}, r"VehicleAction.layout: found 3, wanted text"),
        (JumpStart, {"horizon": "far"}, r"JumpStart.horizon: found 'far', wanted a number"),
        (PolicyStatus, {"reasn": 1}, r"PolicyStatus.reasn: no such field; there are: header, tick, previous_tick, epoch"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind, fields, wanted):
    with pytest.raises(MessageError, match=wanted):
        fill(kind(), **fields)


def test_a_message_of_no_vehicle_is_refused_on_arrival():
    with pytest.raises(MessageError, match=r"VehicleState\.vehicles: found 0, wanted at least 1"):
        view(VehicleState())


def test_an_array_that_does_not_fit_the_number_of_vehicles_is_refused_on_arrival():
    message = fill(VehicleAction(), action=np.zeros((3, 4)))
    message.vehicles = 4
    with pytest.raises(MessageError, match=r"VehicleAction.action: found 12 numbers, wanted \[4, 4\]"):
        view(message)


ECHO = """
import sys
from spike_ctrl_msgs.msg import VehicleState
from spike_ctrl_ros import qos
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run

class Echo(ProcessNode):
    def __init__(self):
        super().__init__("echo")
        self.back = self.create_publisher(VehicleState, "back", qos.LOCKSTEP)
        self.create_subscription(VehicleState, "state", self.back.publish, qos.LOCKSTEP)

sys.exit(run(Echo))
"""


@pytest.mark.installed
def test_a_state_of_256_vehicles_crosses_two_processes_unchanged(ros_domain_id):
    wanted, received = a_state(256), []
    echo = subprocess.Popen([sys.executable, "-c", ECHO])
    rclpy.init()
    node = rclpy.create_node("probe")
    try:
        publisher = node.create_publisher(VehicleState, "state", qos.LOCKSTEP)
        node.create_subscription(VehicleState, "back", received.append, qos.LOCKSTEP)
        executor = EventsExecutor()
        executor.add_node(node)
        deadline = time.monotonic() + 20.0
        while not (publisher.get_subscription_count() and node.count_publishers("back")):
            assert time.monotonic() < deadline, "the other process was not seen within 20 s"
            executor.spin_once(0.05)
        sent = 0
        while len(received) < 50:
            assert time.monotonic() < deadline, f"{len(received)} of 50 messages came back within 20 s"
            if sent == len(received):
                publisher.publish(fill(VehicleState(), **wanted | {"tick": sent}))
                sent += 1
            executor.spin_once(0.05)
    finally:
        echo.terminate()
        node.destroy_node()
        rclpy.shutdown()
    assert echo.wait(60) == 0
    for tick, message in enumerate(received):
        assert_same(message, wanted | {"tick": tick})


def test_odometry_has_the_velocity_in_the_body_frame():
    """Nose north (ENU yaw 90 degrees), flying north and climbing: forward and up for the body."""
    half = np.sqrt(0.5)
    state = np.array([1, 2, 3, 0, 0, half, half, 0, 5, 0.5, 0.1, 0.2, 0.3, *[0.7] * 4], np.float32)
    message = odometry(state, 12_345_678_901)
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 345_678_901)
    pose, twist = message.pose.pose, message.twist.twist
    assert (pose.position.x, pose.position.y, pose.position.z) == (1, 2, 3)
    assert (pose.orientation.z, pose.orientation.w) == pytest.approx((half, half))
    assert (twist.linear.x, twist.linear.y, twist.linear.z) == pytest.approx((5, 0, 0.5), abs=1e-6)
    assert (twist.angular.x, twist.angular.y, twist.angular.z) == pytest.approx((0.1, 0.2, 0.3))


def test_odometry_of_a_vehicle_on_its_side_falls_sideways():
    """Rolled right by 90 degrees, level nose east: down is to the right, which is -y in FLU."""
    half = np.sqrt(0.5)
    twist = odometry(np.array([0, 0, 0, half, 0, 0, half, 0, 0, -2, 0, 0, 0]), 0).twist.twist
    assert (twist.linear.x, twist.linear.y, twist.linear.z) == pytest.approx((0, -2, 0), abs=1e-9)


def test_odometry_tells_the_variances_along_the_axes_that_ros_asks_for():
    """Nose north: forward is north, left is west. Pose about the axes of odom, twist along those of the body."""
    half = np.sqrt(0.5)
    state = np.array([0, 0, 0, 0, 0, half, half, 0, 0, 0, 0, 0, 0])
    message = odometry(state, 0, (1.0, 2.0, 3.0, 0.1, 0.2, 0.3, 4.0, 5.0, 6.0))
    pose, twist = message.pose.covariance.reshape(6, 6), message.twist.covariance.reshape(6, 6)
    np.testing.assert_allclose(pose, np.diag([1, 2, 3, 0.2, 0.1, 0.3]), atol=1e-12)
    np.testing.assert_allclose(twist, np.diag([5, 4, 6, 0, 0, 0]), atol=1e-12)


def test_odometry_of_a_turned_body_has_full_covariances_that_turn_back_into_the_variances():
    quaternion = np.array([0.1, -0.4, 0.3, 0.86])
    quaternion /= np.linalg.norm(quaternion)
    message = odometry([0, 0, 0, *quaternion, *[0] * 6], 0, (1.0, 2.0, 3.0, 0.1, 0.2, 0.3, 4.0, 5.0, 6.0))
    turn = np.array([rotate(tuple(quaternion), axis) for axis in np.eye(3)]).T  # body to odom
    pose, twist = message.pose.covariance.reshape(6, 6), message.twist.covariance.reshape(6, 6)
    np.testing.assert_allclose(turn.T @ pose[3:, 3:] @ turn, np.diag([0.1, 0.2, 0.3]), atol=1e-12)
    np.testing.assert_allclose(turn @ twist[:3, :3] @ turn.T, np.diag([4, 5, 6]), atol=1e-12)
    assert not pose[:3, 3:].any() and not twist[3:].any()


@pytest.mark.parametrize("unknown", [(), (np.nan,) * 9, (np.inf, -1.0, 0.0) * 3])
def test_what_is_not_known_of_a_covariance_is_0(unknown):
    message = odometry(np.array([0, 0, 0, 0.6, 0, 0, 0.8, *[0] * 6]), 0, unknown)
    assert not message.pose.covariance.any() and not message.twist.covariance.any()
