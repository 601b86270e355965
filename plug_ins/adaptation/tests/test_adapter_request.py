"""A request to tune is granted where the flight has shown enough of the vehicle, and else refused with the reason."""

import pytest
import rclpy
from std_srvs.srv import Trigger

MODEL = "models/sih_quadx.safetensors"
LEVEL, REST = (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0)


@pytest.fixture
def adapter(ros_domain_id, monkeypatch):
    from spike_ctrl_adaptation import adapter_node

    monkeypatch.setattr(adapter_node.realtime_scheduling, "give_way", lambda _: "")
    monkeypatch.setattr(adapter_node, "warm_up", lambda *_: None)
    rclpy.init(args=["--ros-args", "-p", f"model:={MODEL}"])
    node = adapter_node.AdapterNode()
    node.tuning.join()
    node.tuned = []
    monkeypatch.setattr(node, "tune", lambda parent, estimate, *_: node.tuned.append(estimate))
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def ask(node):
    answer = node.on_adapt(Trigger.Request(), Trigger.Response())
    node.tuning.join()
    return answer.success, answer.message


def hover(node, seconds, begin=0.0):
    for step in range(int(100 * seconds)):
        node.adapter.see(begin + 0.01 * step, LEVEL, REST, REST, (0.01 * (step % 7), 0.0, 0.0, 0.0), 0.05, MODEL)


def test_a_request_before_the_policy_flies_is_refused(adapter):
    assert ask(adapter) == (False, "refused: no policy flies that this node knows")
    assert not adapter.tuned


def test_a_request_before_anything_is_known_of_the_vehicle_is_refused(adapter):
    hover(adapter, 0.05)
    granted, message = ask(adapter)
    assert not granted and message.startswith("refused: too little is known of the vehicle: ")
    assert not adapter.tuned


def test_a_request_in_flight_is_granted_and_tunes_for_what_was_seen(adapter):
    hover(adapter, 4.0)
    assert ask(adapter) == (True, "granted")
    assert adapter.tuned == [adapter.adapter.estimate]
