"""A race beside the simulated autopilot, as real processes: each gate is passed, and the bag replays bit by bit."""

import re
import subprocess

import pytest
from output import executable
from programs import free_port

from spike_ctrl.recordings.flight_log import read_log
from spike_ctrl_racing import flown_course, track

pytestmark = pytest.mark.flight


def test_racer_gates_flies_hall_and_its_answers_replay_bit_by_bit(start_graph, tmp_path):
    words = ("airframe:=racer", "model:=racer_gates", "trajectory:=course:hall::1", "seed:=1", "bag:=bag")
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    graph = start_graph("vehicle:=embedded", "auto:=true", "paced:=true", *words, connection, name="flight")
    assert graph.end(600) == 0, graph.output
    flown = flown_course.judge(read_log(tmp_path / "bag"), track.load("hall"))
    assert (flown.passed, flown.touched) == (7, 0) and flown.mean > 7 and flown.top > 10, flown
    assert float(re.search(r"hardest touchdown (\d\.\d+) m/s", graph.output)[1]) < 1.0
    replayed = subprocess.run(
        [executable("spike-ctrl"), "replay", tmp_path / "bag"], capture_output=True, text=True, timeout=600
    )
    equal = re.search(r"equal bit by bit: (\d+) of (\d+) actions", replayed.stdout)
    assert replayed.returncode == 0 and equal and equal[1] == equal[2] and int(equal[1]) > 3000, replayed.stdout
