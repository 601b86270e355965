"""One process of a launch: it has its own process group, its output is split into lines, and it is stopped in steps."""

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import IO, cast

from spike_ctrl_launcher.process_screen import LineSplitter, ProcessScreen


@dataclass(frozen=True)
class ProcessCommand:
    """What to start.

    sigterm_timeout: s from SIGINT to SIGTERM. sigkill_timeout: s from SIGTERM to SIGKILL. held: the process starts with
    SIGINT blocked and unblocks it by itself, as our nodes do (`spike_ctrl_ros.end_quietly`). Otherwise a SIGINT while
    Python starts would end in a traceback.
    """

    name: str
    arguments: list[str]
    environment: dict[str, str]
    sigterm_timeout: float
    sigkill_timeout: float
    held: bool = False


class Process:
    """A running process; its output goes to the screen."""

    def __init__(self, command: ProcessCommand, screen: ProcessScreen):
        self.command, self.screen = command, screen
        self.lines = LineSplitter(screen, command.name)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if command.held else ())
        try:  # a session of its own: Ctrl-C reaches the launch alone, which stops the processes in order
            self.popen = subprocess.Popen(
                command.arguments,
                env=command.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._output = cast(IO[bytes], self.popen.stdout)
        os.set_blocking(self.fileno(), False)
        self._steps: list[tuple[float, signal.Signals]] = []

    def fileno(self) -> int:
        """The file descriptor of its output, for a selector."""
        return self._output.fileno()

    def read(self) -> bool:
        """Show what the process has written since the last call. False at the end of its output."""
        try:
            data = os.read(self.fileno(), 65536)
        except BlockingIOError:
            return True
        self.lines.feed(data)
        return bool(data)

    def interrupt(self, now: float) -> None:
        """Send SIGINT, and plan SIGTERM and SIGKILL in case it does not end. now: s."""
        sigterm = now + self.command.sigterm_timeout
        self._steps = [(sigterm, signal.SIGTERM), (sigterm + self.command.sigkill_timeout, signal.SIGKILL)]
        self.popen.send_signal(signal.SIGINT)

    def escalate(self, now: float) -> None:
        """Send the next signal of the plan if its time has come. now: s."""
        if self._steps and now >= self._steps[0][0]:
            _, step = self._steps.pop(0)
            self.screen.line("launch", f"{self.command.name} does not end: {step.name}")
            self.kill() if step is signal.SIGKILL else self.popen.send_signal(step)

    @property
    def returncode(self) -> int | None:
        """Exit code as in the events of ROS's launch: negative if a signal ended the process; None while it runs."""
        return self.popen.returncode

    def kill(self) -> None:
        """Send SIGKILL to the process and to all processes that it started."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def finish(self) -> int:
        """After its end: show the rest of its output and kill what it left running. Gives the exit code (128 + signal)."""
        data = b" "
        while data:
            try:
                data = os.read(self.fileno(), 65536)
            except BlockingIOError:  # a process that it started still holds the pipe
                break
            self.lines.feed(data)
        self.lines.end()
        self.kill()
        self._output.close()
        code = self.popen.wait()
        return code if code >= 0 else 128 - code
