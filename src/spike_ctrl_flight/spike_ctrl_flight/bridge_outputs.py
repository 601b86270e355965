"""What the vehicle bridge publishes and logs besides states: the battery, the preflight, and how long commands took."""

import math
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import BatteryState
from spike_ctrl_msgs.msg import FlightCommand, Preflight

from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.answer_checks import KEPT_STATES
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.flight_statistics import Latencies
from spike_ctrl.px4 import preflight
from spike_ctrl.px4.parameter_rules import PX4Version, Unmet, Wanted, parameter_names, rules_for
from spike_ctrl.px4.preflight import Heard
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_ros.standard_topics import battery, diagnostics

BATTERY_PERIOD = 0.5  # s, longest time between two measurements of an unchanged voltage
TIMED = {FlightCommand.POLICY: "policy", FlightCommand.GUIDE: "guide"}


class BatteryTopic:
    """Publishes `battery`: the voltage for policies that see it, on the clock of the states; see `measured_voltage`."""

    def __init__(self, node: Node):
        self._battery_out = node.create_publisher(BatteryState, "battery", qos.STATUS)
        self._last = (math.nan, -math.inf)

    def show(self, status: Autopilot | None, stamp: float) -> None:
        """Publish the voltage that the autopilot reports with the stamp (s) of a state; nothing where it reports none."""
        voltage, at = self._last
        if status is None or not math.isfinite(status.voltage):
            return
        if status.voltage != voltage or not 0 <= stamp - at < BATTERY_PERIOD:
            self._last = status.voltage, stamp
            self._battery_out.publish(battery(status.voltage, status.battery, round(stamp * 1e9)))


class CommandTimes:
    """Times on the computer's clock (s) from a state to the command of policy or guide that answers it.

    Commands of others do not count. States may be shown by one thread and asked for by another.
    """

    def __init__(self) -> None:
        self._found = {name: Latencies() for name in TIMED.values()}
        self._shown: dict[int, tuple[float, float]] = {}

    def shown(self, tick: int, stamp: float, now: float) -> None:
        """The state of this tick, with this stamp (s) of the vehicle, goes out."""
        self._shown[tick] = stamp, now
        if len(self._shown) > KEPT_STATES:
            del self._shown[next(iter(self._shown))]

    def stamp(self, tick: int) -> float | None:
        """The stamp (s) of a state that a command answers; None where it went out long ago."""
        shown = self._shown.get(tick)
        return None if shown is None else shown[0]

    def add(self, commander: int, tick: int, now: float) -> None:
        """A command answers the state of this tick. commander: of FlightCommand."""
        shown = self._shown.get(tick)
        if commander in TIMED and shown is not None:
            self._found[TIMED[commander]].add(now - shown[1])

    def figures(self) -> dict[str, Latencies]:
        """For diagnostics."""
        return {f"latency_{name}": found for name, found in self._found.items()}

    def __str__(self) -> str:
        return "\n".join(f"from a state to its command, {name}: {found}" for name, found in self._found.items())


class PreflightReport:
    """Publishes for a node what is not met, as `preflight`, and with figures as `diagnostics`."""

    def __init__(self, node: Node, settings: FlightSettings, airframe: Airframe, wanted: Wanted):
        self.node, self.settings, self.airframe, self.wanted = node, settings, airframe, wanted
        self._preflight_out = node.create_publisher(Preflight, "preflight", qos.STATUS)
        self._diagnostics_out = node.create_publisher(DiagnosticArray, "diagnostics", qos.STATUS)

    def parameter_names(self, version: PX4Version | None = None) -> tuple[str, ...]:
        """The parameters that the preflight needs of an autopilot of this version."""
        return parameter_names(rules_for(self.settings, self.airframe, self.wanted, version=version))

    def publish(self, heard: Heard, of_link: list[Unmet], figures: dict[str, object]) -> None:
        """Audit what was heard of the autopilot. of_link: what is not met on the way of the commands."""
        self.tell([*preflight.audit(heard, self.settings, self.airframe, self.wanted), *of_link], figures)

    def tell(self, found: list[Unmet], figures: dict[str, object]) -> None:
        """Publish these conditions."""
        unmet, warnings = ([str(one) for one in found if one.blocks is blocks] for blocks in (True, False))
        self._preflight_out.publish(fill(Preflight(), stamp=time.time_ns(), unmet=unmet, warnings=warnings))
        self._diagnostics_out.publish(diagnostics(self.node, "; ".join(unmet), figures, warn=bool(unmet)))
