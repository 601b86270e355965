"""PX4's flight log (ULog), from v1.9 on, as a flight: NED and FRD become ENU and FLU here.

pyulog reads the file (`pip install pyulog`). The pose is that of vehicle_local_position and vehicle_attitude, else of
vehicle_odometry. The reference is a simulator's truth, or motion capture's odometry.
"""

import contextlib
import hashlib
import io
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4 import frames
from spike_ctrl_identify import px4_motors
from spike_ctrl_identify.column_map import ColumnMap, quaternion_from_ned
from spike_ctrl_identify.csv_table import contents
from spike_ctrl_identify.logged_flight import STATE, LoggedFlight, Series
from spike_ctrl_identify.px4_topic import Topic

ENDINGS = (".ulg", ".ulg.gz")
TOPICS = (
    "vehicle_local_position", "vehicle_attitude", "vehicle_odometry", "vehicle_angular_velocity", "sensor_combined",
    "actuator_motors", "actuator_outputs", "vehicle_rates_setpoint", "battery_status", "vehicle_local_position_setpoint",
    "vehicle_local_position_groundtruth", "vehicle_attitude_groundtruth", "vehicle_angular_velocity_groundtruth",
    "vehicle_mocap_odometry", "vehicle_visual_odometry",
)  # fmt: skip
NED, BODY_FRD = 1, 3  # of odometry's frames
OLD_FRAMES = {0: NED, 1: 2, 2: 0, 3: BODY_FRD}  # before v1.14
SOURCES = {
    "position": ("vehicle_local_position", "vehicle_odometry"), "velocity": ("vehicle_local_position", "vehicle_odometry"),
    "quaternion": ("vehicle_attitude", "vehicle_odometry"), "rates": ("sensor_combined", "vehicle_angular_velocity"),
    "motors": ("actuator_motors", "actuator_outputs"), "collective_and_rates": ("vehicle_rates_setpoint",),
}  # fmt: skip
"""The topics of a quantity, of which one is needed."""
REMEDY = "set PX4's SDLOG_PROFILE to 17 (default set and high rate) and fly again"


def reads(path: Path) -> bool:
    """Whether it is a ULog by its name."""
    return path.name.endswith(ENDINGS)


def read(path: Path, chosen: ColumnMap | None = None) -> LoggedFlight:
    """Read a ULog file, which names no airframe. Raises UsageError, also for a chosen map: a ULog needs none."""
    if chosen is not None:
        raise UsageError(f"{path}: found a ULog and map {chosen.name}, wanted no --map: a ULog names its fields itself")
    try:
        from pyulog import ULog
        from pyulog.exceptions import ULogException
    except ImportError:
        raise UsageError(f"{path}: reading a ULog needs pyulog, found none; pip install pyulog") from None
    data = contents(path)
    said = io.StringIO()  # pyulog prints what it finds damaged
    try:
        with contextlib.redirect_stdout(said):
            log = ULog(_Bytes(data), list(TOPICS))
    except (EOFError, ULogException, struct.error, IndexError, ValueError, KeyError, OverflowError) as error:
        raise UsageError(f"{path}: found no ULog that can be read ({error}), wanted one") from None
    topics: dict[str, Topic] = {}
    for one in log.data_list:
        if len(one.data.get("timestamp", ())):
            topics.setdefault(one.name, Topic(path, one.name, one.data))  # the first instance
    driven, unread = _commands(topics, log.initial_parameters)
    series = _pose(topics) | _sensors(topics) | driven | _reference(topics)
    for name in STATE:
        if name not in series:
            sources = " and no ".join(f"valid {one}" if one in topics else one for one in SOURCES[name])
            raise UsageError(f"{path}: {name}: found no {sources}, wanted one of these topics: {REMEDY}")
    lost = sum(dropout.duration for dropout in log.dropouts) / 1e3
    notes = [f"the logger lost {lost:.2f} s in {len(log.dropouts)} drop-outs"] if log.dropouts else []
    notes += ["the file is damaged; what could be read is used"] if log.file_corruption else []
    version = log.get_version_info_str() or "of unknown version"
    return LoggedFlight(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        how=f"ULog of PX4 {version}",
        airframe="",
        series=series,
        notes=tuple(notes),
        evened=False,
        unread=unread,
        remedy=REMEDY,
    )


class _Bytes(io.BytesIO):
    """Contents that end: pyulog seeks back and begins anew for ever where definitions are damaged up to the end."""

    ends = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.ends += len(data) < (size or 0)
        if self.ends > 100:
            raise EOFError("damaged up to its end")
        return data


def enu(ned: np.ndarray) -> np.ndarray:
    """Vectors (K, 3) in the world, from NED to ENU."""
    return np.stack(frames.enu_from_ned(ned.T), axis=1)


def flu(frd: np.ndarray) -> np.ndarray:
    """Vectors (K, 3) in the body, from FRD to FLU."""
    return np.stack(frames.flu_from_frd(frd.T), axis=1)


def _pose(topics: Mapping[str, Topic]) -> dict[str, Series]:
    found = {}
    if "vehicle_local_position" in topics:
        place = topics["vehicle_local_position"]
        valid = np.asarray(place["xy_valid"], bool) & np.asarray(place["z_valid"], bool)
        unknown = np.where(valid, 0.0, np.nan)[:, None]  # an estimate that PX4 itself does not believe
        parts = {"position": ("x", "y", "z"), "velocity": ("vx", "vy", "vz")} if valid.any() else {}
        found = {name: Series(place.when, enu(place.columns(*fields)) + unknown) for name, fields in parts.items()}
    if "vehicle_attitude" in topics:
        turned = topics["vehicle_attitude"]
        found["quaternion"] = Series(turned.when, quaternion_from_ned(turned.vector("q", 4)))
    if "vehicle_odometry" in topics and len(found) < 3:
        found = odometry(topics["vehicle_odometry"]) | found
    return found


def odometry(data: Topic) -> dict[str, Series]:
    """Pose and velocity of an odometry topic in ENU. Raises UsageError for a frame that is neither NED nor body FRD."""
    time, attitude, pose = data.when, data.vector("q", 4), _frame(data, "pose_frame", "local_frame")
    if pose != NED:
        raise UsageError(f"{data.source}: pose_frame: found {pose}, wanted {NED} (NED)")
    moving = data.columns("vx", "vy", "vz") if "x" in data else data.vector("velocity")
    frame = _frame(data, "velocity_frame", "velocity_frame")
    if frame == BODY_FRD:
        good = np.isfinite(attitude).all(1) & (np.linalg.norm(attitude, axis=1) > 0)
        moving[good] = Rotation.from_quat(attitude[good][:, [1, 2, 3, 0]]).apply(moving[good])
        moving[~good] = np.nan
    elif frame != NED:
        raise UsageError(f"{data.source}: velocity_frame: found {frame}, wanted {NED} (NED) or {BODY_FRD} (body FRD)")
    return {
        "position": Series(time, enu(_place(data))),
        "quaternion": Series(time, quaternion_from_ned(attitude)),
        "velocity": Series(time, enu(moving)),
    }


def _sensors(topics: Mapping[str, Topic]) -> dict[str, Series]:
    found = {}
    if "sensor_combined" in topics:
        sensed = topics["sensor_combined"]
        found["rates"] = Series(sensed.when, flu(sensed.vector("gyro_rad")))
        found["acceleration"] = Series(sensed.when, flu(sensed.vector("accelerometer_m_s2")))
    if "vehicle_angular_velocity" in topics and "rates" not in found:
        turning = topics["vehicle_angular_velocity"]
        found["rates"] = Series(turning.when, flu(turning.vector("xyz")))
    if "battery_status" in topics:
        battery = topics["battery_status"]
        found["voltage"] = Series(battery.when, battery.columns("voltage_v"))
    if "vehicle_local_position_setpoint" in topics:
        aimed = topics["vehicle_local_position_setpoint"]
        found["set_point"] = Series(aimed.when, enu(aimed.columns("x", "y", "z")))
        found["set_point_yaw"] = Series(aimed.when, math.pi / 2 - aimed.columns("yaw"))
    return found


def _commands(topics: Mapping[str, Topic], parameters: Mapping[str, float]) -> tuple[dict[str, Series], dict[str, str]]:
    """What drove the vehicle, and what cannot be read of it, by quantity: an airframe of the other layout needs it not."""
    found, unread = {}, {}
    for name in ("motors", "collective_and_rates"):
        topic = next((topics[one] for one in SOURCES[name] if one in topics), None)
        try:
            if topic is not None:
                value = px4_motors.commands(topic, parameters) if name == "motors" else _asked(topic)
                found[name] = Series(topic.when, value)
        except UsageError as error:
            unread[name] = str(error)
    return found, unread


def _asked(topic: Topic) -> np.ndarray:
    """Collective and rates (K, 4) of vehicle_rates_setpoint; up to v1.8 its thrust is one number, upward."""
    thrust = topic.column("thrust") if "thrust" in topic else -topic.column("thrust_body[2]")
    return np.column_stack([thrust, flu(topic.columns("roll", "pitch", "yaw"))])


def _place(data: Topic) -> np.ndarray:
    """The position of an odometry; before v1.14 its three fields are x, y, z."""
    return data.columns("x", "y", "z") if "x" in data else data.vector("position")


def _frame(data: Topic, name: str, of_old: str) -> int:
    """The frame of an odometry's pose or velocity, by the numbers of v1.14 on."""
    if name in data and "x" not in data:
        return int(data[name][0])
    return OLD_FRAMES.get(int(data[of_old][0]), 0) if of_old in data else NED


def _reference(topics: Mapping[str, Topic]) -> dict[str, Series]:
    """A simulator's truth, or what motion capture told PX4."""
    found = {}
    if "vehicle_local_position_groundtruth" in topics:
        place = topics["vehicle_local_position_groundtruth"]
        found["reference_position"] = Series(place.when, enu(place.columns("x", "y", "z")))
        found["reference_velocity"] = Series(place.when, enu(place.columns("vx", "vy", "vz")))
    if "vehicle_attitude_groundtruth" in topics:
        turned = topics["vehicle_attitude_groundtruth"]
        found["reference_quaternion"] = Series(turned.when, quaternion_from_ned(turned.vector("q", 4)))
    if "vehicle_angular_velocity_groundtruth" in topics:
        turning = topics["vehicle_angular_velocity_groundtruth"]
        found["reference_rates"] = Series(turning.when, flu(turning.vector("xyz")))
    seen = next((name for name in ("vehicle_mocap_odometry", "vehicle_visual_odometry") if name in topics), None)
    if seen and not found:
        data = topics[seen]
        if _frame(data, "pose_frame", "local_frame") == NED:  # another is turned by an unknown angle about the vertical
            found["reference_position"] = Series(data.when, enu(_place(data)))
            found["reference_quaternion"] = Series(data.when, quaternion_from_ned(data.vector("q", 4)))
    return found
