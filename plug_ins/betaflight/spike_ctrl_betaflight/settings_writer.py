"""Writes those settings that a flight wants and that change nothing of how a pilot's sticks fly.

MSP OVERRIDE does nothing before its switch is on, and the rate of a serial port is nobody's habit. Rates, throttle curve,
failsafe and switches are the pilot's: they are typed by hand.
"""

import time
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight import msp
from spike_ctrl_betaflight.command_line import CommandLine
from spike_ctrl_betaflight.msp_line import MspLine

SAFE = {"msp_override_channels_mask": "15", "msp_override_failsafe": "OFF", "serial_update_rate_hz": "1000"}
RESTART, AGAIN = 10.0, 0.5  # s until a flight controller answers again; between two attempts


class WrittenSetting(NamedTuple):
    """before, after: as the CLI tells them."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"set {self.name}: was {self.before}, is {self.after}; undo: set {self.name} = {self.before}"


def write(line: MspLine, mask: int = 15) -> list[WrittenSetting]:
    """Set what is SAFE and not yet so, and save: the flight controller restarts. Raises UsageError, having saved nothing.

    mask: of the channels that MSP overrides.
    """
    status, boxids = msp.status(line.ask(msp.STATUS_EX)), line.ask(msp.BOXIDS)
    if status.active(msp.ARM, boxids):
        raise UsageError("--set: found the vehicle armed, wanted it disarmed: the flight controller restarts")
    cli, written = CommandLine(line), []
    try:
        for name, wanted in (SAFE | {"msp_override_channels_mask": str(mask)}).items():
            before = cli.get(name)
            if before is None:
                raise UsageError(f"--set: this firmware has no setting {name}")
            if before == wanted:
                continue
            if refused := cli.do(f"set {name} = {wanted}"):
                raise UsageError(f"--set: set {name} = {wanted}: {refused}")
            written.append(WrittenSetting(name, before, cli.get(name) or "unknown"))
    except UsageError:
        cli.leave()
        raise
    cli.save() if written else cli.leave()
    return written


def restarted(text: str) -> MspLine:
    """The line to a flight controller that restarts, once it answers. Raises UsageError."""
    end = time.monotonic() + RESTART
    while True:
        time.sleep(AGAIN)
        try:
            line = MspLine(text)
            try:
                line.ask(msp.API_VERSION)
                return line
            except UsageError:
                line.close()
                raise
        except UsageError:
            if time.monotonic() > end:
                raise UsageError(
                    f"connection {text}: the flight controller has not come back within {RESTART:g} s of its restart"
                ) from None
