"""Two trainings by the graph with one seed, beside each other in two domains: one in a namespace, the other recorded.

- each ends by itself with a policy that loads; the two are equal, so the graphs do not meet, and neither a recorder nor a
  namespace changes anything
- the bag holds the run from the first tick to the last, with the publishers' QoS profiles, as ROS itself reads it
"""

import importlib
import json
import os
import re
from array import array
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from graph_fixtures import Graph
from recorded import messages, ticks
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability

from spike_ctrl.policy import checkpoint

RECORD = ("record:=true", "bag:=bag")


@pytest.fixture(scope="module")
def trained(two_ros_domain_ids, tmp_path_factory):
    """The folder of run0, run1 and the bag of run1; and what each graph printed."""
    folder = tmp_path_factory.mktemp("trained")
    given = ("recipe:=debug", "vehicles:=64", "steps:=10000", "seed:=5")
    with patch.dict(os.environ):
        os.environ.pop("COLUMNS", None)  # at which tables fold
        graphs = [
            Graph(domain, folder, [*given, f"run:=run{number}", *more])
            for number, (domain, more) in enumerate(zip(two_ros_domain_ids, (("namespace:=x",), RECORD), strict=True))
        ]
    try:
        for graph in graphs:
            assert graph.end() == 0, graph.output
    finally:
        for graph in graphs:
            graph.kill()
    return folder, [graph.output for graph in graphs]


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


def all_is_what_ros_reads(bag: Path) -> set[str]:
    """Assert that ROS reads each message as rosbags does; gives the kinds of messages in the bag."""
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


def test_the_graph_trains_and_leaves_a_policy_that_loads(trained):
    folder, (output, _) = trained
    assert "run run0: recipe debug" in output
    assert "spiking policy" in output and "guide" in output and "paper" in output
    policy = checkpoint.load(folder / "run0" / "policy.safetensors", expect={"airframe": "crazyflie"})
    assert policy.manifest.recipe == "debug"
    assert policy.manifest.evaluation["frozen"]["starts"] == 1024
    last = (folder / "run0" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["environment_steps"] == 157 * 64  # the first tick at or above 10 000


def test_equal_seeds_give_equal_runs_with_a_namespace_too_and_graphs_in_two_domains_do_not_meet(trained):
    folder, _ = trained
    one, two = (checkpoint.load(folder / name / "policy.safetensors").weights for name in ("run0", "run1"))
    assert all((one[name] == two[name]).all() for name in one)


def test_a_training_run_is_recorded_whole_as_ros_reads_it(trained):
    folder, (_, output) = trained
    assert re.search(r"bag: .*/bag, \d+ messages, 0 lost", output)
    found = messages(folder / "bag")
    flown = ticks(found["/transition"])
    assert flown == list(range(len(flown))) and len(flown) > 10000 // 64
    for topic in ("/state", "/policy/action", "/guide/action"):
        assert ticks(found[topic])[: len(flown)] == flown
    epochs = {message.epoch for message in found["/policy/checkpoint"]}
    assert epochs >= {message.epoch for message in found["/policy/action"]}
    with AnyReader([folder / "bag"]) as reader:
        offered = {connection.topic: connection.ext.offered_qos_profiles[0] for connection in reader.connections}
    assert offered["/policy/checkpoint"].durability is QosDurability.TRANSIENT_LOCAL
    assert offered["/state"].reliability is QosReliability.RELIABLE
    assert offered["/odometry"].reliability is QosReliability.BEST_EFFORT
    kinds = {"VehicleState", "VehicleAction", "Transition", "Checkpoint", "PolicyStatus", "Odometry", "DiagnosticArray"}
    assert all_is_what_ros_reads(folder / "bag") >= kinds
