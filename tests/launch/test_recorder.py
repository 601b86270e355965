"""The recorder in a graph of real processes.

- Ctrl-C closes a bag of chosen topics in order
- killed, it leaves a bag that can be repaired, and the others fly on: one vehicle, in real time
- with a full disk it says so in the diagnostics, stays, and the others fly on; at the end it fails with exit code 74
- a graph whose recorder failed ends with its exit code
- a bag that exists already is refused, and the graph does not start

A whole training: see test_trained_graphs.py.
"""

import os
import re
import resource
import signal
import time
from functools import partial
from itertools import chain

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from recorded import messages, ticks
from rosgraph_msgs.msg import Clock

from spike_ctrl.recordings.repair import repair
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import nanoseconds

RECORD = ("recipe:=debug", "record:=true", "bag:=bag")
REALTIME = (*RECORD, "vehicles:=1", "realtime:=true", "steps:=1000000")


class Listener:
    """Hears the diagnostics."""

    def __init__(self):
        self.node, self.status = rclpy.create_node("listener"), []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: self.status.extend(m.status), qos.STATUS)

    def hear(self, topic: str, kind) -> list:
        """To which each message is added from now on, with the time at which it came."""
        heard = []
        self.node.create_subscription(kind, topic, lambda message: heard.append((time.monotonic(), message)), qos.STREAM)
        return heard

    def until(self, condition, seconds: float = 60.0):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not heard in {self.status}"
            rclpy.spin_once(self.node, timeout_sec=0.1)
        return found

    def __call__(self, name: str, condition):
        """The first status of a node that satisfies the condition, from now on."""
        self.status.clear()
        return self.until(lambda: [status for status in self.status if status.name == name and condition(status)])[0]


@pytest.fixture
def diagnostics(ros_domain_id):
    rclpy.init()
    listener = Listener()
    yield listener
    listener.node.destroy_node()
    rclpy.shutdown()


def figure(status, key: str) -> float:
    return float(next(value.value for value in status.values if value.key == key))


def past(tick: float):
    return lambda status: figure(status, "tick") > tick


def missed(diagnostics: Listener, disturb=lambda: None) -> float:
    """Deadlines of the simulator in its next 300 ticks, 3 s, while this happens."""
    before = diagnostics("simulator", past(0))
    disturb()
    after = diagnostics("simulator", past(figure(before, "tick") + 300))
    return figure(after, "deadlines_missed") - figure(before, "deadlines_missed")


def keeps_pace(odometry: list) -> bool:
    """In one of the seconds: simulated time passes as wall time does; others may need the cores now and then."""
    if len(odometry) < 200:
        return False
    (began, first), (ended, last) = odometry[-100], odometry[-1]
    simulated = (nanoseconds(last.header.stamp) - nanoseconds(first.header.stamp)) * 1e-9
    return ended - began == pytest.approx(simulated, rel=0.25)


@pytest.mark.alone
def test_one_that_is_killed_and_one_whose_disk_is_full_disturb_nobody(start_graph, start_node, diagnostics, tmp_path):
    graph = start_graph(*REALTIME)
    chosen = start_node("recorder", "-p", f"bag:={tmp_path / 'chosen'}", "-p", "topics:=odometry /clock")
    tick = figure(diagnostics("simulator", past(300)), "tick")
    quiet = missed(diagnostics)
    # The computer itself may stop for a second, but hardly at each of three kills.
    spares = (start_node("recorder", "-p", f"bag:={tmp_path / name}").process.pid for name in ("second", "third"))
    kills = (partial(os.kill, pid, signal.SIGKILL) for pid in chain([graph.node("recorder")], spares))
    assert any(missed(diagnostics, kill) < quiet + 30 for kill in kills)
    assert graph.process.poll() is None
    repair(tmp_path / "bag")
    found = ticks(messages(tmp_path / "bag")["/state"])
    assert found == list(range(found[0], found[0] + len(found))) and found[-1] >= tick - 200
    odometry, clock = diagnostics.hear("odometry", Odometry), diagnostics.hear("/clock", Clock)
    diagnostics.until(lambda: keeps_pace(odometry) and clock)
    _, last = odometry[-1]
    assert last.header.frame_id == "odom" and last.child_frame_id == "base_link"
    assert figure(diagnostics("simulator", past(0)), "latency_p99_ms") > 0
    chosen.process.send_signal(signal.SIGINT)
    assert chosen.process.wait(40) == 0, chosen.output
    found = messages(tmp_path / "chosen")  # which was closed in order
    assert found.keys() == {"/odometry", "/clock"} and len(found["/odometry"]) > 200
    full = start_node("recorder", "-p", f"bag:={tmp_path / 'full'}")
    diagnostics.until(lambda: any((tmp_path / "full").glob("*")))  # what was heard until then is of the chosen one
    status = diagnostics("recorder", lambda status: figure(status, "messages") > 500)
    assert status.message == "recording" and status.level == status.OK
    # What a full disk answers to a write, this limit answers too.
    written = sum(file.stat().st_size for file in (tmp_path / "full").iterdir())
    resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, (written + 50_000, written + 50_000))
    status = diagnostics("recorder", lambda status: status.level == status.ERROR)
    assert status.message == f"recording stopped: {tmp_path / 'full'}: cannot be written: File too large"
    assert any(missed(diagnostics) < quiet + 30 for _ in range(3))
    assert full.process.poll() is None
    repair(tmp_path / "full")
    assert len(messages(tmp_path / "full")["/state"]) > 10
    full.process.send_signal(signal.SIGINT)
    assert full.process.wait(40) == os.EX_IOERR
    full._reader.join(5)
    assert "get it back with: spike-ctrl repair" in full.output
    assert re.search(r"error: recording stopped: .*; the bag lacks the rest", full.output)
    graph.process.send_signal(signal.SIGINT)
    assert graph.end(40) == 128 + signal.SIGKILL


@pytest.mark.installed
def test_a_bag_that_exists_is_refused_and_the_graph_does_not_start(start_graph, tmp_path):
    (tmp_path / "bag").mkdir()
    graph = start_graph(*RECORD)
    assert graph.end(40) == 2
    assert "bag bag: exists already, wanted the name of a new bag" in graph.output
