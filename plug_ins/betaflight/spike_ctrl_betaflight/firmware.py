"""Betaflight's SITL as a process in a folder of its own, where its eeprom is, and its command line over TCP.

The firmware's ports are fixed: one runs on a computer at a time. It answers `save` by ending, and keeps its settings in the
folder. A SITL that is `timed` lives in the time that its `time` grants.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight import msp, sitl_packets
from spike_ctrl_betaflight.command_line import CommandLine
from spike_ctrl_betaflight.msp_line import MspLine
from spike_ctrl_betaflight.vehicle_time import VehicleTime

VARIABLE = "BETAFLIGHT_SITL"
MAYBE = ("feature -RX_MSP",)  # on in 4.5, where the receiver would be MSP; later versions have no such feature, or not here
PATIENCE = 10.0  # s
STARTS = 8
LINE = f"tcp:127.0.0.1:{sitl_packets.MSP}"
SETTINGS = (
    "feature -RX_MSP", "set msp_override_channels_mask = 15", "set msp_override_failsafe = OFF",
    "set motor_pwm_protocol = PWM", "set serial_update_rate_hz = 1000", "set thr_expo = 0", "set throttle_limit_type = OFF",
    "set auto_disarm_delay = 0", "aux 0 0 0 1700 2100 0 0", "aux 1 50 1 1700 2100 0 0", "aux 2 1 2 1700 2100 0 0",
    "set simplified_pids_mode = OFF", "set f_roll = 0", "set f_pitch = 0", "set f_yaw = 0", "set p_roll = 42",
    "set i_roll = 40", "set p_pitch = 42", "set i_pitch = 40", "set p_yaw = 110", "set i_yaw = 8",
)  # fmt: skip
"""Arming on channel 5, MSP override on 6, angle mode on 7. The gains are for our rotors, which are slower than those that
Betaflight's defaults are for, and whose own inertia turns no vehicle."""


def executable(given: str | None, environment: Mapping[str, str]) -> Path:
    """The executable that an option or the environment names. Raises UsageError."""
    name = given or environment.get(VARIABLE, "")
    if not name:
        raise UsageError(f"--firmware: found none, wanted the executable of Betaflight's SITL, here or in {VARIABLE}")
    path = Path(name).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(f"--firmware: found '{path}', wanted an executable: `make TARGET=SITL` in Betaflight builds one")
    return path


class Firmware:
    """The running firmware. folder: where its eeprom.bin and its log are. Raises UsageError where it does not start.

    Two threads of a SITL of 4.x share its clock without a lock, and at some starts it stands still: then it is started anew.
    """

    def __init__(self, path: Path, folder: Path, timed: bool = False):
        self.path, self.folder = path, folder
        self.time: VehicleTime | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if _listens():
            raise UsageError(f"port {sitl_packets.MSP}: found another firmware, wanted none: its ports are fixed")
        self._log = (folder / "firmware.log").open("ab")
        for _ in range(STARTS):
            self._start(timed)
            self._await_port()
            if self._clock_runs():
                return
            self._end()
        self.close()
        raise UsageError(f"{path}: its clock does not run after {STARTS} starts: {folder}/firmware.log")

    def _start(self, timed: bool) -> None:
        options: dict[str, Any] = {"cwd": self.folder, "stdout": self._log, "stderr": self._log, "start_new_session": True}
        if timed:
            self.time = VehicleTime(self.folder)
            options |= {"env": os.environ | self.time.environment, "pass_fds": [self.time.inherited.fileno()]}
        self.process = subprocess.Popen([self.path], **options)
        if self.time is not None:
            self.time.inherited.close()

    def _await_port(self) -> None:
        end = time.monotonic() + PATIENCE
        while not _listens():
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise UsageError(f"{self.path}: it does not listen at port {sitl_packets.MSP}: {self.folder}/firmware.log")
            time.sleep(0.05)

    def _clock_runs(self) -> bool:
        try:
            line = MspLine(LINE)
        except UsageError:
            return False
        try:
            time.sleep(0.2)
            return msp.status(line.ask(msp.STATUS_EX)).cycle > 0
        except UsageError:
            return False
        finally:
            line.close()
            time.sleep(0.3)  # the firmware takes one connection, and is slow to see its end

    def grant(self, seconds: float) -> None:
        """Let a timed firmware run for so long of its time."""
        assert self.time is not None
        self.time.grant(seconds)

    def api(self) -> tuple[int, ...]:
        """The version of its MSP, as (1, 48). Nobody may be connected."""
        line = MspLine(LINE)
        try:
            return tuple(line.ask(msp.API_VERSION)[1:3])
        finally:
            line.close()

    def __enter__(self) -> Firmware:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._end()
        self._log.close()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(2.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        if self.time is not None:
            self.time.close()


def configure(path: Path, folder: Path, lines: Sequence[str]) -> list[str]:
    """Start the firmware, type these lines into its CLI and save. Gives what it refused; it has ended then."""
    firmware = Firmware(path, folder)
    line = MspLine(LINE)
    try:
        cli = CommandLine(line)
        found = [(text, cli.do(text)) for text in lines]
        cli.save()
        firmware.process.wait(PATIENCE)
        return [f"{text}: {refused}" for text, refused in found if refused and text not in MAYBE]
    finally:
        line.close()
        firmware.close()


def _listens() -> bool:
    """Whether somebody has the port. A connection would not show it: the firmware takes one, and is slow to see its end."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", sitl_packets.MSP))
        except OSError:
            return True
    return False
