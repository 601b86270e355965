"""One vehicle in real time without a learner: simulator, guide_policy and snn_policy.

- the policy flies from the first tick; when its process hangs the guide flies, the vehicle does not stop
- it comes back through its warm-up in shadow and then flies again
- a policy that stays silent ends the simulator with its name
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from output import executable
from spike_ctrl_msgs.msg import PolicyStatus

from spike_ctrl._files import resources
from spike_ctrl.launching.installed import flight_middleware
from spike_ctrl_ros import qos

MODEL = resources.folder("models") / "crazyflie.safetensors"
NODES = {
    "guide_policy": {},
    "snn_policy": {"model": MODEL, "realtime": "true", "max_age": "1.0"},
    "simulator": {"vehicles": 1, "realtime": "true", "free_run": "true"},
}


class Flight:
    """The three processes and what they report."""

    def __init__(self, folder: Path):
        self.log = open(folder / "log", "w+")
        self.processes = {}
        for node, parameters in NODES.items():
            words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
            command = [executable(node), "--ros-args", *words]
            self.processes[node] = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.node, self.figures, self.reasons = rclpy.create_node("listener"), {}, []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, qos.STATUS)
        self.node.create_subscription(PolicyStatus, "policy/status", lambda m: self.reasons.append(m.reason), qos.STATUS)

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        self.figures = {value.key: float(value.value) for value in message.status[0].values}

    def until(self, condition, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.figures} {self.reasons[-5:]}\n{self.output}"
            rclpy.spin_once(self.node, timeout_sec=0.05)

    @property
    def output(self) -> str:
        return Path(self.log.name).read_text()

    def end(self) -> None:
        self.node.destroy_node()
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGINT)
        for process in self.processes.values():
            process.wait(60)
        self.log.close()


@pytest.fixture
def flight(ros_domain_id, tmp_path, monkeypatch):
    """In real time, so with the middleware of a flight: shared memory may hold up the others where one process stops."""
    for name, value in flight_middleware().items():
        monkeypatch.setenv(name, value)
    rclpy.init()
    flight = Flight(tmp_path)
    yield flight
    flight.end()
    rclpy.shutdown()


@pytest.mark.alone
def test_the_guide_flies_while_the_policy_hangs_until_it_is_warm_again_and_one_that_stays_silent_ends_it(flight):
    flight.until(lambda: flight.figures.get("tick", 0) > 100 and flight.reasons)
    assert flight.reasons[0] == PolicyStatus.OK  # an episode starts: no warm-up
    before, told = flight.figures["flown_by_guide"], len(flight.reasons)
    os.kill(flight.processes["snn_policy"].pid, signal.SIGSTOP)
    flight.until(lambda: flight.figures["flown_by_guide"] > before + 100)  # the vehicle flies on
    os.kill(flight.processes["snn_policy"].pid, signal.SIGCONT)
    flight.until(lambda: flight.reasons[-1] == PolicyStatus.OK and PolicyStatus.STALE_STATE in flight.reasons[told:])
    stale = flight.reasons.index(PolicyStatus.STALE_STATE, told)
    assert PolicyStatus.WARMING_UP in flight.reasons[stale:]
    seen = [dict(flight.figures)]

    def policy_flies() -> bool:
        """Most of a second's ticks, in one of the seconds to come: others may need the cores now and then."""
        if flight.figures["tick"] < seen[-1]["tick"] + 80:
            return False
        seen.append(dict(flight.figures))
        first, last = seen[-2:]
        return last["flown_by_guide"] - first["flown_by_guide"] < 0.5 * (last["tick"] - first["tick"])

    flight.until(policy_flies)
    os.kill(flight.processes["snn_policy"].pid, signal.SIGSTOP)
    flight.until(lambda: flight.processes["simulator"].poll() is not None)
    assert flight.processes["simulator"].returncode == 1
    assert "no policy/action from snn_policy for 5 s" in flight.output


@pytest.mark.installed
def test_a_parameter_that_does_not_fit_ends_the_simulator_with_its_name(ros_domain_id):
    command = [executable("simulator"), "--ros-args", "-p", "vehicles:=0"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1] == "error: parameter 'vehicles': found 0, wanted 1 to 8192"
