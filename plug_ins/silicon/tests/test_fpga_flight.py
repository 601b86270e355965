"""Whole flights whose actions come from the core at a serial line, in the graph; the vehicle waits for the commands.

- it takes off, flies its trajectory and lands; its bag is replayed bit by bit by the integer network
- bits that flip on the line are asked for again: the policy flies on
- a core that is reset, stuck or killed in flight: the guide takes over, and the flight lands
- a policy node that is killed, hangs or raises, with its core healthy: the same
- arguments that do not fit are refused before a node runs
"""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from output import executable
from programs import free_port

from spike_ctrl_silicon import simulated_core

simulated = pytest.mark.skipif(simulated_core.missing() is not None, reason=str(simulated_core.missing()))
CRAFT = ("airframe:=crazyflie", "model:=models/crazyflie.safetensors")
CALM = ("vehicle:=embedded", "auto:=true", "realtime:=false", "noise:=0.5", "trajectory:=circle", "policy:=fpga")


@pytest.fixture
def fly(start_graph):
    """fly("flips:=...", ...) gives a flight in which the core has just taken over."""

    def start(*arguments):
        graph = start_graph(*CALM, *CRAFT, f"connection:=udpin:127.0.0.1:{free_port()}", *arguments, name="flight")
        graph.wait_for("GUIDE -> SNN", 240)
        return graph

    return start


@simulated
@pytest.mark.flight
@pytest.mark.parametrize("flips", ["0", "0.0005"])
def test_the_core_flies_and_its_bag_is_replayed_bit_by_bit(fly, tmp_path, flips):
    graph = fly("duration:=12", "bag:=bag", f"flips:={flips}")
    assert graph.end() == 0, graph.output
    assert re.search(r"a step of \S+crazyflie\.safetensors \(FlownLine\): median [\d.]+ ms", graph.output)
    in_the_air = graph.output.partition("GUIDE -> SNN")[2].partition("SNN -> LAND")[0]
    assert "no action from the core" not in in_the_air and "SNN -> LAND" in graph.output
    command = [executable("spike-ctrl"), "replay", tmp_path / "bag"]
    replayed = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    same, known = re.search(r"equal bit by bit: (\d+) of (\d+) actions", replayed.stdout).groups()
    assert replayed.returncode == 0 and same == known and int(known) > 1000, replayed.stdout
    assert "by the runtime fpga" in replayed.stdout


@simulated
@pytest.mark.flight
@pytest.mark.parametrize("fault", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGKILL], ids=["reset", "stuck", "killed"])
def test_a_core_that_fails_in_flight_is_replaced_by_the_guide(fly, fault):
    graph = fly("duration:=20", "record:=false")
    os.kill(int(re.search(r"the core answers at \S+, process (\d+)", graph.output)[1]), fault)
    graph.wait_for("no action from the core", 20)
    graph.wait_for("SNN -> GUIDE: POLICY_SILENT", 20)
    assert graph.end() == (128 + signal.SIGKILL if fault == signal.SIGKILL else 1), graph.output  # the mission was not flown
    assert "GUIDE -> LAND" in graph.output and "Disarmed by landing" in graph.output


@simulated
@pytest.mark.flight
@pytest.mark.parametrize("fault", ["killed", "hangs", "raises"])
def test_a_policy_node_that_fails_is_replaced_by_the_guide(fly, fault, tmp_path, monkeypatch):
    out_of_order = Path(__file__).parents[3] / "tests" / "flight" / "out_of_order"
    found = [str(out_of_order), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(found))
    monkeypatch.setenv("OUT_OF_ORDER", str(tmp_path / "now"))
    graph = fly("duration:=20", "record:=false")
    policy = graph.node("snn_policy")
    if fault == "raises":
        (tmp_path / "now").touch()
    else:
        os.kill(policy, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
    graph.wait_for("SNN -> GUIDE: POLICY_SILENT", 20)
    graph.wait_for("Disarmed by landing", 60)
    if fault == "hangs":
        os.kill(policy, signal.SIGCONT)
    assert graph.end() != 0, graph.output  # the mission was not flown
    assert "GUIDE -> LAND" in graph.output and "GUIDE -> SNN" not in graph.output.partition("SNN -> GUIDE")[2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("policy:=fpga", "port:=/dev/ttyX", "flips:=0.1"), "flips: found 0.1 on a board"),
        (("flips:=0.1",), "port, flips: found them with policy:=numba"),
        (("policy:=fpga", "flips:=2"), "flips: found 2"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_a_node_runs(refused_launch, arguments, complaint):
    (line,) = refused_launch("flight", *arguments)
    assert complaint in line
