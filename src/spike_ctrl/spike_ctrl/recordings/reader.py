"""Reads the flight in a bag as a `Recording`, with notes on what is missing.

Bags of other tools and truncated bags are read as far as possible. Only the states must be there.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files.text_table import printable
from spike_ctrl.flight import flight_settings
from spike_ctrl.flight.measured_voltage import MeasuredVoltages
from spike_ctrl.recordings import BagError, bag_origin
from spike_ctrl.recordings.bag_messages import TYPES, Timed, fitting, messages, of_one_graph
from spike_ctrl.recordings.recording import (
    Actions,
    Applied,
    Commands,
    Embedded,
    PolicyReports,
    Poses,
    Recording,
    Sensed,
    States,
)
from spike_ctrl.sim.observation import SIZE

TOPICS = {  # name, relative to the namespace of the states: type
    "state": f"{TYPES}VehicleState",
    "policy/action": f"{TYPES}VehicleAction",
    "guide/action": f"{TYPES}VehicleAction",
    "policy/status": f"{TYPES}PolicyStatus",
    "policy/checkpoint": f"{TYPES}Checkpoint",
    "policy/model": f"{TYPES}Checkpoint",
    "transition": f"{TYPES}Transition",
    "command": f"{TYPES}FlightCommand",
    "flight_state": f"{TYPES}FlightState",
    "reference_state": f"{TYPES}FlightState",
    "set_point": f"{TYPES}SetPoint",
    "battery": "sensor_msgs/msg/BatteryState",
    "imu": "sensor_msgs/msg/Imu",
    bag_origin.TOPIC: bag_origin.KIND,
    flight_settings.TOPIC: "std_msgs/msg/String",
}


def read(path: str | os.PathLike[str], topics: Collection[str] = tuple(TOPICS), namespace: str | None = None) -> Recording:
    """Read the flight in a bag.

    path: the bag's folder, or one of its files. topics: the ones among TOPICS to read. namespace: of the graph; None reads
    the first in the bag. Raises BagError if the bag cannot be read or holds no states.
    """
    path = Path(path)
    notes: list[str] = []
    found = of_one_graph(path, {name: TOPICS[name] for name in topics}, notes, namespace)
    if not found.get("state"):
        others = {f"{topic} ({kind})" for topic, kind, *_ in messages(path, [])}
        there = ", ".join(sorted(others)) or "no message"
        raise BagError(f"{path}: found {there}; wanted a topic {Path(namespace or '', 'state')} ({TYPES}VehicleState)")
    notes = list(dict.fromkeys(notes))
    with fitting(path):
        states = _states(path, found["state"], notes)
        if found.get("battery") and states.flags.shape[1] == 1:
            states = states._replace(voltage=_told_voltages(found["battery"], found["state"], states))
        told = ("policy/action", "guide/action", "policy/status")
        notes += [f"no {name}" for name in told if name in found and not found[name]]
        gaps = int((np.diff(states.tick) != 1).sum())
        if gaps:
            missing = int(states.tick[-1] - states.tick[0] + 1 - len(states.tick))
            notes.append(f"state: {missing} ticks are missing in {gaps} gaps")
        flown = flight_settings.parsed(settings := found.get(flight_settings.TOPIC, ()))
        if settings and not flown:
            notes.append(f"{flight_settings.TOPIC}: found none that can be read; course and pace of the flight are unknown")
        return Recording(
            path=path, states=states, policy=_actions(found.get("policy/action"), states, "policy/action", notes),
            guide=_actions(found.get("guide/action"), states, "guide/action", notes),
            status=_status(found.get("policy/status")), applied=_applied(found.get("transition"), states),
            commands=_commands(found.get("command"), states, notes), poses=_poses(found.get("flight_state"), states),
            reference=_poses(found.get("reference_state"), states), sensed=_sensed(found, states),
            origin=bag_origin.parse(found["origin"][0][1].data, path) if found.get("origin") else None,
            paced=bool(flown.get("paced")), course=str(flown.get("course", "")),
            checkpoints=_checkpoints([*found.get("policy/model", ()), *found.get("policy/checkpoint", ())], notes),
            notes=tuple(notes),
        )  # fmt: skip


def _states(path: Path, found: Timed, notes: list[str]) -> States:
    """The states of the first flight. A repeated state counts once. A tick that goes back begins another flight."""
    kept, last = [], -1
    vehicles = found[0][1].vehicles
    for received, message in found:
        if message.tick < last:
            notes.append(f"state: the ticks start again after tick {last}; only the first flight is read")
            break
        if message.vehicles != vehicles or vehicles == 0:
            wanted = vehicles or "some"
            raise BagError(f"{path}: state, tick {message.tick}: found {message.vehicles} vehicles, wanted {wanted}")
        for name, size in (("observation", SIZE), ("flags", 1)):
            if getattr(message, name).size != size * vehicles:
                have = getattr(message, name).size
                raise BagError(f"{path}: state.{name}, tick {message.tick}: found {have} numbers, wanted {size * vehicles}")
        if message.tick > last:
            kept.append((received, message))
            last = message.tick
    return States(
        tick=np.array([m.tick for _, m in kept], np.int64),
        epoch=np.array([m.epoch for _, m in kept], np.int64),
        received=np.array([received for received, _ in kept], np.int64),
        flags=np.stack([m.flags for _, m in kept]),
        observation=np.stack([m.observation for _, m in kept]).reshape(len(kept), vehicles, SIZE),
    )


def _told_voltages(batteries: Timed, found: Timed, states: States) -> np.ndarray:
    """The voltage (T,) that a policy is told at each state, NaN where there is none."""
    stamps = {message.tick: _nanoseconds(message) for _, message in reversed(found)}
    waiting = sorted((_nanoseconds(message), float(message.voltage)) for _, message in batteries)
    told, heard = np.full(len(states.tick), np.nan, np.float32), MeasuredVoltages()
    for row, tick in enumerate(states.tick):
        stamp = stamps[int(tick)]
        while waiting and waiting[0][0] <= stamp:
            heard = heard.heard(*waiting.pop(0))
        voltage, _ = heard.at(stamp)
        told[row] = np.nan if voltage is None else voltage
    return told


def _nanoseconds(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def _actions(found: Timed | None, states: States, topic: str, notes: list[str]) -> Actions | None:
    if not found or (layout := _layout(found, topic, notes)) is None:
        return None
    ticks, vehicles = len(states.tick), states.flags.shape[1]
    action = np.full((ticks, vehicles, 4), np.nan, np.float32)
    tick, epoch, received = np.full(ticks, -1, np.int64), np.zeros(ticks, np.int64), np.zeros(ticks, np.int64)
    name = np.full(ticks, "", object)
    for row, when, message in _rows(found, states):
        if tick[row] < 0 and message.action.size == 4 * vehicles:
            tick[row], epoch[row], received[row], name[row] = message.tick, message.epoch, when, message.checkpoint_id
            action[row] = message.action.reshape(vehicles, 4)
    return Actions(tick, epoch, received, name, action, layout)


def _layout(found: Timed, topic: str, notes: list[str]) -> str | None:
    """The action layout of all messages. None, and a note, if they differ."""
    layouts = sorted({message.layout for _, message in found})
    if len(layouts) > 1:
        notes.append(f"{topic}: left out, found layouts {', '.join(layouts)}, wanted one")
        return None
    return str(layouts[0])


def _rows(found: Timed, states: States) -> Iterator[tuple[int, int, Any]]:
    """Of each message about a recorded state: the state's row, when the message was received, the message."""
    rows = {int(tick): row for row, tick in enumerate(states.tick)}
    return ((rows[message.tick], when, message) for when, message in found if message.tick in rows)


def _status(found: Timed | None) -> PolicyReports | None:
    if not found:
        return None
    layers = max(len(message.spike_rate) for _, message in found)
    rates = np.full((len(found), layers), np.nan)
    for row, (_, message) in enumerate(found):
        rates[row, : len(message.spike_rate)] = message.spike_rate
    told = zip(*((m.tick, m.reason, m.inference_time, m.state_age) for _, m in found), strict=True)
    tick, reason, inference_time, state_age = map(np.array, told)
    candidate = [m.candidate_epoch if getattr(m, "candidate_id", "") else -1 for _, m in found]
    previous = np.array([getattr(m, "previous_tick", 0) for _, m in found], np.int64)
    return PolicyReports(tick, reason, inference_time, state_age, rates, np.array(candidate), previous)


def _checkpoints(found: Timed, notes: list[str]) -> dict[int, Embedded]:
    """Checkpoints by epoch. A replay chooses by epoch, so an epoch with two different files is left out."""
    kept: dict[int, Embedded] = {}
    for _, message in found:
        one = Embedded(printable(message.name), message.sha256, message.data.tobytes())
        before = kept.setdefault(message.epoch, one)
        if before.sha256 != one.sha256:
            notes.append(f"checkpoints: epoch {message.epoch} left out: found {before.name} and another one, {one.name}")
            kept[message.epoch] = before._replace(data=b"")
    return {epoch: one for epoch, one in kept.items() if one.data}


def _applied(found: Timed | None, states: States) -> Applied | None:
    if not found:
        return None
    ticks, vehicles = states.flags.shape
    shapes = {"action": 4, "guide_action": 4, "rotor_speed": 4, "disturbance": 6}
    arrays = {name: np.full((ticks, vehicles, size), np.nan, np.float32) for name, size in shapes.items()}
    arrays["reward"] = np.full((ticks, vehicles), np.nan, np.float32)
    arrays["flags"] = np.zeros((ticks, vehicles), np.uint8)
    for row, _, message in _rows(found, states):
        if message.vehicles == vehicles:
            for name, array in arrays.items():
                array[row] = getattr(message, name).reshape(array.shape[1:])
    return Applied(**arrays)


def _commands(found: Timed | None, states: States, notes: list[str]) -> Commands | None:
    if not found or states.flags.shape[1] != 1 or (layout := _layout(found, "command", notes)) is None:
        return None
    action = np.full((len(states.tick), 4), np.nan, np.float32)
    commander = np.zeros(len(states.tick), np.uint8)
    for row, _, message in _rows(found, states):
        action[row], commander[row] = message.action, message.commander
    return Commands(action, commander, layout)


def _poses(found: Timed | None, states: States) -> Poses | None:
    if not found or states.flags.shape[1] != 1:
        return None
    sizes = {"position": 3, "quaternion": 4, "velocity": 3, "rates": 3}
    arrays = {name: np.full((len(states.tick), size), np.nan) for name, size in sizes.items()}
    stamp = np.full(len(states.tick), np.nan)
    for row, _, message in _rows(found, states):
        stamp[row] = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
        for name, array in arrays.items():
            array[row] = getattr(message, name)
    return Poses(stamp, **arrays)


def _sensed(found: dict[str, Timed], states: States) -> Sensed | None:
    if states.flags.shape[1] != 1 or not any(found.get(name) for name in ("set_point", "battery", "imu")):
        return None
    at = states.received
    set_point = newest(found.get("set_point", ()), at, 3, lambda message: message.position)
    voltage = newest(found.get("battery", ()), at, 1, lambda message: [message.voltage])[:, 0]
    force = newest(found.get("imu", ()), at, 3, lambda m: [getattr(m.linear_acceleration, axis) for axis in "xyz"])
    return Sensed(set_point, voltage, force)


def newest(found: Sequence[tuple[int, Any]], received: np.ndarray, size: int, value: Callable[[Any], Any]) -> np.ndarray:
    """Values (T, size) of the newest message at each time in `received` (T,), ns; NaN before the first."""
    times = np.array([when for when, _ in found], np.int64)
    values = np.array([[np.nan] * size, *(value(message) for _, message in found)])
    return values[np.searchsorted(times, received, side="right")]
