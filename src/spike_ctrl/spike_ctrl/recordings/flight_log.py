"""The log of a flight beside an autopilot: where the vehicle was, where it should have been, and who flew it.

log = read_log("bags/20260101-120000")
log.rung_at(log.received)          # the rung of the ladder at each state, (T,)
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl.flight import flight_settings
from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.bag_messages import TYPES, Timed, fitting, of_one_graph
from spike_ctrl.recordings.reader import newest

TOPICS = {
    "flight_state": f"{TYPES}FlightState",
    "set_point": f"{TYPES}SetPoint",
    "supervisor/status": f"{TYPES}SupervisorStatus",
    flight_settings.TOPIC: "std_msgs/msg/String",
    "command": f"{TYPES}FlightCommand",
    "policy/checkpoint": f"{TYPES}Checkpoint",
    "diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}


class FlightEvent(NamedTuple):
    """A message of the supervisor, received by the recorder (ns). severity: ok, warning, error; info: it tells none."""

    received: int
    severity: str
    text: str


@dataclass(frozen=True)
class FlightLog:
    """A flight of T states, S reports of the supervisor and C commands. Times named `received` are the recorder's, ns.

    tick, received (T,): of each state.
    stamp (T,): when the vehicle measured the state, s on its own clock.
    position (T, 3): m, in `odom`.
    set_point (T, 3): the set-point in force at each state, m in `odom`; NaN before the first one.
    rung, rung_received (S,): the rung that each report names, and when the report came.
    events: the messages in these reports, oldest first.
    command_tick, command_received (C,): the state that each command answers, and when the command came.
    settings: of the flight, by their paths (docs/flight_settings.md); empty in a bag that has none.
    messages: all of TOPICS, by topic, each with the time when it was received.
    """

    tick: np.ndarray
    received: np.ndarray
    stamp: np.ndarray
    position: np.ndarray
    set_point: np.ndarray
    rung: np.ndarray
    rung_received: np.ndarray
    events: tuple[FlightEvent, ...]
    command_tick: np.ndarray
    command_received: np.ndarray
    settings: Mapping[str, Any] = field(default_factory=dict)
    messages: Mapping[str, Timed] = field(default_factory=dict)

    @property
    def begun(self) -> int:
        """When the first state came, ns: the time 0 s of charts."""
        return int(self.received[0])

    def rung_at(self, received: np.ndarray) -> np.ndarray:
        """The rung in force at the times `received` (ns), same shape. It is SILENT before the first report."""
        at = np.searchsorted(self.rung_received, received, side="right")
        return np.concatenate([[int(Rung.SILENT)], self.rung])[at]

    def latencies(self) -> np.ndarray:
        """Seconds from each state to the command that answers it, (K,), both as the recorder received them."""
        sent = dict(zip(self.tick.tolist(), self.received.tolist(), strict=True))
        pairs = zip(self.command_tick.tolist(), self.command_received.tolist(), strict=True)
        return np.array([(received - sent[tick]) * 1e-9 for tick, received in pairs if tick in sent])


def read_log(path: str | os.PathLike[str], namespace: str | None = None) -> FlightLog | None:
    """Read the log of the flight in a bag, as `reader.read`. None if it holds no states or no reports. Raises BagError."""
    found = of_one_graph(Path(path), TOPICS, [], namespace)
    states, status = found["flight_state"], found["supervisor/status"]
    if not states or not status:
        return None
    with fitting(path):
        if (rung := max(message.rung for _, message in status)) > max(Rung):
            raise BagError(f"{path}: supervisor/status.rung: found {rung}, wanted 0 to {max(Rung)}")
        times = np.array([when for when, _ in states], np.int64)
        return FlightLog(
            tick=np.array([message.tick for _, message in states], np.int64),
            received=times,
            stamp=np.array([m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for _, m in states]),
            position=np.array([message.position for _, message in states]),
            set_point=newest(found["set_point"], times, 3, lambda message: message.position),
            rung=np.array([message.rung for _, message in status], np.int64),
            rung_received=np.array([when for when, _ in status], np.int64),
            events=tuple(FlightEvent(when, *_event(text)) for when, message in status for text in message.events),
            command_tick=np.array([message.tick for _, message in found["command"]], np.int64),
            command_received=np.array([when for when, _ in found["command"]], np.int64),
            settings=flight_settings.parsed(found[flight_settings.TOPIC]),
            messages=found,
        )


def _event(text: str) -> tuple[str, str]:
    severity, _, words = text.partition(": ")
    return (severity, words) if words else ("info", text)
