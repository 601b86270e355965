"""What the simulated vehicle does on each MAVLink command, COMMAND_LONG, and how it answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from spike_ctrl.px4 import dialect
from spike_ctrl.px4.dialect import CommandResult, PX4Mode, messages
from spike_ctrl.simulated_px4.telemetry import STREAMS

if TYPE_CHECKING:
    from spike_ctrl.simulated_px4.vehicle import Vehicle

Answers = list[tuple[str, messages.MAVLink_message]]  # by port
Command: TypeAlias = messages.MAVLink_command_long_message
JUMP = (0.6, -0.3, 0.1)  # m, jump of the estimate when the GPS is made wrong
_MODE_COMMANDS = {messages.MAV_CMD_NAV_RETURN_TO_LAUNCH: PX4Mode.AUTO_RTL, messages.MAV_CMD_NAV_LAND: PX4Mode.AUTO_LAND}


def set_mode(vehicle: Vehicle, m: Command) -> CommandResult:
    """DO_SET_MODE."""
    if not int(m.param1 if math.isfinite(m.param1) else 0) & messages.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED:
        return CommandResult.DENIED
    if not all(math.isfinite(value) and 0 <= value < 256 for value in (m.param2, m.param3)):
        return CommandResult.DENIED
    mode = dialect.mode_of(int(m.param2) << 16 | int(m.param3) << 24)
    return vehicle.commander.request_mode(mode, vehicle.seen)


def _mode_command(vehicle: Vehicle, port: str, m: Command) -> CommandResult:
    return vehicle.commander.request_mode(_MODE_COMMANDS[m.command], vehicle.seen)


def arm(vehicle: Vehicle) -> CommandResult:
    """A request to arm."""
    was, result = vehicle.commander.armed, vehicle.commander.arm(vehicle.seen, vehicle.now)
    if vehicle.commander.armed and not was:
        vehicle.armed_at, vehicle.navigator.home = vehicle.now, vehicle.estimate.position
    return result


def _arm_disarm(vehicle: Vehicle, port: str, m: Command) -> CommandResult:
    if m.param1 == 0:
        return vehicle.commander.disarm(vehicle.seen, force=m.param2 == dialect.FORCE)
    return arm(vehicle) if m.param1 == 1 else CommandResult.DENIED


def _set_message_interval(vehicle: Vehicle, port: str, m: Command) -> CommandResult:
    if not (math.isfinite(m.param1) and math.isfinite(m.param2)):
        return CommandResult.FAILED
    known = vehicle.schedules[port].set_interval(round(m.param1), m.param2 * 1e-6)
    return CommandResult.ACCEPTED if known else CommandResult.FAILED


def _request_message(vehicle: Vehicle, port: str, m: Command) -> CommandResult:
    stream = STREAMS.get(round(m.param1)) if math.isfinite(m.param1) else None
    if stream is None:
        return CommandResult.UNSUPPORTED
    vehicle.late_answers.append((port, stream.make(vehicle.snapshot())))
    return CommandResult.ACCEPTED


def _inject_failure(vehicle: Vehicle, port: str, m: Command) -> CommandResult:
    """Switch battery gauge, remote control or GPS off and on; a wrong GPS makes the estimate jump."""
    if vehicle.parameters["SYS_FAILURE_EN"] != 1:
        return CommandResult.DENIED
    unit, kind = m.param1, m.param2
    on_or_off = kind in (messages.FAILURE_TYPE_OK, messages.FAILURE_TYPE_OFF)
    if unit == messages.FAILURE_UNIT_SYSTEM_BATTERY and on_or_off:
        vehicle.battery.working = kind == messages.FAILURE_TYPE_OK
    elif unit == messages.FAILURE_UNIT_SYSTEM_RC_SIGNAL and on_or_off:
        vehicle.radio_works = kind == messages.FAILURE_TYPE_OK
    elif unit == messages.FAILURE_UNIT_SENSOR_GPS and on_or_off:
        vehicle.estimator.satellites = kind == messages.FAILURE_TYPE_OK
    elif unit == messages.FAILURE_UNIT_SENSOR_GPS and kind == messages.FAILURE_TYPE_WRONG:
        vehicle.estimator.jump(JUMP)
        vehicle.navigator.shifted(JUMP)
    else:
        return CommandResult.UNSUPPORTED
    return CommandResult.ACCEPTED


def _restart(vehicle: Vehicle, port: str, m: Command) -> CommandResult:
    """Reboot and shutdown end PX4's process, whose next start stands level. Here the vehicle stands level at once."""
    if m.param1 not in (1, 2):
        return CommandResult.UNSUPPORTED
    if vehicle.commander.armed:
        return CommandResult.DENIED
    vehicle.plant.stand_level()
    return CommandResult.ACCEPTED


COMMANDS: dict[int, Callable[[Vehicle, str, Command], CommandResult]] = {
    messages.MAV_CMD_COMPONENT_ARM_DISARM: _arm_disarm,
    messages.MAV_CMD_SET_MESSAGE_INTERVAL: _set_message_interval,
    messages.MAV_CMD_REQUEST_MESSAGE: _request_message,
    messages.MAV_CMD_INJECT_FAILURE: _inject_failure,
    messages.MAV_CMD_PREFLIGHT_REBOOT_SHUTDOWN: _restart,
    **dict.fromkeys(_MODE_COMMANDS, _mode_command),
}
