"""Timers of nodes do not ask what time it is: whoever sets the host's clock back stops no heartbeat."""

import subprocess
import time
from pathlib import Path

import pytest
import rclpy
from output import executable
from programs import free_port
from rclpy.clock_type import ClockType
from spike_ctrl_msgs.msg import AutopilotStatus

from spike_ctrl_ros import qos
from spike_ctrl_ros.node import ProcessNode

SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture
def node(ros_domain_id):
    rclpy.init()
    found = ProcessNode("onlooker")
    yield found
    found.destroy_node()
    rclpy.shutdown()


def until(node, condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        rclpy.spin_once(node, timeout_sec=0.1)


def test_a_timer_runs_on_the_steady_clock(node):
    calls = []
    timer = node.start_timer(0.01, lambda: calls.append(time.monotonic()))
    until(node, lambda: len(calls) == 10)
    assert timer.clock.clock_type == ClockType.STEADY_TIME and calls[-1] - calls[0] > 0.05


def test_no_node_has_another_timer():
    users = [path.name for path in SOURCES.rglob("*.py") if ".create_timer(" in path.read_text(encoding="utf-8")]
    assert users == ["node.py"]


def test_a_clock_that_stands_still_keeps_no_status_back(node):
    heard = []
    node.create_subscription(AutopilotStatus, "autopilot", heard.append, qos.STREAM)
    given = (f"connection:=udpin:127.0.0.1:{free_port()}", "use_sim_time:=true")  # and nobody publishes /clock
    words = [word for value in given for word in ("-p", value)]
    bridge = subprocess.Popen([executable("vehicle_bridge"), "--ros-args", *words])
    try:
        until(node, lambda: len(heard) > 5)
    finally:
        bridge.kill()
        bridge.wait(60)
