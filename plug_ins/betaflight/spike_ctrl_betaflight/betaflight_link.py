"""The autopilot link `betaflight`: commands as MSP override, states from poses and gyro, HOLD and LAND by its own keeper."""

import os
import queue
import select
from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.attitude import rotate
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl_betaflight import betaflight_preflight, crsf_relay, msp, options
from spike_ctrl_betaflight.betaflight_companion import BetaflightCompanion
from spike_ctrl_betaflight.msp import Packet
from spike_ctrl_betaflight.msp_line import MspLine
from spike_ctrl_betaflight.pose import OutsidePose
from spike_ctrl_flight.bridge_outputs import PreflightReport
from spike_ctrl_ros import qos


class OverMsp:
    """Body rates and collective in MSP_SET_RAW_RC."""

    def __init__(self, node: Any, connection: Any, companion: BetaflightCompanion, airframe: Airframe, px4: str):
        self.companion, self.airframe = companion, airframe
        self.check(airframe, 1, px4)

    @staticmethod
    def check(airframe: Airframe, system: int, px4: str) -> None:
        """Raises UsageError for an airframe of another layout."""
        try:
            airframe.require_layout("rates")
        except UsageError as error:
            raise UsageError(f"{error}; Betaflight takes body rates") from None

    @staticmethod
    def require(connection: str) -> None:
        """Raises UsageError for a connection that names no line."""
        options.parse(connection)

    @staticmethod
    def paces(connection: str) -> bool:
        """Whether the vehicle behind this connection waits for the answer to each state."""
        return options.is_sitl(connection)

    @staticmethod
    def converse(node: Any, connection: str, airframe: Airframe, rate: float, report: PreflightReport) -> tuple[Any, ...]:
        """Connection, companion and preflight in place of MAVLink's."""
        line, chosen = options.parse(connection)
        opened = PosesAndMsp(node, MspLine(line), chosen)
        return opened, BetaflightCompanion(airframe, chosen, rate, opened.send), BetaflightReport(report)

    def send(self, action: Sequence[float], now: float) -> None:
        self.companion.command(action, now)

    def unmet(self) -> list[Unmet]:
        """The pilot's part: nothing takes off or engages before the vehicle is armed and given to the stack."""
        found = []
        if not self.companion.armed:
            found.append(Unmet("arming: found disarmed, wanted armed", "arm by the remote control: the stack never does"))
        if not self.companion.overriding:
            cure = "switch it on, in rate mode, by the remote control"
            found.append(Unmet("MSP OVERRIDE: found off, wanted on", cure))
        return found


class BetaflightReport:
    """The preflight of a flight beside Betaflight, in place of PX4's."""

    def __init__(self, report: PreflightReport):
        self.report = report

    def parameter_names(self, version: Any = None) -> tuple[str, ...]:
        return ()

    def publish(self, heard: BetaflightCompanion, of_link: list[Unmet], figures: dict[str, object]) -> None:
        self.report.tell([*unmet(heard), *of_link], figures)


def unmet(heard: BetaflightCompanion) -> list[Unmet]:
    """All conditions that are not met by a flight controller that was heard."""
    found = betaflight_preflight.audit(
        heard.known, heard.airframe, heard.options.holds_last == "allowed", bool(heard.options.mixer), heard.options.idle
    )
    now = heard.heard or 0.0
    found += betaflight_preflight.audit_link(heard.state_rate(now), heard.latencies, heard.track.last is not None)
    if heard.problem:
        found.append(Unmet(heard.problem, "set rates_type = ACTUAL"))
    status = heard.status()
    if status is not None and not 0 <= status.battery <= 1:
        found.append(Unmet("battery: not measured", "set the battery meter, or add battery=assumed to the connection"))
    elif status is not None and status.battery < 0.3:
        found.append(Unmet(f"battery: found {status.battery:.0%}, wanted at least 30%", "charge it"))
    return found


class PosesAndMsp:
    """Both ways on which news come: the line to the flight controller, and the topic with poses."""

    def __init__(self, node: Any, line: MspLine, chosen: options.BetaflightOptions):
        self.line, self.stream = line, True
        self._poses: queue.SimpleQueue[OutsidePose] = queue.SimpleQueue()
        self._mixer = crsf_relay.StickSender(chosen.mixer) if chosen.mixer else None
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        self._node = node
        if chosen.kind == "odometry":
            node.create_subscription(Odometry, chosen.pose, self._hear_odometry, qos.STREAM)
        else:
            node.create_subscription(PoseStamped, chosen.pose, self._hear_pose, qos.STREAM)

    def _hear_odometry(self, message: Odometry) -> None:
        """Its twist is in the body, as REP 105 has it."""
        pose, twist = message.pose.pose, message.twist.twist.linear
        q = (pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w)
        self._put(message.header.stamp, pose, rotate(q, (twist.x, twist.y, twist.z)))

    def _hear_pose(self, message: PoseStamped) -> None:
        self._put(message.header.stamp, message.pose, None)

    def _put(self, stamp: Any, pose: Any, velocity: Any) -> None:
        p, q = pose.position, pose.orientation
        found = OutsidePose(
            stamp.sec + 1e-9 * stamp.nanosec, self._node.now(), (p.x, p.y, p.z), (q.x, q.y, q.z, q.w), velocity
        )
        self._poses.put(found)
        os.write(self._woken, b".")

    def receive(self, timeout: float) -> tuple[list[Packet | OutsidePose], None]:
        """Answers and poses that came within `timeout` (s)."""
        watched = [fd for fd in (self.line.descriptor, self._wake) if fd >= 0]
        ready = select.select(watched, [], [], timeout)[0]
        found: list[Packet | OutsidePose] = []
        if self._wake in ready:
            os.read(self._wake, 4096)
        while not self._poses.empty():
            found.append(self._poses.get())
        found += self.line.receive(0.0)
        return found, None

    def believes(self, sender: None, now: float) -> bool:
        return True

    def adopt(self, sender: None, now: float) -> None:
        """There is one line, and one flight controller on it."""

    def send(self, data: bytes) -> None:
        if self._mixer is not None and msp.sets_sticks(data):
            self._mixer.send(data)
        elif data:
            self.line.send(data)

    def close(self) -> None:
        if self._mixer is not None:
            self._mixer.close()
        self.line.close()
        os.close(self._wake)
        os.close(self._woken)
