"""A policy at the other end of a serial line: a board, or the core in Verilator behind a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import tempfile
import termios
import threading
import tty
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl_export import write_files
from spike_ctrl_silicon import core_folder, simulated_core, verilog
from spike_ctrl_silicon.integer_network import IntegerNetwork
from spike_ctrl_silicon.serial_frames import Reply, ReplyStatus, reply, request
from spike_ctrl_silicon.to_fpga import core_folder_sources

SIMULATED_HZ, DIVISOR = 4_000_000, 4  # the simulated UART is faster than a real one, in cycles
SEND = 0


class LinePlace(NamedTuple):
    """Where a flight over a line is: the sequence number of its next request, and whether that is the first."""

    sequence: int
    first: bool


class SerialPolicy:
    """Answers of a serial port, with the interface of `Policy`, for one vehicle. Raises UsageError for a port that fails.

    timeout: seconds within which a reply must come. Replies are taken from the first step on; `status` is the last one's.
    """

    def __init__(self, port: Path, inputs: int = 18, outputs: int = 4, timeout: float = 5.0) -> None:
        self.inputs, self.outputs, self.timeout, self.port = inputs, outputs, timeout, port
        self.status = ReplyStatus.WARMING_UP
        try:
            self._line = os.open(port, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._line)
        except (OSError, termios.error) as error:
            raise UsageError(f"{port}: cannot be opened as a serial port: {error}") from None
        settings = termios.tcgetattr(self._line)
        settings[4] = settings[5] = termios.B1000000
        termios.tcsetattr(self._line, termios.TCSANOW, settings)

    def close(self) -> None:
        """Close the port."""
        os.close(self._line)

    def initial_state(self, batch: int | None = None) -> LinePlace:
        """The state before the first step; a batch has one vehicle."""
        if batch not in (None, 1):
            raise UsageError(f"{self.port}: found {batch} vehicles, wanted 1: a core holds the state of one")
        return LinePlace(0, True)

    def step(self, observation: NDArray[np.float32], state: LinePlace) -> tuple[NDArray[np.float32], LinePlace]:
        """One control step: observation [in] or [1, in] to action [out] or [1, out], and the new state."""
        answer = self._asked(request(state.sequence, observation.reshape(-1), state.first))
        if answer.sequence != state.sequence or answer.status in (ReplyStatus.DAMAGED, ReplyStatus.NOT_FINITE):
            found = f"{answer.status.name} to request {answer.sequence}"
            raise UsageError(f"{self.port}: found {found}, wanted an action for request {state.sequence}")
        self.status = answer.status
        return answer.action.reshape(*observation.shape[:-1], -1), LinePlace((state.sequence + 1) & 0xFF, False)

    def reset_rows(self, state: LinePlace, mask: NDArray[np.bool_]) -> LinePlace:
        """The initial state, if the vehicle is in the mask."""
        return self.initial_state() if np.any(mask) else state

    def spike_rates(self, state: LinePlace) -> tuple[float, ...]:
        """Nothing: the line does not tell."""
        return ()

    def _asked(self, data: bytes) -> Reply:
        os.write(self._line, data)
        size, heard = 6 + 4 * self.outputs, b""
        while len(heard) < size:
            if not select.select([self._line], [], [], self.timeout)[0]:
                raise UsageError(f"{self.port}: found {len(heard)} bytes in {self.timeout:g} s, wanted a reply of {size}")
            heard += os.read(self._line, size - len(heard))
        return reply(heard, self.outputs)


class SimulatedLine:
    """The core and its UART in Verilator behind a pseudo-terminal, whose path is `port`. Use it in a `with` statement.

    Its time passes only while it is asked. Raises UsageError where Verilator or a compiler is missing.
    """

    def __init__(self, network: IntegerNetwork, lanes: int = 8) -> None:
        if lack := simulated_core.missing():
            raise UsageError(f"simulation of the core: {lack}")
        self._place = tempfile.TemporaryDirectory()
        folder = Path(self._place.name)
        files = verilog.files(network, lanes, "simulated")
        serial = core_folder.sized(files["spike_serial.sv"], network)
        files["spike_serial.sv"] = serial.replace("CLOCK_HZ = 50_000_000", f"CLOCK_HZ = {SIMULATED_HZ}")
        write_files(folder, files)
        (folder / "built").mkdir()
        program = simulated_core.built(folder, "spike_serial", core_folder_sources(), "drive_serial.cpp", folder / "built")
        self._core = subprocess.Popen(
            [program, str(DIVISOR)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._near, self._far = pty.openpty()
        tty.setraw(self._far)
        self.port = Path(os.ttyname(self._far))
        self._request = 6 + 4 * network.sizes[0]
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> SimulatedLine:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._core.kill()
        self._core.communicate()
        os.close(self._far)
        os.close(self._near)
        self._place.cleanup()

    def _carry(self) -> None:
        """Carry bytes between the pseudo-terminal and the program, a request at a time, until either ends."""
        assert self._core.stdin is not None and self._core.stdout is not None
        try:
            while True:
                data = os.read(self._near, self._request)
                while len(data) < self._request and select.select([self._near], [], [], 0.05)[0]:
                    data += os.read(self._near, self._request - len(data))
                self._core.stdin.write(struct.pack("<ii", SEND, len(data)) + data)
                head = self._core.stdout.read(8)
                if len(head) < 8:
                    return
                heard = b""
                while len(heard) < (wanted := struct.unpack("<ii", head)[1]):
                    heard += self._core.stdout.read(wanted - len(heard))
                os.write(self._near, heard)
        except (OSError, ValueError):  # closed
            return
