"""Training on one vehicle over MAVLink, as real processes: the graph of `backend:=px4` and the simulated vehicle.

- it takes off, flies episodes, fine-tunes a policy on them, lands when the training is over, and leaves the policy
- arguments that do not fit are refused by name
"""

import json
import re
import socket
import subprocess
from importlib.util import find_spec

import pytest
import yaml
from live_training_recipe import SHORT
from programs import free_port

from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint


@pytest.fixture
def fly(start_graph, tmp_path):
    """The graph with the simulated vehicle at twice the speed of the clock."""
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(SHORT))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        connection = f"connection:=udpin:127.0.0.1:{found.getsockname()[1]}"
    priority = "40" if subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0 else "0"
    where = ("backend:=px4", "simulation:=embedded", "speed:=2", "height:=2.5", "room:=2", connection)
    common = (*where, "recipe:=short.yaml", f"priority:={priority}")
    return lambda *arguments: start_graph(*common, *arguments)


def test_it_trains_on_a_vehicle_that_flies_and_lands_it_at_the_end(fly, tmp_path):
    graph = fly("run:=run", f"start_from:={resources.find('models', 'sih_quadx.safetensors')}")
    assert graph.end(280) == 0, graph.output
    policy = checkpoint.load(tmp_path / "run" / "policy.safetensors", expect={"airframe": "sih_quadx", "action": "rates"})
    assert policy.manifest.recipe == "short"
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["environment_steps"] == 1000
    headline = policy.manifest.evaluation["frozen"]["columns"]["1.5m_start"]
    assert headline["survival"] > 0.8  # it began as the shipped policy: a thousand steps would not teach that
    told = re.search(r"px4_backend: (\d+) rows; .*flown (\d+)", graph.output)
    assert int(told[1]) >= 1000 and int(told[2]) >= 5, graph.output
    assert re.search(r"\[spike-ctrl\] .* up 0\.00 m; farthest", graph.output)  # landed, before the vehicle itself ended


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["backend:=px4", "vehicles:=2"], "backend:=px4: vehicles: found 2, wanted 1"),
        (["backend:=px4", "recipe:=default"], "backend:=px4: recipe default: algorithm: found bptt, wanted td3bc"),
        (["backend:=px4", "recipe:=td3bc"], "backend:=px4: recipe td3bc: schedule.hover_trim: found true, wanted false"),
        (["backend:=px4", "simulation:=embedded", "connection:=serial:/dev/null:57600"], "wanted udpin:HOST:PORT"),
        (["backend:=px4", "simulation:=embedded", "connection:=udpin:127.0.0.1:0"], "wanted udpin:HOST:PORT with a port of"),
        (["simulation:=sih"], "simulation: found sih, wanted only with backend:=px4"),
        (
            ["connection:=udpin:127.0.0.1:14540"],
            "connection: found 'udpin:127.0.0.1:14540', wanted only with backend:=px4 or auto",
        ),
        (["backend:=px4", "link:=betaflight"], "link: found 'betaflight', wanted only with backend:=autopilot"),
        (["backend:=autopilot", "speed:=2"], "speed: found '2', wanted only with backend:=px4"),
        (
            ["backend:=autopilot", "link:=embedded"],
            "'link': found 'embedded', wanted mavlink or a link to another autopilot",
        ),
        pytest.param(
            ["backend:=autopilot", "link:=betaflight", "connection:=sitl:nowhere"],
            "and no simulation in nowhere",
            marks=pytest.mark.skipif(
                find_spec("spike_ctrl_betaflight") is None, reason="plug_ins/betaflight is not installed"
            ),
        ),
        (["backend:=px4", "simulation:=embedded", "speed:=99", "record:=true"], "speed: found 99, wanted 0.1 to 20"),
        (["backend:=px4", "simulation:=hil", "record:=true"], "px4_sitl_default; then name it by px4:="),
        (["backend:=px4", "connection:=udpin:192.0.2.1:14540", "record:=true"], "cannot listen there"),
        (["backend:=px4", "signing_key:=nothing", "record:=true"], "signing key nothing: cannot be read"),
        (
            ["start_from:=nothing", "record:=true"],
            "model 'nothing' not found; known: any_quad, any_quad_rotor, any_quad_thrown, any_rates",
        ),
        (["run:=/proc/x", "record:=true"], "run /proc/x: cannot be written"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(refused_launch, tmp_path, arguments, complaint):
    if "backend:=px4" in arguments and not any(one.startswith("connection:=") for one in arguments):
        arguments = [*arguments, f"connection:=udpin:127.0.0.1:{free_port()}"]  # someone may fly a PX4 at its own port
    (line,) = refused_launch("sim_train", *arguments)
    assert complaint in line and not list(tmp_path.iterdir())


def test_a_topic_that_cannot_be_one_is_refused_by_the_recorder_in_its_own_words(start_graph, tmp_path):
    graph = start_graph("topics:=a/b-c", "record:=true")
    assert graph.end(60) != 0
    assert "parameter 'topics': found 'a/b-c', wanted names of topics" in graph.output and "Traceback" not in graph.output
    assert not list(tmp_path.iterdir())
