"""A training graph of real processes, started as a user starts it."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from output import Output, children, executable

from spike_ctrl.cli.main import main


class Graph(Output):
    """`spike-ctrl launch NAME ARGUMENTS` in a ROS domain, with its output and its processes."""

    def __init__(self, domain: int, folder: Path, arguments: list[str], name: str = "sim_train"):
        command = [executable("spike-ctrl"), "launch", name, *arguments]
        super().__init__(command, cwd=folder, env=os.environ | {"ROS_DOMAIN_ID": str(domain)})

    def wait_for(self, pattern: str, seconds: float = 120.0) -> re.Match:
        """The first match of a regular expression in the output; fails with the whole output when it does not come."""
        return self.wait_until(lambda: re.search(pattern, self.output), seconds, f"no {pattern!r}")

    def wait_until(self, condition, seconds: float, complaint: str):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{complaint} within {seconds} s in:\n{self.output}"
            threading.Event().wait(0.02)
        return found

    def nodes(self) -> dict[str, int]:
        """The process ids of the nodes that run."""
        try:
            commands = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children(self.process.pid)}
        except FileNotFoundError:  # it has ended
            return {}
        found = {child: re.search(r"__node:=(\w+)", command) for child, command in commands.items()}
        return {match[1]: child for child, match in found.items() if match}

    def node(self, name: str) -> int:
        """The process id of a node."""
        nodes = self.nodes()
        assert name in nodes, f"no process of {name} in:\n{self.output}"
        return nodes[name]

    def parameters(self, name: str) -> dict:
        """The parameters that a node was started with."""
        words = Path(f"/proc/{self.node(name)}/cmdline").read_text().split("\0")
        files = [Path(words[i + 1]) for i, word in enumerate(words) if word == "--params-file"]
        return {k: v for file in files for k, v in yaml.safe_load(file.read_text())["/**"]["ros__parameters"].items()}

    def end(self, seconds: float = 180.0) -> int:
        """Wait for its end; gives the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None
        self._reader.join(5)
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGINT)  # the second one kills the nodes
                self.process.wait(60)


@pytest.fixture
def start_graph(ros_domain_id, tmp_path):
    """start_graph("recipe:=debug", ..., domain=None, name="sim_train") gives a Graph that is ended after the test."""
    graphs = []

    def start(*arguments: str, domain: int | None = None, name: str = "sim_train") -> Graph:
        graphs.append(Graph(ros_domain_id if domain is None else domain, tmp_path, list(arguments), name))
        return graphs[-1]

    yield start
    for graph in graphs:
        graph.kill()


@pytest.fixture
def start_node(ros_domain_id):
    """start_node("recorder", "-p", "bag:=bag") gives the Output of a node of its own, which is killed after the test."""
    nodes = []

    def start(name: str, *arguments: str) -> Output:
        nodes.append(Output([executable(name), "--ros-args", *arguments]))
        return nodes[-1]

    yield start
    for node in nodes:
        node.process.kill()
        node.process.wait(60)


@pytest.fixture
def refused_launch(tmp_path, monkeypatch, capfd):
    """refused_launch("flight", "rate:=10", ...) gives the lines of a launch in this process, in the test's empty folder.

    It ends with exit code 2 and starts no process.
    """
    from spike_ctrl_launcher import runner

    def start(command, screen):
        raise AssertionError(f"{command.name} was started")

    def refused(name: str, *arguments: str) -> list[str]:
        assert main(["launch", name, *arguments]) == 2
        return "".join(capfd.readouterr()).splitlines()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "Process", start)
    with patch.dict(os.environ):
        yield refused


@pytest.fixture
def start_policy(ros_domain_id, tmp_path):
    """start_policy(VEHICLES, "realtime:=true", ..., data=FILE) gives a Talker to snn_policy with these parameters."""
    import rclpy
    from policy_talker import Talker, a_checkpoint

    model = tmp_path / "model.safetensors"
    model.write_bytes(a_checkpoint(1))
    rclpy.init()
    talkers = []

    def make(*arguments, data=b"") -> Talker:
        if data:
            model.write_bytes(data)
        talkers.append(Talker(model, *arguments))
        return talkers[-1]

    yield make
    for talker in talkers:
        talker.process.send_signal(signal.SIGINT)
        talker.process.wait(60)
        talker.node.destroy_node()
    rclpy.shutdown()
