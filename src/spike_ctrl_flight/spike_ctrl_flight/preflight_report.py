"""The preflight of the vehicle bridge: what is not met, once a second, and the figures of the bridge as diagnostics."""

import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from spike_ctrl_msgs.msg import Preflight

from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.px4 import preflight
from spike_ctrl.px4.parameter_rules import PX4Version, Unmet, Wanted, parameter_names
from spike_ctrl.px4.preflight import Heard
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_ros.standard_topics import diagnostics


class PreflightReport:
    """Publishes `preflight` and `/diagnostics` for a node."""

    def __init__(self, node: Node, settings: FlightSettings, airframe: Airframe, wanted: Wanted):
        self.node, self.settings, self.airframe, self.wanted = node, settings, airframe, wanted
        self._preflight_out = node.create_publisher(Preflight, "preflight", qos.STATUS)
        self._diagnostics_out = node.create_publisher(DiagnosticArray, "/diagnostics", qos.STATUS)

    def parameter_names(self, version: PX4Version | None = None) -> tuple[str, ...]:
        """The parameters that the preflight needs of an autopilot of this version."""
        return parameter_names(self.settings, self.airframe, self.wanted, version)

    def publish(self, heard: Heard, of_link: list[Unmet], figures: dict[str, object]) -> None:
        """Audit what was heard of the autopilot. of_link: what is not met on the way of the commands."""
        found = [*preflight.audit(heard, self.settings, self.airframe, self.wanted), *of_link]
        unmet, warnings = ([str(one) for one in found if one.blocks is blocks] for blocks in (True, False))
        self._preflight_out.publish(fill(Preflight(), stamp=time.time_ns(), unmet=unmet, warnings=warnings))
        self._diagnostics_out.publish(diagnostics(self.node, "; ".join(unmet), figures, warn=bool(unmet)))
