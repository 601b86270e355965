"""Reads a launch file and its arguments, and has it run: by ROS 2's own launch, or by a plug-in where that is missing."""

import importlib.util
import os
import signal
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError, meant
from spike_ctrl.launching import installed

UNSUPPORTED = "is not supported by this runner; install ROS 2's launch (ros-DISTRO-launch-ros), which is then used instead"
ENDED_BY_REQUEST = (0, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def run(launch_file: Path, arguments: list[str], *, show_args: bool = False) -> int:
    """Run a launch file with arguments NAME:=VALUE until its processes have ended. Gives the exit code.

    0: all processes ended well, or one that ended well requested the shutdown. 2: the arguments or the launch file are
    wrong, and a line on stderr says why. Else: the code of the first process that failed (128 + signal if a signal ended
    it). Ctrl-C, SIGTERM and SIGHUP stop all processes, the last one first. A second signal kills them.
    """
    try:
        own = _own_launcher()
        with own.installed() if own else nullcontext():
            found = _load(launch_file)
            declared = found.get_launch_arguments()
            if show_args:
                print(_table(declared))
                return 0
            configurations = _parse(arguments, declared)
            for key, value in installed.environment().items():
                os.environ.setdefault(key, value)
            if own is None:
                return _run_with_ros(launch_file, configurations)
            return int(own.run(found, launch_file.resolve().parent, configurations))
    except UsageError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 2


def arguments(launch_file: Path) -> list[Any]:
    """The arguments that a launch file declares, as DeclareLaunchArgument. Raises UsageError."""
    own = _own_launcher()
    with own.installed() if own else nullcontext():
        return list(_load(launch_file).get_launch_arguments())


def _own_launcher() -> Any:
    """The plug-in that runs launch files, None where ROS 2's own launch is there. Raises UsageError.

    Within its `installed()` a launch file can import `launch`.
    """
    if all(importlib.util.find_spec(name) for name in ("launch", "launch_ros")):
        return None
    return plug_ins.load("launchers", "own", "ROS 2's own launch is missing")


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


def _load(launch_file: Path) -> Any:
    """Its LaunchDescription. Every exception of the file becomes a UsageError of one line that names the place."""
    if not launch_file.is_file():
        raise UsageError(f"{launch_file}: no such launch file")
    spec = importlib.util.spec_from_file_location("launch_file", launch_file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{launch_file}: found another kind of file, wanted a launch file in Python, NAME.launch.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return module.generate_launch_description()
    except UsageError as error:
        raise UsageError(f"{launch_file.name}: {error}") from error
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in ("launch", "launch_ros"):
            raise UsageError(f"{launch_file.name}: {error.name} {UNSUPPORTED}") from error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(launch_file)]
        place = f"{launch_file}:{lines[-1]}" if lines else str(launch_file)
        raise UsageError(f"{place}: {type(error).__name__}: {error}") from error


def _parse(arguments: list[str], declared: list[Any]) -> dict[str, str]:
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


def _table(declared: list[Any]) -> str:
    lines = []
    for argument in declared:
        default = argument.default_value
        words = (one.text if hasattr(one, "text") else one.describe() for one in default or ())
        shown = "required" if default is None else f"default '{''.join(words)}'"
        choices = f"; one of: {', '.join(argument.choices)}" if argument.choices else ""
        lines.append(f"  {argument.name}:=  ({shown}{choices})\n      {argument.description or ''}".rstrip())
    return "\n".join(["Arguments, as NAME:=VALUE", *lines] if lines else ["No arguments."])
