"""Ctrl-C of a flight with the embedded vehicle, as real processes: nobody ends before it stands on the ground."""

import re
import signal

import pytest
from programs import free_port


@pytest.mark.flight
def test_ctrl_c_in_the_air_ends_the_embedded_vehicle_after_its_landing(start_graph):
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    graph = start_graph("vehicle:=embedded", "auto:=true", "realtime:=true", "record:=false", connection, name="flight")
    graph.wait_for("GUIDE: took off to", 90)
    graph.process.send_signal(signal.SIGINT)
    graph.end(90)
    assert re.search(r"LAND: the operator asked to shut down", graph.output), graph.output
    assert "Disarmed by landing" in graph.output and "does not end" not in graph.output
    touchdown = re.search(r" up 0\.00 m; .*hardest touchdown (\d\.\d+) m/s", graph.output)
    assert 0 < float(touchdown[1]) < 0.6, graph.output
