"""The autopilot link `uxrce`: commands to PX4 over uXRCE-DDS, where px4_msgs is installed."""

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_uxrce import uxrce

Fields = Mapping[str, Mapping[str, str]]


class OverUxrce:
    """OffboardControlMode, and right after it VehicleRatesSetpoint or ActuatorMotors. Raises UsageError."""

    def __init__(self, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str):
        self.node, self.companion, self.airframe, self.px4 = node, companion, airframe, px4
        kinds = fitting(px4, uxrce.FIELDS)
        require_namespace(node.get_namespace(), companion.link.system)
        self.layout, topics = airframe.action_layout, (uxrce.PROOF, uxrce.SET_POINTS[airframe.action_layout])
        self.proof, self.set_point = (kinds[uxrce.MESSAGES[topic]]() for topic in topics)
        self.proof_out, self.set_point_out = self.outs = [
            node.create_publisher(kinds[uxrce.MESSAGES[topic]], uxrce.NAMESPACE + topic, qos.STREAM) for topic in topics
        ]

    @staticmethod
    def check(airframe: Airframe, system: int, px4: str) -> None:
        """Raises UsageError where px4_msgs is missing, or does not fit that PX4."""
        fitting(px4, uxrce.FIELDS)

    def send(self, action: Sequence[float], now: float) -> None:
        """Publish proof of life and set-point with one stamp."""
        fill(self.set_point, **uxrce.set_point(self.layout, action, self.airframe))  # first, because it may raise
        self.proof_out.publish(fill(self.proof, **uxrce.proof(self.layout)))
        self.set_point_out.publish(self.set_point)

    def unmet(self) -> list[Unmet]:
        """What keeps commands from PX4: nobody who hears them, another version."""
        return unheard(self.px4, self.companion, self.outs)


def unheard(px4: str, companion: Companion, outs: Sequence[Publisher]) -> list[Unmet]:
    """What keeps the messages of these publishers from PX4 of version `px4`."""
    counts = {out.topic_name: out.get_subscription_count() for out in outs}
    version = companion.version
    return uxrce.audit(px4, version and f"{version.major}.{version.minor}", counts, os.environ.get("ROS_DOMAIN_ID", "0"))


def require_namespace(namespace: str, system: int) -> None:
    """Raises UsageError where commands in this namespace would reach another PX4 than that of this MAV_SYS_ID."""
    if (why := uxrce.elsewhere(namespace, system)) is not None:
        raise UsageError(why)


def fitting(px4: str, needed: Fields) -> dict[str, Any]:
    """These messages for PX4 of version `px4`. Raises UsageError where the installed ones do not fit it."""
    kinds = installed(needed)
    found = None if kinds is None else {name: kind.get_fields_and_field_types() for name, kind in kinds.items()}
    if (why := uxrce.unfit(px4, found, needed)) is not None:
        raise UsageError(why)
    return kinds or {}


def installed(needed: Fields) -> dict[str, Any] | None:
    """These messages of the installed px4_msgs; None where it is not installed."""
    try:
        module = importlib.import_module("px4_msgs.msg")
    except ImportError:
        return None
    return {name: getattr(module, name) for name in needed if hasattr(module, name)}
