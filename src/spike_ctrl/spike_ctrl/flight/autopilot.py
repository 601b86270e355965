"""What the autopilot says of itself, and what it may be asked for. It knows no protocol: `px4` translates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.flight.faults import Fault, Finding


class Mode(Enum):
    OFFBOARD = "offboard"
    HOLD = "hold"
    LAND = "land"
    RETURN = "return"
    OTHER = "other"  # a pilot's: manual, altitude, position ...


class Ask(Enum):
    """What the supervisor asks the bridge to ask for; again and again until the autopilot's status shows it."""

    OFFBOARD = "offboard"
    ARM = "arm"
    HOLD = "hold"
    LAND = "land"


class Autopilot(NamedTuple):
    """The autopilot's newest status. Times in s on the monotonic clock.

    heard: receipt of its last packet of any kind. mode_heard: of the last that told the mode, or whether it is armed or
    landed where that has stopped. battery: charge left, 0..1; voltage V; NaN where unknown or no longer told. landed: it
    says that it stands on the ground. rc_lost: a remote control was heard and no longer is.
    """

    heard: float
    mode_heard: float
    mode: Mode
    armed: bool
    landed: bool
    battery: float = math.nan
    voltage: float = math.nan
    rc_lost: bool = False
    ground_station_lost: bool = False
    dropped: int = 0  # frames that were damaged, unsigned or replayed, since the start

    @property
    def airborne(self) -> bool:
        return self.armed and not self.landed


@dataclass(frozen=True)
class AutopilotLimits:
    link_age: float = within(0.5, 0.05, 10.0)  # s without any packet
    mode_age: float = within(2.5, 0.1, 10.0)  # s without news of the mode; a heartbeat comes once a second
    battery_low: float = within(0.3, 0.0, 1.0)  # share: no engagement below
    battery_critical: float = within(0.15, 0.0, 1.0)  # share: land below
    voltage_low: float = within(2.5, 0.1, 100.0)  # V: less is implausible


def check(status: Autopilot | None, dropped_before: int, now: float, limits: AutopilotLimits) -> tuple[Finding, ...]:
    """What is wrong with the autopilot. dropped_before: `dropped` of the status before."""
    if status is None:
        return (Finding(Fault.LINK_LOST, "never heard"),)
    found = []
    for name, heard, allowed in (("link", status.heard, limits.link_age), ("mode", status.mode_heard, limits.mode_age)):
        if not now - heard <= allowed:  # NaN is old, too
            found.append(Finding(Fault.LINK_LOST, f"{name}: heard {now - heard:.2f} s ago, wanted at most {allowed} s"))
    if not 0 <= status.battery <= 1 or not status.voltage >= limits.voltage_low or math.isinf(status.voltage):
        found.append(Finding(Fault.BATTERY_UNKNOWN, f"found {status.battery} of the charge, {status.voltage} V"))
    elif status.battery < limits.battery_critical:
        found.append(Finding(Fault.BATTERY_CRITICAL, f"found {status.battery:.0%}, wanted {limits.battery_critical:.0%}"))
    elif status.battery < limits.battery_low:
        found.append(Finding(Fault.BATTERY_LOW, f"found {status.battery:.0%}, wanted {limits.battery_low:.0%}"))
    if status.rc_lost:
        found.append(Finding(Fault.RC_LOST, "the autopilot no longer tells of it"))
    if status.ground_station_lost:
        found.append(Finding(Fault.GROUND_STATION_LOST, "the autopilot says so"))
    if status.dropped > dropped_before:
        found.append(Finding(Fault.FRAMES_DROPPED, f"{status.dropped - dropped_before} more, {status.dropped} in all"))
    return tuple(found)
