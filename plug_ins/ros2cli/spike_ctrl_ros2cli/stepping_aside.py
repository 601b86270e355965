"""The real `ros2`, where there is one: another executable of that name on PATH, or the Python package ros2cli."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

OURS = b"spike_ctrl_ros2cli"  # stands in each console script of ours, also in that of another environment
BOOTSTRAP = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"  # set by the ROS 2 wheels once they have set LD_LIBRARY_PATH


def another(path: str) -> str | None:
    """The first executable `ros2` in the folders of a PATH that is not ours."""
    for folder in path.split(os.pathsep):
        found = Path(folder or ".", "ros2")
        if found.is_file() and os.access(found, os.X_OK):
            with found.open("rb") as file:
                if OURS not in file.read(4096):
                    return str(found)
    return None


def cleared(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The environment without what the wheels below `prefix` have set in it: another ROS must load its own libraries."""
    found = {name: value for name, value in environment.items() if name != BOOTSTRAP}
    if BOOTSTRAP in environment:
        places = found.pop("LD_LIBRARY_PATH", "").split(os.pathsep)
        if others := [place for place in places if place and not Path(place).is_relative_to(prefix)]:
            found["LD_LIBRARY_PATH"] = os.pathsep.join(others)
    return found


def has_ros2cli() -> bool:
    """Whether Python's path holds ROS 2's own command line, as packages or as sources."""
    try:
        return importlib.util.find_spec("ros2cli.cli") is not None
    except ModuleNotFoundError:
        return False


def step_aside(arguments: list[str]) -> None:
    """Become the real `ros2` with these arguments; return only where there is none."""
    if other := another(os.environ.get("PATH", "")):
        become([other, *arguments], cleared(os.environ, sys.prefix))
    if has_ros2cli():
        program = "import sys; from ros2cli.cli import main; sys.argv[0] = 'ros2'; sys.exit(main())"
        become([sys.executable, "-c", program, *arguments], os.environ)


def become(command: list[str], environment: Mapping[str, str]) -> NoReturn:
    os.execve(command[0], command, environment)
