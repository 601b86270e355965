"""A publisher is heard when somebody who acts on it listens; a recorder alone does not count."""

import time

import pytest
import rclpy
from spike_ctrl_msgs.msg import JumpStart

from spike_ctrl_ros import qos
from spike_ctrl_ros.node import ProcessNode


@pytest.fixture
def nodes(ros_domain_id):
    rclpy.init()
    made = {name: ProcessNode(name) for name in ("learner", "recorder", "simulator")}
    yield made
    for node in made.values():
        node.destroy_node()
    rclpy.shutdown()


def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"


def test_a_recorder_alone_does_not_count_as_a_listener(nodes):
    publisher = nodes["learner"].create_publisher(JumpStart, "jump_start", qos.LOCKSTEP)
    assert not nodes["learner"].is_heard(publisher)
    nodes["recorder"].create_subscription(JumpStart, "jump_start", lambda _: None, qos.LOCKSTEP)
    until(lambda: publisher.get_subscription_count() == 1 and nodes["learner"].count_subscribers("jump_start") == 1)
    assert not nodes["learner"].is_heard(publisher)
    listener = nodes["simulator"].create_subscription(JumpStart, "jump_start", lambda _: None, qos.LOCKSTEP)
    until(lambda: nodes["learner"].is_heard(publisher))
    nodes["simulator"].destroy_subscription(listener)
    until(lambda: not nodes["learner"].is_heard(publisher))
