"""The simulated autopilot's parameters: those of PX4 that it or the preflight uses, their defaults, and how one asks."""

import math
from collections.abc import Mapping
from contextlib import suppress

from spike_ctrl._files.errors import UsageError, meant
from spike_ctrl.px4 import dialect
from spike_ctrl.px4.dialect import messages

DEFAULTS: dict[str, int | float] = {
    # Failsafes: offboard stream, remote control, ground station, battery, geofence, attitude
    "COM_OF_LOSS_T": 1.0,
    "COM_OBL_RC_ACT": 0,
    "COM_RC_IN_MODE": 1,  # 0: the vehicle has a remote control, whose sticks nobody moves
    "COM_RCL_EXCEPT": 0,
    "COM_RC_OVERRIDE": 1,  # only read by the preflight: nobody moves the sticks
    "NAV_RCL_ACT": 2,
    "COM_FAIL_ACT_T": 5.0,  # only read by the preflight: there is no stick that would make the autopilot wait
    "NAV_DLL_ACT": 0,
    "COM_DL_LOSS_T": 10.0,
    "COM_LOW_BAT_ACT": 0,
    "BAT_LOW_THR": 0.15,
    "BAT_CRIT_THR": 0.07,
    "BAT_EMERGEN_THR": 0.05,
    "GF_ACTION": 2,
    "GF_MAX_HOR_DIST": 0.0,
    "GF_MAX_VER_DIST": 0.0,
    "CBRK_FLIGHTTERM": 121212,
    "FD_FAIL_R": 60,
    "FD_FAIL_P": 60,
    "FD_FAIL_R_TTRI": 0.3,
    "FD_FAIL_P_TTRI": 0.3,
    # Arming
    "COM_DISARM_LAND": 2.0,
    "COM_DISARM_PRFLT": 10.0,
    "COM_SPOOLUP_TIME": 1.0,
    # Set-points over MAVLink
    "MAV_SYS_ID": 1,  # only read by the preflight
    "MAV_FWDEXTSP": 1,
    # The autopilot's own control
    "MPC_THR_HOVER": 0.5,
    "MPC_THR_MIN": 0.12,
    "MPC_THR_MAX": 1.0,
    "THR_MDL_FAC": 0.0,  # only read by the preflight: the motors are linear in the command
    "MPC_XY_P": 0.95,
    "MPC_Z_P": 1.0,
    "MPC_XY_VEL_P_ACC": 1.8,
    "MPC_XY_VEL_I_ACC": 0.4,
    "MPC_Z_VEL_P_ACC": 4.0,
    "MPC_Z_VEL_I_ACC": 2.0,
    "MPC_XY_CRUISE": 5.0,
    "MPC_ACC_HOR": 3.0,
    "MPC_ACC_UP_MAX": 4.0,
    "MPC_ACC_DOWN_MAX": 3.0,
    "MPC_JERK_AUTO": 4.0,
    "MPC_Z_V_AUTO_UP": 3.0,
    "MPC_Z_V_AUTO_DN": 1.5,
    "MPC_LAND_SPEED": 0.7,
    "MPC_TILTMAX_AIR": 45.0,
    "MC_AIRMODE": 0,  # whether the mixer adds thrust for torques; 2 counts as 1
    "MC_ROLL_P": 6.5,
    "MC_PITCH_P": 6.5,
    "MC_YAW_P": 2.8,
    "MC_ROLLRATE_MAX": 220.0,
    "MC_PITCHRATE_MAX": 220.0,
    "MC_YAWRATE_MAX": 200.0,
    "MIS_TAKEOFF_ALT": 2.5,
    "RTL_RETURN_ALT": 60.0,
    "RTL_MIN_DIST": 10.0,
    # The simulated vehicle
    "SYS_AUTOSTART": 10040,
    "SYS_FAILURE_EN": 0,
    "EKF2_ACC_NOISE": 0.35,
    "EKF2_GYR_NOISE": 0.015,
    "SIM_BAT_DRAIN": 60.0,
    "SIM_BAT_MIN_PCT": 50.0,
    "SIH_WIND_N": 0.0,  # m/s, from north
    "SIH_WIND_E": 0.0,
}  # fmt: skip
NAMES = tuple(sorted(DEFAULTS))
LISTED_PER_TICK = 2  # so that a list does not fill the socket's buffer


class AutopilotParameters(dict[str, int | float]):
    """Values by name, which `set` alone changes. An integer stays an integer and a float a float, as on PX4.

    >>> AutopilotParameters({"COM_OF_LOSS_T": 0.2})["COM_OF_LOSS_T"]
    0.2
    """

    def __init__(self, changes: Mapping[str, int | float] | None = None):
        super().__init__(DEFAULTS)
        for name, value in (changes or {}).items():
            self.set(name, value)

    def set(self, name: str, value: int | float) -> None:
        """Raises UsageError, and changes nothing, where the name is unknown or the value has the wrong type."""
        if name not in self:
            hint = meant(name, NAMES) or f"; known: {', '.join(NAMES)}"
            raise UsageError(f"parameter {name}: unknown{hint}")
        kind = type(DEFAULTS[name])
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or not math.isfinite(value):
            wanted = "an integer" if kind is int else "a finite number"
            raise UsageError(f"parameter {name}: found {value!r}, wanted {wanted}")
        self[name] = value


def parse(text: str) -> tuple[str, int | float]:
    """Name and value from NAME=VALUE. Raises UsageError."""
    name, equals, value = text.partition("=")
    with suppress(ValueError):
        return name, int(value)
    try:
        return name, float(value)
    except ValueError:
        wanted = "wanted NAME=VALUE, such as COM_OF_LOSS_T=0.2"
        raise UsageError(f"parameter '{text}': found {'no number' if equals else 'no ='}, {wanted}") from None


def parameter_message(parameters: AutopilotParameters, index: int) -> messages.MAVLink_message:
    """PARAM_VALUE of the parameter with that place in NAMES."""
    name = NAMES[index]
    value, kind = dialect.parameter_to_wire(parameters[name])
    return messages.MAVLink_param_value_message(name.encode(), value, kind, len(NAMES), index)


class ParameterService:
    """MAVLink's protocol of parameters as PX4 answers it, for the requests of all ports: read one, list all, set one."""

    def __init__(self, parameters: AutopilotParameters):
        self.parameters = parameters
        self._listing: dict[str, int] = {}  # by port, the next one to tell

    def read(self, m: messages.MAVLink_param_request_read_message) -> messages.MAVLink_message | None:
        """The answer to PARAM_REQUEST_READ; None where there is no such parameter."""
        index = m.param_index
        if index < 0:
            index = NAMES.index(m.param_id) if m.param_id in NAMES else -1
        return parameter_message(self.parameters, index) if 0 <= index < len(NAMES) else None

    def begin_list(self, port: str) -> None:
        """Tell all parameters to a port, from the next tick on."""
        self._listing[port] = 0

    def due(self) -> list[tuple[str, messages.MAVLink_message]]:
        """What the lists send in this tick, by port."""
        found = []
        for port, at in self._listing.items():
            self._listing[port] = end = min(at + LISTED_PER_TICK, len(NAMES))
            found += [(port, parameter_message(self.parameters, index)) for index in range(at, end)]
        self._listing = {port: at for port, at in self._listing.items() if at < len(NAMES)}
        return found

    def set(self, m: messages.MAVLink_param_set_message) -> tuple[messages.MAVLink_message | None, str]:
        """The answer to PARAM_SET, None where there is no such parameter; and a complaint, empty where it was set."""
        name, value = m.param_id, dialect.parameter_from_wire(m.param_value, m.param_type)
        complaint = f"{name}: unknown or of another type"
        if name not in self.parameters:
            return None, complaint
        if isinstance(value, type(self.parameters[name])) and math.isfinite(value):
            self.parameters[name], complaint = value, ""
        return parameter_message(self.parameters, NAMES.index(name)), complaint
