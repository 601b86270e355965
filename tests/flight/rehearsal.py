"""A flight of real processes: the simulated vehicle, the graph that `spike-ctrl launch flight` starts, and an operator."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import rclpy
from output import executable
from programs import Program, Started, Station, free_port, hurry, may_be_real_time, nodes
from rclpy.experimental import EventsExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from spike_ctrl_msgs.msg import AutopilotStatus, FlightCommand, FlightState, SetPoint, SupervisorStatus
from spike_ctrl_msgs.srv import SetTarget
from std_srvs.srv import Trigger

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import nanoseconds

SPIKE_CTRL = executable("spike-ctrl")
SNN, GUIDE, HOLD, LAND, SILENT = range(5)
OFFBOARD_MODE, LOITER_MODE, LAND_MODE = 0x00060000, 0x03040000, 0x06040000
OUTPUTS = {"vehicle_bridge": "flight_state", "guide_policy": "guide/action", "snn_policy": "policy/action",
           "supervisor": "command"}  # fmt: skip
VEHICLE, NODES = 45, 40  # priorities under SCHED_FIFO
PARAMETERS = {
    "COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4, "COM_LOW_BAT_ACT": 2, "COM_RC_IN_MODE": 0, "NAV_RCL_ACT": 3, "GF_ACTION": 5,
    "GF_MAX_HOR_DIST": 6.0, "GF_MAX_VER_DIST": 6.0, "NAV_DLL_ACT": 3, "COM_DL_LOSS_T": 3.0, "EKF2_ACC_NOISE": 1.0,
    "EKF2_GYR_NOISE": 0.1, "SYS_FAILURE_EN": 1, "MPC_ACC_UP_MAX": 8, "MPC_ACC_DOWN_MAX": 8, "MPC_JERK_AUTO": 30,
}  # fmt: skip
MORE = {"rates": {}, "motors": {"COM_OF_LOSS_T": 0.05}}  # by what is commanded
PROFILE = Path(__file__).parent / "fastdds.xml"
CAGE = 3.0  # m: its half width and its height
FAST = 1.0  # m/s: no touchdown may be faster
ALL = QoSProfile(depth=2000, reliability=ReliabilityPolicy.BEST_EFFORT)


class Flight:
    """Vehicle, graph and operator. `status`: all of the supervisor's; `commands`: all that it sent; `signed`: the link.

    With `tampered` a link between vehicle and bridge obeys `link.tell`. environment: more of it for the launch. craft: the
    airframe, with the shipped model of the same name.
    """

    def __init__(
        self, folder: Path, *arguments: str, seed=0, tampered=False, signed=False, environment=None, craft="sih_quadx",
        **parameters,
    ):  # fmt: skip
        self.environment = os.environ | {"PYTHONUNBUFFERED": "1"} | (environment or {})
        self.folder, self.others, self.started, self.restarted = folder, [], {}, {}
        self.killed: set[str] = set()
        self.key = os.urandom(32) if signed else None
        self.station = Station(self.key)
        self.real_time = may_be_real_time()
        bridge = port = free_port()
        key = []
        if signed:
            (folder / "key").write_bytes(self.key)
            (folder / "key").chmod(0o600)
            key, arguments = ["--signing-key", "key"], (*arguments, "signing_key:=key")
        if tampered:
            port = free_port()
            link = (Path(__file__).parent / "fault_injecting_link.py", bridge, port, *(["key"] if signed else []))
            self.link = self.start(*self.chrt(VEHICLE), sys.executable, *link)
            self.link.wait_for(lambda: "ready" in self.link.lines, 20)
        set_up = PARAMETERS | MORE[airframe.load(craft).action_layout] | parameters
        words = [word for name, value in set_up.items() for word in ("--set", f"{name}={value}")]
        self.vehicle = Program(
            [SPIKE_CTRL, "vehicle", "--airframe", craft, "--connection", f"127.0.0.1:{port}", "--local", "127.0.0.1:0",
             "--station", self.station.address, "--priority", VEHICLE * self.real_time, "--seed", seed, *key,
             *words], cwd=folder,
        )  # fmt: skip
        self.model = str(resources.find("models", f"{craft}.safetensors"))
        self.arguments = (
            f"airframe:={craft}", f"connection:=udpin:127.0.0.1:{bridge}", f"priority:={NODES * self.real_time}",
            f"model:={self.model}",
            f"dds_profile:={PROFILE}", *arguments,
        )  # fmt: skip
        self.graph = self.launch()
        self.node = rclpy.create_node("operator")
        self.executor = EventsExecutor()  # takes all that has come at once
        self.executor.add_node(self.node)
        self.status: list[SupervisorStatus] = []
        self.commands: list[FlightCommand] = []
        self.autopilot, self.state = AutopilotStatus(), FlightState()
        self.node.create_subscription(SupervisorStatus, "supervisor/status", self.status.append, qos.STATUS)
        self.node.create_subscription(FlightCommand, "command", self.commands.append, ALL)
        self.node.create_subscription(AutopilotStatus, "autopilot", self._on_autopilot, qos.STREAM)
        self.node.create_subscription(FlightState, "flight_state", self._on_state, qos.STREAM)
        self.set_point_out = self.node.create_publisher(SetPoint, "target", qos.STREAM)
        names = ("take_off", "guide", "engage", "disengage", "land")
        self.services = {name: self.node.create_client(Trigger, name) for name in names}
        self.target_service = self.node.create_client(SetTarget, "set_target")
        if self.real_time:
            hurry()

    def _on_autopilot(self, message: AutopilotStatus) -> None:
        self.autopilot = message

    def _on_state(self, message: FlightState) -> None:
        self.state = message

    def listen(self, kind, topic: str) -> list:
        """A list that collects all messages of a topic from now on."""
        found = []
        self.node.create_subscription(kind, topic, found.append, ALL)
        return found

    def launch(self) -> Program:
        return Program([SPIKE_CTRL, "launch", "flight", *self.arguments], cwd=self.folder, env=self.environment)

    # The processes

    def chrt(self, priority: int) -> list[str]:
        return ["chrt", "-f", str(priority)] if self.real_time else []

    def start(self, *command) -> Program:
        self.others.append(Program(command, cwd=self.folder))
        return self.others[-1]

    def nodes(self) -> dict[str, Started]:
        """All running nodes of the flight."""
        found = nodes([self.graph.process.pid, *(program.process.pid for program in self.restarted.values())])
        self.started |= found
        return found

    def signal(self, name: str, number: int) -> float:
        """Send a signal to a node. Gives the time (s since 1970), and keeps it in `signalled` (s, monotonic)."""
        process = self.nodes()[name].process
        now, self.signalled = time.time(), time.monotonic()
        os.kill(process, number)
        return now

    def kill(self, name: str) -> float:
        moment = self.signal(name, signal.SIGKILL)
        self.killed.add(name)
        return moment

    def restart(self, name: str) -> None:
        """Start a killed node again as the launch had started it, once it has disappeared from the graph."""
        if topic := OUTPUTS.get(name):
            self.until(lambda: not self.publishers(topic), 10, f"{name} is remembered")
        was = self.started[name]
        self.killed.discard(name)
        self.restarted[name] = Program(was.command, cwd=was.folder, env=was.environment)
        if topic:
            self.until(lambda: self.publishers(topic) == [name], 40, f"{name} does not come up")

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

    def failsafes(self, since: float) -> list[str]:
        """The vehicle's texts about a lost offboard signal since then (s, monotonic)."""
        return [text for moment, text in self.station.said if moment >= since and "offboard signal lost" in text]

    def publishers(self, topic: str) -> list[str]:
        return [found.node_name for found in self.node.get_publishers_info_by_topic(topic)]

    def stamps(self, *commanders: int, since: float = 0.0) -> list[float]:
        """When commands left the supervisor (s since 1970): all, or those of these commanders."""
        found = []
        for command in reversed(self.commands):
            if (moment := 1e-9 * nanoseconds(command.header.stamp)) < since:
                break
            if not commanders or command.commander in commanders:
                found.append(moment)
        return found[::-1]

    def must_be_well(self, since: float) -> None:
        """No node has ended by itself; in truth the vehicle has stayed in its cage and has not hit the ground since then
        (s, monotonic).
        """
        assert (ended := {*OUTPUTS} - {*self.nodes()} - self.killed) == set(), f"ended: {ended}\n{self.story()}"
        before = None
        for truth in self.station.truth:
            if truth.time >= since:
                x, y, z = truth.position
                assert max(abs(x), abs(y), z) < CAGE, f"outside of the cage: {truth}"
                if before is not None and before.position[2] > 0.05 >= z:
                    assert -before.velocity[2] < FAST, f"hit the ground: {before}"
            before = truth

    # What is done

    def spin(self) -> None:
        self.executor.spin_once(timeout_sec=0.02)
        self.station.listen()

    def until(self, condition, seconds: float = 20.0, what: str = ""):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() >= deadline:
                raise AssertionError(f"{what or 'nothing'} within {seconds} s:\n{self.story()}")
            self.spin()
        return found

    def story(self) -> str:
        lines = [line for program in self.restarted.values() for line in program.lines[-10:]]
        return "\n".join([*self.graph.lines[-40:], "restarted:", *lines, "vehicle:", *self.vehicle.lines[-10:]])

    def stays(self, rung: int, seconds: float) -> None:
        """Assert that the rung stays this one, while commands and status are received."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.spin()
            assert self.rung == rung, self.story()

    def call(self, client, request):
        assert client.wait_for_service(20), self.graph.output
        for _ in range(3):  # an answer may be lost while the two discover each other
            future, end = client.call_async(request), time.monotonic() + 3
            while not future.done() and time.monotonic() < end:
                self.spin()
            if future.done():
                return future.result()
        raise AssertionError(f"no answer of the supervisor:\n{self.story()}")

    def ask(self, name: str) -> Trigger.Response:
        return self.call(self.services[name], Trigger.Request())

    def ask_until_granted(self, name: str, seconds: float = 30.0) -> None:
        asked, answer = -1.0, None

        def granted() -> bool:
            nonlocal asked, answer
            if time.monotonic() - asked < 0.2:
                return False
            asked, answer = time.monotonic(), self.ask(name)
            return answer.success

        try:
            self.until(granted, seconds, f"{name} was not granted")
        except AssertionError as error:
            raise AssertionError(f"{answer and answer.message}\n{error}") from None

    def take_off(self) -> None:
        self.ask_until_granted("take_off", 60)
        self.until(lambda: self.told("took off"), 30, "no take-off")

    def engage(self) -> None:
        """Engage the policy, from GUIDE in the air."""
        since = len(self.status)
        self.ask_until_granted("engage")
        self.until(lambda: self.rung == SNN, 15, "not engaged")
        self.until(lambda: [s for s in self.status[since:] if s.rung == SNN and s.text], 5, "no status")

    def target(self, x: float, y: float, z: float) -> None:
        answer = self.call(self.target_service, SetTarget.Request(position=(float(x), float(y), float(z))))
        assert answer.success, answer.message

    def land(self) -> str:
        """Land and end the flight. Gives the vehicle's own summary."""
        if self.airborne and self.rung <= HOLD:
            self.ask("land")
        self.until(lambda: not self.autopilot.armed or self.graph.process.poll() is not None, 40, "no landing")
        return self.summary()

    def summary(self) -> str:
        """End the vehicle, and assert by its true states that it was in the cage and touched down gently."""
        self.vehicle.end()
        found = re.search(r"farthest ([\d.]+) m from the start; hardest touchdown ([\d.]+) m/s", self.vehicle.output)
        assert found, self.vehicle.output
        assert float(found[1]) < 1.5 * CAGE and float(found[2]) < FAST, found[0]
        return found[0]

    def close(self) -> None:
        for output in (*self.others, *self.restarted.values(), self.graph, self.vehicle):
            output.kill()
        self.station.socket.close()
        self.executor.shutdown()
        self.node.destroy_node()
