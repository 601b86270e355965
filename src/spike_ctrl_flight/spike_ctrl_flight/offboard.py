"""How a command reaches the autopilot: a link by name. Ours are `mavlink`, and `embedded` for our own simulated vehicle.

A link takes an action that the bridge has just admitted, and sends it at once. It sends nothing of its own. Plug-ins add
links at the point `autopilot_links`; docs/plug_ins.md.
"""

from collections.abc import Sequence
from typing import Protocol

from rclpy.node import Node

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.parameter_rules import Unmet


class AutopilotLink(Protocol):
    """The way of commands to an autopilot. Its constructor opens it, and raises UsageError."""

    def __init__(self, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str): ...

    @staticmethod
    def check(airframe: Airframe, system: int, px4: str) -> None:
        """Raise UsageError where commands for this airframe cannot go over the link. Opens nothing."""

    def send(self, action: Sequence[float], now: float) -> None:
        """Send an action of four numbers in [-1, 1] in the layout of the airframe. now: s of the monotonic clock."""

    def unmet(self) -> list[Unmet]:
        """What keeps commands from reaching the autopilot, for the preflight. A link may also have close(), its last act."""


def find(name: str) -> type[AutopilotLink]:
    """The link of that name. Raises UsageError for a name that is unknown, not installed or broken."""
    if name in OURS:
        return OURS[name]
    found: type[AutopilotLink] = plug_ins.load("autopilot_links", name, "parameter 'link'")
    return found


class OverMavlink:
    """Body rates and thrust in SET_ATTITUDE_TARGET."""

    layout, other = "rates", "PX4 takes motors over link:=uxrce only, our own vehicle over link:=embedded"

    def __init__(self, node: Node, connection: Connection, companion: Companion, airframe: Airframe, px4: str):
        self.connection, self.companion, self.airframe = connection, companion, airframe
        self.check(airframe, 1, px4)

    @classmethod
    def check(cls, airframe: Airframe, system: int, px4: str) -> None:
        """Raises UsageError for an airframe of another layout."""
        try:
            airframe.require_layout(cls.layout)
        except UsageError as error:
            raise UsageError(f"{error}; {cls.other}") from None

    def send(self, action: Sequence[float], now: float) -> None:
        self.connection.send(self.companion.link.action(action, self.airframe, now))

    def unmet(self) -> list[Unmet]:
        return []


class ToEmbedded(OverMavlink):
    """Rotor speeds in SET_ACTUATOR_CONTROL_TARGET. Nothing is sent to a vehicle that does not say that it takes them."""

    layout, other = "motors", "such a vehicle is commanded over link:=mavlink"

    def send(self, action: Sequence[float], now: float) -> None:
        if self.companion.version is not None and self.companion.version.takes_motors:
            super().send(action, now)

    def unmet(self) -> list[Unmet]:
        version = self.companion.version
        if version is None:
            return [Unmet("link embedded: the vehicle has not told its version", "check the connection")]
        if version.takes_motors:
            return []
        found = f"link embedded: found PX4 {version.major}.{version.minor}, wanted our own vehicle commanded by its motors"
        return [Unmet(found, f"spike-ctrl vehicle --airframe {self.airframe.name}; PX4 takes motors over link:=uxrce only")]


OURS: dict[str, type[AutopilotLink]] = {"mavlink": OverMavlink, "embedded": ToEmbedded}
