"""The guide node in flight: what it integrates is the error of its own commands."""

import subprocess
import time

import numpy as np
import pytest
import rclpy
from output import executable
from spike_ctrl_msgs.msg import VehicleAction, VehicleState
from std_msgs.msg import Float64MultiArray

from spike_ctrl.control.lost_rotor import LostRotorGuide
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill

BELOW = np.array([[0, 0, -0.1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]], np.float32)  # at rest, 10 cm too low


@pytest.fixture
def show(ros_domain_id, request):
    """show(flags, n): n states of this vehicle, one after the other; gives the thrust that the guide answers to the last.

    Its parameter, where there is one: Hz of the states; or the name of an airframe that is commanded by its motors.
    """
    given = getattr(request, "param", 100.0)
    craft, recipe, rate = (given, "default", 100.0) if isinstance(given, str) else ("sih_quadx", "rates", given)
    command = [executable("guide_policy"), "--ros-args"]
    words = [
        word for p in ("flight:=true", f"airframe:={craft}", f"recipe:={recipe}", f"rate:={rate}") for word in ("-p", p)
    ]
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

    ask.out, ask.rotors = out, node.create_publisher(Float64MultiArray, "rotors", qos.STREAM)
    yield ask
    process.kill()
    process.wait(60)
    node.destroy_node()
    rclpy.shutdown()


def test_it_integrates_while_it_flies_keeps_that_while_another_does_and_answers_no_malformed_state(show):
    at_first = show(VehicleState.FIRST, 1)
    assert show(0, 100) == pytest.approx(at_first, abs=1e-3)  # the policy flies, and hovers 10 cm too low
    after = show(VehicleState.GUIDE, 100)
    assert after > at_first + 0.03
    assert show(0, 100) == pytest.approx(after, abs=2e-3)
    assert show(VehicleState.FIRST, 1) == pytest.approx(at_first, abs=1e-3)  # on the ground
    odd = fill(VehicleState(), flags=np.zeros(1, np.uint8), observation=BELOW, plant=BELOW)
    for tick, message in enumerate((VehicleState(), VehicleState(vehicles=1), VehicleState(vehicles=2, flags=[0]), odd)):
        message.tick = 1000 + tick
        show.out.publish(message)
        time.sleep(0.2)
    assert show(VehicleState.FIRST, 1) == pytest.approx(at_first, abs=1e-3)


@pytest.mark.parametrize("show", [50.0, 125.0], indirect=True)
def test_it_integrates_over_time_and_not_over_states(show, request):
    at_first, rate = show(VehicleState.FIRST, 1), request.node.callspec.params["show"]
    assert show(VehicleState.GUIDE, round(rate / 2)) - at_first == pytest.approx(0.0221, abs=1e-3)  # half a second of it


@pytest.mark.parametrize("show", ["crazyflie"], indirect=True)
def test_it_flies_with_the_lost_rotor_of_which_the_supervisor_tells_until_the_next_flight(show):
    whole, guide = show(VehicleState.FIRST, 1), LostRotorGuide("crazyflie")
    shares, speeds = np.array([[1, 0.5, 1, 1]], np.float32), np.full((1, 4), 0.7, np.float32)
    (wanted, *_), *_ = guide.act(BELOW, guide.initial_state(1), speeds, effectiveness=shares)[0]
    obey = [-1.0] * 4
    for wrong in ([1.0], [float("nan")] * 12):
        show.rotors.publish(Float64MultiArray(data=wrong))
    found, deadline = whole, time.monotonic() + 20
    while found == whole and time.monotonic() < deadline:
        show.rotors.publish(Float64MultiArray(data=[*shares[0].tolist(), *speeds[0].tolist(), *obey]))
        found = show(0, 1)
    assert found == pytest.approx(wanted, abs=1e-4) and abs(found - whole) > 0.05
    deadline = time.monotonic() + 20
    while found != whole and time.monotonic() < deadline:
        show.rotors.publish(Float64MultiArray(data=[1.0] * 4 + speeds[0].tolist() + obey))
        found = show(0, 1)
    assert found == whole
    show.rotors.publish(Float64MultiArray(data=[*shares[0].tolist(), *speeds[0].tolist(), *obey]))
    assert show(VehicleState.FIRST, 1) == whole
