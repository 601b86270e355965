"""Offboard set-points as PX4 takes them, and one that it does not, the motors; the type masks and their meaning. Pure."""

import math
from collections.abc import Sequence

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4 import dialect, frames, link
from spike_ctrl.px4.dialect import messages
from spike_ctrl.px4.frames import Quaternion
from spike_ctrl.simulated_px4.cascade import CascadeTarget, MotorCommand, RateCommand

Setpoint = RateCommand | MotorCommand | tuple[float, Quaternion] | CascadeTarget
"""Body rates with thrust, commands of the motors, thrust with an attitude, or a target of the position loop."""


def of_attitude_target(m: messages.MAVLink_set_attitude_target_message) -> Setpoint | None:
    """The set-point of SET_ATTITUDE_TARGET; None where PX4 would not act on it, or a number is not finite.

    It gives either an attitude, or both roll rate and pitch rate. An ignored throttle counts as 0.
    """
    mask = m.type_mask
    thrust = 0.0 if mask & dialect.THROTTLE_IGNORE else m.thrust
    if not mask & dialect.ATTITUDE_IGNORE:
        q = frames.enu_flu_from_ned_frd(tuple(m.q))
        norm = math.hypot(*q)
        if not (math.isfinite(thrust) and math.isfinite(norm) and norm > 0.5):
            return None
        x, y, z, w = (value / norm for value in q)
        return thrust, (x, y, z, w)
    if mask & (dialect.ROLL_RATE_IGNORE | dialect.PITCH_RATE_IGNORE):
        return None
    yaw_rate = 0.0 if mask & dialect.YAW_RATE_IGNORE else m.body_yaw_rate
    rates = (m.body_roll_rate, m.body_pitch_rate, yaw_rate)
    if not all(math.isfinite(value) for value in (thrust, *rates)):
        return None
    return RateCommand(thrust, frames.flu_from_frd(rates))


def of_action(action: Sequence[float], airframe: Airframe) -> RateCommand | MotorCommand:
    """The set-point that an action commands over the link, in the airframe's layout. Raises ValueError."""
    if airframe.action_layout == "rates":
        return RateCommand(*link.thrust_and_rates(action, airframe))
    a, b, c, d = link.motor_speeds(action, airframe)
    return MotorCommand((a, b, c, d))


def of_position_target(m: messages.MAVLink_set_position_target_local_ned_message, speed: float) -> Setpoint | None:
    """The target of SET_POSITION_TARGET_LOCAL_NED with position and yaw in frame 1; None for others. speed: m/s, largest."""
    if m.coordinate_frame != messages.MAV_FRAME_LOCAL_NED or m.type_mask != dialect.POSITION_MASK:
        return None
    if not all(math.isfinite(value) for value in (m.x, m.y, m.z, m.yaw)):
        return None
    return CascadeTarget(frames.enu_from_ned((m.x, m.y, m.z)), (0.0, 0.0, 0.0), frames.enu_yaw_from_ned(m.yaw), speed)


def of_actuator_target(m: messages.MAVLink_set_actuator_control_target_message) -> Setpoint | None:
    """The commands of the motors that `Link.motors` sends; None for another group, or where a number is not in 0..1.

    PX4 has no such set-point: it takes motors over uXRCE-DDS.
    """
    if m.group_mlx != dialect.MOTOR_GROUP or not all(0 <= value <= 1 for value in m.controls[:4]):
        return None
    by_rotor = dict(zip(dialect.MOTOR_ORDER, m.controls, strict=False))
    return MotorCommand((by_rotor[0], by_rotor[1], by_rotor[2], by_rotor[3]))
