"""The vehicle's time for a SITL of any version: its clock goes on by the spans that are granted, and waits in between.

A library that is loaded before the C library answers the firmware's questions for the time (vehicle_time.c). It is compiled
beside the firmware's eeprom, with the compiler that built the firmware. A busy computer then flies slower, and not worse.
"""

import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from spike_ctrl._files.errors import UsageError

SOURCE = Path(__file__).with_name("vehicle_time.c")
VARIABLE = "SPIKE_CTRL_TIME"
PATIENCE = 5.0  # s of the computer's time, for the firmware's answer to a span


def compiled(folder: Path) -> Path:
    """The library, compiled into the folder. Raises UsageError."""
    if (compiler := shutil.which(os.environ.get("CC", "cc"))) is None:
        raise UsageError("cc: found none, wanted the C compiler that built the firmware: it compiles vehicle_time.c")
    library = folder / "vehicle_time.so"
    words = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    said = subprocess.run(words, capture_output=True, text=True)
    if said.returncode:
        raise UsageError(f"{SOURCE}: {compiler} does not compile it: {said.stderr.strip()}")
    return library.absolute()


class VehicleTime:
    """Grants time to one firmware. Its environment and `inherited` socket belong to the firmware's process."""

    def __init__(self, folder: Path):
        self._library = compiled(folder)
        self._ours, self.inherited = socket.socketpair()
        self._ours.settimeout(PATIENCE)

    @property
    def environment(self) -> dict[str, str]:
        """Of the firmware's process."""
        return {"LD_PRELOAD": str(self._library), VARIABLE: str(self.inherited.fileno())}

    def grant(self, seconds: float) -> None:
        """Let the firmware's main loop run for a span of its time. Raises UsageError where it does not come to its end."""
        try:
            self._ours.send(struct.pack("=q", round(seconds * 1e9)))
            if self._ours.recv(8):
                return
        except TimeoutError:
            raise UsageError(
                f"firmware: it did not take the vehicle's time within {PATIENCE:g} s; wanted one that is linked dynamically"
            ) from None
        except OSError:
            pass
        raise UsageError("firmware: it has ended; its log is beside its eeprom")

    def close(self) -> None:
        """Close both ends. The firmware ends."""
        self._ours.close()
        self.inherited.close()
