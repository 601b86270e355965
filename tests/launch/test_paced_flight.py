"""Flights whose vehicle waits for commands, as real processes under the ordinary scheduler.

- each node pauses for longer than the policy may be silent: the flight goes on, ends well, and its bag replays bit by bit
- a policy, guide or bridge that dies, and a supervisor that stops, end as in real time
"""

import os
import re
import signal
import subprocess
import threading

import pytest
from output import executable
from programs import free_port

from spike_ctrl.flight.answer_checks import AnswerLimits

pytestmark = pytest.mark.flight

NODES = ("snn_policy", "guide_policy", "vehicle_bridge", "supervisor")
PAUSE = 0.06  # s
CALM = ("vehicle:=embedded", "auto:=true", "realtime:=false", "noise:=0.5", "trajectory:=circle")


@pytest.fixture
def fly(start_graph):
    """fly("airframe:=...", ...) gives a flight whose policy has just taken over."""

    def start(*arguments):
        graph = start_graph(*CALM, f"connection:=udpin:127.0.0.1:{free_port()}", *arguments, name="flight")
        graph.wait_for("GUIDE -> SNN", 180)
        return graph

    return start


def test_nodes_that_pause_in_the_air_slow_the_flight_down_and_cause_no_fault(fly, tmp_path):
    craft = ("airframe:=crazyflie", "model:=models/crazyflie.safetensors")
    graph = fly(*craft, "duration:=12", "bag:=bag")
    assert PAUSE > 2 * AnswerLimits.silent
    for name in 3 * NODES:
        os.kill(graph.node(name), signal.SIGSTOP)
        threading.Event().wait(PAUSE)
        os.kill(graph.node(name), signal.SIGCONT)
        threading.Event().wait(0.2)
    assert graph.end() == 0, graph.output
    assert re.search(r"waited for an answer \d+ times, .* longest 0\.\d+ s", graph.output)
    in_the_air = graph.output.partition("GUIDE -> SNN")[2].partition("SNN -> LAND")[0]
    for fault in ("POLICY_SILENT", "POLICY_MISSES", "GUIDE_SILENT", "STARVED", "ENVELOPE"):
        assert fault not in in_the_air
    replayed = subprocess.run(
        [executable("spike-ctrl"), "replay", tmp_path / "bag", "--guard"], capture_output=True, text=True, timeout=120
    )
    assert replayed.returncode == 0 and "equal bit by bit" in replayed.stdout, replayed.stdout + replayed.stderr
    assert "SILENT" not in replayed.stdout


@pytest.mark.parametrize(
    ("name", "number", "noticed"),
    [
        ("snn_policy", signal.SIGKILL, r"SNN -> GUIDE: POLICY_SILENT.*: no answer for (\d+) ms"),
        ("guide_policy", signal.SIGKILL, r"SNN -> HOLD: GUIDE_SILENT.*: no answer for (\d+) ms"),
        ("vehicle_bridge", signal.SIGKILL, r"offboard signal lost"),
        ("supervisor", signal.SIGSTOP, r"offboard signal lost"),
    ],
)
def test_a_process_that_dies_or_stops_is_noticed_as_in_real_time(fly, name, number, noticed):
    graph = fly("duration:=20", "record:=false")
    process = graph.node(name)
    os.kill(process, number)
    found = graph.wait_for(noticed, 20)
    if found.re.groups:
        limit = AnswerLimits.silent if name == "snn_policy" else AnswerLimits.guide_silent
        assert 1e3 * limit <= float(found[1]) < 1e3 * limit + 20  # in the vehicle's time, rounded
    if number == signal.SIGSTOP:
        os.kill(process, signal.SIGKILL)
