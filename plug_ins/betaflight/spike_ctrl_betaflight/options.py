"""How a flight reaches Betaflight: the text of the argument `connection`.

tcp:127.0.0.1:5761
serial:/dev/ttyUSB0:921600?pose=/mocap/odometry&hover=0.35
sitl                            what a running `spike-ctrl betaflight sitl` says in build/betaflight/connection
sitl:FOLDER                     the same, of one with --folder FOLDER
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within
from spike_ctrl_betaflight import crsf_relay, msp_line

POSES = ("odometry", "pose")
SITL, FOLDER, FILE = "sitl", Path("build/betaflight"), "connection"


@dataclass(frozen=True)
class BetaflightOptions:
    """What follows the `?` of a connection, as NAME=VALUE&NAME=VALUE."""

    pose: str = setting("mocap/odometry", "Topic of the position, from motion capture or VIO.")
    kind: str = setting("odometry", "Its type: nav_msgs/Odometry, or pose for geometry_msgs/PoseStamped.", choices=POSES)
    hover: float = within(0.35, 0.08, 0.8, "Motor command that hovers, until it is found in flight.", "")
    idle: float = within(0.055, 0.0, 0.3, "Motor command of no throttle: dshot_idle_value / 10000.", "")
    battery: str = setting(
        "measured", "assumed: the flight controller measures no battery.", choices=("measured", "assumed")
    )
    holds_last: str = setting(
        "refused", "allowed: fly a firmware that flies the last command for ever when this computer dies.",
        choices=("refused", "allowed"),
    )  # fmt: skip
    mixer: str = setting("", "HOST:PORT of `spike-ctrl betaflight mixer`, which mixes into the pilot's CRSF frames.")


def parse(text: str) -> tuple[str, BetaflightOptions]:
    """The line and the options of a connection. Raises UsageError."""
    line, _, rest = (_of_sitl(text) if is_sitl(text) else text).partition("?")
    msp_line.check(line)
    defaults = BetaflightOptions()
    given: dict[str, Any] = {}
    for pair in filter(None, rest.split("&")):
        name, equals, value = pair.partition("=")
        if not equals or not hasattr(defaults, name):
            known = ", ".join(vars(defaults))
            raise UsageError(f"connection: found '{pair}' after '?', wanted NAME=VALUE with one of {known}")
        try:
            given[name] = float(value) if isinstance(getattr(defaults, name), float) else value
        except ValueError:
            raise UsageError(f"connection: {name}: found '{value}', wanted a number") from None
    for name, allowed in (("kind", POSES), ("battery", ("measured", "assumed")), ("holds_last", ("refused", "allowed"))):
        if given.get(name, allowed[0]) not in allowed:
            raise UsageError(f"connection: {name}: found '{given[name]}', wanted {' or '.join(allowed)}")
    if given.get("mixer"):
        crsf_relay.address(given["mixer"])
    numbers = {name: value for name, value in given.items() if isinstance(value, float)}
    ranges.require(numbers, {k: v for k, v in ranges.bounds(BetaflightOptions).items() if k in numbers}, "connection: ")
    return line, BetaflightOptions(**given)


def is_sitl(text: str) -> bool:
    """Whether a connection names our simulation, whose vehicle can wait for commands."""
    return text.partition(":")[0].partition("?")[0] == SITL


def _of_sitl(text: str) -> str:
    """The connection that a simulation has written, with the options of this text after its own."""
    place, _, rest = text.partition("?")
    folder = Path(place.partition(":")[2] or FOLDER)
    try:
        told = (folder / FILE).read_text().strip()
    except OSError:
        raise UsageError(
            f"connection: found '{text}', and no simulation in {folder}: start `spike-ctrl betaflight sitl`, and wait for "
            "its line with the connection"
        ) from None
    return f"{told}&{rest}" if rest else told
