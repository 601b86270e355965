"""The autopilot link `uxrce_mode`: commands to PX4 in a mode of our own, which PX4 lists as SNN. See `px4_mode`."""

from __future__ import annotations

import math
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rclpy.client import Client
from rclpy.publisher import Publisher
from rclpy.task import Future
from spike_ctrl_msgs.msg import Preflight
from std_srvs.srv import Trigger

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.dialect import PX4Mode, messages
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl.px4.signing import Signing, read_key
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_uxrce import mode_guard, px4_mode, uxrce
from spike_ctrl_uxrce.px4_mode import ModeFacts, ModeOrder, ModePlace, ModeState
from spike_ctrl_uxrce.uxrce_link import fitting, require_namespace, unheard

if TYPE_CHECKING:
    from spike_ctrl_flight.vehicle_bridge_node import VehicleBridge

PERIOD, PREFLIGHT_AGE = 0.02, 3.0  # s
GUARD_PATIENCE, GUARD_LINK = 0.2, 1  # s; its channel, where packets are signed
NO_MODE = -1  # of MAVLink, while PX4 has not registered ours
LANDS = 4  # COM_OBL_RC_ACT


class AsMode:
    """VehicleRatesSetpoint or ActuatorMotors, while PX4 flies in the mode SNN. Raises UsageError."""

    def __init__(self, node: VehicleBridge, connection: Connection, companion: Companion, airframe: Airframe, px4: str):
        self.node, self.connection, self.companion, self.airframe, self.px4 = node, connection, companion, airframe, px4
        self.layout = airframe.action_layout
        self.kinds = fitting(px4, px4_mode.fields(px4))
        require_namespace(node.get_namespace(), companion.link.system)
        self.state, self.commanded = ModeState(secrets.randbits(62)), -math.inf
        self.preflight: tuple[tuple[str, ...], float] | None = None
        companion.commanded = NO_MODE
        self.set_point = self.kinds[uxrce.MESSAGES[uxrce.SET_POINTS[self.layout]]]()
        self.set_point_out = self.publisher(uxrce.SET_POINTS[self.layout], type(self.set_point))
        self.outs = {topic: self.publisher(topic, self.kinds[kind]) for topic, kind in px4_mode.SENT.items()}
        for topic, hear in ((px4_mode.REPLY, self.on_reply), (px4_mode.QUESTION, self.on_question)):
            kind = self.kinds[px4_mode.HEARD[topic]]
            node.create_subscription(kind, px4_mode.OUT + versioned(topic, kind), hear, qos.STREAM)
        node.create_subscription(Preflight, "preflight", self.on_preflight, qos.STATUS)
        self.engage: Client = node.create_client(Trigger, "engage")
        key, now = node.get_parameter("signing_key").value, time.monotonic()
        signing = Signing(read_key(key), GUARD_LINK, time.time(), now) if key else None
        self.last_words, (descriptor, _) = Link(False, signing, companion.link.system), connection.outlet
        lines, self.guard_lines = os.pipe()
        command = [sys.executable, "-m", mode_guard.__name__, str(descriptor), str(GUARD_PATIENCE)]
        self.guard = subprocess.Popen(command, stdin=lines, pass_fds=[descriptor or 0], start_new_session=True)
        os.close(lines)
        os.set_blocking(self.guard_lines, False)
        node.start_timer(PERIOD, self.look)

    @staticmethod
    def check(airframe: Airframe, system: int, px4: str) -> None:
        """Raises UsageError where px4_msgs is missing, or does not fit that PX4."""
        fitting(px4, px4_mode.fields(px4))

    def publisher(self, topic: str, kind: type) -> Publisher:
        return self.node.create_publisher(kind, px4_mode.IN + versioned(topic, kind), qos.STREAM)

    def send(self, action: Sequence[float], now: float) -> None:
        """Publish the set-point, unless PX4 flies in another mode."""
        self.commanded = now
        fill(self.set_point, **uxrce.set_point(self.layout, action, self.airframe))  # it may raise
        if self.state.active:
            self.set_point_out.publish(self.set_point)

    def unmet(self) -> list[Unmet]:
        """What keeps commands from PX4: nobody who hears them, another version, no registration."""
        outs = (self.set_point_out, self.outs[px4_mode.REQUEST])
        return unheard(self.px4, self.companion, outs) or px4_mode.unmet(self.state)

    def close(self) -> None:
        """PX4 holds and forgets the mode. The guard sends the same and ends."""
        if self.state.active:
            self.leave(self.node.now())
        if self.state.place is not None:
            self.publish(px4_mode.UNREGISTER, px4_mode.farewell(self.state.place))
        os.close(self.guard_lines)

    # --- from PX4 and the graph -------------------------------------------------------------------------------------

    def on_reply(self, message: Any) -> None:
        place = ModePlace(message.mode_id, message.arming_check_id)
        told = (message.request_id, px4_mode.name_of(bytes(message.name)), message.px4_ros2_api_version, message.success)
        before, self.state = self.state, px4_mode.replied(self.state, *told, place, self.node.now())
        if self.state.place is not None and before.place is None:
            number = place.mode - px4_mode.FIRST + 1
            self.node.get_logger().info(f"PX4 lists the mode {px4_mode.NAME} as external mode {number}")
            with self.node.lock:
                self.companion.commanded = place.custom_mode
            self.configure(place)
        elif self.state.refusal != before.refusal:
            self.node.get_logger().warning(self.state.refusal)

    def on_question(self, message: Any) -> None:
        """Answer at once: PX4 waits 50 ms for it. Its loops in the mode are told again, because a message may be lost."""
        now = self.node.now()
        self.state = px4_mode.asked(self.state, getattr(message, "valid_registrations_mask", None), now)
        if (place := self.state.place) is None:
            return
        facts, patience = self.facts(now), px4_mode.PATIENCE[self.layout]
        reasons, silent = px4_mode.objections(self.state, facts, patience), px4_mode.silence(self.state, facts, patience)
        answer: Any = fill(self.kinds["ArmingCheckReply"](), **px4_mode.answer(place, message.request_id, reasons, silent))
        for slot, event in zip(answer.events, px4_mode.events(reasons, silent), strict=False):
            fill(slot, **event)
        self.outs[px4_mode.ANSWER].publish(answer)
        self.configure(place)

    def on_preflight(self, message: Preflight) -> None:
        self.preflight = tuple(message.unmet), self.node.now()

    def facts(self, now: float) -> ModeFacts:
        with self.node.lock:
            status, custom_mode = self.companion.status(), self.companion.custom_mode
        armed, airborne = status is not None and status.armed, status is not None and status.airborne
        unmet = None
        if self.preflight is not None and now - self.preflight[1] <= PREFLIGHT_AGE:
            unmet = self.preflight[0]
        return ModeFacts(now, armed, airborne, custom_mode, self.commanded, self.engage.service_is_ready(), unmet)

    # --- what is due ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Every PERIOD."""
        facts = self.facts(self.node.now())
        before, (self.state, orders) = self.state, px4_mode.step(self.state, facts, px4_mode.PATIENCE[self.layout])
        for order in orders:
            self.carry_out(order, before, facts.now)
        self.keep_guard(facts)

    def keep_guard(self, facts: ModeFacts) -> None:
        """What the guard says to PX4 when no such line follows."""
        word = None
        if self.state.active and facts.armed:
            with self.node.lock:
                _, place = self.connection.outlet
                packet = self.last_words.set_mode(self.refuge(), facts.now)
            word = mode_guard.LastWord(place or ("-", 0), packet)
        try:
            os.write(self.guard_lines, mode_guard.written(word))
        except OSError:  # it has ended, or does not read
            self.node.get_logger().error("the guard of the mode does not listen", once=True)

    def carry_out(self, order: ModeOrder, before: ModeState, now: float) -> None:
        match order:
            case ModeOrder.REGISTER:
                self.publish(px4_mode.REQUEST, px4_mode.registration(self.state))
            case ModeOrder.UNREGISTER if before.place is not None:
                self.node.get_logger().warning(f"PX4 no longer knows the mode {px4_mode.NAME}: it is registered again")
                self.publish(px4_mode.UNREGISTER, px4_mode.farewell(before.place))
                with self.node.lock:
                    self.companion.commanded = NO_MODE
            case ModeOrder.ENGAGE:
                self.node.get_logger().info(f"the pilot chose the mode {px4_mode.NAME}: the supervisor is asked to engage")
                self.engage.call_async(Trigger.Request()).add_done_callback(self.on_engaged)
            case ModeOrder.LEAVE:
                with self.node.lock:
                    self.leave(now)
            case ModeOrder.SAY:
                self.say(self.state.said[0], now)

    def on_engaged(self, future: Future) -> None:
        """A supervisor that does not engage says why, and PX4 flies on its own."""
        answer = future.result()
        if answer is None or not answer.success:
            why = "nothing" if answer is None else answer.message
            self.node.get_logger().warning(f"the supervisor does not engage: {why}")
            with self.node.lock:
                self.leave(self.node.now())
            self.say(px4_mode.told((why,)), self.node.now())

    def leave(self, now: float) -> None:
        """Ask PX4 to fly by itself. Takes the lock for granted."""
        self.connection.send(self.companion.link.set_mode(self.refuge(), now))

    def refuge(self) -> PX4Mode:
        """PX4's mode after ours: it lands where COM_OBL_RC_ACT says so, else holds."""
        lands = self.companion.parameters.get("COM_OBL_RC_ACT") == LANDS
        return PX4Mode.AUTO_LAND if lands and self.state.active else PX4Mode.AUTO_LOITER

    def say(self, text: str, now: float) -> None:
        with self.node.lock:
            self.connection.send(self.companion.link.say(messages.MAV_SEVERITY_WARNING, text, now))

    def configure(self, place: ModePlace) -> None:
        self.publish(px4_mode.CONFIGURE, px4_mode.configuration(place, self.layout))

    def publish(self, topic: str, fields: dict[str, Any]) -> None:
        self.outs[topic].publish(fill(self.kinds[px4_mode.SENT[topic]](), **fields))


def versioned(topic: str, kind: Any) -> str:
    """The topic's name as PX4 has it: a message of a later version than 0 carries the version in it."""
    version = getattr(kind, "MESSAGE_VERSION", 0)
    return f"{topic}_v{version}" if version else topic
