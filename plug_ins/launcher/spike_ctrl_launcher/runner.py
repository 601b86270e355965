"""Executes a launch file: visits its actions, and runs its processes from start to end."""

import math
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.resources import prefixes
from spike_ctrl._files.text_table import output_width
from spike_ctrl.launching.installed import executable as installed_executable
from spike_ctrl.launching.installed import in_namespace
from spike_ctrl.launching.launch_file import ENDED_BY_REQUEST, ExitCodes
from spike_ctrl_launcher import actions, node_parameters
from spike_ctrl_launcher.launch_modules import installed
from spike_ctrl_launcher.process import Process, ProcessCommand
from spike_ctrl_launcher.process_screen import ProcessScreen, prefix
from spike_ctrl_launcher.substitutions import text

__all__ = ["LaunchContext", "installed", "run"]

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(found: actions.LaunchDescription, folder: Path, arguments: dict[str, str]) -> int:
    """Run a launch description until its processes have ended. Gives the exit code, as `launching.run` tells it.

    folder: of its file. arguments: by name. Raises UsageError.
    """
    with tempfile.TemporaryDirectory(prefix="spike_ctrl_launch_") as scratch:
        return LaunchContext(folder, arguments, Path(scratch)).run(found)


class LaunchContext:
    """The state that the actions of a launch file change: values of arguments, environment, handlers and processes."""

    def __init__(self, directory: Path, configurations: dict[str, str], scratch: Path):
        self.directory = directory
        self.launch_configurations = configurations
        self.environment = dict(os.environ)
        self.handlers: list[actions.OnProcessExit] = []
        self._scratch = scratch
        self._screen = ProcessScreen(sys.stdout, time.monotonic)
        self._waiting: list[tuple[actions.ExecuteProcess, ProcessCommand]] = []
        self._running: list[tuple[actions.ExecuteProcess, Process]] = []
        self._selector = selectors.DefaultSelector()
        self._names: dict[str, int] = {}
        self._signals: list[int] = []
        self._stopping = False
        self._codes = ExitCodes()

    # What actions call.

    def log(self, message: str) -> None:
        """Print a line of the launch itself."""
        self._screen.line("launch", message)

    def shutdown(self, reason: str) -> None:
        """Send SIGINT to every process, the last one first, and start no further one."""
        if self._stopping:
            return
        self._stopping = True
        self._waiting.clear()
        if self._running:
            self.log(f"stopping: {reason}")
        for _, process in reversed(self._running):
            process.interrupt(time.monotonic())

    @property
    def is_shutdown(self) -> bool:
        """Whether the launch is stopping."""
        return self._stopping

    def start(self, process: actions.ExecuteProcess) -> None:
        """Plan the start of a process, unless the launch is stopping. Raises UsageError."""
        if not self._stopping:
            command = self._node(process) if isinstance(process, actions.Node) else self._program(process)
            self._waiting.append((process, command))

    def prefixes(self) -> list[Path]:
        """Folders in which packages may be installed."""
        return prefixes(self.environment)

    # From start to end.

    def run(self, launch_description: actions.LaunchDescription) -> int:
        """Visit the actions, then start the processes. If an action raises UsageError, no process has been started."""
        handled = {number: signal.signal(number, self._on_signal) for number in STOP}
        try:
            for action in launch_description.entities:
                action.visit(self)
            self._start_waiting()
            while self._running:
                self._step()
            self._screen.settle()
            return self._codes.code
        finally:
            for _, process in self._running:  # only after an error of the runner itself
                process.kill()
            for number, handler in handled.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)

    def _step(self) -> None:
        for key, _ in self._selector.select(timeout=0.05):
            if not key.data.read():
                self._selector.unregister(key.fileobj)
        for node, process in list(self._running):
            if process.popen.poll() is not None:
                self._ended(node, process)
        self._start_waiting()
        if len(self._signals) > 1:
            for _, process in self._running:
                process.kill()
        elif self._signals and not self._stopping:
            self._codes.interrupted()
            self.shutdown(signal.Signals(self._signals[0]).name)
        for _, process in self._running:
            process.escalate(time.monotonic())

    def _start_waiting(self) -> None:
        while self._waiting and not self._signals:
            node, command = self._waiting.pop(0)
            process = Process(command, self._screen)
            self._running.append((node, process))
            self._selector.register(process, selectors.EVENT_READ, process)

    def _ended(self, node: actions.ExecuteProcess, process: Process) -> None:
        self._running.remove((node, process))
        if process in self._selector.get_map():
            self._selector.unregister(process)
        code = process.finish()
        if code not in (ENDED_BY_REQUEST if self._stopping else (0,)):
            how = f"was ended by {signal.Signals(code - 128).name}" if code > 128 else f"failed with exit code {code}"
            self.log(f"{process.command.name} {how}")
        self._codes.add(code, self._stopping)
        own = [actions.OnProcessExit(on_exit=node.on_exit)] if node.on_exit else []
        try:
            for handler in own + [h for h in self.handlers if h.target_action in (None, node)]:
                handler.handle(process, self)
        except UsageError as error:  # the other processes still get their time to end
            self.log(f"when {process.command.name} ended: {error}")
            self._codes.add(2, stopping=False)
            self.shutdown("an error in the launch file")

    # From an action to a command.

    def _program(self, process: actions.ExecuteProcess) -> ProcessCommand:
        words = [text(self, word) for word in process.cmd]
        if not words:
            raise UsageError("ExecuteProcess: cmd: found nothing, wanted a program and its arguments")
        return self._command(process, text(self, process.name) if process.name else Path(words[0]).name, words)

    def _node(self, node: actions.Node) -> ProcessCommand:
        executable = text(self, node.executable)
        name = text(self, node.name) if node.name else executable
        namespace = text(self, node.namespace or "")
        where = f"node {name}"
        ros_arguments = [text(self, argument) for argument in node.ros_arguments]
        if node.name:
            ros_arguments += ["-r", f"__node:={name}"]
        ros_arguments += in_namespace(namespace)
        for origin, target in node.remappings:
            ros_arguments += ["-r", f"{text(self, origin)}:={text(self, target)}"]
        for file in self._parameter_files(node.parameters, where):
            ros_arguments += ["--params-file", str(file)]
        package = text(self, node.package) if node.package else None
        program = installed_executable(package, executable, self.prefixes()) if package else executable
        arguments = [program, *(text(self, argument) for argument in node.arguments)]
        arguments += ["--ros-args", *ros_arguments] if ros_arguments else []
        ours = (package or "").startswith("spike_ctrl_")
        return self._command(node, "/".join(filter(None, [namespace.strip("/"), name])), arguments, held=ours)

    def _command(
        self, process: actions.ExecuteProcess, name: str, arguments: list[str], *, held: bool = False
    ) -> ProcessCommand:
        added = {text(self, key): text(self, value) for key, value in dict(process.additional_env).items()}
        timeouts = (process.sigterm_timeout, process.sigkill_timeout)
        sigterm, sigkill = (_seconds(text(self, timeout), f"{name}, time-out") for timeout in timeouts)
        unique, room = self._unique(name), {}
        if math.isfinite(width := output_width()):  # its tables fit beside its name
            room = {"COLUMNS": str(max(int(width) - len(prefix(unique)), 1))}
        return ProcessCommand(unique, arguments, self.environment | room | added, sigterm, sigkill, held)

    def _parameter_files(self, found: Sequence[Any], where: str) -> list[Path]:
        """One file per entry: the file that it names, or a new one with its values."""
        files = []
        for entry in found:
            if isinstance(entry, dict):
                file = self._scratch / f"parameters_{len(list(self._scratch.iterdir()))}.yaml"
                values = {"/**": {"ros__parameters": node_parameters.parameters(self, entry, where)}}
                file.write_text(yaml.safe_dump(values, allow_unicode=True, width=float("inf")))
            else:
                file = Path(text(self, entry))
                if not file.is_file():
                    raise UsageError(f"{where}: parameter file {file} does not exist")
            files.append(file)
        return files

    def _unique(self, name: str) -> str:
        self._names[name] = self._names.get(name, 0) + 1
        return name if self._names[name] == 1 else f"{name}-{self._names[name]}"


def _seconds(found: str, where: str) -> float:
    try:
        return float(found)
    except ValueError:
        raise UsageError(f"{where}: found '{found}', wanted seconds") from None
