"""The recorder in a graph of real processes.

- it records a flight from the first tick to the last; Ctrl-C closes the bag in order, with the publishers' QoS profiles
- what is in the bag is what ROS itself makes of the bytes
- killed, it leaves a bag that can be repaired, and the others fly on
- with a full disk it says so in the diagnostics, stays, and the others fly on; at the end it fails with exit code 74
- a bag that exists already is refused, and the graph does not start
"""

import importlib
import os
import re
import resource
import signal
import time
from array import array
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability

from spike_ctrl.recordings.repair import repair

RECORD = ("recipe:=debug", "record:=true", "bag:=bag")
REALTIME = (*RECORD, "vehicles:=1", "realtime:=true", "steps:=1000000")


def read(bag: Path) -> dict[str, list]:
    """The messages of each topic."""
    found: dict[str, list] = {}
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            found.setdefault(connection.topic, []).append(reader.deserialize(raw, connection.msgtype))
    return found


def ticks(messages: list) -> list[int]:
    """The ticks in their order, once each: a state that nobody answers within a second is sent again."""
    return [tick for tick, _ in groupby(message.tick for message in messages)]


def equal(ours, ros) -> bool:
    """Whether a message of rosbags has the fields and values of one of ROS."""
    if hasattr(ros, "get_fields_and_field_types"):
        return all(equal(getattr(ours, name), getattr(ros, name)) for name in ros.get_fields_and_field_types())
    if isinstance(ros, (array, np.ndarray)):
        return np.array_equal(ours, ros, equal_nan=True)
    if isinstance(ros, list):
        return len(ours) == len(ros) and all(map(equal, ours, ros))
    if isinstance(ros, bytes):
        return bytes([ours]) == ros
    return ours == ros or (ours != ours and ros != ros)


@pytest.fixture
def diagnostics(ros_domain_id):
    """Hears /diagnostics: diagnostics(name, condition) gives the first status of a node that satisfies the condition."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray

    from spike_ctrl_ros import qos

    rclpy.init()
    node = rclpy.create_node("listener")
    heard = []
    node.create_subscription(DiagnosticArray, "/diagnostics", lambda message: heard.extend(message.status), qos.STATUS)

    def wait(name: str, condition, seconds: float = 60.0):
        deadline = time.monotonic() + seconds
        heard.clear()
        while not (found := [status for status in heard if status.name == name and condition(status)]):
            assert time.monotonic() < deadline, f"no such diagnostics of {name} in {heard}"
            rclpy.spin_once(node, timeout_sec=0.1)
        return found[0]

    yield wait
    node.destroy_node()
    rclpy.shutdown()


def figure(status, key: str) -> float:
    return float(next(value.value for value in status.values if value.key == key))


def past(tick: float):
    return lambda status: figure(status, "tick") > tick


def all_is_what_ros_reads(bag: Path) -> set[str]:
    """Whether ROS makes the same of each message's bytes; the kinds of messages in the bag."""
    from rclpy.serialization import deserialize_message

    kinds = set()
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            ours = reader.deserialize(raw, connection.msgtype)
            package, _, name = connection.msgtype.split("/")
            ros = deserialize_message(bytes(raw), getattr(importlib.import_module(f"{package}.msg"), name))
            assert equal(ours, ros), connection.topic
            kinds.add(name)
    return kinds


def test_a_training_run_is_recorded_whole_as_ros_reads_it(start_graph, tmp_path):
    graph = start_graph(*RECORD, "vehicles:=64", "steps:=10000", "run:=run")
    assert graph.end(90) == 0, graph.output
    assert re.search(r"bag: .*/bag, \d+ messages, 0 lost", graph.output)
    found = read(tmp_path / "bag")
    flown = ticks(found["/transition"])
    assert flown == list(range(len(flown))) and len(flown) > 10000 // 64
    for topic in ("/state", "/policy/action", "/guide/action"):
        assert ticks(found[topic])[: len(flown)] == flown
    epochs = {message.epoch for message in found["/policy/checkpoint"]}
    assert epochs >= {message.epoch for message in found["/policy/action"]}
    with AnyReader([tmp_path / "bag"]) as reader:
        offered = {connection.topic: connection.ext.offered_qos_profiles[0] for connection in reader.connections}
    assert offered["/policy/checkpoint"].durability is QosDurability.TRANSIENT_LOCAL
    assert offered["/state"].reliability is QosReliability.RELIABLE
    assert offered["/odometry"].reliability is QosReliability.BEST_EFFORT
    kinds = {"VehicleState", "VehicleAction", "Transition", "Checkpoint", "PolicyStatus", "Odometry", "DiagnosticArray"}
    assert all_is_what_ros_reads(tmp_path / "bag") >= kinds


@pytest.mark.alone
def test_a_killed_recorder_leaves_the_others_flying_and_a_bag_that_can_be_repaired(start_graph, diagnostics, tmp_path):
    graph = start_graph(*REALTIME)
    tick = figure(diagnostics("simulator", past(300), 60), "tick")
    missed = figure(diagnostics("simulator", past(tick)), "deadlines_missed")
    os.kill(graph.node("recorder"), signal.SIGKILL)
    after = diagnostics("simulator", past(tick + 500))
    assert graph.process.poll() is None
    assert figure(after, "deadlines_missed") - missed < 50
    repair(tmp_path / "bag")
    found = ticks(read(tmp_path / "bag")["/state"])
    assert found == list(range(found[0], found[0] + len(found))) and found[-1] >= tick - 200


@pytest.mark.alone
def test_a_full_disk_is_told_and_disturbs_nobody(start_graph, diagnostics, tmp_path):
    graph = start_graph(*REALTIME)
    status = diagnostics("recorder", lambda status: figure(status, "messages") > 500, 60)
    assert status.message == "recording" and status.level == status.OK
    # What a full disk answers to a write, this limit answers too.
    resource.prlimit(graph.node("recorder"), resource.RLIMIT_FSIZE, (200_000, 200_000))
    status = diagnostics("recorder", lambda status: status.level == status.ERROR)
    assert status.message == f"recording stopped: {tmp_path / 'bag'}: cannot be written: File too large"
    now = diagnostics("simulator", past(0))
    later = diagnostics("simulator", past(figure(now, "tick") + 300))
    assert figure(later, "deadlines_missed") - figure(now, "deadlines_missed") < 30
    os.kill(graph.node("recorder"), 0)
    repair(tmp_path / "bag")
    assert len(read(tmp_path / "bag")["/state"]) > 10
    graph.process.send_signal(signal.SIGINT)
    assert graph.end(40) == os.EX_IOERR
    assert "get it back with: spike-ctrl repair" in graph.output
    assert re.search(r"error: recording stopped: .*; the bag lacks the rest", graph.output)


@pytest.mark.installed
def test_a_bag_that_exists_is_refused_and_the_graph_does_not_start(start_graph, tmp_path):
    (tmp_path / "bag").mkdir()
    graph = start_graph(*RECORD)
    assert graph.end(40) == 2
    assert "parameter 'bag': bag: exists already, wanted the name of a new bag" in graph.output


def test_chosen_topics_alone_are_recorded(start_graph, diagnostics, tmp_path):
    graph = start_graph(*REALTIME, "topics:=odometry /clock")
    diagnostics("simulator", past(100), 60)
    graph.process.send_signal(signal.SIGINT)
    graph.end(40)
    assert set(read(tmp_path / "bag")) == {"/odometry", "/clock"}
