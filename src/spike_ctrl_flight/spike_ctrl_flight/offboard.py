"""How a command reaches the autopilot: a link by name. Ours are `mavlink`, and `embedded` for our own simulated vehicle.

A link takes an action that the bridge has just admitted, and sends it at once. It sends nothing of its own. Plug-ins add
links at the point `autopilot_links`; docs/plug_ins.md.
"""

from collections.abc import Sequence
from typing import Protocol

from rclpy.node import Node

from spike_ctrl import plug_ins
from spike_ctrl.airframe import Airframe, AirframeError
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl_ros.declared_parameters import NodeParameterError


class AutopilotLink(Protocol):
    """The way of commands to an autopilot. Its constructor takes what `make` is given, and raises NodeParameterError."""

    def __init__(self, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str): ...

    @staticmethod
    def check(airframe: Airframe, system: int, px4: str) -> None:
        """Raise NodeParameterError where commands for this airframe cannot go over the link. Opens nothing."""
        ...

    def send(self, action: Sequence[float], now: float) -> None:
        """Send an action of four numbers in [-1, 1] in the layout of the airframe. now: s of the monotonic clock."""
        ...

    def unmet(self) -> list[Unmet]:
        """What keeps commands from reaching the autopilot, for the preflight."""
        ...


def find(name: str) -> type[AutopilotLink]:
    """The link of that name. Raises NodeParameterError for a name that is unknown, not installed or broken."""
    if name in OURS:
        return OURS[name]
    try:
        found: type[AutopilotLink] = plug_ins.load("autopilot_links", name, "parameter 'link'")
        return found
    except plug_ins.PlugInError as error:
        raise NodeParameterError(str(error)) from None


def make(link: str, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str) -> AutopilotLink:
    """The link of that name, opened. Raises NodeParameterError."""
    return find(link)(node, connection, companion, airframe, px4)


def _check_layout(airframe: Airframe, layout: str) -> None:
    try:
        airframe.require_layout(layout)
    except AirframeError as error:
        other = {
            "rates": "PX4 takes motors over link:=uxrce only, our own vehicle over link:=embedded",
            "motors": "such a vehicle is commanded over link:=mavlink",
        }
        raise NodeParameterError(f"{error}; {other[layout]}") from None


class OverMavlink:
    """Body rates and thrust in SET_ATTITUDE_TARGET."""

    def __init__(self, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str):
        self.connection, self.companion, self.airframe = connection, companion, airframe
        self.check(airframe, 1, px4)

    @staticmethod
    def check(airframe: Airframe, system: int, px4: str) -> None:
        """Raises NodeParameterError for an airframe of another layout."""
        _check_layout(airframe, "rates")

    def send(self, action: Sequence[float], now: float) -> None:
        self.connection.send(self.companion.link.action(action, self.airframe, now))

    def unmet(self) -> list[Unmet]:
        return []


class ToEmbedded:
    """Rotor speeds in SET_ACTUATOR_CONTROL_TARGET. Nothing is sent to a vehicle that does not say that it takes them."""

    def __init__(self, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str):
        self.connection, self.companion, self.airframe = connection, companion, airframe
        self.check(airframe, 1, px4)

    @staticmethod
    def check(airframe: Airframe, system: int, px4: str) -> None:
        """Raises NodeParameterError for an airframe of another layout."""
        _check_layout(airframe, "motors")

    def send(self, action: Sequence[float], now: float) -> None:
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


OURS: dict[str, type[AutopilotLink]] = {"mavlink": OverMavlink, "embedded": ToEmbedded}
