"""Commands over uXRCE-DDS as processes: the bridge, messages that rosidl has built, and a stand-in for PX4's client.

px4_msgs comes from no registry, so its three messages are written down here (PX4 v1.16 and v1.17) and built. The stand-in
hears them with the QoS of PX4's readers; state, modes and arming go over MAVLink to the simulated vehicle.

- nothing leaves before a command, for a command that is refused, or after the last one; no agent bars the flight
- each command leaves as proof of life and set-point, in PX4's frames, with one stamp, at the rate of the states
- arming and modes go over MAVLink meanwhile; a whole flight
"""

import json
import math
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
import rclpy
from output import Output, executable
from programs import free_port
from rclpy.qos import QoSProfile, ReliabilityPolicy
from spike_ctrl_msgs.msg import AutopilotRequest, AutopilotStatus, FlightCommand, FlightState, Preflight

from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings.flight_log import read_log
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill

WHEELS = Path(__file__).parents[3] / "src" / "spike_ctrl_msgs" / "cmake" / "ros_wheels.cmake"
FLAGS = ("position", "velocity", "acceleration", "attitude", "body_rate", "thrust_and_torque", "direct_actuator")
MESSAGES = {
    "OffboardControlMode": ["uint64 timestamp", *(f"bool {flag}" for flag in FLAGS)],
    "VehicleRatesSetpoint": [
        "uint32 MESSAGE_VERSION = 0", "uint64 timestamp", "float32 roll", "float32 pitch", "float32 yaw",
        "float32[3] thrust_body", "bool reset_integral",
    ],
    "ActuatorMotors": [
        "uint32 MESSAGE_VERSION = 0", "uint64 timestamp", "uint64 timestamp_sample", "uint16 reversible_flags",
        "uint8 ACTUATOR_FUNCTION_MOTOR1 = 101", "uint8 NUM_CONTROLS = 12", "float32[12] control",
    ],
    "RegisterExtComponentRequest": [
        "uint32 MESSAGE_VERSION = 0", "uint64 timestamp", "uint64 request_id", "char[25] name",
        "uint16 px4_ros2_api_version", "bool register_arming_check", "bool register_mode", "bool register_mode_executor",
        "bool enable_replace_internal_mode", "uint8 replace_internal_mode", "bool activate_mode_immediately",
    ],
    "RegisterExtComponentReply": [
        "uint32 MESSAGE_VERSION = 0", "uint64 timestamp", "uint64 request_id", "char[25] name",
        "uint16 px4_ros2_api_version", "bool success", "int8 arming_check_id", "int8 mode_id", "int8 mode_executor_id",
    ],
    "UnregisterExtComponent": [
        "uint32 MESSAGE_VERSION = 0", "uint64 timestamp", "char[25] name", "int8 arming_check_id", "int8 mode_id",
        "int8 mode_executor_id",
    ],
    "ArmingCheckRequest": [
        "uint32 MESSAGE_VERSION = 1", "uint64 timestamp", "uint8 request_id", "uint32 valid_registrations_mask",
    ],
    "Event": [
        "uint32 MESSAGE_VERSION = 1", "uint64 timestamp", "uint32 id", "uint16 event_sequence", "uint8[25] arguments",
        "uint8 log_levels",
    ],
    "ArmingCheckReply": [
        "uint32 MESSAGE_VERSION = 1", "uint64 timestamp", "uint8 request_id", "uint8 registration_id",
        "uint8 health_component_index", "bool health_component_is_present", "bool health_component_warning",
        "bool health_component_error", "bool can_arm_and_run", "uint8 num_events", "Event[5] events",
        *(f"bool mode_req_{need}" for need in (
            "angular_velocity", "attitude", "local_alt", "local_position", "local_position_relaxed", "global_position",
            "global_position_relaxed", "mission", "home_position", "prevent_arming", "manual_control",
        )),
    ],
    "VehicleControlMode": [
        "uint32 MESSAGE_VERSION = 0", "uint64 timestamp", "bool flag_armed",
        "bool flag_multicopter_position_control_enabled",
        *(f"bool flag_control_{loop}_enabled" for loop in (
            "manual", "auto", "offboard", "position", "velocity", "altitude", "climb_rate", "acceleration", "attitude",
            "rates", "allocation", "termination",
        )),
        "uint8 source_id",
    ],
}  # fmt: skip
PROJECT = f"""
cmake_minimum_required(VERSION 3.20)
project(px4_msgs)
find_package(ament_cmake REQUIRED)
include({WHEELS})
find_package(rosidl_default_generators REQUIRED)
rosidl_generate_interfaces(${{PROJECT_NAME}} {" ".join(f"msg/{name}.msg" for name in MESSAGES)})
ament_package()
"""
PACKAGE = """<?xml version="1.0"?>
<package format="3">
  <name>px4_msgs</name><version>1.17.0</version><description>What the test needs of it.</description>
  <maintainer email="maintainers@users.noreply.github.com">spike_ctrl maintainers</maintainer><license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend><buildtool_depend>rosidl_default_generators</buildtool_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""
SET_POINT = {"rates": "vehicle_rates_setpoint", "motors": "actuator_motors"}
# One line of JSON for each message: its topic, when it came (s since 1970), its fields. With the port of a vehicle, rates
# that have a proof of life go there instead.
STAND_IN = """
import json, socket, sys, time, px4_msgs.msg, rclpy
from pymavlink.dialects.v20 import common
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
KINDS = {"offboard_control_mode": "OffboardControlMode", "vehicle_rates_setpoint": "VehicleRatesSetpoint",
         "actuator_motors": "ActuatorMotors"}
def hear(topic):
    def take(message):
        fields = {name: getattr(message, name) for name in message.get_fields_and_field_types()}
        print(json.dumps([topic, time.time(), fields], default=lambda array: array.tolist()), flush=True)
    return take
proven, codec, vehicle = [0], common.MAVLink(None, 1, 191), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def stamp(message):  # as PX4 reads it
    return message.timestamp or round(1e6 * time.time())
def prove(message):
    proven.append(stamp(message) * message.body_rate)
def fly(message):
    if abs(stamp(message) - proven[-1]) < 100_000:
        rates = (message.roll, message.pitch, message.yaw)
        target = common.MAVLink_set_attitude_target_message(0, 1, 1, 128, [1, 0, 0, 0], *rates, -message.thrust_body[2])
        vehicle.sendto(target.pack(codec), ("127.0.0.1", int(sys.argv[1])))
rclpy.init()
node = rclpy.create_node("px4_client")
reader = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
for topic, kind in KINDS.items():
    flies = {"offboard_control_mode": prove, "vehicle_rates_setpoint": fly} if len(sys.argv) > 1 else {}
    node.create_subscription(getattr(px4_msgs.msg, kind), "/fmu/in/" + topic, flies.get(topic, hear(topic)), reader)
rclpy.spin(node)
"""
# PX4's side of a registration: it gives the place of the second external mode, asks for its arming checks, and prints.
LISTING = """
import json, px4_msgs.msg as m, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
rclpy.init()
node = rclpy.create_node("px4_client")
reply_out = node.create_publisher(m.RegisterExtComponentReply, "/fmu/out/register_ext_component_reply", effort)
question_out = node.create_publisher(m.ArmingCheckRequest, "/fmu/out/arming_check_request_v1", effort)
question = m.ArmingCheckRequest(valid_registrations_mask=8)
def tell(what, *about):
    print(json.dumps([what, about]), flush=True)
def place(request):
    about = dict(request_id=request.request_id, name=request.name, px4_ros2_api_version=request.px4_ros2_api_version)
    reply_out.publish(m.RegisterExtComponentReply(success=request.register_mode, arming_check_id=3, mode_id=24, **about))
def ask():
    question.request_id = (question.request_id + 1) % 256
    question_out.publish(question)
def checked(reply):
    event = int(reply.events[0].id) if reply.num_events else 0
    tell("reply", reply.registration_id, reply.can_arm_and_run, event, reply.mode_req_local_position)
def configured(mode):
    tell("loops", mode.source_id, mode.flag_control_rates_enabled, mode.flag_control_attitude_enabled)
node.create_subscription(m.RegisterExtComponentRequest, "/fmu/in/register_ext_component_request", place, effort)
node.create_subscription(m.ArmingCheckReply, "/fmu/in/arming_check_reply_v1", checked, effort)
node.create_subscription(m.VehicleControlMode, "/fmu/in/config_control_setpoints", configured, effort)
node.create_subscription(m.VehicleRatesSetpoint, "/fmu/in/vehicle_rates_setpoint", lambda _: tell("set-point"), effort)
node.create_timer(.3, ask)
rclpy.spin(node)
"""

pytestmark = pytest.mark.flight  # px4_msgs is built for it, which takes its time


@pytest.fixture(scope="module")
def px4_msgs(tmp_path_factory):
    """The environment of a process that has px4_msgs."""
    folder = tmp_path_factory.mktemp("px4_msgs")
    (folder / "msg").mkdir()
    for name, lines in MESSAGES.items():
        (folder / "msg" / f"{name}.msg").write_text("\n".join(lines) + "\n")
    (folder / "CMakeLists.txt").write_text(PROJECT)
    (folder / "package.xml").write_text(PACKAGE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    inherited = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH")
    bare = {name: value for name, value in os.environ.items() if name not in inherited} | {"PATH": path}
    prefix = folder / "prefix"
    options = ("-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", "-DBUILD_TESTING=OFF", f"-DCMAKE_INSTALL_PREFIX={prefix}")
    for command in (["-S", ".", "-B", "build", *options], ["--build", "build"], ["--install", "build"]):
        done = subprocess.run(["cmake", *command], cwd=folder, env=bare, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    python = next(prefix.glob("lib/python*/site-packages"))
    added = {"PYTHONPATH": python, "LD_LIBRARY_PATH": prefix / "lib", "AMENT_PREFIX_PATH": prefix}
    return os.environ | {n: os.pathsep.join(filter(None, [str(p), os.environ.get(n)])) for n, p in added.items()}


class Rig:
    """Vehicle and bridge, an operator that commands `action` for each state, and the stand-in once it is started."""

    def __init__(self, environment, airframe: str, layout: str, link: str = "uxrce"):
        self.environment = environment | {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
        port, self.layout, self.action, self.ask, self.programs = free_port(), layout, None, None, []
        where = ("--connection", f"127.0.0.1:{port}", "--local", "127.0.0.1:0", "--station", "none")
        self.vehicle = self.start(executable("spike-ctrl"), "vehicle", *where)
        parameters = {"link": link, "px4": "'1.17'", "connection": f"udpin:127.0.0.1:{port}", "airframe": airframe}
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        self.bridge = self.start(executable("vehicle_bridge"), "--ros-args", *words)
        rclpy.init()
        self.node = rclpy.create_node("operator")
        self.unmet: list[str] | None = None
        self.states, self.sent, self.status = 0, [], AutopilotStatus()
        self.command_out = self.node.create_publisher(FlightCommand, "command", qos.STREAM)
        self.ask_out = self.node.create_publisher(AutopilotRequest, "autopilot_request", qos.STATUS)
        every = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.node.create_subscription(FlightState, "flight_state", self.on_state, every)
        self.node.create_subscription(AutopilotStatus, "autopilot", self.on_status, qos.STREAM)
        self.node.create_subscription(Preflight, "preflight", self.on_preflight, qos.STATUS)

    def start(self, *command) -> Output:
        self.programs.append(Output(command, env=self.environment))
        return self.programs[-1]

    def start_stand_in(self, program: str = STAND_IN) -> None:
        self.stand_in = self.start(sys.executable, "-c", program)

    def on_state(self, message: FlightState) -> None:
        self.states += 1
        if self.action is not None:
            layout, tick = self.layout, message.tick
            if self.action == "old":
                tick -= min(tick, 100)
            elif self.action == "wrong layout":
                layout = {"rates": "motors", "motors": "rates"}[layout]
            action = [0.0] * 4 if isinstance(self.action, str) else self.action
            self.command_out.publish(fill(FlightCommand(), tick=tick, layout=layout, action=action))
            self.sent.append(time.time())

    def on_status(self, message: AutopilotStatus) -> None:
        self.status = message
        if self.ask is not None:
            self.ask_out.publish(fill(AutopilotRequest(), request=self.ask, status_sent=message.sent))

    def on_preflight(self, message: Preflight) -> None:
        self.unmet = [one for one in message.unmet if "uxrce" in one or "/fmu/in" in one]

    def until(self, condition, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "\n".join(line for program in self.programs for line in program.lines[-10:])
            rclpy.spin_once(self.node, timeout_sec=0.02)

    def lasting(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    def heard(self, topic: str) -> list[tuple[float, dict]]:
        lines = [json.loads(line) for line in self.stand_in.lines if line.startswith("[")]
        assert {found for found, _, _ in lines} <= {"offboard_control_mode", SET_POINT[self.layout]}
        return [(at, fields) for found, at, fields in lines if found == topic]

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.shutdown()
        for program in self.programs:
            program.process.kill()
            program.process.wait(60)


@pytest.fixture
def start_rig(px4_msgs, ros_domain_id):
    rigs = []

    def start(airframe: str, layout: str, link: str = "uxrce") -> Rig:
        rigs.append(Rig(px4_msgs, airframe, layout, link))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.close()


def commanded(rig: Rig, action, seconds: float) -> list[dict]:
    """The set-points that so many seconds of commands made; asserts what must be true of their times and proofs."""
    topic = SET_POINT[rig.layout]
    before = {name: len(rig.heard(name)) for name in ("offboard_control_mode", topic)}
    rig.action, rig.sent = action, []
    rig.lasting(seconds)
    rig.action = None
    rig.lasting(0.5)  # what is on its way arrives
    proofs, points = (rig.heard(name)[begin:] for name, begin in before.items())
    for found in (proofs, points):
        assert 0.8 * len(rig.sent) <= len(found) <= len(rig.sent)  # best effort
        assert {fields["timestamp"] for _, fields in found} == {0}  # the receiver's own time
        times = [at for at, _ in found]
        gaps = [after - before for before, after in pairwise(times)]
        assert min(gaps) > 0 and 0.007 < median(gaps) < 0.013  # 100 Hz, as the states come
        assert median(at - sent for at, sent in zip(times[::-1], rig.sent[::-1], strict=False)) < 0.05
    assert median(min(abs(at - proven) for proven, _ in proofs) for at, _ in points) < 0.002  # each beside its proof
    rig.lasting(0.5)
    assert len(rig.heard(topic)) == before[topic] + len(points)  # nothing leaves by itself
    flags = [tuple(flag for flag in FLAGS if fields[flag]) for _, fields in proofs]
    assert set(flags) == {("body_rate",) if topic == "vehicle_rates_setpoint" else ("direct_actuator",)}
    return [fields for _, fields in points]


def test_rates_leave_with_a_proof_of_life_for_each_command_and_for_nothing_else(start_rig):
    rig, topic = start_rig("sih_quadx", "rates"), "vehicle_rates_setpoint"
    wanted = [f"topic /fmu/in/{name}: found no subscriber" for name in ("offboard_control_mode", topic)]
    rig.until(lambda: rig.unmet is not None and [one.partition(",")[0] for one in rig.unmet] == wanted)
    rig.start_stand_in()
    rig.until(lambda: rig.unmet == [])
    before = rig.states
    rig.until(lambda: rig.states > before + 50)
    for bad in ([math.nan, 0.0, 0.0, 0.0], [0.0, 1.5, 0.0, 0.0], "old", "wrong layout"):
        refused, rig.action = rig.status.refused, bad
        rig.until(lambda refused=refused: rig.status.refused > refused + 5)
        rig.action = None
        rig.lasting(0.2)
    assert rig.heard("offboard_control_mode") == rig.heard(topic) == []
    # All thrust, roll to the right, nose down (FLU: positive), nose to the left, each with all that the airframe may.
    for point in commanded(rig, [1.0, 1.0, 1.0, 1.0], 2.0):
        assert (point["roll"], point["pitch"], point["yaw"]) == pytest.approx((3.84, -3.84, -3.49))
        assert point["thrust_body"] == [0.0, 0.0, -1.0] and point["reset_integral"] is False
    for ask, done in (
        (AutopilotRequest.ARM, lambda: rig.status.armed),
        (AutopilotRequest.LAND, lambda: rig.status.mode == AutopilotStatus.LAND),
    ):
        rig.ask = ask
        rig.until(done, 10)
    assert any("Armed by external command" in line for line in rig.vehicle.lines)


def test_motors_leave_in_px4s_order_and_those_that_are_not_there_are_nan(start_rig):
    rig = start_rig("crazyflie", "motors")
    rig.start_stand_in()
    rig.until(lambda: rig.unmet == [])
    # Front right, back right, back left, front left; PX4's motors: front right, back left, front left, back right.
    for point in commanded(rig, [1.0, 0.5, 0.0, -1.0], 1.0):
        right, left, front, back = point["control"][:4]
        assert right == 1.0 > back > left > front >= 0.0
        assert len(point["control"]) == 12 and all(map(math.isnan, point["control"][4:]))
        assert point["timestamp_sample"] == point["timestamp"] == 0 and point["reversible_flags"] == 0


def test_px4_lists_the_mode_hears_why_it_may_not_arm_and_gets_no_set_point_in_another_mode(start_rig):
    rig = start_rig("sih_quadx", "rates", "uxrce_mode")
    rig.start_stand_in(LISTING)
    rig.until(lambda: any("as external mode 2" in line for line in rig.bridge.lines))

    def heard():
        return [json.loads(line) for line in rig.stand_in.lines if line.startswith("[")]

    rig.until(lambda: len([1 for what, _ in heard() if what == "reply"]) > 3 and rig.states > 50)
    refused = rig.status.refused
    rig.action = [0.0] * 4
    rig.lasting(1.0)
    assert rig.status.refused == refused and len(rig.sent) > 50
    assert {what for what, _ in heard()} == {"reply", "loops"}
    unmet = 1 << 24 | 4261821  # "Failure triggered by external system": there is no supervisor
    assert [3, False, unmet, True] in [about for what, about in heard() if what == "reply"]
    assert {tuple(about) for what, about in heard() if what == "loops"} == {(24, True, False)}


def test_a_whole_flight_by_the_policy_goes_over_uxrce_and_is_recorded(start_graph, px4_msgs, monkeypatch, tmp_path):
    """px4_msgs lies in a workspace of its own, which knows nothing of this project's messages."""
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH"):
        monkeypatch.setenv(name, px4_msgs[name])
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    flight = (
        "vehicle:=embedded",
        "link:=uxrce",
        "auto:=true",
        "duration:=3",
        "realtime:=true",
        f"bag:={tmp_path / 'bag'}",
        connection,
    )
    graph = start_graph(*flight, name="flight")
    vehicle = graph.wait_for(r"onboard: from 127\.0\.0\.1:(\d+)")[1]
    stand_in = Output([sys.executable, "-c", STAND_IN, vehicle])
    try:
        assert graph.end(90) == 0, graph.output
    finally:
        stand_in.process.kill()
        stand_in.process.wait(60)
    assert "GUIDE -> SNN" in graph.output and "LAND -> SILENT: landed" in graph.output
    log = read_log(tmp_path / "bag")
    assert int(Rung.SNN) in log.rung and "0 lost" in graph.output
