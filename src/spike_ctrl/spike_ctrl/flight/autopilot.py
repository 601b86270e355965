"""What the autopilot reports of itself, and what it may be asked for. `px4` translates both from and to MAVLink."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.flight.faults import Fault, Finding, Findings


class Mode(Enum):
    """The autopilot's mode. OTHER: a pilot's, such as manual, altitude or position."""

    OFFBOARD = "offboard"
    HOLD = "hold"
    LAND = "land"
    RETURN = "return"
    OTHER = "other"


class Ask(Enum):
    """What the supervisor lets the bridge ask the autopilot for, repeatedly, until the status shows it."""

    OFFBOARD = "offboard"
    ARM = "arm"
    HOLD = "hold"
    LAND = "land"


class Autopilot(NamedTuple):
    """The autopilot's newest status. Times in s on the monotonic clock.

    heard: receipt of its last packet of any kind. mode_heard: receipt of the last packet with the mode, or with armed and
    landed where those have stopped. landed: it reports that it stands on the ground. battery: remaining charge, 0..1;
    voltage: V; both NaN where unknown or no longer reported. rc_lost: it reported a remote control and no longer does.
    dropped: frames that were damaged, unsigned or replayed, since the start.
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
    dropped: int = 0

    @property
    def airborne(self) -> bool:
        """Whether it is armed and reports no landing."""
        return self.armed and not self.landed


@dataclass(frozen=True)
class AutopilotLimits:
    """When the link, the mode or the battery is a fault."""

    link_age: float = within(0.5, 0.05, 10.0, "Longest time without any packet.", "s")
    mode_age: float = within(2.5, 0.1, 10.0, "Longest time without news of the mode; a heartbeat comes once a second.", "s")
    battery_low: float = within(0.3, 0.0, 1.0, "Below this share of the charge nothing is engaged.", "")
    battery_critical: float = within(0.15, 0.0, 1.0, "Below this share of the charge the vehicle lands.", "")
    voltage_low: float = within(2.5, 0.1, 100.0, "A voltage below this is implausible.", "V")


def check_autopilot(status: Autopilot | None, dropped_before: int, now: float, limits: AutopilotLimits) -> Findings:
    """Faults of the autopilot at `now` (s). dropped_before: `dropped` of the status before."""
    if status is None:
        return (Finding(Fault.LINK_LOST, "never heard"),)
    found = []
    for name, heard, allowed in (("link", status.heard, limits.link_age), ("mode", status.mode_heard, limits.mode_age)):
        if not now - heard <= allowed:  # true for NaN
            found.append(Finding(Fault.LINK_LOST, f"{name}: heard {now - heard:.2f} s ago, wanted at most {allowed} s"))
    if not 0 <= status.battery <= 1 or not status.voltage >= limits.voltage_low or math.isinf(status.voltage):
        found.append(Finding(Fault.BATTERY_UNKNOWN, f"found {status.battery} of the charge, {status.voltage} V"))
    elif status.battery < limits.battery_critical:
        found.append(
            Finding(Fault.BATTERY_CRITICAL, f"found {status.battery:.0%}, wanted at least {limits.battery_critical:.0%}")
        )
    elif status.battery < limits.battery_low:
        found.append(Finding(Fault.BATTERY_LOW, f"found {status.battery:.0%}, wanted at least {limits.battery_low:.0%}"))
    if status.rc_lost:
        found.append(Finding(Fault.RC_LOST, "the autopilot no longer reports a remote control"))
    if status.ground_station_lost:
        found.append(Finding(Fault.GROUND_STATION_LOST, "the autopilot reports the loss"))
    if status.dropped > dropped_before:
        found.append(Finding(Fault.FRAMES_DROPPED, f"{status.dropped - dropped_before} more, {status.dropped} in all"))
    return tuple(found)
