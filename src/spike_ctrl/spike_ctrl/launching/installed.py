"""The installed executables of packages, and the environment that they start in."""

import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.resources import prefixes

# The wheel of Fast DDS 3 (Kilted) or 2 (Jazzy), and the variable that it reads; 3 prints a warning of that of 2.
DDS_PROFILES = {"ros-fastdds": "FASTDDS_DEFAULT_PROFILES_FILE", "ros-fastrtps": "FASTRTPS_DEFAULT_PROFILES_FILE"}


def become(package: str, name: str, parameters: dict[str, object], namespace: str = "") -> NoReturn:
    """Replace this process by a node, with the environment that a launch file would give it. Raises UsageError."""
    found = environment() | os.environ
    words = in_namespace(namespace) + [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
    os.execve(program := executable(package, name, prefixes(found)), [program, "--ros-args", *words], found)


def in_namespace(name: str) -> list[str]:
    """ROS arguments of a node in a namespace, none for the root. Raises UsageError for a name that ROS does not take."""
    if not re.fullmatch(r"/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?/?", name, re.ASCII):
        raise UsageError(f"namespace: found '{name}', wanted a name of letters, digits and _, such as a")
    return ["-r", f"__ns:=/{found}"] if (found := name.strip("/")) else []


def executable(package: str, name: str, places: list[Path]) -> str:
    """The path of an executable of a package. Raises UsageError, which lists the places that were searched."""
    # Not resolved: the interpreter of a virtual environment is a link to another folder.
    wanted = [place / "lib" / package / name for place in places] + [Path(sys.executable).parent / name]
    for place in wanted:
        if os.access(place, os.X_OK) and place.is_file():
            return str(place)
    searched = ", ".join(str(place) for place in wanted)
    raise UsageError(f"package '{package}' has no executable '{name}'; searched {searched}; `make setup` installs it")


def dds_profile() -> dict[str, str]:
    """Environment variables that make Fast DDS take the shipped profile."""
    return dict.fromkeys(profile_variables(), str(resources.find("config", "fastdds.xml")))


def profile_variables() -> list[str]:
    """The variables that Fast DDS may read the path of a profile from: both where it is not of our wheels."""
    held = [variable for wheel, variable in DDS_PROFILES.items() if any(metadata.distributions(name=wheel))]
    return held or list(DDS_PROFILES.values())


def environment() -> dict[str, str]:
    """Environment variables that every process gets unless the caller has set them."""
    return {
        "AMENT_PREFIX_PATH": sys.prefix,
        **dds_profile(),
        "OMP_NUM_THREADS": "1",  # several processes share the cores
        "PYTHONUNBUFFERED": "1",
        "RCUTILS_CONSOLE_OUTPUT_FORMAT": "{severity} {message}",  # the launch names the node, and time needs half a line
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


def flight_middleware(profile: Any = None) -> dict[str, Any]:
    """Environment variables of the nodes of a flight, and of a process that hears them.

    profile: path of a profile of Fast DDS, or its substitution; None: the shipped one. With another discovery range
    rmw_fastrtps would add its own transports to those of the profile.
    """
    path = profile or str(resources.find("config", "fastdds_flight.xml"))
    return dict.fromkeys(profile_variables(), path) | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}
