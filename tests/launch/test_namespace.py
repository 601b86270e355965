"""namespace:= of a training and of a replay, and what looks at them there. Two flights in namespaces: tests/flight.

- all nodes, topics and services of a training stand below its namespace, and it trains; `watch --namespace` shows it
- its bag holds the topics with their namespace, which `replay`, `report` and `launch replay` read
- a replay has its nodes below its namespace and answers bit by bit
"""

import json
import os
import re
import signal
import subprocess

import pytest
import rclpy
from output import executable
from recorded import fly, messages

from spike_ctrl._files import resources

OF_ROS = {"/rosout", "/parameter_events"}
TRAINING = ("simulator", "guide_policy", "snn_policy", "learner", "recorder")


@pytest.fixture
def names(ros_domain_id):
    """names() gives the absolute names of all nodes, topics and services in the domain that are not the test's or ROS's."""
    rclpy.init()
    node = rclpy.create_node("onlooker")

    def found() -> set[str]:
        nodes = {f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces()}
        others = {name for name, _ in (*node.get_topic_names_and_types(), *node.get_service_names_and_types())}
        return {name for name in nodes | others if name not in OF_ROS and not name.startswith("/onlooker")}

    yield found
    node.destroy_node()
    rclpy.shutdown()


def verb(*words: str, folder) -> subprocess.CompletedProcess:
    """A verb's end, with what it printed, in the domain of the test."""
    command = [executable("spike-ctrl"), *words]
    return subprocess.run(command, cwd=folder, env=os.environ, text=True, capture_output=True, timeout=120, check=False)


def test_a_training_stands_below_its_namespace_and_is_watched_recorded_and_replayed_there(start_graph, names, tmp_path):
    given = ("recipe:=debug", "vehicles:=8", "steps:=1000000", "run:=run", "record:=true", "bag:=bag", "namespace:=x")
    graph = start_graph(*given)
    graph.wait_for(r"\d %, ")
    graph.wait_until(lambda: {f"/x/{node}" for node in TRAINING} <= names(), 60, "not all nodes in /x")
    found = names()
    assert {"/x/state", "/x/policy/action", "/x/training/status", "/x/snn_policy/change_state"} <= found
    assert not {name for name in found if not name.startswith("/x/")}
    shown, elsewhere = (verb("watch", *words, "--seconds", "4", folder=tmp_path) for words in (("--namespace", "x"), ()))
    assert shown.returncode == 0 and "steps/s" in shown.stdout and "/x/" not in shown.stdout, shown.stdout + shown.stderr
    assert elsewhere.returncode == 1 and "nothing was heard" in elsewhere.stderr and "/x/learner" in elsewhere.stdout
    graph.process.send_signal(signal.SIGINT)
    assert graph.end(60) == 0, graph.output
    steps = [json.loads(line)["environment_steps"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert steps and steps[-1] > 0
    assert {topic.split("/")[1] for topic in messages(tmp_path / "bag")} == {"x"}
    for words in (("replay", "bag", "--namespace", "x"), ("report", "bag", "--namespace", "x")):
        done = verb(*words, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    refused = verb("replay", "bag", "--namespace", "y", folder=tmp_path)
    assert refused.returncode == 2 and "wanted a topic y/state" in refused.stderr, refused.stderr
    again = start_graph("bag:=bag", "rate:=0", "namespace:=y", name="replay")
    assert again.end(120) == 0 and "equal bit by bit" in again.output, again.output


def test_a_replay_stands_below_its_namespace_and_answers_as_recorded(start_graph, names, tmp_path):
    fly(tmp_path / "bag", resources.folder("models") / "crazyflie.safetensors")
    graph = start_graph("bag:=bag", "rate:=1", "namespace:=x", name="replay")
    graph.wait_until(lambda: {"/x/snn_policy", "/x/replayer", "/x/state", "/x/policy/action"} <= names(), 60, "not in /x")
    assert not {name for name in names() if not name.startswith("/x/")}
    assert graph.end(60) == 0, graph.output
    assert re.search(r"equal bit by bit: (\d+) of \1 actions", graph.output), graph.output
