"""The companion's end of the link to PX4: bytes in, events out; requests out as bytes. No sockets, no clock.

Events and arguments are in ENU, FLU, SI units and quaternions x, y, z, w. Times called `now` are receive times of one
monotonic clock (s); times called `stamp` are the autopilot's (s).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4 import dialect, frames
from spike_ctrl.px4.dialect import CommandResult, Landed, PX4Mode, messages
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.px4.packet import Reader, Writer
from spike_ctrl.px4.signing import Signing
from spike_ctrl.sim import action_mapping


class Odometry(NamedTuple):
    """All that a cascade needs. `reset_counter` differs from the one before where the estimate has jumped."""

    now: float
    stamp: float
    position: Vector  # m, ENU
    quaternion: Quaternion
    velocity: Vector  # m/s, ENU
    rates: Vector  # rad/s, FLU
    reset_counter: int


class EstimatorReset(NamedTuple):
    """The estimate jumped; positions before and after it do not compare. Follows the Odometry that shows it."""

    now: float
    before: int
    after: int


class FlightMode(NamedTuple):
    """From HEARTBEAT, up to 1 s late, with `armed`; or from CURRENT_MODE, which does not say whether armed (None)."""

    now: float
    mode: PX4Mode | int
    armed: bool | None


class PowerStatus(NamedTuple):
    """`ready`: all checks before arming pass. Battery voltage (V) and charge (0..1) are None where unknown.
    `remote_control`: one is heard.
    """

    now: float
    ready: bool
    voltage: float | None
    charge: float | None
    remote_control: bool = False


class LandedState(NamedTuple):
    now: float
    state: Landed


class Acknowledged(NamedTuple):
    """Answer to a command. Not `final`: the first of the two that follow a mode request, which is always ACCEPTED."""

    now: float
    command: int
    result: CommandResult | int
    final: bool


class ParameterReading(NamedTuple):
    """A parameter of the autopilot, number `index` of `count`; index 65535 where it was set or asked for by name."""

    now: float
    name: str
    value: int | float
    index: int
    count: int


class Said(NamedTuple):
    """A message for people; severity 0 (emergency) to 7 (debug)."""

    now: float
    severity: int
    text: str


class ClockOffset(NamedTuple):
    """The autopilot's time minus the receive clock's (s), and the round trip (s) in which it was measured."""

    now: float
    offset: float
    round_trip: float


class Version(NamedTuple):
    """Of the autopilot's firmware."""

    now: float
    major: int
    minor: int
    patch: int


class GroundTruth(NamedTuple):
    """A simulator's own state; without a time. Latitude and longitude in degrees (1.1 cm apart), altitude in m."""

    now: float
    latitude: float
    longitude: float
    altitude: float
    quaternion: Quaternion
    velocity: Vector
    rates: Vector


Event = (
    Odometry | EstimatorReset | FlightMode | PowerStatus | LandedState | Acknowledged | ParameterReading | Said | ClockOffset
    | Version | GroundTruth
)  # fmt: skip


class LinkError(ValueError):
    """A set-point or request that must not be sent; the message names the field, found and wanted."""


class Link:
    """One companion's link to the autopilot (system 1, component 1; others are heard, counted and not believed).

    >>> link = Link()
    >>> for event in link.receive(datagram, now): ...
    >>> socket.send(link.rates(thrust=0.49, rates=(0.0, 0.0, 0.0), now=now))

    `stream`: a serial line instead of datagrams. `counts` tells what was dropped and why.
    """

    def __init__(self, stream: bool = False, signing: Signing | None = None, system: int = 1):
        self.system, self.others = system, set()  # other systems' autopilots that were heard
        self._reader = Reader(set(_EVENTS), stream, signing)
        self._writer = Writer(system, dialect.ONBOARD_COMPUTER, signing)
        self._first_answers = 0  # that mode requests have yet to get
        self._resets: int | None = None

    @property
    def counts(self) -> Counter[str]:
        return self._reader.counts

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What the bytes say, in their order. Nothing raises; what is dropped is counted."""
        events: list[Event] = []
        for message, system, component in self._reader.read(data, now):
            if (system, component) != (self.system, dialect.COMPONENT):
                self.counts["foreign"] += 1
                self.others |= {system} if component == dialect.COMPONENT else set()
            elif (event := _EVENTS[message.get_msgId()](self, message, now)) is not None:
                events.append(event)
                if isinstance(event, Odometry):
                    events += self._watch_resets(event)
        return events

    # What leaves

    def heartbeat(self, now: float) -> bytes:
        """Due at 1 Hz."""
        kind, none = messages.MAV_TYPE_ONBOARD_CONTROLLER, messages.MAV_AUTOPILOT_INVALID
        return self._write(messages.MAVLink_heartbeat_message(kind, none, 0, 0, messages.MAV_STATE_ACTIVE, 3), now)

    def rates(self, thrust: float, rates: Vector, now: float) -> bytes:
        """Collective thrust 0..1 and body rates (rad/s, FLU): the command of the `rates` layout. Raises LinkError."""
        _check(thrust, rates=rates)
        return self._attitude_target(dialect.RATES_MASK, (1.0, 0.0, 0.0, 0.0), frames.frd_from_flu(rates), thrust, now)

    def attitude(self, thrust: float, quaternion: Quaternion, now: float) -> bytes:
        """Collective thrust 0..1 and an attitude. Level with hover thrust is the last act of a client that stops."""
        _check(thrust, quaternion=quaternion)
        if abs((norm := math.hypot(*quaternion)) - 1) > 0.01:
            raise LinkError(f"set-point: quaternion: found norm {norm:g}, wanted 1")
        q = frames.ned_frd_from_enu_flu(quaternion)
        return self._attitude_target(dialect.ATTITUDE_MASK, q, (0.0, 0.0, 0.0), thrust, now)

    def position(self, position: Vector, yaw: float, now: float) -> bytes:
        """Position (m, ENU) and yaw (rad, from east) for the autopilot's own position loop."""
        _check(0.0, position=position, yaw=(yaw,))
        message = messages.MAVLink_set_position_target_local_ned_message(
            _milliseconds(now), self.system, dialect.COMPONENT, messages.MAV_FRAME_LOCAL_NED, dialect.POSITION_MASK,
            *frames.ned_from_enu(position), 0, 0, 0, 0, 0, 0, frames.ned_yaw_from_enu(yaw), 0,
        )  # fmt: skip
        return self._write(message, now)

    def set_mode(self, mode: PX4Mode, now: float) -> bytes:
        """Two Acknowledged follow; the mode itself is in FlightMode."""
        self._first_answers += 1
        custom = messages.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED
        return self._command(messages.MAV_CMD_DO_SET_MODE, now, custom, mode.main, mode.sub)

    def arm(self, now: float) -> bytes:
        return self._command(messages.MAV_CMD_COMPONENT_ARM_DISARM, now, 1)

    def disarm(self, now: float, force: bool = False) -> bytes:
        """Refused in the air, unless `force`: then the motors stop where they are."""
        return self._command(messages.MAV_CMD_COMPONENT_ARM_DISARM, now, 0, dialect.FORCE if force else 0)

    def stream(self, message_id: int, rate_hz: float, now: float) -> bytes:
        """Ask for a message `rate_hz` times per second, 0: not at all. PX4 accepts also what it cannot reach."""
        interval = 1e6 / rate_hz if rate_hz > 0 else -1
        return self._command(messages.MAV_CMD_SET_MESSAGE_INTERVAL, now, message_id, interval)

    def request(self, message_id: int, now: float) -> bytes:
        """Ask for a message once."""
        return self._command(messages.MAV_CMD_REQUEST_MESSAGE, now, message_id)

    def get_parameter(self, name: str, now: float) -> bytes:
        to = (self.system, dialect.COMPONENT)
        return self._write(messages.MAVLink_param_request_read_message(*to, _parameter_id(name), -1), now)

    def list_parameters(self, now: float) -> bytes:
        return self._write(messages.MAVLink_param_request_list_message(self.system, dialect.COMPONENT), now)

    def set_parameter(self, name: str, value: int | float, now: float) -> bytes:
        """An int for PX4's integer parameters, a float for the others; ParameterValue says what it is then."""
        wire, kind = dialect.parameter_to_wire(value)
        to = (self.system, dialect.COMPONENT)
        return self._write(messages.MAVLink_param_set_message(*to, _parameter_id(name), wire, kind), now)

    def timesync(self, now: float) -> bytes:
        """ClockOffset follows."""
        return self._write(messages.MAVLink_timesync_message(0, round(now * 1e9)), now)

    def _command(self, command: int, now: float, *parameters: float) -> bytes:
        seven = [*parameters, *[0] * (7 - len(parameters))]
        to = (self.system, dialect.COMPONENT)
        return self._write(messages.MAVLink_command_long_message(*to, command, 0, *seven), now)

    def _attitude_target(self, mask: int, quaternion, rates, thrust: float, now: float) -> bytes:
        message = messages.MAVLink_set_attitude_target_message(
            _milliseconds(now), self.system, dialect.COMPONENT, mask, quaternion, *rates, thrust
        )
        return self._write(message, now)

    def _write(self, message: messages.MAVLink_message, now: float) -> bytes:
        return self._writer.write(message, now)

    # What arrives

    def _watch_resets(self, event: Odometry) -> list[Event]:
        before, self._resets = self._resets, event.reset_counter
        changed = before is not None and before != event.reset_counter
        return [EstimatorReset(event.now, before, event.reset_counter)] if changed else []

    def _odometry(self, m, now: float) -> Odometry | None:
        velocity, quaternion = (m.vx, m.vy, m.vz), frames.enu_flu_from_ned_frd(tuple(m.q))
        if m.frame_id != messages.MAV_FRAME_LOCAL_NED:
            self.counts["odometry frame_id"] += 1
            return None
        if m.child_frame_id == messages.MAV_FRAME_LOCAL_NED:
            velocity = frames.enu_from_ned(velocity)
        elif m.child_frame_id == messages.MAV_FRAME_BODY_FRD:
            velocity = frames.rotate(quaternion, frames.flu_from_frd(velocity))
        else:
            self.counts["odometry child_frame_id"] += 1
            return None
        position, rates = frames.enu_from_ned((m.x, m.y, m.z)), frames.flu_from_frd((m.rollspeed, m.pitchspeed, m.yawspeed))
        return Odometry(now, m.time_usec * 1e-6, position, quaternion, velocity, rates, m.reset_counter)

    def _heartbeat(self, m, now: float) -> FlightMode:
        armed = bool(m.base_mode & messages.MAV_MODE_FLAG_SAFETY_ARMED)
        return FlightMode(now, dialect.mode_of(m.custom_mode), armed)

    def _current_mode(self, m, now: float) -> FlightMode:
        return FlightMode(now, dialect.mode_of(m.custom_mode), None)

    def _sys_status(self, m, now: float) -> PowerStatus:
        ready = bool(m.onboard_control_sensors_health & dialect.PREARM_CHECK)
        voltage = None if m.voltage_battery == 0xFFFF else m.voltage_battery * 1e-3
        charge = None if m.battery_remaining < 0 else m.battery_remaining * 1e-2
        heard = m.onboard_control_sensors_present & m.onboard_control_sensors_health & dialect.REMOTE_CONTROL
        return PowerStatus(now, ready, voltage, charge, bool(heard))

    def _extended_sys_state(self, m, now: float) -> LandedState:
        known = m.landed_state in Landed.__members__.values()
        return LandedState(now, Landed(m.landed_state) if known else Landed.UNDEFINED)

    def _command_ack(self, m, now: float) -> Acknowledged:
        final = True
        if m.command == messages.MAV_CMD_DO_SET_MODE and self._first_answers and m.result == CommandResult.ACCEPTED:
            self._first_answers -= 1
            final = False
        known = m.result in CommandResult.__members__.values()
        return Acknowledged(now, m.command, CommandResult(m.result) if known else m.result, final)

    def _param_value(self, m, now: float) -> ParameterReading | None:
        value = dialect.parameter_from_wire(m.param_value, m.param_type)
        if value is None:
            self.counts["parameter type"] += 1
            return None
        return ParameterReading(now, m.param_id, value, m.param_index, m.param_count)

    def _statustext(self, m, now: float) -> Said:
        return Said(now, m.severity, m.text.rstrip())  # PX4 marks with a tab what it also tells as an event

    def _timesync(self, m, now: float) -> ClockOffset | None:
        if m.tc1 == 0:  # the autopilot's own question
            return None
        sent, there = m.ts1 * 1e-9, m.tc1 * 1e-9
        if not 0 <= now - sent < 10:
            self.counts["timesync"] += 1
            return None
        return ClockOffset(now, there - (sent + now) / 2, now - sent)

    def _autopilot_version(self, m, now: float) -> Version:
        return Version(now, m.flight_sw_version >> 24, m.flight_sw_version >> 16 & 0xFF, m.flight_sw_version >> 8 & 0xFF)

    def _hil_state(self, m, now: float) -> GroundTruth:
        return GroundTruth(
            now, m.lat * 1e-7, m.lon * 1e-7, m.alt * 1e-3,
            frames.enu_flu_from_ned_frd(tuple(m.attitude_quaternion)),
            frames.enu_from_ned((m.vx * 1e-2, m.vy * 1e-2, m.vz * 1e-2)),
            frames.flu_from_frd((m.rollspeed, m.pitchspeed, m.yawspeed)),
        )  # fmt: skip


_EVENTS = {
    messages.MAVLINK_MSG_ID_ODOMETRY: Link._odometry,
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


def setpoint(action: Sequence[float], airframe: Airframe) -> tuple[float, Vector]:
    """Collective thrust and body rates (rad/s, FLU) that an action of the `rates` layout stands for.

    0 is the airframe's hover thrust, -1 none, 1 all of it; rates go to the airframe's limits. Raises LinkError for an
    action beyond [-1, 1] and AirframeError for an airframe of another layout.
    """
    airframe.require_layout("rates")
    for name, value in zip(("collective", "roll rate", "pitch rate", "yaw rate"), action, strict=True):
        if not -1 <= value <= 1:
            raise LinkError(f"action: {name}: found {value}, wanted -1 to 1")
    collective, *rates = (float(value) for value in action)
    thrust = float(action_mapping.thrust(np.float64(collective), np.float64(airframe.hover)))
    roll, pitch, yaw = (rate * limit for rate, limit in zip(rates, airframe.max_rates, strict=True))
    return thrust, (roll, pitch, yaw)


def _check(thrust: float, **vectors: Sequence[float]) -> None:
    if not 0 <= thrust <= 1:
        raise LinkError(f"set-point: thrust: found {thrust}, wanted 0 to 1")
    for name, vector in vectors.items():
        if not all(math.isfinite(value) for value in vector):
            raise LinkError(f"set-point: {name}: found {tuple(vector)}, wanted finite numbers")


def _parameter_id(name: str) -> bytes:
    if not (name.isascii() and 1 <= len(name) <= 16):
        raise LinkError(f"parameter: found name '{name}', wanted 1 to 16 ASCII characters")
    return name.encode()


def _milliseconds(now: float) -> int:
    return round(now * 1e3) % 2**32
