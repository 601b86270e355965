"""How a command reaches the autopilot in OFFBOARD: over MAVLink, over uXRCE-DDS where px4_msgs is installed, or as motor
commands to our own simulated vehicle.

All take an action that the bridge has just admitted, and send it at once. None sends anything of its own.
"""

import importlib

from rclpy.node import Node

from spike_ctrl.airframe import Airframe, AirframeError
from spike_ctrl.px4 import uxrce
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_ros.declared_parameters import NodeParameterError


def check(link: str, airframe: Airframe, system: int, px4: str) -> None:
    """Raises NodeParameterError where commands cannot go over that link. Opens nothing."""
    if link == "uxrce":
        _kinds(system, px4)
    else:
        _check_layout(airframe, "motors" if link == "embedded" else "rates")


def make(
    link: str, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str
) -> "OverMavlink | OverUxrce | ToEmbedded":
    """The way of that name: mavlink, uxrce or embedded. Raises NodeParameterError."""
    if link == "uxrce":
        return OverUxrce(node, companion, airframe, px4)
    return (ToEmbedded if link == "embedded" else OverMavlink)(connection, companion, airframe)


class OverMavlink:
    """Body rates and thrust in SET_ATTITUDE_TARGET."""

    def __init__(self, connection: Connection, companion: Companion, airframe: Airframe):
        self.connection, self.companion, self.airframe = connection, companion, airframe
        _check_layout(airframe, "rates")

    def send(self, action, now: float) -> None:
        self.connection.send(self.companion.link.action(action, self.airframe, now))

    def unmet(self) -> list[Unmet]:
        return []


class ToEmbedded:
    """Rotor speeds in SET_ACTUATOR_CONTROL_TARGET. Nothing is sent to a vehicle that does not say that it takes them."""

    def __init__(self, connection: Connection, companion: Companion, airframe: Airframe):
        self.connection, self.companion, self.airframe = connection, companion, airframe
        _check_layout(airframe, "motors")

    def send(self, action, now: float) -> None:
        packet = self.companion.link.action(action, self.airframe, now)
        if self.companion.version is not None and self.companion.version.takes_motors:
            self.connection.send(packet)

    def unmet(self) -> list[Unmet]:
        version = self.companion.version
        if version is None:
            return [Unmet("link embedded: the vehicle has not told its version", "check the connection")]
        if version.takes_motors:
            return []
        found = f"link embedded: found PX4 {version.major}.{version.minor}, wanted our own vehicle commanded by its motors"
        return [Unmet(found, f"spike-ctrl vehicle --airframe {self.airframe.name}; PX4 takes motors over link:=uxrce only")]


class OverUxrce:
    """OffboardControlMode, and right after it VehicleRatesSetpoint or ActuatorMotors. Raises NodeParameterError."""

    def __init__(self, node: Node, companion: Companion, airframe: Airframe, px4: str):
        self.node, self.companion, self.airframe, self.px4 = node, companion, airframe, px4
        kinds = _kinds(companion.link.system, px4)
        self.layout, topics = airframe.action_layout, (uxrce.PROOF, uxrce.SET_POINTS[airframe.action_layout])
        self.proof, self.set_point = (kinds[uxrce.MESSAGES[topic]]() for topic in topics)
        self.proof_out, self.set_point_out = self.outs = [
            node.create_publisher(kinds[uxrce.MESSAGES[topic]], uxrce.NAMESPACE + topic, qos.STREAM) for topic in topics
        ]

    def send(self, action, now: float) -> None:
        fill(self.set_point, **uxrce.set_point(self.layout, action, self.airframe))  # first, because it may raise
        self.proof_out.publish(fill(self.proof, **uxrce.proof(self.layout)))
        self.set_point_out.publish(self.set_point)

    def unmet(self) -> list[Unmet]:
        counts = {out.topic_name: out.get_subscription_count() for out in self.outs}
        version = self.companion.version
        return uxrce.audit(self.px4, version and f"{version.major}.{version.minor}", counts)


def _check_layout(airframe: Airframe, layout: str) -> None:
    try:
        airframe.require_layout(layout)
    except AirframeError as error:
        other = {
            "rates": "PX4 takes motors over link:=uxrce only, our own vehicle over link:=embedded",
            "motors": "such a vehicle is commanded over link:=mavlink",
        }
        raise NodeParameterError(f"{error}; {other[layout]}") from None


def _kinds(system: int, px4: str) -> dict[str, type]:
    """The messages that command PX4 of version `px4`. Raises NodeParameterError where they do not fit it."""
    if system != 1:  # PX4 number N subscribes at /px4_N
        raise NodeParameterError(f"parameter 'system': found {system} with link uxrce, wanted 1, or link mavlink")
    kinds = installed()
    found = None if kinds is None else {name: kind.get_fields_and_field_types() for name, kind in kinds.items()}
    if (why := uxrce.unfit(px4, found)) is not None:
        raise NodeParameterError(why)
    return kinds


def installed() -> dict[str, type] | None:
    """The needed messages of the installed px4_msgs; None where it is not installed."""
    try:
        module = importlib.import_module("px4_msgs.msg")
    except ImportError:
        return None
    return {name: getattr(module, name) for name in uxrce.FIELDS if hasattr(module, name)}
