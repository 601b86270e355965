"""A vehicle of a training that an autopilot carries: its episodes, and the link to the autopilot.

The link is MAVLink to PX4, or that of a plug-in that speaks the autopilot's own language (`converse`, docs/plug_ins.md).
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from rclpy.node import Node

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.flight.autopilot import Ask
from spike_ctrl.learn import recipe, resumption, teacher
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl.px4.signing import Signing, read_key
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_flight import offboard
from spike_ctrl_sitl.live_training.autopilot_simulator import AutopilotSimulator, packet
from spike_ctrl_sitl.live_training.return_to_start import AutopilotRequest, ReturnLimits
from spike_ctrl_sitl.live_training.room_episodes import Room, RoomEpisodes
from spike_ctrl_sitl.px4_backend_parameters import Px4BackendParameters
from spike_ctrl_sitl.training_rules import TRAINING, audit_training

ASKED = {AutopilotRequest.OFFBOARD: Ask.OFFBOARD, AutopilotRequest.LAND: Ask.LAND}  # what else there is, is the pilot's


class TrainingLink:
    """To an autopilot. paced: whether the vehicle waits for the answer to each state. pilot_arms: and nobody else does."""

    connection: Any
    companion: Any
    paced = pilot_arms = False
    ready = True  # whether the autopilot's checks before arming pass

    def barring(self) -> list[Unmet] | None:
        """What bars a training; None: not all has been told yet."""
        raise NotImplementedError

    def command(self, action: Sequence[float], now: float) -> None:
        """Send an action. now: s on the node's clock."""
        raise NotImplementedError

    def ask(self, request: AutopilotRequest, now: float) -> None:
        """Ask the autopilot, as far as it takes requests."""
        raise NotImplementedError

    def answered(self, stamp: float, now: float) -> None:
        """Let a vehicle that waits go on from the state with this stamp (s)."""
        self.connection.send(self.companion.link.answered(stamp, now))


class MavlinkLink(TrainingLink):
    """To PX4, or to our own vehicle. Raises UsageError."""

    def __init__(self, node: Node, p: Px4BackendParameters, craft: Airframe):
        signing = Signing(read_key(p.signing_key), 0, time.time(), time.monotonic()) if p.signing_key else None
        self.connection, self.airframe, self.parameters = Connection(p.connection), craft, p
        self.companion = Companion(Link(self.connection.stream, signing, p.system), RATE_HZ, TRAINING)

    @property
    def ready(self) -> bool:
        return self.companion.ready

    def barring(self) -> list[Unmet] | None:
        found, p = self.companion.parameters, self.parameters
        told = set(TRAINING) <= set(found)
        return audit_training(found, self.airframe, p.height, p.room) if told else None

    def command(self, action: Sequence[float], now: float) -> None:
        self.connection.send(self.companion.link.action(action, self.airframe, now))

    def ask(self, request: AutopilotRequest, now: float) -> None:
        self.connection.send(packet(request, self.companion.link, now))


class OtherLink(TrainingLink):
    """To an autopilot of another language, where the pilot arms. unmet: what its preflight says. Raises UsageError."""

    pilot_arms = True

    def __init__(self, node: Node, p: Px4BackendParameters, craft: Airframe, kind: Any):
        kind.check(craft, p.system, "")
        self.paced, self.unmet = kind.paces(p.connection), list[Unmet]()
        self.connection, self.companion, self.report = kind.converse(node, p.connection, craft, RATE_HZ, self)
        self.commands = offboard.find(p.link)(node, self.connection, self.companion, craft, "")

    def tell(self, unmet: list[Unmet], figures: dict[str, object]) -> None:
        """Take what the preflight found."""
        self.unmet = unmet

    def barring(self) -> list[Unmet] | None:
        if self.companion.status() is None:
            return None
        self.report.publish(self.companion, [], {})
        return [one for one in self.unmet if one.blocks]

    def command(self, action: Sequence[float], now: float) -> None:
        self.commands.send(action, now)

    def ask(self, request: AutopilotRequest, now: float) -> None:
        if request in ASKED:
            self.connection.send(self.companion.ask(ASKED[request], now))


def open_link(node: Node, p: Px4BackendParameters, craft: Airframe) -> TrainingLink:
    """The link that the parameter `link` names, opened. Raises UsageError."""
    return MavlinkLink(node, p, craft) if p.link == "mavlink" else OtherLink(node, p, craft, other_link(p.link))


def other_link(name: str) -> Any:
    """The link of that name, of an autopilot that speaks another language. Raises UsageError."""
    found = offboard.find(name)
    if not hasattr(found, "converse"):
        raise UsageError(f"parameter 'link': found '{name}', wanted mavlink or a link to another autopilot, as betaflight")
    return found


def episodes_of(parameters: Px4BackendParameters, craft: Airframe, pilot_arms: bool) -> AutopilotSimulator:
    """The vehicle's episodes, whose kernels are compiled. Raises UsageError."""
    p, plan = parameters, recipe.find(parameters.recipe)
    flown = resumption.flown_before(p.resume, dataclasses.asdict(p))
    episodes = RoomEpisodes(plan, craft, Room(p.height, p.room), p.seed + flown)
    limits = ReturnLimits(restarts=p.restarts, pilot_arms=pilot_arms)
    flight = AutopilotSimulator(episodes, GeometricGuide(craft, teacher.gains(plan)), limits)
    flight.compile()
    return flight
