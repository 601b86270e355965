"""Flights of real processes: the simulated vehicle, the graph that `spike-ctrl launch flight` starts, and an operator."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy
from output import Output, children, executable
from pymavlink.dialects.v20 import development as mavlink
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from spike_ctrl_msgs.msg import AutopilotStatus, FlightCommand, SetPoint, SupervisorStatus
from spike_ctrl_msgs.srv import SetTarget
from std_srvs.srv import Trigger

from spike_ctrl import resources
from spike_ctrl_ros import qos

SPIKE_CTRL = executable("spike-ctrl")
SNN, GUIDE, HOLD, LAND, SILENT = range(5)
PARAMETERS = {
    "COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4, "COM_LOW_BAT_ACT": 2, "COM_RCL_EXCEPT": 4, "GF_ACTION": 5,
    "GF_MAX_HOR_DIST": 6.0, "GF_MAX_VER_DIST": 5.0, "NAV_DLL_ACT": 3, "COM_DL_LOSS_T": 300.0, "EKF2_ACC_NOISE": 1.0,
    "EKF2_GYR_NOISE": 0.1, "SYS_FAILURE_EN": 1,
}  # fmt: skip
ATTEMPTS = 3
ALL = QoSProfile(depth=2000, reliability=ReliabilityPolicy.BEST_EFFORT)


def may_be_real_time() -> bool:
    """Whether processes may run under SCHED_FIFO, which keeps a busy computer from deciding the test."""
    return subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Program(Output):
    """One of the processes of a flight."""

    def __init__(self, command, **options):
        super().__init__(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}, **options)

    def end(self, number=signal.SIGINT, seconds: float = 30.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def kill(self) -> None:
        """What a test leaves behind: the processes that it started, by their group."""
        for process in [self.process.pid, *children(self.process.pid)]:
            try:
                os.killpg(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        self._reader.join(5)


class Flight:
    """Vehicle, graph and operator. `status`: all of the supervisor's; `commands`: all that it sent."""

    def __init__(self, folder: Path, *arguments: str, vehicle=(), **parameters):
        self.folder, self.port, self.others = folder, free_port(), []
        self.station = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.station.bind(("127.0.0.1", 0))
        self.station.settimeout(0.05)
        self.codec = mavlink.MAVLink(None, 255, 190)
        self.priority = "40" if may_be_real_time() else "0"
        words = [word for name, value in (PARAMETERS | parameters).items() for word in ("--set", f"{name}={value}")]
        self.vehicle = Program(
            [SPIKE_CTRL, "vehicle", "--connection", f"127.0.0.1:{self.port}", "--local", "127.0.0.1:0", "--station",
             f"127.0.0.1:{self.station.getsockname()[1]}", "--priority", self.priority, *vehicle, *words]
        )  # fmt: skip
        self.model = str(resources.find("models", "sih_quadx.safetensors"))
        self.arguments = (
            "remote_control:=false", "height:=0.7", f"connection:=udpin:127.0.0.1:{self.port}", f"priority:={self.priority}",
            f"model:={self.model}", "record:=false", *arguments,
        )  # fmt: skip
        self.graph = self.launch()
        self.node = rclpy.create_node("operator")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.status: list[SupervisorStatus] = []
        self.commands: list[FlightCommand] = []
        self.autopilot = AutopilotStatus()
        self.node.create_subscription(SupervisorStatus, "supervisor/status", self.status.append, qos.STATUS)
        self.node.create_subscription(FlightCommand, "command", self.commands.append, ALL)
        self.node.create_subscription(AutopilotStatus, "autopilot", self._on_autopilot, qos.STREAM)
        self.set_point_out = self.node.create_publisher(SetPoint, "target", qos.STREAM)
        names = ("take_off", "guide", "engage", "disengage", "land")
        self.services = {name: self.node.create_client(Trigger, name) for name in names}
        self.target_service = self.node.create_client(SetTarget, "set_target")

    def _on_autopilot(self, message: AutopilotStatus) -> None:
        self.autopilot = message

    def listen(self, kind, topic: str) -> list:
        """All messages of a topic, from now on."""
        found = []
        self.node.create_subscription(kind, topic, found.append, ALL)
        return found

    def launch(self) -> Program:
        return Program([SPIKE_CTRL, "launch", "flight", *self.arguments], cwd=self.folder)

    def nodes(self) -> dict[str, int]:
        commands = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children(self.graph.process.pid)}
        found = {child: re.search(r"__node:=(\w+)", command) for child, command in commands.items()}
        return {match[1]: child for child, match in found.items() if match}

    # What is seen

    @property
    def rung(self) -> int:
        return self.status[-1].rung if self.status else SILENT

    @property
    def airborne(self) -> bool:
        return self.autopilot.heard and self.autopilot.armed and not self.autopilot.landed

    def told(self, words: str, since: int = 0) -> list[SupervisorStatus]:
        """The status messages with an event that holds these words."""
        return [status for status in self.status[since:] if any(words in event for event in status.events)]

    def publishers(self, topic: str) -> list[str]:
        return [found.node_name for found in self.node.get_publishers_info_by_topic(topic)]

    # What is done

    def until(self, condition, seconds: float = 20.0, what: str = ""):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            words = "\n".join([*self.graph.lines[-40:], "vehicle:", *self.vehicle.lines[-10:]])
            assert time.monotonic() < deadline, f"{what or 'nothing'} within {seconds} s:\n{words}"
            self.executor.spin_once(timeout_sec=0.02)
        return found

    def stays(self, rung: int, seconds: float) -> None:
        """The rung is this one all the time; commands and status are heard meanwhile."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)
            assert self.rung == rung, "\n".join(self.graph.lines[-20:])

    def call(self, client, request):
        assert client.wait_for_service(20), self.graph.output
        future = client.call_async(request)
        self.until(future.done, 10, "no answer of the supervisor")
        return future.result()

    def ask(self, name: str) -> Trigger.Response:
        return self.call(self.services[name], Trigger.Request())

    def ask_until_granted(self, name: str, seconds: float = 30.0) -> None:
        asked = -1.0

        def granted() -> bool:
            nonlocal asked
            if time.monotonic() - asked < 0.3:
                return False
            asked = time.monotonic()
            return self.ask(name).success

        self.until(granted, seconds, f"{name} was not granted")

    def take_off(self) -> None:
        self.ask_until_granted("take_off", 60)
        self.until(lambda: self.told("took off"), 30, "no take-off")

    def engage(self) -> None:
        """From GUIDE, in the air."""
        since = len(self.status)
        self.ask_until_granted("engage")
        self.until(lambda: self.rung == SNN, 15, "not engaged")
        self.until(lambda: [s for s in self.status[since:] if s.rung == SNN and s.text], 5, "no status")

    def station_says(self, message) -> None:
        """A ground station's packet to the vehicle."""
        _, remote = self.station.recvfrom(65535)
        self.station.sendto(bytes(message.pack(self.codec)), remote)

    def land(self) -> str:
        """To the ground and the end; gives the vehicle's own summary."""
        if self.airborne and self.rung <= HOLD:
            self.ask("land")
        self.until(lambda: not self.autopilot.armed or self.graph.process.poll() is not None, 40, "no landing")
        return self.summary()

    def summary(self) -> str:
        """The vehicle ends and tells the truth; it has been in the cage and touched down gently."""
        self.vehicle.end()
        found = re.search(r"farthest ([\d.]+) m from the start; hardest touchdown ([\d.]+) m/s", self.vehicle.output)
        assert found, self.vehicle.output
        assert float(found[1]) < 3.0 and float(found[2]) < 1.0, found[0]
        return found[0]

    def start(self, *command) -> Program:
        self.others.append(Program(list(command), cwd=self.folder))
        return self.others[-1]

    def close(self) -> None:
        for output in (*self.others, self.graph, self.vehicle):
            output.kill()
        self.station.close()
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def new_flight(ros_domain_id, tmp_path):
    """new_flight("argument:=value", vehicle=(...), PARAMETER=value) gives a Flight that is ended after the test."""
    rclpy.init()
    flights = []

    def start(*arguments, **options) -> Flight:
        flights.append(Flight(tmp_path, *arguments, **options))
        return flights[-1]

    def end() -> None:
        for flight in flights:
            flight.close()
        flights.clear()
        rclpy.shutdown()

    start.end = end
    yield start
    end()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """A flight that failed while a processor was held up, as canaries tell, says nothing: it is flown again."""
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    script = Path(__file__).parent / "canary.py"
    for attempt in range(ATTEMPTS):
        canaries = [Program([sys.executable, script, str(cpu)]) for cpu in os.sched_getaffinity(0)]
        try:
            pyfuncitem.obj(**arguments)
            return True
        except AssertionError:
            held_up = [line for canary in canaries for line in canary.lines]
            if attempt == ATTEMPTS - 1 or not held_up:
                raise
            print(f"flown again, for the computer was held up: {', '.join(held_up)}")
            arguments["new_flight"].end()
            rclpy.init()
        finally:
            for canary in canaries:
                canary.kill()
