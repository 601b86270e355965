"""Telemetry of the simulated autopilot: its MAVLink messages, made from a snapshot, and when each is due."""

import math
from collections.abc import Callable
from typing import NamedTuple

from spike_ctrl.flight.estimate_quality import EstimateQuality
from spike_ctrl.px4 import dialect, frames
from spike_ctrl.px4.dialect import MOTOR_ORDER, Landed, PX4Mode, messages
from spike_ctrl.px4.frames import Vector
from spike_ctrl.px4.link import VARIANCES
from spike_ctrl.simulated_px4.cascade import RateCommand, StateEstimate
from spike_ctrl.simulated_px4.plant import PlantState

HOME_LATITUDE, HOME_LONGITUDE, HOME_ALTITUDE = 47.397742, 8.545594, 489.4  # degrees, m: PX4's simulated home
EARTH_RADIUS = 6371000.0  # m
VERSION = 1 << 24 | 17 << 16 | 0 << 8 | 255  # 1.17.0, a release: the firmware whose behaviour this is


class Snapshot(NamedTuple):
    """The vehicle at one time (s). gyro, acceleration: raw samples, FLU. voltage, charge: None where unknown."""

    now: float
    truth: PlantState
    estimate: StateEstimate
    gyro: Vector
    acceleration: Vector
    reset_counter: int
    quality: EstimateQuality
    command: RateCommand
    mode: PX4Mode
    intended: PX4Mode
    armed: bool
    failsafe: bool
    terminated: bool
    landed: Landed
    ready: bool
    voltage: float | None
    charge: float | None
    remote_control: bool  # received
    takes_motors: bool  # it is commanded by the motors, which PX4 never is over MAVLink


def _heartbeat(s: Snapshot) -> messages.MAVLink_message:
    base = messages.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED | messages.MAV_MODE_FLAG_SAFETY_ARMED * s.armed
    status = messages.MAV_STATE_ACTIVE if s.armed else messages.MAV_STATE_STANDBY
    status = messages.MAV_STATE_CRITICAL if s.failsafe else status
    status = messages.MAV_STATE_FLIGHT_TERMINATION if s.terminated else status
    kind = messages.MAV_TYPE_QUADROTOR
    return messages.MAVLink_heartbeat_message(kind, messages.MAV_AUTOPILOT_PX4, base, s.mode, status, 3)


def _sys_status(s: Snapshot) -> messages.MAVLink_message:
    sensors = (
        messages.MAV_SYS_STATUS_SENSOR_3D_GYRO | messages.MAV_SYS_STATUS_SENSOR_3D_ACCEL
        | messages.MAV_SYS_STATUS_SENSOR_GPS | messages.MAV_SYS_STATUS_SENSOR_BATTERY
    )  # fmt: skip
    sensors |= dialect.REMOTE_CONTROL * s.remote_control  # PX4 reports it only while it receives it
    present = sensors | dialect.PREARM_CHECK
    health = sensors | dialect.PREARM_CHECK * s.ready
    voltage = 0xFFFF if s.voltage is None else round(1e3 * s.voltage)
    charge = -1 if s.charge is None else round(100 * s.charge)
    return messages.MAVLink_sys_status_message(present, present, health, 200, voltage, -1, charge, 0, 0, 0, 0, 0, 0)


def _battery_status(s: Snapshot) -> messages.MAVLink_message:
    cells = [0xFFFF] * 10
    if s.voltage is not None:
        cells[0] = round(1e3 * s.voltage)
    charge = -1 if s.charge is None else round(100 * s.charge)
    return messages.MAVLink_battery_status_message(0, 0, 0, 0x7FFF, cells, -1, -1, -1, charge)


def _attitude(s: Snapshot) -> messages.MAVLink_message:
    w, x, y, z = frames.ned_frd_from_enu_flu(s.estimate.quaternion)
    angles = frames.roll_pitch_yaw((x, y, z, w))
    return messages.MAVLink_attitude_message(_milliseconds(s), *angles, *frames.frd_from_flu(s.estimate.rates))


def _attitude_quaternion(s: Snapshot) -> messages.MAVLink_message:
    q = frames.ned_frd_from_enu_flu(s.estimate.quaternion)
    return messages.MAVLink_attitude_quaternion_message(_milliseconds(s), *q, *frames.frd_from_flu(s.estimate.rates))


def _local_position(s: Snapshot) -> messages.MAVLink_message:
    position, velocity = frames.ned_from_enu(s.estimate.position), frames.ned_from_enu(s.estimate.velocity)
    return messages.MAVLink_local_position_ned_message(_milliseconds(s), *position, *velocity)


def _odometry(s: Snapshot) -> messages.MAVLink_message:
    e, covariance, unknown = s.estimate, [0.0] * 21, [math.nan] * 21
    x, y, z, *_ = VARIANCES
    covariance[x] = covariance[y] = s.quality.horizontal**2 / 2
    covariance[z] = s.quality.vertical**2
    return messages.MAVLink_odometry_message(
        _microseconds(s), messages.MAV_FRAME_LOCAL_NED, messages.MAV_FRAME_LOCAL_NED,  # as PX4 v1.17: velocity in NED
        *frames.ned_from_enu(e.position), frames.ned_frd_from_enu_flu(e.quaternion), *frames.ned_from_enu(e.velocity),
        *frames.frd_from_flu(e.rates), covariance, unknown, s.reset_counter, messages.MAV_ESTIMATOR_TYPE_AUTOPILOT, 0,
    )  # fmt: skip


def _estimator_status(s: Snapshot) -> messages.MAVLink_message:
    q = s.quality
    velocity, position, height, heading = q.innovations
    return messages.MAVLink_estimator_status_message(
        _microseconds(s), q.flags, velocity, position, height, heading, 0, 0, q.horizontal, q.vertical
    )


def _highres_imu(s: Snapshot) -> messages.MAVLink_message:
    return messages.MAVLink_highres_imu_message(
        _microseconds(s), *frames.frd_from_flu(s.acceleration), *frames.frd_from_flu(s.gyro),
        0, 0, 0, 0, 0, 0, 0, 0b111111,
    )  # fmt: skip


def _attitude_target(s: Snapshot) -> messages.MAVLink_message:
    rates = frames.frd_from_flu(s.command.rates)
    level = (1.0, 0.0, 0.0, 0.0)
    return messages.MAVLink_attitude_target_message(_milliseconds(s), dialect.RATES_MASK, level, *rates, s.command.thrust)


def _servo_output_raw(s: Snapshot) -> messages.MAVLink_message:
    pulses = [round(1000 + 1000 * s.truth.commands[motor]) for motor in MOTOR_ORDER]
    return messages.MAVLink_servo_output_raw_message(_microseconds(s) % 2**32, 0, *pulses, 0, 0, 0, 0)


def _hil_state(s: Snapshot) -> messages.MAVLink_message:
    """The true state. PX4 leaves its time at 0."""
    t = s.truth
    latitude = HOME_LATITUDE + math.degrees(t.position[1] / EARTH_RADIUS)
    longitude = HOME_LONGITUDE + math.degrees(t.position[0] / (EARTH_RADIUS * math.cos(math.radians(HOME_LATITUDE))))
    velocity = [round(100 * v) for v in frames.ned_from_enu(t.velocity)]
    return messages.MAVLink_hil_state_quaternion_message(
        0, frames.ned_frd_from_enu_flu(t.quaternion), *frames.frd_from_flu(t.rates), round(1e7 * latitude),
        round(1e7 * longitude), round(1e3 * (HOME_ALTITUDE + t.position[2])), *velocity, 0, 0, 0, 0, 0,
    )  # fmt: skip


def _autopilot_version(s: Snapshot) -> messages.MAVLink_message:
    custom = list(dialect.TAKES_MOTORS) if s.takes_motors else [0] * 8
    return messages.MAVLink_autopilot_version_message(
        messages.MAV_PROTOCOL_CAPABILITY_MAVLINK2, VERSION, 0, 0, 0, custom, [0] * 8, [0] * 8, 0, 0, 0
    )


class TelemetryStream(NamedTuple):
    """How a message is made, its default rates (Hz) on the two links, and its highest rate (Hz)."""

    make: Callable[[Snapshot], messages.MAVLink_message]
    onboard: float
    station: float
    most: float = 250.0


STREAMS = {
    messages.MAVLINK_MSG_ID_HEARTBEAT: TelemetryStream(_heartbeat, 1, 1),
    messages.MAVLINK_MSG_ID_SYS_STATUS: TelemetryStream(_sys_status, 5, 1),
    messages.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: TelemetryStream(
        lambda s: messages.MAVLink_extended_sys_state_message(0, s.landed), 5, 1
    ),
    messages.MAVLINK_MSG_ID_ATTITUDE: TelemetryStream(_attitude, 100, 15),
    messages.MAVLINK_MSG_ID_ATTITUDE_QUATERNION: TelemetryStream(_attitude_quaternion, 50, 0),
    messages.MAVLINK_MSG_ID_HIGHRES_IMU: TelemetryStream(_highres_imu, 50, 0),
    messages.MAVLINK_MSG_ID_LOCAL_POSITION_NED: TelemetryStream(_local_position, 30, 1, 125),
    messages.MAVLINK_MSG_ID_ODOMETRY: TelemetryStream(_odometry, 30, 0, 125),
    messages.MAVLINK_MSG_ID_ESTIMATOR_STATUS: TelemetryStream(_estimator_status, 0, 0.5),
    messages.MAVLINK_MSG_ID_CURRENT_MODE: TelemetryStream(
        lambda s: messages.MAVLink_current_mode_message(0, s.mode, s.intended), 0, 0
    ),
    messages.MAVLINK_MSG_ID_BATTERY_STATUS: TelemetryStream(_battery_status, 0, 0.5),
    messages.MAVLINK_MSG_ID_ATTITUDE_TARGET: TelemetryStream(_attitude_target, 0, 0, 125),
    messages.MAVLINK_MSG_ID_SERVO_OUTPUT_RAW: TelemetryStream(_servo_output_raw, 0, 0),
    messages.MAVLINK_MSG_ID_HIL_STATE_QUATERNION: TelemetryStream(_hil_state, 0, 0),
    messages.MAVLINK_MSG_ID_AUTOPILOT_VERSION: TelemetryStream(_autopilot_version, 0, 0),
}


class Schedule:
    """When each message of one link is due."""

    def __init__(self, rates_hz: dict[int, float]):
        self._interval = {message: 1 / rate for message, rate in rates_hz.items() if rate > 0}
        self._defaults = dict(self._interval)
        self._due = dict.fromkeys(self._interval, 0.0)

    def set_interval(self, message: int, interval: float) -> bool:
        """Set the interval (s) of a message; negative: never; 0: the default. False where there is no such message."""
        if message not in STREAMS:
            return False
        if interval == 0:
            interval = self._defaults.get(message, -1)
        if interval < 0:
            self._interval.pop(message, None)
            self._due.pop(message, None)
        else:
            self._interval[message] = max(interval, 1 / STREAMS[message].most)
            self._due.setdefault(message, 0.0)
        return True

    def due(self, now: float) -> list[int]:
        """The messages to send at this tick. Missed ones are not sent later."""
        found = []
        for message, due in self._due.items():
            if now >= due - 1e-9:
                found.append(message)
                interval = self._interval[message]
                self._due[message] = due + interval if now - due < interval else now + interval
        return found


def _milliseconds(s: Snapshot) -> int:
    return round(1e3 * s.now) % 2**32


def _microseconds(s: Snapshot) -> int:
    return round(1e6 * s.now)
