"""Who else publishes in the graph of a flight, as its supervisor sees it."""

import time
from types import SimpleNamespace

import pytest
import rclpy
from spike_ctrl_msgs.msg import AutopilotStatus, FlightCommand, Preflight

from spike_ctrl.flight.faults import Fault
from spike_ctrl_flight.graph_watch import GraphWatch
from spike_ctrl_ros import qos
from spike_ctrl_ros.node import ProcessNode


@pytest.fixture
def supervisor(ros_domain_id):
    rclpy.init()
    found = ProcessNode("supervisor")
    yield found
    found.destroy_node()
    rclpy.shutdown()


def test_the_recorder_of_another_namespace_is_not_that_of_this_flight_and_conditions_bar_it(supervisor):
    other = ProcessNode("recorder", namespace="b")
    watch = GraphWatch(supervisor, recorded=True, conditions=[SimpleNamespace(unmet=lambda: ["gate: found open; shut it"])])
    deadline = time.monotonic() + 20
    while ("recorder", "/b") not in supervisor.get_node_names_and_namespaces():
        assert time.monotonic() < deadline
        rclpy.spin_once(supervisor, timeout_sec=0.1)
    watch.look()
    watch.audited(Preflight(), 5.0)
    assert [finding.fault for finding in watch.reports] == [Fault.RECORDER_LOST]
    assert watch.unmet(5.0)[-1] == "gate: found open; shut it"
    other.destroy_node()


@pytest.mark.parametrize(
    ("kind", "topic", "fault"),
    [
        (FlightCommand, "command", Fault.SECOND_PUBLISHER),
        (AutopilotStatus, "autopilot", Fault.SECOND_PUBLISHER),  # it could tell of a landing, or of a pilot
        (Preflight, "preflight", None),
    ],
)
def test_a_second_publisher_bars_an_engagement_and_where_it_could_do_harm_the_policy(supervisor, kind, topic, fault):
    watch = GraphWatch(supervisor, recorded=False)
    publishers = [supervisor.create_publisher(kind, topic, qos.STREAM) for _ in range(2)]
    deadline = time.monotonic() + 20
    while supervisor.count_publishers(topic) < len(publishers):
        assert time.monotonic() < deadline
        rclpy.spin_once(supervisor, timeout_sec=0.1)
    watch.look()
    watch.audited(Preflight(), 5.0)
    assert [finding.fault for finding in watch.reports] == ([fault] if fault else [])
    assert any(text.startswith(f"topic {topic}: found 2 publishers") for text in watch.unmet(5.0)), watch.unmet(5.0)
