"""What the supervisor node publishes and logs after a step of the supervisor."""

import re
import secrets
import time

from rclpy.node import Node
from spike_ctrl_msgs.msg import Acceptance, AutopilotRequest, FlightCommand, SetPoint, SupervisorStatus
from std_msgs.msg import Float64MultiArray, String, UInt64

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings, as_json
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.supervisor_state import SupervisorOutput
from spike_ctrl_flight import flight_messages
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill


class SupervisorOutputs:
    """Publishers of command, request, acceptance, set-point, rotors, status, answered; once, for the bag, of the settings.

    refusal: the last refused request, in words. asks_again: the automatic flight does; a refusal is no warning then.
    """

    def __init__(self, node: Node, settings: FlightSettings, paced: bool = False):
        self.layout, self.refusal, self._log = settings.layout, "", node.get_logger()
        self._accepted: Identity | None = None
        self.asks_again = False
        self._waiting = ""  # the last status on SILENT, without figures
        self.source = secrets.randbits(63) + 1  # identifies this supervisor; 0 is for nodes that know of none
        self._command_out = node.create_publisher(FlightCommand, "command", qos.STREAM)
        self._request_out = node.create_publisher(AutopilotRequest, "autopilot_request", qos.STATUS)
        self._acceptance_out = node.create_publisher(Acceptance, "policy/acceptance", qos.STATUS)
        self._set_point_out = node.create_publisher(SetPoint, "set_point", qos.STREAM)
        self._status_out = node.create_publisher(SupervisorStatus, "supervisor/status", qos.STATUS)
        self._answered_out = node.create_publisher(UInt64, "answered", qos.STREAM)
        self._rotors_out = node.create_publisher(Float64MultiArray, "rotors", qos.STREAM)
        self._settings_out = node.create_publisher(String, "supervisor/settings", qos.CHECKPOINTS)
        self._settings_out.publish(String(data=as_json(settings, paced)))

    def publish_set_point(self, output: SupervisorOutput) -> None:
        """And, where a rotor is lost, what the guide has to know of the rotors."""
        if output.set_point is not None:
            about = {"frame_id": "odom", "source": self.source, **output.set_point._asdict()}
            self._set_point_out.publish(fill(SetPoint(), stamp=time.time_ns(), **about))
        if output.rotors is not None:
            self._rotors_out.publish(Float64MultiArray(data=[number for told in output.rotors for number in told]))

    def tell_answered(self, tick: int) -> None:
        """That no command will follow to the state of this tick, for a vehicle that waits."""
        self._answered_out.publish(UInt64(data=tick))

    def publish(self, output: SupervisorOutput, ladder: Ladder, status_sent: int) -> None:
        """Everything else. status_sent: stamp (ns) of the autopilot's status that a request answers."""
        if output.command is not None:
            message = flight_messages.command_message(output.command, self.layout, self.source, time.time_ns())
            self._command_out.publish(message)
        if output.ask is not None:
            request = getattr(AutopilotRequest, output.ask.name)
            about = {"request": request, "source": self.source, "status_sent": status_sent}
            self._request_out.publish(fill(AutopilotRequest(), stamp=time.time_ns(), **about))
        if output.accept is not None and output.accept != self._accepted:
            self._acceptance_out.publish(fill(Acceptance(), stamp=time.time_ns(), **output.accept._asdict()))
        self._accepted = output.accept
        for event in output.events:
            self._tell(event)
        if output.status is not None:
            words = re.sub(r"[\d.-]+", "", output.status)
            if output.rung is not Rung.SILENT or words != self._waiting:  # while it waits, each line once
                self._log.info(output.status)
            self._waiting = words if output.rung is Rung.SILENT else ""
        if output.status is not None or output.events:
            self._status_out.publish(flight_messages.supervisor_status(ladder, output, time.time_ns()))

    def _tell(self, event: Event) -> None:
        """Log an event. A refusal that is repeated is logged once: the automatic flight asks until it is granted."""
        words, refused = sentence(event), event.kind is EventKind.REFUSED
        if refused:
            if words == self.refusal:
                return
            self.refusal = words
            words += "; it is asked for again" if self.asks_again else ""
        if event.severity == "error":  # rclpy wants each call in a line of its own
            self._log.error(words)
        elif event.severity == "warning" and not (refused and self.asks_again):
            self._log.warning(words)
        else:
            self._log.info(words)
