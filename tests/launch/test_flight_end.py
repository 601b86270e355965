"""A flight with the embedded vehicle, as real processes: off shared memory, and after Ctrl-C nobody ends before it stands
on the ground.
"""

import os
import re
import signal
from pathlib import Path

import pytest
from programs import free_port, nodes

from spike_ctrl import realtime

CONTROL = {"vehicle_bridge", "guide_policy", "snn_policy", "supervisor"}


def threads(process: int) -> list[str]:
    return [file.read_text().strip() for file in Path("/proc").glob(f"{process}/task/*/comm")]


def test_a_vehicle_that_refuses_its_arguments_ends_the_flight(start_graph):
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    graph = start_graph("vehicle:=embedded", "mass:=-1", "record:=false", connection, name="flight")
    assert graph.end(60) == 2
    assert "error: --mass: found -1.0, wanted 0.1 to 10" in graph.output and "Traceback" not in graph.output


@pytest.mark.flight
def test_a_flight_is_off_shared_memory_and_ctrl_c_in_the_air_lets_the_vehicle_land(start_graph):
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    graph = start_graph("vehicle:=embedded", "auto:=true", "realtime:=true", "record:=false", connection, name="flight")
    graph.wait_for("GUIDE: took off to", 90)
    flying = nodes([graph.process.pid])
    assert flying.keys() == CONTROL
    for name in CONTROL:  # over shared memory a node that comes may hold up the others for 333 ms
        assert any(t.startswith("dds.udp") for t in threads(flying[name].process)), name
        assert not any(t.startswith("dds.shm") for t in threads(flying[name].process)), name
    if realtime.allowed():  # who must go on while others compute is above them
        priority = {name: os.sched_getparam(flying[name].process).sched_priority for name in CONTROL}
        low, high = realtime.PRIORITY, realtime.HIGHEST
        wanted = {"guide_policy": low, "snn_policy": low + 1, "vehicle_bridge": high, "supervisor": high}
        assert priority == wanted
    graph.process.send_signal(signal.SIGINT)
    graph.end(90)
    assert re.search(r"LAND: the operator asked to shut down", graph.output), graph.output
    assert "Disarmed by landing" in graph.output and "does not end" not in graph.output
    touchdown = re.search(r" up 0\.00 m; .*hardest touchdown (\d\.\d+) m/s", graph.output)
    assert 0 < float(touchdown[1]) < 0.6, graph.output
