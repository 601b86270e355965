"""A flight with the embedded vehicle, as real processes: off shared memory, and after Ctrl-C nobody ends before it stands
on the ground.
"""

import os
import re
import signal
from pathlib import Path

import pytest
from output import executable
from programs import Program, free_port, nodes

from spike_ctrl.flight import realtime_scheduling

SET_UP = {
    "COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4, "COM_LOW_BAT_ACT": 2, "COM_RCL_EXCEPT": 4, "GF_ACTION": 5,
    "GF_MAX_HOR_DIST": 6, "GF_MAX_VER_DIST": 6, "EKF2_ACC_NOISE": 1.0, "EKF2_GYR_NOISE": 0.1,
    "MPC_ACC_UP_MAX": 8, "MPC_ACC_DOWN_MAX": 8, "MPC_JERK_AUTO": 30,
}  # fmt: skip
CONTROL = {"vehicle_bridge", "guide_policy", "snn_policy", "supervisor"}


def threads(process: int) -> list[str]:
    return [file.read_text().strip() for file in Path("/proc").glob(f"{process}/task/*/comm")]


def test_a_vehicle_that_refuses_its_arguments_ends_the_flight(start_graph, tmp_path, monkeypatch):
    """Even one that knows more than the launch file does, which looks at them first."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif sys.orig_argv[3:4] == ['vehicle']:\n"
        "    print('error: --noise: too quiet', flush=True)\n    os._exit(2)\n"
    )
    places = filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    graph = start_graph("vehicle:=embedded", "record:=false", f"connection:=udpin:127.0.0.1:{free_port()}", name="flight")
    assert graph.end(60) == 2
    assert "error: --noise: too quiet" in graph.output and "the embedded vehicle refuses its arguments" in graph.output


@pytest.mark.flight
def test_a_flight_is_off_shared_memory_and_ctrl_c_in_the_air_lets_the_vehicle_land(start_graph):
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    graph = start_graph("vehicle:=embedded", "auto:=true", "realtime:=true", "record:=false", connection, name="flight")
    graph.wait_for("GUIDE: took off to")
    flying = nodes([graph.process.pid])
    assert flying.keys() == CONTROL
    for name in CONTROL:  # over shared memory a node that comes may hold up the others for 333 ms
        assert any(t.startswith("dds.udp") for t in threads(flying[name].process)), name
        assert not any(t.startswith("dds.shm") for t in threads(flying[name].process)), name
    if realtime_scheduling.allowed():  # who must go on while others compute is above them
        priority = {name: os.sched_getparam(flying[name].process).sched_priority for name in CONTROL}
        low, high = realtime_scheduling.PRIORITY, realtime_scheduling.HIGHEST
        wanted = {"guide_policy": low, "snn_policy": low + 1, "vehicle_bridge": high, "supervisor": high}
        assert priority == wanted
    graph.process.send_signal(signal.SIGINT)
    graph.end(90)
    assert re.search(r"LAND: the operator asked to shut down", graph.output), graph.output
    assert "Disarmed by landing" in graph.output and "does not end" not in graph.output
    touchdown = re.search(r" up 0\.00 m; .*hardest touchdown (\d\.\d+) m/s", graph.output)
    assert 0 < float(touchdown[1]) < 0.6, graph.output


@pytest.fixture
def slow_vehicle():
    """A simulation whose clock runs at .95 of the computer's, and the port that it speaks to."""
    port = free_port()
    settings = [word for name, value in SET_UP.items() for word in ("--set", f"{name}={value}")]
    where = ("--connection", f"127.0.0.1:{port}", "--local", "127.0.0.1:0", "--station", "none")
    priority = ("--priority", realtime_scheduling.PRIORITY) if realtime_scheduling.allowed() else ()
    command = (executable("spike-ctrl"), "vehicle", *where, *settings, *priority, "--speed", "0.95", "--noise", "0.5")
    vehicle = Program(command)
    yield vehicle, port
    vehicle.kill()


@pytest.mark.flight
def test_two_flights_against_one_simulation_whose_clock_runs_slow(start_graph, slow_vehicle):
    """As against PX4's own: its clock falls behind the computer's, and a landing leaves it in OFFBOARD."""
    vehicle, port = slow_vehicle
    for _ in range(2):
        arguments = (f"connection:=udpin:127.0.0.1:{port}", "auto:=true", "duration:=8", "trajectory:=circle")
        graph = start_graph(*arguments, "remote_control:=false", "realtime:=true", "record:=false", name="flight")
        assert graph.end(120) == 0, graph.output
        assert re.search(r"clock: rate: found 0\.9[45]\d of this computer's, wanted 1", graph.output), graph.output
        assert "GUIDE -> SNN" in graph.output and "CLOCK_JUMP" not in graph.output and "STATE_DELAYED" not in graph.output
    assert len([line for line in vehicle.lines if "Disarmed by landing" in line]) == 2, vehicle.lines
