"""`spike-ctrl ask`: the operator's requests reach the supervisor's services, and the answer decides the exit code.

- granted: its words and 0; refused: its words and 1; nobody there: one line and 1
- a target arrives as it was asked for; one without a point is refused before anything is asked
"""

import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from spike_ctrl_msgs.srv import SetTarget
from std_srvs.srv import Trigger

SPIKE_CTRL = Path(sys.executable).parent / "spike-ctrl"


def ask(*words):
    return subprocess.run([SPIKE_CTRL, "ask", *words], capture_output=True, text=True, timeout=120)


@pytest.fixture
def supervisor(ros_domain_id):
    """Answers as a supervisor does; what it was asked for is kept."""
    rclpy.init()
    node, asked = rclpy.create_node("supervisor"), []

    def on_land(request, answer):
        answer.success, answer.message = True, "GUIDE -> LAND: the operator asked to land"
        return answer

    def on_engage(request, answer):
        answer.success, answer.message = False, "refused to engage: the vehicle is not in the air: take off first"
        return answer

    def on_target(request, answer):
        asked.append(request)
        answer.success = True
        return answer

    node.create_service(Trigger, "land", on_land)
    node.create_service(Trigger, "/b/land", on_land)
    node.create_service(Trigger, "engage", on_engage)
    node.create_service(SetTarget, "set_target", on_target)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield asked
    executor.shutdown()
    thread.join(5)
    node.destroy_node()
    rclpy.shutdown()


def test_what_is_granted_what_is_refused_and_a_target(supervisor):
    granted = ask("land")
    assert (granted.returncode, granted.stdout) == (0, "GUIDE -> LAND: the operator asked to land\n"), granted.stderr
    assert ask("land", "--namespace", "b").returncode == 0
    nobody = ask("engage", "--namespace", "b").stderr
    assert ", namespace /b, wanted one within 5 s; there is one in /: --namespace" in nobody
    refused = ask("engage")
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr == "error: refused to engage: the vehicle is not in the air: take off first\n"
    assert ask("set_target", "--setpoint", "1,-0.5,1.2,1.5", "--trajectory", "figure8", "--size", "0.8").returncode == 0
    (target,) = supervisor
    assert (target.trajectory, target.size, target.period, target.yaw) == ("figure8", 0.8, 0.0, 1.5)
    assert target.position.tolist() == [1.0, -0.5, 1.2] and not math.isnan(target.yaw)


def test_without_a_supervisor_or_a_point_one_line_says_so(ros_domain_id):
    nobody = ask("land")
    assert nobody.returncode == 1 and nobody.stderr.startswith(f"error: no supervisor answers in ROS domain {ros_domain_id}")
    pointless = ask("set_target")
    assert pointless.returncode == 2 and "parameter 'setpoint': found nothing" in pointless.stderr
