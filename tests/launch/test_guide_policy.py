"""The guide node in flight: what it integrates is the error of its own commands."""

import subprocess
import time

import numpy as np
import pytest
import rclpy
from output import executable
from spike_ctrl_msgs.msg import VehicleAction, VehicleState

from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill

BELOW = np.array([[0, 0, -0.1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]], np.float32)  # at rest, 10 cm too low


@pytest.fixture
def show(ros_domain_id, request):
    """show(flags, n): n states of this vehicle, one after the other; gives the thrust that the guide answers to the last.

    Its parameter, where there is one: Hz of the states.
    """
    rate = f"rate:={getattr(request, 'param', 100.0)}"
    command = [executable("guide_policy"), "--ros-args"]
    words = [word for p in ("flight:=true", "airframe:=sih_quadx", "recipe:=rates", rate) for word in ("-p", p)]
    process = subprocess.Popen([*command, *words])
    rclpy.init()
    node, answers, tick = rclpy.create_node("bridge"), [], 0
    out = node.create_publisher(VehicleState, "state", qos.STREAM)
    node.create_subscription(VehicleAction, "guide/action", answers.append, qos.STREAM)

    def ask(flags: int, n: int) -> float:
        nonlocal tick
        for _ in range(n):
            tick += 1
            message = fill(VehicleState(), tick=tick, flags=np.array([flags], np.uint8), observation=BELOW)
            deadline, answers[:] = time.monotonic() + 20, []
            while not answers:
                assert time.monotonic() < deadline, "no answer"
                out.publish(message)
                rclpy.spin_once(node, timeout_sec=0.1)
        return answers[-1].action[0]

    ask.out = out
    yield ask
    process.kill()
    process.wait(60)
    node.destroy_node()
    rclpy.shutdown()


def test_it_integrates_while_it_flies_and_keeps_that_while_another_does(show):
    at_first = show(VehicleState.FIRST, 1)
    assert show(0, 100) == pytest.approx(at_first, abs=1e-3)  # the policy flies, and hovers 10 cm too low
    after = show(VehicleState.GUIDE, 100)
    assert after > at_first + 0.03
    assert show(0, 100) == pytest.approx(after, abs=2e-3)
    assert show(VehicleState.FIRST, 1) == pytest.approx(at_first, abs=1e-3)  # on the ground


@pytest.mark.parametrize("show", [50.0, 100.0, 125.0], indirect=True)
def test_it_integrates_over_time_and_not_over_states(show, request):
    at_first, rate = show(VehicleState.FIRST, 1), request.node.callspec.params["show"]
    assert show(VehicleState.GUIDE, round(rate / 2)) - at_first == pytest.approx(0.0221, abs=1e-3)  # half a second of it


def test_a_malformed_state_is_not_answered_and_ends_nobody(show):
    at_first = show(VehicleState.FIRST, 1)
    odd = fill(VehicleState(), flags=np.zeros(1, np.uint8), observation=BELOW, plant=BELOW)
    for tick, message in enumerate((VehicleState(), VehicleState(vehicles=1), VehicleState(vehicles=2, flags=[0]), odd)):
        message.tick = 1000 + tick
        show.out.publish(message)
        time.sleep(0.2)
    assert show(VehicleState.FIRST, 1) == pytest.approx(at_first, abs=1e-3)
