"""`ros2 launch` by our own `ros2`, with whole runs of real processes: a training, and a flight at which its words look."""

import os
import re
import signal
import sys

import pytest
from graph_fixtures import Graph
from output import Output
from programs import free_port

from spike_ctrl.policy import checkpoint
from spike_ctrl.recordings.reader import read

OURS = "import sys; from spike_ctrl_ros2cli.ros2_command import answer; sys.exit(answer(sys.argv[1:]))"
RATE = re.compile(r"average rate: ([\d.]+)")


class Ros2(Graph):
    """`ros2 WORDS`, which never steps aside for another `ros2`."""

    def __init__(self, folder, words: str):
        Output.__init__(self, [sys.executable, "-uc", OURS, *words.split()], cwd=folder, env=os.environ)


@pytest.fixture
def ros2(ros_domain_id, tmp_path):
    """ros2("topic list") gives the running program, in a domain of the test. It is ended after the test."""
    started = []

    def start(words: str) -> Ros2:
        started.append(Ros2(tmp_path, words))
        return started[-1]

    yield start
    for program in started:
        program.kill()


def test_ros2_launch_trains_to_its_end(ros2, tmp_path):
    given = "recipe:=debug vehicles:=64 steps:=10000 seed:=5 run:=run"
    training = ros2(f"launch spike_ctrl sim_train.launch.py {given}")
    assert training.end(300) == 0, training.output
    assert checkpoint.load(tmp_path / "run" / "policy.safetensors").manifest.recipe == "debug"


@pytest.mark.flight
def test_ros2_launch_flies_and_the_words_of_ros2_show_the_flight(ros2, tmp_path):
    given = f"vehicle:=embedded auto:=true duration:=20 bag:=bag connection:=udpin:127.0.0.1:{free_port()}"
    flight = ros2(f"launch spike_ctrl flight.launch.py {given}")
    flight.wait_for("GUIDE: took off to", 180)
    hertz, shown = ros2("topic hz /flight_state -w 50"), ros2("node list")
    told = ros2("topic echo /supervisor/status --once --field rung")
    assert told.end(60) == 0 and told.lines[0] in ("0", "1"), told.output  # the policy or the guide flies
    assert shown.end(60) == 0
    assert {"/supervisor", "/snn_policy", "/guide_policy", "/vehicle_bridge", "/recorder"} <= set(shown.lines)
    rates = hertz.wait_until(lambda: RATE.findall(hertz.output), 60, "no rate")
    hertz.process.send_signal(signal.SIGINT)
    assert hertz.end(30) == 0 and all(0 < float(rate) < 150 for rate in rates), hertz.output
    assert flight.end(180) == 0, flight.output
    assert "LAND -> SILENT: landed" in flight.output
    assert read(tmp_path / "bag").states.tick.size > 100
