"""Executes a launch file: reads its arguments, visits its actions, and runs its processes from start to end."""

import importlib.util
import math
import os
import selectors
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError, meant
from spike_ctrl._files.resources import prefixes
from spike_ctrl._files.text_table import output_width
from spike_ctrl.launching import actions, installed, launch_modules, node_parameters
from spike_ctrl.launching.process import Process, ProcessCommand
from spike_ctrl.launching.screen import Screen, prefix
from spike_ctrl.launching.substitutions import UNSUPPORTED, Substitution, text

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENDED_BY_REQUEST = (0, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def run(launch_file: Path, arguments: list[str], *, show_args: bool = False) -> int:
    """Run a launch file with arguments NAME:=VALUE until its processes have ended. Gives the exit code.

    0: all processes ended well, or one that ended well requested the shutdown. 2: the arguments or the launch file are
    wrong, and a line on stderr says why. Else: the code of the first process that failed (128 + signal if a signal ended
    it). Ctrl-C, SIGTERM and SIGHUP stop all processes, the last one first. A second signal kills them.
    """
    real = _ros_has_launch()
    try:
        with nullcontext() if real else launch_modules.installed():
            found = _load(launch_file)
            declared = found.get_launch_arguments()
            if show_args:
                print(_table(declared))
                return 0
            configurations = _parse(arguments, declared)
            for key, value in installed.environment().items():
                os.environ.setdefault(key, value)
            if real:
                return _run_with_ros(launch_file, configurations)
            with tempfile.TemporaryDirectory(prefix="spike_ctrl_launch_") as scratch:
                context = LaunchContext(launch_file.resolve().parent, configurations, Path(scratch))
                return context.run(found)
    except UsageError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 2


def arguments(launch_file: Path) -> list[actions.DeclareLaunchArgument]:
    """The arguments that a launch file declares, as DeclareLaunchArgument. Raises UsageError."""
    with nullcontext() if _ros_has_launch() else launch_modules.installed():
        return _load(launch_file).get_launch_arguments()


def _ros_has_launch() -> bool:
    return all(importlib.util.find_spec(name) for name in ("launch", "launch_ros"))


def _run_with_ros(launch_file: Path, configurations: dict[str, str]) -> int:
    """Run with ROS 2's own launch. It gives no code of a process; `ExitCodes` keeps them, as this runner counts them."""
    import launch
    from launch.actions import IncludeLaunchDescription, RegisterEventHandler
    from launch.event_handlers import OnProcessExit
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    # At a terminal Ctrl-C reaches the nodes as well; elsewhere the launch must pass it on, as `ros2 launch` does.
    codes, service = ExitCodes(), launch.LaunchService(noninteractive=not sys.stdin.isatty())
    heard = RegisterEventHandler(
        OnProcessExit(on_exit=lambda event, context: codes.add(event.returncode, context.is_shutdown))
    )
    source = PythonLaunchDescriptionSource(str(launch_file))
    include = IncludeLaunchDescription(source, launch_arguments=list(configurations.items()))
    service.include_launch_description(launch.LaunchDescription([heard, include]))
    return service.run() or codes.code


class ExitCodes:
    """The exit code of a launch, from those of its processes in the order of their ends.

    It is that of the first one that failed. Where one that ended well requested the shutdown, the others may fail, but for
    one that lost what it was to write (74, EX_IOERR).
    """

    def __init__(self) -> None:
        self.code, self._last = 0, -1  # of the one that ended last before a shutdown

    def add(self, code: int, stopping: bool) -> None:
        """A process has ended. code: negative for a signal. stopping: whether the launch was stopping by then."""
        code = 128 - code if code < 0 else code
        forgiven = stopping and code != os.EX_IOERR and (self._last == 0 or code in ENDED_BY_REQUEST)
        if code and not self.code and not forgiven:
            self.code = code
        if not stopping:
            self._last = code

    def interrupted(self) -> None:
        """A signal requests the shutdown, whatever ended before."""
        self._last = -1


def _load(launch_file: Path) -> actions.LaunchDescription:
    if not launch_file.is_file():
        raise UsageError(f"{launch_file}: no such launch file")
    spec = importlib.util.spec_from_file_location("launch_file", launch_file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{launch_file}: found another kind of file, wanted a launch file in Python, NAME.launch.py")
    module = importlib.util.module_from_spec(spec)
    with _named_errors(launch_file):
        spec.loader.exec_module(module)
        found: actions.LaunchDescription = module.generate_launch_description()
        return found


@contextmanager
def _named_errors(launch_file: Path) -> Iterator[None]:
    """Turns every exception of a launch file into a UsageError of one line that names the place."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{launch_file.name}: {error}") from error
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in ("launch", "launch_ros"):
            raise UsageError(f"{launch_file.name}: {error.name} {UNSUPPORTED}") from error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(launch_file)]
        place = f"{launch_file}:{lines[-1]}" if lines else str(launch_file)
        raise UsageError(f"{place}: {type(error).__name__}: {error}") from error


def _parse(arguments: list[str], declared: list[actions.DeclareLaunchArgument]) -> dict[str, str]:
    names = {argument.name: argument for argument in declared}
    found = {}
    for argument in arguments:
        name, separator, value = argument.partition(":=")
        if not separator or not name.strip():
            raise UsageError(f"malformed argument '{argument}': wanted NAME:=VALUE")
        if name not in names:
            if line := plug_ins.missing("launch_arguments", name):
                raise UsageError(f"argument {line}")
            hint = meant(name, names) or ";"
            raise UsageError(f"unknown argument '{name}'{hint} valid: {', '.join(sorted(names)) or 'none'}")
        choices = names[name].choices
        if choices is not None and value not in choices:
            raise UsageError(f"argument '{name}': found '{value}', wanted one of: {', '.join(choices)}")
        found[name] = value
    return found


def _table(declared: list[actions.DeclareLaunchArgument]) -> str:
    lines = []
    for argument in declared:
        default = argument.default_value
        shown = "required" if default is None else f"default '{''.join(map(_shown, default))}'"
        choices = f"; one of: {', '.join(argument.choices)}" if argument.choices else ""
        lines.append(f"  {argument.name}:=  ({shown}{choices})\n      {argument.description or ''}".rstrip())
    return "\n".join(["Arguments, as NAME:=VALUE", *lines] if lines else ["No arguments."])


def _shown(substitution: Substitution) -> str:
    return str(substitution.text) if hasattr(substitution, "text") else substitution.describe()


class LaunchContext:
    """The state that the actions of a launch file change: values of arguments, environment, handlers and processes."""

    def __init__(self, directory: Path, configurations: dict[str, str], scratch: Path):
        self.directory = directory
        self.launch_configurations = configurations
        self.environment = dict(os.environ)
        self.handlers: list[actions.OnProcessExit] = []
        self._scratch = scratch
        self._screen = Screen(sys.stdout, time.monotonic)
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
        ros_arguments += installed.in_namespace(namespace)
        for origin, target in node.remappings:
            ros_arguments += ["-r", f"{text(self, origin)}:={text(self, target)}"]
        for file in self._parameter_files(node.parameters, where):
            ros_arguments += ["--params-file", str(file)]
        package = text(self, node.package) if node.package else None
        program = installed.executable(package, executable, self.prefixes()) if package else executable
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
