"""One graph of a flight, as real processes: what its nodes are given, when they may run, and what they may say and hear.

- the rate of the control reaches all who reckon with it
- the nodes from state to command run under SCHED_FIFO where this user may set it
- they and a dashboard do what the SROS 2 policy allows them
"""

import os
import time

import pytest
import sros2_rights
from graph_fixtures import Graph
from output import Output, executable
from programs import free_port, nodes
from sros2_rights import FLIGHT

from spike_ctrl._files import resources
from spike_ctrl.flight import realtime_scheduling


def runs_under(graph: Graph, scheduler: int) -> bool:
    """Whether all nodes of the flight run, under this scheduler."""
    found = nodes([graph.process.pid])
    return found.keys() >= set(FLIGHT) and all(os.sched_getscheduler(found[name].process) == scheduler for name in FLIGHT)


@pytest.fixture(scope="module")
def flight(two_ros_domain_ids, tmp_path_factory):
    """The graph, at 100 Hz and without a vehicle, once it runs; in the first domain."""
    model = f"model:={resources.find('models', 'sih_quadx.safetensors')}"
    arguments = ["rate:=100.0", "record:=false", model, f"connection:=udpin:127.0.0.1:{free_port()}"]
    graph = Graph(two_ros_domain_ids[0], tmp_path_factory.mktemp("flight"), arguments, "flight")
    try:
        graph.wait_until(lambda: set(FLIGHT) <= set(graph.nodes()), 120, "not all nodes run")
        yield graph
    finally:
        graph.kill()


def test_the_rate_of_the_control_reaches_all_who_reckon_with_it(flight):
    for name in set(FLIGHT) - {"snn_policy"}:  # whose checkpoint has a rate of its own, which the supervisor compares
        assert flight.parameters(name)["rate"] == 100.0, name


@pytest.mark.skipif(not realtime_scheduling.allowed(), reason="this user may not set SCHED_FIFO")
def test_the_nodes_from_state_to_command_are_above_all_that_computes_where_it_is_allowed(flight):
    flight.wait_until(lambda: runs_under(flight, os.SCHED_FIFO), 150, "not all nodes run so")  # the first start compiles


def test_what_the_nodes_of_a_flight_do_is_allowed_to_them(flight, two_ros_domain_ids, monkeypatch):
    import rclpy

    rights = sros2_rights.read()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(two_ros_domain_ids[0]))
    watch = Output([executable("spike-ctrl"), "watch", "--seconds", "120"])
    rclpy.init()
    try:
        node = rclpy.create_node("listener")
        questions = {
            "publish": node.get_publisher_names_and_types_by_node,
            "subscribe": node.get_subscriber_names_and_types_by_node,
            "reply": node.get_service_names_and_types_by_node,
            "request": node.get_client_names_and_types_by_node,
        }
        deadline = time.monotonic() + 60
        there = {*FLIGHT, "dashboard"}
        while not there <= set(node.get_node_names()) or node.count_publishers("set_point") == 0:
            assert time.monotonic() < deadline and flight.process.poll() is None, flight.output
            rclpy.spin_once(node, timeout_sec=0.1)
        for name in there:
            for kind, ask in questions.items():
                seen = {topic for topic, _ in ask(name, "/")}
                assert seen <= rights[name][kind], f"{name}: {kind}: {sorted(seen - rights[name][kind])}"
        node.destroy_node()
    finally:
        watch.process.terminate()
        watch.process.wait(60)
        rclpy.shutdown()


@pytest.mark.skipif(not realtime_scheduling.allowed(), reason="this user may not set SCHED_FIFO")
def test_without_real_time_they_run_under_the_ordinary_scheduler(start_graph):
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    graph = start_graph("realtime:=false", "record:=false", connection, name="flight")
    graph.wait_until(lambda: runs_under(graph, os.SCHED_OTHER), 150, "not all nodes run so")
    for name, node in nodes([graph.process.pid]).items():  # they may not have loaded yet
        assert node.environment["SPIKE_CTRL_PRIORITY"] == "0", name
