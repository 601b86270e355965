"""PX4's flight log (ULog) as a flight: NED and FRD become ENU and FLU here.

pyulog reads the file (`pip install pyulog`). The pose is that of vehicle_local_position and vehicle_attitude, else of
vehicle_odometry. The reference is a simulator's truth, or motion capture's odometry.
"""

from __future__ import annotations

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
from spike_ctrl.px4.dialect import MOTOR_ORDER
from spike_ctrl_identify.column_map import ColumnMap, quaternion_from_ned
from spike_ctrl_identify.csv_table import contents
from spike_ctrl_identify.logged_flight import LoggedFlight, Series

ENDINGS = (".ulg", ".ulg.gz")
TOPICS = (
    "vehicle_local_position", "vehicle_attitude", "vehicle_odometry", "vehicle_angular_velocity", "sensor_combined",
    "actuator_motors", "actuator_outputs", "vehicle_rates_setpoint", "battery_status", "vehicle_local_position_setpoint",
    "vehicle_local_position_groundtruth", "vehicle_attitude_groundtruth", "vehicle_angular_velocity_groundtruth",
    "vehicle_mocap_odometry", "vehicle_visual_odometry",
)  # fmt: skip
NED, BODY_FRD = 1, 3  # of vehicle_odometry's pose_frame and velocity_frame
MOTOR = 101  # PWM_MAIN_FUNC of motor 1
CORNERS = {(True, True): 0, (False, True): 1, (False, False): 2, (True, False): 3}
"""Our number of a rotor by (it is in front, it is to the right)."""

Data = Mapping[str, np.ndarray]


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
            log = ULog(io.BytesIO(data), list(TOPICS))
    except (ULogException, struct.error, IndexError, ValueError, KeyError, OverflowError) as error:
        raise UsageError(f"{path}: found no ULog that can be read ({error}), wanted one") from None
    topics: dict[str, Data] = {}
    for one in log.data_list:
        if len(one.data.get("timestamp", ())):
            topics.setdefault(one.name, one.data)  # the first instance
    series = _pose(path, topics) | _sensors(topics) | _commands(path, topics, log.initial_parameters) | _reference(topics)
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
    )


def _when(data: Data) -> np.ndarray:
    """Times of the samples, s since PX4 booted."""
    stamp = (
        data["timestamp_sample"] if "timestamp_sample" in data and np.any(data["timestamp_sample"]) else data["timestamp"]
    )
    return np.asarray(stamp, float) * 1e-6


def _columns(data: Data, *names: str) -> np.ndarray:
    return np.column_stack([np.asarray(data[name], float) for name in names])


def _vector(data: Data, name: str, size: int = 3) -> np.ndarray:
    return _columns(data, *(f"{name}[{axis}]" for axis in range(size)))


def enu(ned: np.ndarray) -> np.ndarray:
    """Vectors (K, 3) in the world, from NED to ENU."""
    return np.stack(frames.enu_from_ned(ned.T), axis=1)


def flu(frd: np.ndarray) -> np.ndarray:
    """Vectors (K, 3) in the body, from FRD to FLU."""
    return np.stack(frames.flu_from_frd(frd.T), axis=1)


def _pose(path: Path, topics: Mapping[str, Data]) -> dict[str, Series]:
    found = {}
    if "vehicle_local_position" in topics:
        place = topics["vehicle_local_position"]
        valid = np.asarray(place["xy_valid"], bool) & np.asarray(place["z_valid"], bool)
        unknown = np.where(valid, 0.0, np.nan)[:, None]  # an estimate that PX4 itself does not believe
        found["position"] = Series(_when(place), enu(_columns(place, "x", "y", "z")) + unknown)
        found["velocity"] = Series(_when(place), enu(_columns(place, "vx", "vy", "vz")) + unknown)
    if "vehicle_attitude" in topics:
        turned = topics["vehicle_attitude"]
        found["quaternion"] = Series(_when(turned), quaternion_from_ned(_vector(turned, "q", 4)))
    if "vehicle_odometry" in topics and len(found) < 3:
        found = odometry(path, "vehicle_odometry", topics["vehicle_odometry"]) | found
    return found


def odometry(path: Path, topic: str, data: Data) -> dict[str, Series]:
    """Pose and velocity of an odometry topic in ENU. Raises UsageError for a frame that is neither NED nor body FRD."""
    time, attitude = _when(data), _vector(data, "q", 4)
    pose = int(np.asarray(data.get("pose_frame", [NED]))[0])
    if pose != NED:
        raise UsageError(f"{path}: {topic}: pose_frame: found {pose}, wanted {NED} (NED)")
    moving = _vector(data, "velocity")
    frame = int(np.asarray(data.get("velocity_frame", [NED]))[0])
    if frame == BODY_FRD:
        good = np.isfinite(attitude).all(1) & (np.linalg.norm(attitude, axis=1) > 0)
        moving[good] = Rotation.from_quat(attitude[good][:, [1, 2, 3, 0]]).apply(moving[good])
        moving[~good] = np.nan
    elif frame != NED:
        raise UsageError(f"{path}: {topic}: velocity_frame: found {frame}, wanted {NED} (NED) or {BODY_FRD} (body FRD)")
    return {
        "position": Series(time, enu(_vector(data, "position"))),
        "quaternion": Series(time, quaternion_from_ned(attitude)),
        "velocity": Series(time, enu(moving)),
    }


def _sensors(topics: Mapping[str, Data]) -> dict[str, Series]:
    found = {}
    if "sensor_combined" in topics:
        sensed = topics["sensor_combined"]
        found["rates"] = Series(_when(sensed), flu(_vector(sensed, "gyro_rad")))
        found["acceleration"] = Series(_when(sensed), flu(_vector(sensed, "accelerometer_m_s2")))
    if "vehicle_angular_velocity" in topics and "rates" not in found:
        turning = topics["vehicle_angular_velocity"]
        found["rates"] = Series(_when(turning), flu(_vector(turning, "xyz")))
    if "battery_status" in topics:
        battery = topics["battery_status"]
        found["voltage"] = Series(_when(battery), _columns(battery, "voltage_v"))
    if "vehicle_local_position_setpoint" in topics:
        aimed = topics["vehicle_local_position_setpoint"]
        found["set_point"] = Series(_when(aimed), enu(_columns(aimed, "x", "y", "z")))
        found["set_point_yaw"] = Series(_when(aimed), math.pi / 2 - _columns(aimed, "yaw"))
    return found


def _commands(path: Path, topics: Mapping[str, Data], parameters: Mapping[str, float]) -> dict[str, Series]:
    found = {}
    if "actuator_motors" in topics:
        driven = topics["actuator_motors"]
        controls = _vector(driven, "control", 12)
        count = int(np.isfinite(controls).any(0).sum())
        if count not in (0, 4):
            raise UsageError(f"{path}: actuator_motors: found {count} motors, wanted 4")
        found["motors"] = Series(_when(driven), controls[:, _order(path, parameters)])
    elif "actuator_outputs" in topics:
        found["motors"] = _outputs(path, topics["actuator_outputs"], parameters)
    if "vehicle_rates_setpoint" in topics:
        asked = topics["vehicle_rates_setpoint"]
        rates = flu(_columns(asked, "roll", "pitch", "yaw"))
        found["collective_and_rates"] = Series(_when(asked), np.column_stack([-_columns(asked, "thrust_body[2]"), rates]))
    return found


def _order(path: Path, parameters: Mapping[str, float]) -> list[int]:
    """PX4's number of the motor at each of our rotors, by the parameters CA_ROTOR*, else as of a quadrotor X."""
    places = [(parameters.get(f"CA_ROTOR{m}_PX"), parameters.get(f"CA_ROTOR{m}_PY")) for m in range(4)]
    if any(x is None or y is None for x, y in places):
        return [MOTOR_ORDER.index(ours) for ours in range(4)]
    corners = [CORNERS[(x > 0, y > 0)] for x, y in places if x and y]
    if sorted(corners) != [0, 1, 2, 3]:
        raise UsageError(f"{path}: CA_ROTOR*_PX, _PY: found motors at {places}, wanted one in each corner")
    return [corners.index(ours) for ours in range(4)]


def _outputs(path: Path, data: Data, parameters: Mapping[str, float]) -> Series:
    """Motors from pulses: each channel whose PWM_MAIN_FUNC is a motor, between its PWM_MAIN_MIN and PWM_MAIN_MAX."""
    columns = []
    for motor in _order(path, parameters):
        function = MOTOR + motor
        channel = next((n for n in range(1, 17) if parameters.get(f"PWM_MAIN_FUNC{n}") == function), None)
        if channel is None:
            wanted = f"wanted a PWM_MAIN_FUNC of {function} for motor {motor + 1}, or actuator_motors"
            raise UsageError(f"{path}: actuator_outputs: found no channel of motor {motor + 1}, {wanted}")
        low, high = (parameters.get(f"PWM_MAIN_{end}{channel}") for end in ("MIN", "MAX"))
        if low is None or high is None or not low < high:
            found = f"found PWM_MAIN_MIN{channel} {low} and PWM_MAIN_MAX{channel} {high}"
            raise UsageError(f"{path}: actuator_outputs: {found}, wanted both, or actuator_motors")
        pulse = np.asarray(data[f"output[{channel - 1}]"], float)
        columns.append(np.maximum((pulse - low) / (high - low), 0.0))  # below the lowest pulse: disarmed
    return Series(_when(data), np.column_stack(columns))


def _reference(topics: Mapping[str, Data]) -> dict[str, Series]:
    """A simulator's truth, or what motion capture told PX4."""
    found = {}
    if "vehicle_local_position_groundtruth" in topics:
        place = topics["vehicle_local_position_groundtruth"]
        found["reference_position"] = Series(_when(place), enu(_columns(place, "x", "y", "z")))
        found["reference_velocity"] = Series(_when(place), enu(_columns(place, "vx", "vy", "vz")))
    if "vehicle_attitude_groundtruth" in topics:
        turned = topics["vehicle_attitude_groundtruth"]
        found["reference_quaternion"] = Series(_when(turned), quaternion_from_ned(_vector(turned, "q", 4)))
    if "vehicle_angular_velocity_groundtruth" in topics:
        turning = topics["vehicle_angular_velocity_groundtruth"]
        found["reference_rates"] = Series(_when(turning), flu(_vector(turning, "xyz")))
    seen = next((name for name in ("vehicle_mocap_odometry", "vehicle_visual_odometry") if name in topics), None)
    if seen and not found:
        data = topics[seen]
        pose = int(np.asarray(data.get("pose_frame", [NED]))[0])
        if pose == NED:  # another frame is turned by an unknown angle about the vertical
            found["reference_position"] = Series(_when(data), enu(_vector(data, "position")))
            found["reference_quaternion"] = Series(_when(data), quaternion_from_ned(_vector(data, "q", 4)))
    return found
