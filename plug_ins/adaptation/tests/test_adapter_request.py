"""A request to tune is granted where the flight has shown enough of the vehicle, and else refused with the reason."""

import threading
from types import SimpleNamespace

import pytest
import rclpy
from std_srvs.srv import Trigger

from spike_ctrl._files.errors import UsageError
from spike_ctrl_adaptation.adapter_node import Offer
from spike_ctrl_adaptation.fine_tuning import TunedPolicy

MODEL = "models/sih_quadx.safetensors"
LEVEL, REST = (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0)


@pytest.fixture
def adapter(ros_domain_id, monkeypatch):
    from spike_ctrl_adaptation import adapter_node

    monkeypatch.setattr(adapter_node.session_priority, "give_way", lambda _: "")
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
    assert ask(adapter) == (False, "refused: no policy flies, or one whose checkpoint the adapter has not received")
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


def test_what_was_tuned_reaches_the_node_in_its_own_thread_when_it_looks(adapter, monkeypatch):
    tuned, changed = threading.Event(), []

    def tune(parent, estimate, yaw, epoch, rows):
        tuned.set()
        return Offer(TunedPolicy("child", b"weights", 0.3, 0.1), epoch, estimate, 1.0)

    monkeypatch.setattr(adapter, "tune", tune)
    noted = adapter.adapter.offered
    monkeypatch.setattr(
        adapter.adapter, "offered", lambda *about: changed.append(threading.current_thread()) or noted(*about)
    )
    hover(adapter, 4.0)
    assert ask(adapter) == (True, "granted") and tuned.is_set()
    assert "child" not in adapter.files and not changed  # it waits in the queue
    adapter.look()
    assert adapter.files["child"] == b"weights" and changed == [threading.current_thread()]


@pytest.mark.parametrize(
    "error, words",
    [(UsageError("too weak"), "too weak"), (ZeroDivisionError("by nothing"), "ZeroDivisionError: by nothing")],
)
def test_a_tuning_that_fails_is_told_and_the_next_one_may_begin(adapter, monkeypatch, error, words):
    def tune(*_):
        raise error

    said = []
    monkeypatch.setattr(adapter, "tune", tune)
    monkeypatch.setattr(adapter, "get_logger", lambda: SimpleNamespace(info=said.append, warning=said.append))
    hover(adapter, 4.0)
    assert ask(adapter) == (True, "granted")
    assert ask(adapter) == (True, "granted")
    assert said[1] == f"no tuned policy is offered: {words}"
