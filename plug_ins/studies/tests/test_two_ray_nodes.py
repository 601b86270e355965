"""On a real Ray cluster of two nodes on this computer: results are those of local workers, also where a node is killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from toy_units import measured, run

from spike_ctrl.certification.monte_carlo import MonteCarloRun
from spike_ctrl.cli import main
from spike_ctrl_studies import cluster_cost
from spike_ctrl_studies.study import StudyOptions

pytest.importorskip("ray", reason="pip install ray")
pytestmark = pytest.mark.flight

MODEL = Path(__file__).parents[3] / "models" / "sih_quadx.safetensors"
DEADLINE = 600.0  # s, on a busy computer
STARTS, STARTED = 4, "Ray runtime started"


def free_ports(count):
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


def until(condition, what):
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.05)
    return found


class TwoNodes:
    """A head and a second node, each with one core."""

    def __init__(self, folder):
        self.folder, self.started = folder, []
        port, client = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        head = ("--head", f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false")
        self.started_well(*head)
        self.second = self.started_well(f"--address={self.address}")

    def started_well(self, *options):
        """A node that runs. Ray gives up after half a minute, which is short on a busy computer."""
        for _ in range(STARTS):
            node, log = self.start(*options)
            until(lambda log=log, node=node: STARTED in log.read_text() or node.poll() is not None, "a node")
            if node.poll() is None:
                return node
            kill(node)
        raise AssertionError(f"no node after {STARTS} starts: {log.read_text()}")

    def start(self, *options):
        agent, runtime, metrics = free_ports(3)
        command = [
            str(Path(sys.executable).with_name("ray")), "start", *options, "--num-cpus=1", "--block",
            "--disable-usage-stats", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000",
            f"--temp-dir={self.folder}",
            f"--dashboard-agent-listen-port={agent}", f"--runtime-env-agent-port={runtime}",
            f"--metrics-export-port={metrics}", "--min-worker-port=0", "--max-worker-port=0",
        ]  # fmt: skip
        if "--head" not in options:
            command = [word for word in command if not word.startswith("--temp-dir")]
        log = Path(self.folder) / f"node-{len(self.started)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        self.started.append(process)
        return process, log

    def kill_second(self):
        kill(self.second)

    def stop(self):
        for node in self.started:
            kill(node)


def kill(node):
    """As a power cut: all processes of the node at once."""
    for process in [*descendants(node.pid), node.pid]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    node.wait()


def descendants(pid):
    children = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found, left = [], [pid]
    while left:
        left += (more := children.get(left.pop(), []))
        found += more
    return found


@pytest.fixture
def nodes(request):
    folder = tempfile.mkdtemp(prefix="ray-")  # its sockets need a short path
    started = TwoNodes(folder)
    yield started
    started.stop()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def meanwhile(function):
    failed = []

    def attempt():
        try:
            function()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    yield
    thread.join()
    assert not failed, failed


def costs(folder):
    file = folder / cluster_cost.FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def before_nodes(toy, tmp_path, monkeypatch):  # the nodes inherit its environment
    for unit in range(4):
        monkeypatch.setenv(f"TOY_{unit}", str(tmp_path / "go"))


def test_a_study_on_two_nodes_is_that_of_local_workers_though_one_is_killed(before_nodes, nodes, tmp_path):
    def strike():
        until(lambda: len(measured(tmp_path)) >= 2, "a unit on each node")
        nodes.kill_second()
        (tmp_path / "go").touch()

    options = StudyOptions(seeds=4)
    with meanwhile(strike):
        there = run(tmp_path / "there", options, ray=nodes.address).path
    begun = [line[0] for line in measured(tmp_path)]
    lost = [cost["task"] for cost in costs(there) if cost["lost"]]
    assert len(lost) == 1 and begun.count(lost[0].removeprefix("unit n-")) == 2
    assert len(begun) == 5 and {line[2] for line in measured(tmp_path)} == {"1"}  # threads
    here = run(tmp_path / "here", options).path
    for name in ("table.csv", "report.md", "config.json", *(f"raw/n-{n}.jsonl" for n in range(4))):
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def certify(folder, *more):
    command = [sys.executable, "-m", "spike_ctrl.cli.main", "certify", str(MODEL), "--folder", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_flights_and_searches_on_two_nodes_are_those_of_local_workers_though_one_is_killed(nodes, tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    begun = certify(there, "--flights", "1000", "--ray", nodes.address)
    until(lambda: len({cost["machine"] for cost in costs(there)}) == 2, "a result of each node")
    time.sleep(1.0)  # so that it is in the middle of flights
    nodes.kill_second()
    before = len(costs(there))
    until(lambda: len(costs(there)) > before + 1, "what the other node flies")
    begun.send_signal(signal.SIGINT)  # the user, too
    begun.communicate(timeout=DEADLINE)
    flown = [seed(line) for line in (there / "flights.jsonl").read_text().splitlines()]
    flights = max(flown) + 5
    again = certify(there, "--flights", str(flights), "--ray", nodes.address)
    told = again.communicate(timeout=DEADLINE)[0]
    assert again.returncode in (0, 1), told
    assert f"{len(flown)} of {flights} flights are there" in told
    assert "core s each" in told and ("begun again: " in told) is any(cost["lost"] for cost in costs(there))
    list(MonteCarloRun(here, MODEL).fly(flights, 1, lambda: 0.0))
    lines = [sorted((folder / "flights.jsonl").read_text().splitlines(), key=seed) for folder in (here, there)]
    assert lines[0] == lines[1] and [seed(line) for line in lines[0]] == list(range(flights))

    searches = ("--falsify", "policy/flipped", "link/cut", "--flights", "5")
    found = certify(there, *searches, "--ray", nodes.address)
    told = found.communicate(timeout=DEADLINE)[0]
    assert found.returncode in (0, 1), told
    assert main.main(["certify", str(MODEL), "--folder", str(here), *searches, "--workers", "1"]) == found.returncode
    assert (here / "falsified.json").read_bytes() == (there / "falsified.json").read_bytes()
    again = certify(there, *searches, "--workers", "1")
    assert "2 of 2 searches are there" in again.communicate(timeout=DEADLINE)[0]
    assert again.returncode == found.returncode


def seed(line):
    return json.loads(line)["seed"]
