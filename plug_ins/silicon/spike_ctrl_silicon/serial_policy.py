"""A policy at the other end of a serial line: a board, or the core in Verilator behind a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import select
import termios
import tty
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl_silicon.serial_frames import WARM_UP, Reply, ReplyStatus, reply, request

TRIES = 4  # of a request whose request or reply was damaged on the line


class LinePlace(NamedTuple):
    """Where a flight over a line is: the sequence number of its next request, and the steps since the core began anew."""

    sequence: int
    steps: int


class SerialPolicy:
    """Answers of a serial port, with the interface of `Policy`, for one vehicle. Raises UsageError for a port that fails.

    timeout: seconds within which a reply must come. A damaged request or reply is sent again; the core answers a request
    that it knows with the same reply.
    """

    def __init__(
        self, port: Path, inputs: int = 18, outputs: int = 4, timeout: float = 5.0, voltage: VoltageInput | None = None
    ) -> None:
        self.inputs, self.outputs, self.timeout, self.port, self.voltage = inputs, outputs, timeout, port, voltage
        self.status, self.repeated = ReplyStatus.WARMING_UP, 0
        try:
            self._line = os.open(port, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._line)
        except (OSError, termios.error) as error:
            raise UsageError(f"{port}: cannot be opened as a serial port: {error}") from None
        try:
            fcntl.flock(self._line, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise UsageError(f"{port}: found it in use, wanted it free: a core holds the state of one flight") from None
        settings = termios.tcgetattr(self._line)
        settings[4] = settings[5] = termios.B1000000
        termios.tcsetattr(self._line, termios.TCSANOW, settings)

    def __enter__(self) -> SerialPolicy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the port."""
        os.close(self._line)

    def initial_state(self, batch: int | None = None) -> LinePlace:
        """The state before the first step; a batch has one vehicle."""
        if batch not in (None, 1):
            raise UsageError(f"{self.port}: found {batch} vehicles, wanted 1: a core holds the state of one")
        return LinePlace(0, 0)

    def step(self, observation: NDArray[np.float32], state: LinePlace) -> tuple[NDArray[np.float32], LinePlace]:
        """One control step: observation [in] or [1, in] to action [out] or [1, out], and the new state.

        Raises UsageError where no answer comes, or one of a core that has begun anew by itself.
        """
        answer = self._asked(request(state.sequence, observation.reshape(-1), state.steps == 0), state.sequence)
        due = ReplyStatus.READY if state.steps >= WARM_UP - 1 else ReplyStatus.WARMING_UP
        if answer.status is not due:
            raise UsageError(f"{self.port}: found {answer.status.name} in step {state.steps}, wanted {due.name}")
        self.status = answer.status
        return answer.action.reshape(*observation.shape[:-1], -1), LinePlace((state.sequence + 1) & 0xFF, state.steps + 1)

    def reset_rows(self, state: LinePlace, mask: NDArray[np.bool_]) -> LinePlace:
        """The initial state, if the vehicle is in the mask."""
        return self.initial_state() if np.any(mask) else state

    def spike_rates(self, state: LinePlace) -> tuple[float, ...]:
        """Nothing: the line does not tell."""
        return ()

    def _asked(self, data: bytes, sequence: int) -> Reply:
        why = ""
        for attempt in range(TRIES):
            self.repeated += attempt > 0
            try:
                answer = self._answer(data)
            except UsageError as error:
                why = str(error)
                continue
            except (OSError, termios.error) as error:  # unplugged, or the process behind it has ended
                raise UsageError(f"{self.port}: {error}") from None
            if answer.status is not ReplyStatus.DAMAGED and answer.sequence == sequence:
                return answer
            why = f"{self.port}: found {answer.status.name} to request {answer.sequence}, wanted an action for {sequence}"
        raise UsageError(why)

    def _answer(self, data: bytes) -> Reply:
        termios.tcflush(self._line, termios.TCIFLUSH)  # what came too late for the last request
        os.write(self._line, data)
        size, heard = 6 + 4 * self.outputs, b""
        while len(heard) < size:
            if not select.select([self._line], [], [], self.timeout)[0]:
                raise UsageError(f"{self.port}: found {len(heard)} bytes in {self.timeout:g} s, wanted a reply of {size}")
            some = os.read(self._line, size - len(heard))
            if not some:
                raise OSError("the line has ended")
            heard += some
        return reply(heard, self.outputs)


class FlownLine(SerialPolicy):
    """The same in command: where the line fails, the action is NaN, which the pilot refuses and the supervisor bridges.

    A core that failed is not asked again before the pilot begins anew.
    """

    _failed = _told = False

    def initial_state(self, batch: int | None = None) -> LinePlace:
        """The state before the first step; a batch has one vehicle."""
        self._failed = False
        return super().initial_state(batch)

    def step(self, observation: NDArray[np.float32], state: LinePlace) -> tuple[NDArray[np.float32], LinePlace]:
        """One control step, as `SerialPolicy.step`; NaN in place of its UsageError."""
        if not self._failed:
            try:
                found = super().step(observation, state)
                self._told = False
                return found
            except UsageError as error:
                if not self._told:
                    print(f"no action from the core: {error}", flush=True)
                self._failed = self._told = True
        return np.full((*observation.shape[:-1], self.outputs), np.nan, np.float32), state
