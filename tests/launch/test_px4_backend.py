"""Training on one vehicle over MAVLink, as real processes: the graph of `backend:=px4` and the simulated vehicle.

- it takes off, flies episodes, fine-tunes a policy on them, lands when the training is over, and leaves the policy
- arguments that do not fit are refused by name
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from output import Output

from spike_ctrl import checkpoint, resources

SPIKE_CTRL = Path(sys.executable).parent / "spike-ctrl"
SHORT = {
    "name": "short",
    "task": {"episode_steps": 80, "start": {"position": 1.5, "yaw": 1.0}},
    "network": {"slope": {"kind": "fixed", "k": 5}},
    "jump_start": {"horizon": 40, "rest": 0, "until": 0.3},
    "replay": {"capacity": 8192, "window": 20, "critic_batch": 8, "actor_batch": 8},
    "td3bc": {"label": "guide", "alpha": 0, "burn_in": 5, "critic_updates": 0, "actor_updates": 2, "bc": 1, "bc_end": 1},
    "schedule": {"steps": 1000, "iteration_steps": 200, "evaluations": 1},
}
PARAMETERS = {"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4, "EKF2_ACC_NOISE": 1.0, "EKF2_GYR_NOISE": 0.1}


@pytest.fixture
def vehicle():
    """A simulated vehicle at twice the speed of the clock, and the connection to it; ended after the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = [word for name, value in PARAMETERS.items() for word in ("--set", f"{name}={value}")]
    where = ["--connection", f"127.0.0.1:{port}", "--local", "127.0.0.1:0", "--station", "none", "--speed", "2"]
    started = Output([SPIKE_CTRL, "vehicle", *where, *words], env=os.environ | {"PYTHONUNBUFFERED": "1"})
    started.connection = f"connection:=udpin:127.0.0.1:{port}"
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait(10)


@pytest.fixture
def fly(start_graph, tmp_path, vehicle):
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(SHORT))

    def fly(*arguments):
        priority = "40" if subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0 else "0"
        common = ("backend:=px4", vehicle.connection, "recipe:=short.yaml", f"priority:={priority}")
        return start_graph(*common, *arguments)

    return fly


def test_it_trains_on_a_vehicle_that_flies_and_lands_it_at_the_end(fly, vehicle, tmp_path):
    graph = fly("run:=run", f"start_from:={resources.find('models', 'sih_quadx.safetensors')}")
    assert graph.end(150) == 0, graph.output
    policy = checkpoint.load(tmp_path / "run" / "policy.safetensors", expect={"airframe": "sih_quadx", "action": "rates"})
    assert policy.manifest.recipe == "short"
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["environment_steps"] == 1000
    headline = policy.manifest.evaluation["frozen"]["columns"]["1.5m_start"]
    assert headline["survival"] > 0.8  # it began as the shipped policy: a thousand steps would not teach that
    told = re.search(r"px4_backend: (\d+) rows; .*flown (\d+)", graph.output)
    assert int(told[1]) >= 1000 and int(told[2]) >= 5, graph.output
    vehicle.process.send_signal(signal.SIGINT)
    vehicle.process.wait(10)
    assert re.search(r"up 0\.00 m", vehicle.output) and vehicle.output.count("Disarmed by landing") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["backend:=px4", "vehicles:=2"], "backend:=px4: vehicles: found 2, wanted 1"),
        (["backend:=px4", "recipe:=default"], "backend:=px4: recipe default: algorithm: found model_gradient, wanted td3bc"),
        (["connection:=udpin:127.0.0.1:14540"], "connection: found 'udpin:127.0.0.1:14540', wanted only with backend:=px4"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(start_graph, arguments, complaint):
    graph = start_graph(*arguments)
    assert graph.end(60) != 0
    assert complaint in graph.output and "Traceback" not in graph.output
