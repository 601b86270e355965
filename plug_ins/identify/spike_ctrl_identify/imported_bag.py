"""Writes an imported flight as a bag, with the topics of a flight beside an autopilot and a message that tells its origin.

state, flight_state    as `vehicle_bridge` sends them; the position relative to a set-point is NaN where there is none
command                what drove the vehicle, by FlightCommand.OTHER: no controller of ours
set_point              where the log has one
reference_state        the pose that motion capture measured, a FlightState
battery, imu           sensor_msgs: voltage; specific force and body rates
origin                 std_msgs/String, YAML: source, sha256, airframe, how it was imported, what was wrong with the log
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import yaml
from rosbags.interfaces import Nodetype

from spike_ctrl._files import resources
from spike_ctrl.airframe import Airframe
from spike_ctrl.recordings import message_definitions
from spike_ctrl.recordings.writer import BagWriter
from spike_ctrl.sim import action_mapping, observation
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl_identify.control_ticks import ControlTicks, collectives
from spike_ctrl_identify.logged_flight import QUANTITIES, STATE

OURS = "spike_ctrl_msgs/msg/"
KINDS = {
    "origin": "std_msgs/msg/String",
    "set_point": f"{OURS}SetPoint",
    "battery": "sensor_msgs/msg/BatteryState",
    "imu": "sensor_msgs/msg/Imu",
    "flight_state": f"{OURS}FlightState",
    "reference_state": f"{OURS}FlightState",
    "state": f"{OURS}VehicleState",
    "command": f"{OURS}FlightCommand",
}
OTHER = 3  # of FlightCommand: a controller that is not ours
NO_AGES = np.full(3, np.nan)
NO_ATTITUDE = np.array([-1.0, *[0.0] * 8])  # what sensor_msgs/Imu says where there is none
_NAN = float("nan")
CHARGE = {name: _NAN for name in ("temperature", "current", "charge", "capacity", "design_capacity", "percentage")}


def actions(ticks: ControlTicks, airframe: Airframe) -> np.ndarray | None:
    """Actions (T, 4) in -1..1 in the airframe's layout; NaN where unknown, None where the log has no such commands."""
    if airframe.action_layout == "motors":
        return None if "motors" not in ticks.values else action_mapping.action(ticks.values["motors"])
    if "collective_and_rates" not in ticks.values:
        return None
    wanted = ticks.values["collective_and_rates"]
    collective = collectives(wanted[:, 0], airframe.hover)
    return np.clip(np.column_stack([collective, wanted[:, 1:] / np.array(airframe.max_rates)]), -1, 1)


def write(path: Path, ticks: ControlTicks, airframe: Airframe, origin: dict) -> None:
    """Write the bag. Ticks without a state are left out, so a reader sees a gap. Raises BagError; then there is no bag."""
    bag = _ImportedBag(path)
    try:
        _write(bag, ticks, actions(ticks, airframe), airframe.action_layout, origin)
        bag.writer.close()
    except BaseException:
        bag.writer.abandon()
        shutil.rmtree(path, ignore_errors=True)
        raise


def _write(bag: _ImportedBag, ticks: ControlTicks, acted: np.ndarray | None, layout: str, origin: dict) -> None:
    count, values = len(ticks.time), ticks.values
    offset = min(0.0, float(ticks.time[0]))  # a bag knows no time before 1970
    stamps = np.round((ticks.time - offset) * 1e9).astype(np.int64).tolist()
    unknown = {name: np.full((count, QUANTITIES[name]), np.nan) for name in QUANTITIES if name not in values}
    of = unknown | values
    yaw = np.nan_to_num(of["set_point_yaw"][:, 0])
    bag.write("origin", stamps[0], data=yaml.safe_dump(origin, sort_keys=False, allow_unicode=True))
    for row in np.flatnonzero(ticks.known).tolist():
        stamp, header, tick = stamps[row], bag.header(stamps[row]), row + 1
        aimed, voltage, force = of["set_point"][row], float(of["voltage"][row, 0]), of["acceleration"][row]
        pose, reference = ({name: of[f"{of_whom}{name}"][row] for name in STATE} for of_whom in ("", "reference_"))
        if np.isfinite(aimed).all():
            bag.write("set_point", stamp, header=header, position=aimed, velocity=np.full(3, np.nan), yaw=float(yaw[row]))
        if "voltage" in values:
            bag.write("battery", stamp, header=header, **(CHARGE | {"voltage": voltage}))
        if "acceleration" in values:
            moved = {"linear_acceleration": bag.vector(force), "angular_velocity": bag.vector(pose["rates"])}
            bag.write("imu", stamp, header=header, orientation_covariance=NO_ATTITUDE, **moved)
        if np.isfinite(reference["position"]).all() or np.isfinite(reference["quaternion"]).all():
            bag.write("reference_state", stamp, header=header, tick=tick, ages=NO_AGES, **reference)
        bag.write("flight_state", stamp, header=header, tick=tick, ages=NO_AGES, **pose)
        seen = observation.build(*pose.values(), target=aimed, target_yaw=float(yaw[row]))
        flags = np.array([FIRST if ticks.grounded[row] else 0], np.uint8)
        bag.write("state", stamp, header=header, tick=tick, vehicles=1, flags=flags, observation=seen)
        if acted is not None and np.isfinite(acted[row]).all():
            about = {"layout": layout, "commander": OTHER, "checkpoint_id": origin["source"]}
            bag.write("command", stamp, header=header, tick=tick, action=acted[row], **about)
        if row % 100 == 0:
            bag.writer.flush()


class _ImportedBag:
    """Writes messages given as keywords; fields that are not given are 0 or empty."""

    def __init__(self, path: Path):
        self.store = message_definitions.standard()
        for kind in KINDS.values():
            message_definitions.add(self.store, kind, resources.prefixes(os.environ))
        self.writer = BagWriter(path, self.store)
        for name, kind in KINDS.items():
            self.writer.add_topic(f"/{name}", kind)

    def write(self, name: str, received: int, **fields) -> None:
        kind = KINDS[name]
        for key in fields.keys() - dict(self.store.fielddefs[kind][1]).keys():
            raise KeyError(f"{kind} has no field {key}")
        self.writer.write(f"/{name}", received, bytes(self.store.serialize_cdr(self._message(kind, fields), kind)))

    def header(self, stamp: int):
        """Of that time, ns."""
        time = self.store.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
        return self.store.types["std_msgs/msg/Header"](time, "odom")

    def vector(self, value: np.ndarray):
        """A geometry_msgs/Vector3."""
        return self.store.types["geometry_msgs/msg/Vector3"](*map(float, value))

    def _message(self, kind: str, fields: dict):
        known = self.store.fielddefs[kind][1]
        values = {name: fields[name] if name in fields else self._empty(about) for name, about in known}
        return self.store.types[kind](**values)

    def _empty(self, about):
        kind, detail = about
        if kind is Nodetype.NAME:
            return self._message(detail, {})
        name = detail[0] if kind is Nodetype.BASE else detail[0][1][0]
        if kind is Nodetype.ARRAY:
            return np.zeros(detail[1], name)
        if kind is Nodetype.SEQUENCE:
            return [] if name == "string" else np.empty(0, name)
        return "" if name == "string" else False if name == "bool" else 0.0 if name.startswith("float") else 0
