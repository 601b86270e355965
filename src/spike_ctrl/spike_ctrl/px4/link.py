"""The companion's end of the MAVLink link to PX4: bytes in, events out; requests out as bytes. No sockets, no clock.

All is in ENU, FLU, SI units and quaternions x, y, z, w. `now` is a receive time, `stamp` the autopilot's time (s).
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spike_ctrl._files.text_table import printable
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.px4 import dialect, frames, link_events
from spike_ctrl.px4.dialect import CommandResult, Landed, messages
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.px4.mavlink import Reader, Writer
from spike_ctrl.px4.signing import Signing
from spike_ctrl.sim import action_mapping

PARAMETER_NAME = re.compile(r"[A-Za-z0-9_]{1,16}")
VARIANCES = (0, 6, 11, 15, 18, 20)  # of x, y, z, roll, pitch, yaw in the upper triangle of a covariance of ODOMETRY


class Link:
    """One companion's link to the autopilot (component 1 of `system`). Packets of others are counted and not used.

    >>> link = Link()
    >>> for event in link.receive(datagram, now): ...
    >>> socket.send(link.rates(thrust=0.49, rates=(0.0, 0.0, 0.0), now=now))

    stream: a serial line instead of datagrams. counts: received packets, those used and the others by reason. others: other
    autopilots that were heard.
    """

    def __init__(self, stream: bool = False, signing: Signing | None = None, system: int = 1):
        self.system, self._to = system, (system, dialect.COMPONENT)
        self.others: set[int] = set()
        self._reader = Reader(set(_EVENTS), stream, signing)
        self.counts = self._reader.counts
        self._write = Writer(system, dialect.ONBOARD_COMPUTER, signing).write
        self._first_answers = 0  # still due to mode requests

    def receive(self, data: bytes, now: float) -> list[link_events.Event]:
        """The events in these bytes, in order. Nothing raises; dropped packets are counted."""
        events: list[link_events.Event] = []
        for message, system, component in self._reader.read(data, now):
            if (system, component) != self._to:
                self.counts["foreign"] += 1
                self.others |= {system} if component == dialect.COMPONENT else set()
            elif (event := _EVENTS[message.get_msgId()](self, message, now)) is not None:
                events.append(event)
        return events

    # --- what is sent -----------------------------------------------------------------------------------------------

    def heartbeat(self, now: float) -> bytes:
        """Due at 1 Hz."""
        kind, none = messages.MAV_TYPE_ONBOARD_CONTROLLER, messages.MAV_AUTOPILOT_INVALID
        return self._write(messages.MAVLink_heartbeat_message(kind, none, 0, 0, messages.MAV_STATE_ACTIVE, 3), now)

    def rates(self, thrust: float, rates: Vector, now: float) -> bytes:
        """Collective thrust 0..1 and body rates (rad/s, FLU): the command of the `rates` layout. Raises ValueError."""
        _check(thrust, rates=rates)
        return self._attitude_target(dialect.RATES_MASK, (1.0, 0.0, 0.0, 0.0), frames.frd_from_flu(rates), thrust, now)

    def action(self, action: Sequence[float], airframe: Airframe, now: float) -> bytes:
        """The command of an action in the airframe's layout. Raises ValueError."""
        if airframe.action_layout == "motors":
            return self.motors(motor_speeds(action, airframe), now)
        return self.rates(*thrust_and_rates(action, airframe), now)

    def motors(self, speeds: Sequence[float], now: float) -> bytes:
        """Commands 0..1 of the four rotors in the airframe's order: the command of the `motors` layout. Raises ValueError.

        Only our own simulated vehicle takes it (`Version.takes_motors`).
        """
        for number, speed in enumerate(speeds):
            if not 0 <= speed <= 1:
                raise ValueError(f"set-point: motor {number}: found {speed}, wanted 0 to 1")
        controls = [*(speeds[rotor] for rotor in dialect.MOTOR_ORDER), 0.0, 0.0, 0.0, 0.0]
        message = messages.MAVLink_set_actuator_control_target_message(
            round(now * 1e6), dialect.MOTOR_GROUP, *self._to, controls
        )
        return self._write(message, now)

    def attitude(self, thrust: float, quaternion: Quaternion, now: float) -> bytes:
        """Collective thrust 0..1 and an attitude (FLU to ENU). Raises ValueError."""
        _check(thrust, quaternion=quaternion)
        if abs((norm := math.hypot(*quaternion)) - 1) > 0.01:
            raise ValueError(f"set-point: quaternion: found norm {norm:g}, wanted 1")
        q = frames.ned_frd_from_enu_flu(quaternion)
        return self._attitude_target(dialect.ATTITUDE_MASK, q, (0.0, 0.0, 0.0), thrust, now)

    def position(self, position: Vector, yaw: float, now: float) -> bytes:
        """Position (m, ENU) and yaw (rad, from east) for the autopilot's own position loop. Raises ValueError."""
        _check(0.0, position=position, yaw=(yaw,))
        message = messages.MAVLink_set_position_target_local_ned_message(
            _milliseconds(now), *self._to, messages.MAV_FRAME_LOCAL_NED, dialect.POSITION_MASK,
            *frames.ned_from_enu(position), 0, 0, 0, 0, 0, 0, frames.ned_yaw_from_enu(yaw), 0,
        )  # fmt: skip
        return self._write(message, now)

    def say(self, severity: int, text: str, now: float) -> bytes:
        """Text for people, which a ground station shows; its first 50 bytes."""
        return self._write(messages.MAVLink_statustext_message(severity, text.encode()[:50]), now)

    def set_mode(self, mode: int, now: float) -> bytes:
        """mode: as in HEARTBEAT.custom_mode. Two Acknowledged follow; the mode itself is in FlightMode."""
        self._first_answers += 1
        custom = messages.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED
        return self._command(messages.MAV_CMD_DO_SET_MODE, now, custom, mode >> 16 & 0xFF, mode >> 24 & 0xFF)

    def arm(self, now: float) -> bytes:
        """Ask the autopilot to arm."""
        return self._command(messages.MAV_CMD_COMPONENT_ARM_DISARM, now, 1)

    def disarm(self, now: float, force: bool = False) -> bytes:
        """Stop the motors. The autopilot refuses it in the air unless `force` is set; then the vehicle falls."""
        return self._command(messages.MAV_CMD_COMPONENT_ARM_DISARM, now, 0, dialect.FORCE if force else 0)

    def end_simulation(self, now: float) -> bytes:
        """Ask a simulated autopilot that is disarmed to shut down, as a vehicle of PX4's SITL can: it knows no reboot."""
        return self._command(messages.MAV_CMD_PREFLIGHT_REBOOT_SHUTDOWN, now, 2)

    def stream(self, message_id: int, rate_hz: float, now: float) -> bytes:
        """Ask for a message `rate_hz` times per second, 0: not at all. PX4 also accepts rates that it cannot reach."""
        interval = 1e6 / rate_hz if rate_hz > 0 else -1
        return self._command(messages.MAV_CMD_SET_MESSAGE_INTERVAL, now, message_id, interval)

    def request(self, message_id: int, now: float) -> bytes:
        """Ask for a message once."""
        return self._command(messages.MAV_CMD_REQUEST_MESSAGE, now, message_id)

    def get_parameter(self, name: str, now: float) -> bytes:
        """Ask for a parameter. ParameterReading follows. Raises ValueError for an impossible name."""
        return self._write(messages.MAVLink_param_request_read_message(*self._to, _parameter_id(name), -1), now)

    def set_parameter(self, name: str, value: int | float, now: float) -> bytes:
        """Give an int for PX4's integer parameters, a float for others. ParameterReading follows with the new value."""
        wire, kind = dialect.parameter_to_wire(value)
        return self._write(messages.MAVLink_param_set_message(*self._to, _parameter_id(name), wire, kind), now)

    def timesync(self, now: float) -> bytes:
        """Ask for the autopilot's time. ClockOffset follows."""
        return self._write(messages.MAVLink_timesync_message(0, round(now * 1e9)), now)

    def answered(self, stamp: float, now: float) -> bytes:
        """Tell a simulated vehicle that waits that its state with this stamp is answered. Others ignore it."""
        return self._write(messages.MAVLink_timesync_message(round(stamp * 1e9), round(now * 1e9)), now)

    def _command(self, command: int, now: float, *parameters: float) -> bytes:
        seven = [*parameters, *[0] * (7 - len(parameters))]
        return self._write(messages.MAVLink_command_long_message(*self._to, command, 0, *seven), now)

    def _attitude_target(self, mask: int, quaternion: Quaternion, rates: Vector, thrust: float, now: float) -> bytes:
        message = messages.MAVLink_set_attitude_target_message(
            _milliseconds(now), *self._to, mask, quaternion, *rates, thrust
        )
        return self._write(message, now)

    # --- what is received -------------------------------------------------------------------------------------------

    def _odometry(self, m: Any, now: float) -> link_events.Odometry | None:
        velocity, quaternion = (m.vx, m.vy, m.vz), frames.enu_flu_from_ned_frd(tuple(m.q))
        u, v, w = (m.velocity_covariance[index] for index in VARIANCES[:3])
        if m.frame_id != messages.MAV_FRAME_LOCAL_NED:
            self.counts["odometry frame_id"] += 1
            return None
        if m.child_frame_id == messages.MAV_FRAME_LOCAL_NED:
            velocity = frames.enu_from_ned(velocity)
        elif m.child_frame_id == messages.MAV_FRAME_BODY_FRD:
            velocity = frames.rotate(quaternion, frames.flu_from_frd(velocity))
            u = v = w = math.nan  # they are of other axes
        else:
            self.counts["odometry child_frame_id"] += 1
            return None
        position, rates = frames.enu_from_ned((m.x, m.y, m.z)), frames.flu_from_frd((m.rollspeed, m.pitchspeed, m.yawspeed))
        x, y, z, *turned = (m.pose_covariance[index] for index in VARIANCES)
        return link_events.Odometry(
            now, m.time_usec * 1e-6, position, quaternion, velocity, rates, m.reset_counter,
            _deviation(x + y), _deviation(z), m.quality < 0, (y, x, z, *turned, v, u, w),
        )  # fmt: skip

    def _estimator_status(self, m: Any, now: float) -> link_events.EstimatorStatus:
        return link_events.EstimatorStatus(now, m.flags, (m.vel_ratio, m.pos_horiz_ratio, m.pos_vert_ratio, m.mag_ratio))

    def _highres_imu(self, m: Any, now: float) -> link_events.SpecificForce:
        return link_events.SpecificForce(now, frames.flu_from_frd((m.xacc, m.yacc, m.zacc)))

    def _scaled_imu(self, m: Any, now: float) -> link_events.SpecificForce:
        x, y, z = (1e-3 * GRAVITY * a for a in (m.xacc, m.yacc, m.zacc))  # it tells thousandths of g
        return link_events.SpecificForce(now, frames.flu_from_frd((x, y, z)))

    def _heartbeat(self, m: Any, now: float) -> link_events.FlightMode:
        armed = bool(m.base_mode & messages.MAV_MODE_FLAG_SAFETY_ARMED)
        return link_events.FlightMode(now, dialect.mode_of(m.custom_mode), armed)

    def _current_mode(self, m: Any, now: float) -> link_events.FlightMode:
        return link_events.FlightMode(now, dialect.mode_of(m.custom_mode), None)

    def _sys_status(self, m: Any, now: float) -> link_events.PowerStatus:
        ready = bool(m.onboard_control_sensors_health & dialect.PREARM_CHECK)
        voltage = None if m.voltage_battery == 0xFFFF else m.voltage_battery * 1e-3
        charge = None if m.battery_remaining < 0 else m.battery_remaining * 1e-2
        heard = m.onboard_control_sensors_present & m.onboard_control_sensors_health & dialect.REMOTE_CONTROL
        return link_events.PowerStatus(now, ready, voltage, charge, bool(heard))

    def _extended_sys_state(self, m: Any, now: float) -> link_events.LandedState:
        known = m.landed_state in Landed.__members__.values()
        return link_events.LandedState(now, Landed(m.landed_state) if known else Landed.UNDEFINED)

    def _command_ack(self, m: Any, now: float) -> link_events.Acknowledged:
        final = True
        if m.command == messages.MAV_CMD_DO_SET_MODE and self._first_answers and m.result == CommandResult.ACCEPTED:
            self._first_answers -= 1
            final = False
        known = m.result in CommandResult.__members__.values()
        return link_events.Acknowledged(now, m.command, CommandResult(m.result) if known else m.result, final)

    def _param_value(self, m: Any, now: float) -> link_events.ParameterReading | None:
        value = dialect.parameter_from_wire(m.param_value, m.param_type)
        if value is None or not PARAMETER_NAME.fullmatch(m.param_id):
            self.counts["parameter type" if value is None else "parameter name"] += 1
            return None
        return link_events.ParameterReading(now, m.param_id, value)

    def _statustext(self, m: Any, now: float) -> link_events.StatusText:
        text = m.text.rstrip()  # PX4 ends texts that it also sends as events with a tab
        return link_events.StatusText(now, printable(text))

    def _timesync(self, m: Any, now: float) -> link_events.ClockOffset | None:
        if m.tc1 == 0:  # the autopilot's own question
            return None
        sent, there = m.ts1 * 1e-9, m.tc1 * 1e-9
        if not 0 <= now - sent < 10:
            self.counts["timesync"] += 1
            return None
        return link_events.ClockOffset(now, there - (sent + now) / 2, now - sent)

    def _autopilot_version(self, m: Any, now: float) -> link_events.Version:
        major, minor = (m.flight_sw_version >> shift & 0xFF for shift in (24, 16))
        return link_events.Version(now, major, minor, bytes(m.flight_custom_version) == dialect.TAKES_MOTORS)

    def _hil_state(self, m: Any, now: float) -> link_events.GroundTruth:
        return link_events.GroundTruth(
            now, m.lat * 1e-7, m.lon * 1e-7, m.alt * 1e-3,
            frames.enu_flu_from_ned_frd(tuple(m.attitude_quaternion)),
            frames.enu_from_ned((m.vx * 1e-2, m.vy * 1e-2, m.vz * 1e-2)),
            frames.flu_from_frd((m.rollspeed, m.pitchspeed, m.yawspeed)),
        )  # fmt: skip


_EVENTS: dict[int, Callable[[Link, Any, float], link_events.Event | None]] = {  # pymavlink's messages have no types
    messages.MAVLINK_MSG_ID_ODOMETRY: Link._odometry,
    messages.MAVLINK_MSG_ID_ESTIMATOR_STATUS: Link._estimator_status,
    messages.MAVLINK_MSG_ID_HIGHRES_IMU: Link._highres_imu,
    messages.MAVLINK_MSG_ID_SCALED_IMU: Link._scaled_imu,
    messages.MAVLINK_MSG_ID_HEARTBEAT: Link._heartbeat,
    messages.MAVLINK_MSG_ID_CURRENT_MODE: Link._current_mode,
    messages.MAVLINK_MSG_ID_SYS_STATUS: Link._sys_status,
    messages.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: Link._extended_sys_state,
    messages.MAVLINK_MSG_ID_COMMAND_ACK: Link._command_ack,
    messages.MAVLINK_MSG_ID_PARAM_VALUE: Link._param_value,
    messages.MAVLINK_MSG_ID_STATUSTEXT: Link._statustext,
    messages.MAVLINK_MSG_ID_TIMESYNC: Link._timesync,
    messages.MAVLINK_MSG_ID_AUTOPILOT_VERSION: Link._autopilot_version,
    messages.MAVLINK_MSG_ID_HIL_STATE_QUATERNION: Link._hil_state,
}


def thrust_and_rates(action: Sequence[float], airframe: Airframe) -> tuple[float, Vector]:
    """Collective thrust (0..1) and body rates (rad/s, FLU) of an action of the `rates` layout.

    A collective of 0 is the airframe's hover thrust, -1 no thrust, 1 full thrust. Rates of +-1 are the airframe's limits.
    Raises ValueError for an action beyond [-1, 1], UsageError for an airframe of another layout.
    """
    airframe.require_layout("rates")
    collective, roll, pitch, yaw = map(float, action)
    if not (-1 <= collective <= 1 and -1 <= roll <= 1 and -1 <= pitch <= 1 and -1 <= yaw <= 1):
        names = ("collective", "roll rate", "pitch rate", "yaw rate")
        name, value = next((n, v) for n, v in zip(names, action, strict=True) if not -1 <= v <= 1)
        raise ValueError(f"action: {name}: found {value}, wanted -1 to 1")
    thrust = float(action_mapping.thrust(np.float64(collective), np.float64(airframe.hover)))
    a, b, c = airframe.max_rates
    return thrust, (roll * a, pitch * b, yaw * c)


def motor_speeds(action: Sequence[float], airframe: Airframe) -> list[float]:
    """Commands 0..1 of the rotors for an action of the `motors` layout, in the airframe's order.

    Raises ValueError for an action beyond [-1, 1], UsageError for an airframe of another layout.
    """
    airframe.require_layout("motors")
    for number, value in enumerate(action):
        if not -1 <= value <= 1:
            raise ValueError(f"action: motor {number}: found {value}, wanted -1 to 1")
    return [float(action_mapping.command(np.float64(value))) for value in action]


def _check(thrust: float, **vectors: Sequence[float]) -> None:
    if not 0 <= thrust <= 1:
        raise ValueError(f"set-point: thrust: found {thrust}, wanted 0 to 1")
    for name, vector in vectors.items():
        if not all(math.isfinite(value) for value in vector):
            raise ValueError(f"set-point: {name}: found {tuple(vector)}, wanted finite numbers")


def _deviation(variance: float) -> float:
    """The standard deviation; NaN, as MAVLink says, where the variance is not known. PX4 writes 0 for the same."""
    return math.sqrt(variance) if variance > 0 else math.nan


def _parameter_id(name: str) -> bytes:
    if not (name.isascii() and 1 <= len(name) <= 16):
        raise ValueError(f"parameter: found name '{name}', wanted 1 to 16 ASCII characters")
    return name.encode()


def _milliseconds(now: float) -> int:
    return round(now * 1e3) % 2**32
