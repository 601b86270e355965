"""One process of a launch: started in its own group, its output cut into lines, stopped step by step."""

import os
import signal
import subprocess
from dataclasses import dataclass

from spike_ctrl.launching.screen import Lines, Screen


@dataclass(frozen=True)
class ProcessCommand:
    """What to start. Times in seconds: from SIGINT to SIGTERM, and from there to SIGKILL.

    held: a SIGINT waits until the process lets it through, as our nodes do before they load (`spike_ctrl_ros.end_quietly`):
    while it starts, Python would answer with a traceback.
    """

    name: str
    arguments: list[str]
    environment: dict[str, str]
    sigterm_timeout: float
    sigkill_timeout: float
    held: bool = False


class Process:
    def __init__(self, command: ProcessCommand, screen: Screen):
        self.command, self.screen = command, screen
        self.lines = Lines(screen, command.name)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if command.held else ())
        try:  # in a session of its own: a Ctrl-C at the terminal reaches the launch alone, which passes it on in order
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
        os.set_blocking(self.popen.stdout.fileno(), False)
        self._steps: list[tuple[float, signal.Signals]] = []

    def fileno(self) -> int:
        return self.popen.stdout.fileno()

    def read(self) -> bool:
        """Show what the process has written. False at the end of its output."""
        try:
            data = os.read(self.fileno(), 65536)
        except BlockingIOError:
            return True
        self.lines.feed(data)
        return bool(data)

    def interrupt(self, now: float) -> None:
        """SIGINT, and the plan for SIGTERM and SIGKILL should it not be enough."""
        sigterm = now + self.command.sigterm_timeout
        self._steps = [(sigterm, signal.SIGTERM), (sigterm + self.command.sigkill_timeout, signal.SIGKILL)]
        self.popen.send_signal(signal.SIGINT)

    def insist(self, now: float) -> None:
        """The next step of the plan, when its time has come."""
        if self._steps and now >= self._steps[0][0]:
            _, step = self._steps.pop(0)
            self.screen.line("launch", f"{self.command.name} does not end: {step.name}")
            self.kill() if step is signal.SIGKILL else self.popen.send_signal(step)

    @property
    def returncode(self) -> int | None:
        """As in the event of ROS's launch: negative where a signal ended the process."""
        return self.popen.returncode

    def kill(self) -> None:
        """SIGKILL to the process and to all that it started."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def finish(self) -> int:
        """After its end: show the rest of its output, end what it left running. Gives the exit code (128 + signal)."""
        data = b" "
        while data:
            try:
                data = os.read(self.fileno(), 65536)
            except BlockingIOError:  # somebody it started still holds the pipe
                break
            self.lines.feed(data)
        self.lines.end()
        self.kill()
        self.popen.stdout.close()
        code = self.popen.wait()
        return code if code >= 0 else 128 - code
