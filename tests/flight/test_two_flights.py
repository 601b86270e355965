"""Two embedded vehicles in one ROS domain, each graph in a namespace of its own, as real processes.

- they fly at once; all nodes, topics and services of each stand below its namespace; each bag holds its own flight
- the policy of one is killed in the air: its guide takes over, and the other flies to its end as if nothing were
- cages that overlap: nobody takes off, and both say why
"""

import signal

import pytest
import rclpy
from printed_figures import figures
from two_flights import FALLEN_BACK, end, kill_policy, start, wait

from spike_ctrl import plug_ins
from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings.bag_messages import messages
from spike_ctrl.recordings.flight_log import read_log

pytestmark = pytest.mark.flight
OF_ROS = {"/parameter_events", "/rosout"}  # of every node, wherever it stands
NODES = {"vehicle_bridge", "guide_policy", "snn_policy", "supervisor", "recorder"}


@pytest.fixture
def onlooker(ros_domain_id):
    """A node in the domain of the flights."""
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node("onlooker", context=context, start_parameter_services=False, enable_rosout=False)
    yield node
    node.destroy_node()
    context.shutdown()


@pytest.fixture
def begin(tmp_path):
    """begin("a", trajectory="hover") starts a flight in a namespace, which is ended after the test."""
    flights = []

    def started(namespace: str, **arguments: str):
        flights.append(start(namespace, tmp_path, {"vehicle": "embedded", "trajectory": "hover"} | arguments))
        return flights[-1]

    yield started
    for flight in flights:
        if flight.process.poll() is None:
            flight.process.send_signal(signal.SIGINT)
            end(flight)


def names(node) -> set[str]:
    """Absolute names of all nodes, topics and services in the domain, but for those of ROS and of the node that looks."""
    nodes = {f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces()}
    others = [*node.get_topic_names_and_types(), *node.get_service_names_and_types()]
    every = nodes | {name for name, _ in others}
    return {name for name in every if name not in OF_ROS and not name.startswith(node.get_fully_qualified_name())}


def test_when_the_policy_of_one_is_killed_the_other_flies_on_as_if_nothing_were(onlooker, begin, tmp_path):
    a, b = begin("a", duration="6"), begin("b", duration="12")
    flies = "INFO GUIDE -> SNN"
    assert wait([a, b], lambda: flies in a.output and flies in b.output), f"{a.output}\n{b.output}"
    found = names(onlooker)
    assert {f"/{space}/{node}" for space in "ab" for node in NODES} <= found
    assert {"/a/land", "/b/land", "/b/snn_policy/change_state", "/b/policy/action", "/b/diagnostics"} <= found
    assert not {name for name in found if not name.startswith(("/a/", "/b/"))}
    kill_policy(a)
    assert end(b) == 0, b.output
    assert end(a) == 128 + signal.SIGKILL and FALLEN_BACK.search(a.output), a.output
    assert figures(b.output, ["RMSE cm"])["RMSE cm"] < 10.0 and "SNN -> LAND: the operator asked to land" in b.output
    for space, rung in (("a", Rung.GUIDE), ("b", Rung.SNN)):
        log = read_log(tmp_path / f"bag_{space}")
        assert int(rung) in log.rung
        assert {topic.split("/")[1] for topic, *_ in messages(tmp_path / f"bag_{space}", [])} == {space}


def test_cages_that_overlap_bar_the_take_off_of_both_in_words(onlooker, begin):
    if "separation" not in plug_ins.entries("flight_conditions"):
        pytest.skip("the plug-in fleet is not installed")
    a, b = begin("a", east="0"), begin("b", east="4")
    told = {"a": "found it 2.00 m inside this one", "b": "found it 2.00 m inside this one"}
    refused = [(a, f"refused to take off: cage of the flight in /b: {told['a']}"), (b, f"in /a: {told['b']}")]
    assert wait([a, b], lambda: all(words in flight.output for flight, words in refused)), f"{a.output}\n{b.output}"
    assert "Armed" not in a.output + b.output
