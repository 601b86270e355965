"""The bag of a certified flight: what the recorder would have kept of it, without ROS."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype

from spike_ctrl._files import resources
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.virtual_controllers import GUIDE
from spike_ctrl.flight import flight_settings
from spike_ctrl.flight.answer_checks import Answer
from spike_ctrl.flight.bridge import BridgedState
from spike_ctrl.flight.command_choice import Command, CommandedBy
from spike_ctrl.flight.event_words import reason, told
from spike_ctrl.flight.supervisor_state import SupervisorOutput
from spike_ctrl.recordings import message_definitions
from spike_ctrl.recordings.writer import BagWriter
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl.sim.episode_flags import GUIDE as GUIDED

PACKAGE, STRING = "spike_ctrl_msgs/msg/", "std_msgs/msg/String"
KINDS = ("VehicleState", "VehicleAction", "FlightState", "SetPoint", "SupervisorStatus", "FlightCommand", "Checkpoint")
COMMANDERS = {CommandedBy.POLICY: 0, CommandedBy.GUIDE: 1, CommandedBy.REST: 2}
SOURCE = 1
STATUS_PERIOD = 0.1  # s


class FlightBag:
    """Takes what passes between the parts of one flight. Raises BagError, also without message definitions."""

    def __init__(self, path: Path, name: str, model: bytes):
        self.store = message_definitions.standard()
        for kind in KINDS:
            message_definitions.add(self.store, PACKAGE + kind, resources.prefixes(os.environ))
        self.writer = BagWriter(path, self.store)
        self._events: list[str] = []
        self._told: tuple[float, object] = (-STATUS_PERIOD, None)
        data = np.frombuffer(model, np.uint8)
        self._write("/policy/model", "Checkpoint", 0.0, name=name, sha256=hashlib.sha256(model).hexdigest(), data=data)

    def state(self, now: float, bridged: BridgedState, seen: np.ndarray | None, guided: bool) -> None:
        """A state that the bridge sends out; seen: the observation, where guide and policy may fly on it."""
        s = bridged.sample
        vectors = {name: np.array(getattr(s, name)) for name in ("position", "quaternion", "velocity", "rates", "ages")}
        about = {"header": self._header(s.stamp), "tick": s.tick}
        self._write("/flight_state", "FlightState", now, **about, **vectors, reset_counter=s.reset_counter)
        if seen is not None:
            flags = np.array([(FIRST if bridged.on_ground else 0) | (GUIDED if guided else 0)], np.uint8)
            self._write("/state", "VehicleState", now, **about, vehicles=1, flags=flags, observation=seen)

    def answer(self, now: float, answer: Answer) -> None:
        """An answer of guide or policy."""
        topic = "/guide/action" if answer.identity == GUIDE else "/policy/action"
        self._write(
            topic, "VehicleAction", now, tick=answer.tick, vehicles=1, layout=answer.layout,
            checkpoint_id=answer.identity.checkpoint_id, action=np.array(answer.action, np.float32),
            spike_rate=np.array(answer.spike_rate, np.float32),
        )  # fmt: skip

    def output(self, core: FlightCore, output: SupervisorOutput) -> None:
        """What the supervisor publishes after a step."""
        now = core.clock.now
        if self._told[1] is None:
            self._write(f"/{flight_settings.TOPIC}", STRING, now, data=flight_settings.as_json(core.settings))
        if output.command is not None:
            self._command(now, output.command, core.settings.layout)
        if output.set_point is not None and output.command is not None:
            point = output.set_point
            fields = {"position": np.array(point.position), "velocity": np.array(point.velocity), "yaw": float(point.yaw)}
            self._write("/set_point", "SetPoint", now, source=SOURCE, **fields)
        self._events += [told(event) for event in output.events]
        if output.events or output.rung is not self._told[1] or now - self._told[0] >= STATUS_PERIOD:
            self._told = now, output.rung
            ladder = core.state.ladder
            self._write(
                "/supervisor/status", "SupervisorStatus", now, rung=int(output.rung), reason=reason(ladder.because),
                wanted=ladder.wanted, latched=ladder.latched.fault.number if ladder.latched else 0, text=output.status or "",
                events=list(self._events),
            )  # fmt: skip
            self._events.clear()

    def close(self) -> None:
        """Finish the bag."""
        self.writer.close()

    def _command(self, now: float, command: Command, layout: str) -> None:
        who = command.identity.checkpoint_id if command.identity is not None else ""
        self._write(
            "/command", "FlightCommand", now, tick=command.tick, source=SOURCE, layout=layout,
            commander=COMMANDERS[command.commander], checkpoint_id=who, action=np.array(command.action),
        )  # fmt: skip

    def _write(self, topic: str, kind: str, now: float, **fields: Any) -> None:
        name = kind if kind == STRING else PACKAGE + kind
        values = {field: self._empty(about, now) for field, about in self.store.fielddefs[name][1]} | fields
        self.writer.add_topic(topic, name)
        self.writer.write(topic, round(now * 1e9), bytes(self.store.serialize_cdr(self.store.types[name](**values), name)))

    def _header(self, stamp: float) -> Any:
        time = self.store.types["builtin_interfaces/msg/Time"](*divmod(round(stamp * 1e9), 10**9))
        return self.store.types["std_msgs/msg/Header"](time, "odom")

    def _empty(self, about: Sequence[Any], now: float) -> Any:
        """The value of a field that is not given."""
        kind, detail = about
        if kind == Nodetype.NAME:
            return self._header(now)
        if kind == Nodetype.ARRAY:
            return np.zeros(detail[1], detail[0][1][0])
        if kind == Nodetype.SEQUENCE:
            return [] if detail[0][1][0] == "string" else np.empty(0, detail[0][1][0])
        return "" if detail[0] == "string" else 0.0 if detail[0].startswith("float") else 0
