"""PX4's dialect of MAVLink, as both ends use it: modes, masks, commands, parameter encoding."""

import enum
import struct

from pymavlink.dialects.v20 import development

messages = development  # the only dialect of pymavlink that has CURRENT_MODE

SYSTEM, COMPONENT = 1, 1  # of the autopilot
ONBOARD_COMPUTER = development.MAV_COMP_ID_ONBOARD_COMPUTER
MOTOR_ORDER = (0, 2, 3, 1)  # the airframe's numbers of PX4's motors: front-right, back-left, front-left, back-right
FORCE = 21196.0  # param2 of a disarm that also works in the air

# SET_ACTUATOR_CONTROL_TARGET carries motor commands to our own simulated vehicle only. PX4 ignores it since version 1.14,
# and before that had groups 0 to 3. The vehicle says that it takes them by this AUTOPILOT_VERSION.flight_custom_version.
MOTOR_GROUP = 128
TAKES_MOTORS = b"rotors01"

# SET_ATTITUDE_TARGET.type_mask
ROLL_RATE_IGNORE, PITCH_RATE_IGNORE, YAW_RATE_IGNORE, THROTTLE_IGNORE, ATTITUDE_IGNORE = 1, 2, 4, 64, 128
RATES_MASK = ATTITUDE_IGNORE
ATTITUDE_MASK = ROLL_RATE_IGNORE | PITCH_RATE_IGNORE | YAW_RATE_IGNORE
# SET_POSITION_TARGET_LOCAL_NED.type_mask: position and yaw
POSITION_MASK = 0b100111111000

PREARM_CHECK = development.MAV_SYS_STATUS_PREARM_CHECK
REMOTE_CONTROL = development.MAV_SYS_STATUS_SENSOR_RC_RECEIVER


class PX4Mode(enum.IntEnum):
    """PX4's flight modes as HEARTBEAT.custom_mode has them: main mode in bits 16-23, sub mode in bits 24-31."""

    MANUAL = 1 << 16
    ALTITUDE = 2 << 16
    POSITION = 3 << 16
    ACRO = 5 << 16
    OFFBOARD = 6 << 16
    STABILIZED = 7 << 16
    AUTO_READY = 4 << 16 | 1 << 24
    AUTO_TAKEOFF = 4 << 16 | 2 << 24
    AUTO_LOITER = 4 << 16 | 3 << 24
    AUTO_MISSION = 4 << 16 | 4 << 24
    AUTO_RTL = 4 << 16 | 5 << 24
    AUTO_LAND = 4 << 16 | 6 << 24


def mode_of(custom_mode: int) -> PX4Mode | int:
    """The mode, or the number itself where it is not listed here: manual modes have variants."""
    try:
        return PX4Mode(custom_mode)
    except ValueError:
        return custom_mode


class Landed(enum.IntEnum):
    """EXTENDED_SYS_STATE.landed_state."""

    UNDEFINED = 0
    ON_GROUND = 1
    IN_AIR = 2
    TAKING_OFF = 3
    LANDING = 4


class CommandResult(enum.IntEnum):
    """COMMAND_ACK.result."""

    ACCEPTED = 0
    TEMPORARILY_REJECTED = 1
    DENIED = 2
    UNSUPPORTED = 3
    FAILED = 4
    IN_PROGRESS = 5


INT32: int = development.MAV_PARAM_TYPE_INT32
REAL32: int = development.MAV_PARAM_TYPE_REAL32


def parameter_to_wire(value: int | float) -> tuple[float, int]:
    """param_value and param_type as PX4 sends them: an integer's bytes as a float. Raises OverflowError beyond 32 bits."""
    if isinstance(value, int):
        try:
            return float(struct.unpack("<f", struct.pack("<i", value))[0]), INT32
        except struct.error:
            raise OverflowError(f"parameter: found {value}, wanted an integer of 32 bits") from None
    return value, REAL32


def parameter_from_wire(value: float, kind: int) -> int | float | None:
    """The parameter's value; None for a type that PX4 does not have."""
    if kind == INT32:
        return int(struct.unpack("<i", struct.pack("<f", value))[0])
    return float(value) if kind == REAL32 else None
